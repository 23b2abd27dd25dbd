import json
import math

import pytest
from typer.testing import CliRunner

from mockclaude import theory
from mockclaude.capacity import Linear, Size
from mockclaude.cli import app
from mockclaude.latency import Prefill, Profile


@pytest.mark.parametrize(
    ("servers", "use", "blocked", "waits", "wait", "p99"),
    [
        (1, 0.8, 0.4444, 0.8000, 4.000, 21.91),
        (10, 0.5, 0.0184, 0.0361, 0.0072, 0.257),
        (10, 0.8, 0.1217, 0.4092, 0.2046, 1.856),
        (10, 0.9, 0.1680, 0.6687, 0.6687, 4.203),
        (50, 0.95, 0.0782, 0.6291, 0.2516, 1.657),
        (100, 0.9, 0.0270, 0.2169, 0.0217, 0.308),
    ],
)
def test_erlangs_formulas_give_the_published_table(servers, use, blocked, waits, wait, p99):
    load = servers * use

    assert theory.erlang_b(servers, load) == pytest.approx(blocked, abs=5e-5)
    assert theory.erlang_c(servers, load) == pytest.approx(waits, abs=5e-5)
    assert theory.mean_wait(servers, load, 1.0) == pytest.approx(wait, rel=5e-3)
    assert theory.wait_quantile(servers, load, 1.0, 0.99) == pytest.approx(p99, rel=5e-3)


def test_too_much_load_waits_without_end():
    assert theory.erlang_c(2, 2.0) == 1.0
    assert theory.mean_wait(2, 3.0, 1.0) == math.inf


def test_who_rarely_waits_has_no_p99_wait():
    assert theory.wait_quantile(10, 1.0, 1.0, 0.99) == 0.0


@pytest.mark.parametrize(("failing", "attempts", "expected"), [(0.5, 4, 1.875), (1.0, 4, 4.0), (0.0, 3, 1.0)])
def test_attempts_of_a_request_whose_tries_fail_on_their_own(failing, attempts, expected):
    assert theory.attempts_per_request(failing, attempts) == pytest.approx(expected)


def test_the_collapse_of_a_batch_that_slows_down_begins_where_simulations_saw_it():
    linear = Linear(s0=1.0, a=0.01)

    assert theory.collapse_rate(linear, timeout=2.8) == pytest.approx(64.3, abs=0.05)
    assert theory.running_at(linear, 80) == pytest.approx(400)
    assert theory.running_at(linear, 100) == math.inf


def test_the_longest_safe_queue_of_the_retry_storm():
    assert theory.safe_queue(16, 1.05, 3.0) == pytest.approx(29.7, abs=0.05)
    assert theory.safe_queue(16, 4.0, 3.0) == 0.0


def test_a_retry_budget_fits_beside_the_load_or_not():
    assert theory.safe_retry_budget(280 / 300) == pytest.approx(0.071, abs=5e-4)
    assert theory.safe_retry_budget(1.5) == 0.0


def test_the_mean_service_time_is_ttft_prefill_and_decode():
    profile = Profile.of(0.2, 0.6, 150.0, prefill=Prefill())

    assert theory.mean_service(profile, 120) == pytest.approx(1.05, abs=0.005)
    assert theory.mean_service(profile, 120, 6250) == pytest.approx(2.05, abs=0.005)


@pytest.mark.parametrize(
    ("slowdown", "expected"),
    [(None, None), (2.0, Linear(11 - 11 / 63, 11 / 63)), (Linear(1.0, 0.5), Linear(11.0, 5.5))],
)
def test_every_slow_down_is_linear_in_what_runs(slowdown, expected):
    assert theory.linear_of(Size(slots=64, slowdown=slowdown), 11.0) == expected


def invoke(*arguments):
    return CliRunner().invoke(app, ["theory", *arguments])


def test_the_command_prints_a_forecast_for_a_users_own_settings(tmp_path):
    config = tmp_path / "mock.yaml"
    config.write_text(
        "capacity: {slots: 16, queue: 200}\nlatency: {ttft: {p50: 0.2, p95: 0.6}, tokens_per_second: 150}"
    )

    result = invoke("--config", str(config), "--rate", "8", "--timeout", "3", "--attempts", "4", "--json")

    told = {name: line["value"] for name, line in json.loads(result.output).items()}
    assert told["service time S"] == "1.05 s"
    assert told["collapse boundary"] == "3.81/s: NOT safe at 8/s"
    assert told["safe queue K*"] == "29.7 (configured: 200)"
    assert told["safe retry budget r"] == "0.905"


def test_a_batch_that_slows_down_has_another_boundary(tmp_path):
    config = tmp_path / "mock.yaml"
    config.write_text("capacity: {slots: 64, slowdown: 3}")

    result = invoke("--config", str(config), "--rate", "1")

    assert "A·λ < (1 - s0/τ)/a with A = 3, τ = 30 s" in result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--model", "gpt-4"], "Claude has no model 'gpt-4'"), (["--config", "/nowhere.yaml"], "cannot read")],
)
def test_what_makes_no_sense_is_refused(arguments, reason):
    result = invoke(*arguments)

    assert result.exit_code == 2
    assert reason in result.output


@pytest.mark.parametrize("slots", [0, 1])
def test_where_none_runs_beside_another_a_factor_slows_nothing_down(slots):
    size = Size(slots=slots, slowdown=5.0)

    assert theory.linear_of(size, 2.0) is None
    assert theory.forecast(size, 2.0, 1.0, 10.0, 1) == theory.forecast(Size(slots=slots), 2.0, 1.0, 10.0, 1)
