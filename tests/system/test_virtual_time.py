"""Rehearsals on virtual time: every scenario that allows it, and the same to the bit each time."""

import json
import multiprocessing
import signal
import time

import pytest

from loadtests.experiment import scenario

SHIPPED = {name: scenario.load(name)[0] for name in scenario.names()}
EITHER = [name for name, experiment in SHIPPED.items() if not experiment.outside() and experiment.clock != "real"]
ROUGH = """\
about: Streams, callers that lose patience, refusals, limits, and work that outlives its caller.
load: {user: stream, rate: 20, patience: 1.2, max_tokens: 80}
phases: [{name: all, seconds: 20}]
mock:
  capacity: {slots: 12, queue: 20, on_disconnect: finish}
  limits: {requests_per_minute: 1800, burst: 20}
  faults: [{name: status, code: 529, share: 0.2}]
variants:
  production: {preset: production, concurrency: none, breaker: none}
  naive: {preset: naive, attempt_timeout: 1}
"""

pytestmark = pytest.mark.timeout(600)


@pytest.mark.virtual
@pytest.mark.parametrize("name", EITHER)
def test_every_scenario_passes_on_virtual_time_with_its_books_in_balance(loadtests, name: str):
    command = loadtests("run", name, "--clock", "virtual", "--out", "run")

    assert command.end(240) == 0, command.output()

    summary = command.summary()
    assert (summary["verdict"], summary["findings"]) == ("pass", [])
    command.check_the_books()
    assert command.leftovers() == []


def burn(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@pytest.mark.virtual
@pytest.mark.parametrize("name", ["retry_storm", "rough"])
def test_two_runs_are_the_same_to_the_byte_on_a_busy_machine_and_under_another_hash_seed(loadtests, tmp_path, name):
    (tmp_path / "rough.yaml").write_text(ROUGH)
    file = str(tmp_path / "rough.yaml") if name == "rough" else name
    options = ["run", file, "--clock", "virtual", "--out", "run", "--seed", "7"]
    quiet = loadtests(*options, env={"PYTHONHASHSEED": "1"})
    assert quiet.end(240) == 0, quiet.output()
    burners = [multiprocessing.get_context("spawn").Process(target=burn, args=(240,)) for _ in range(4)]
    for burner in burners:
        burner.start()

    try:
        busy = loadtests(*options, env={"PYTHONHASHSEED": "2"})
        assert busy.end(240) == 0, busy.output()
    finally:
        for burner in burners:
            burner.kill()
            burner.join()

    same = [json.dumps({**command.summary(), "machine": None, "versions": None}) for command in (quiet, busy)]
    assert same[0] == same[1]
    assert (quiet.run / "samples.jsonl").read_bytes() == (busy.run / "samples.jsonl").read_bytes()
    quiet.check_the_books()


@pytest.mark.virtual
def test_the_rough_scenario_is_rough(loadtests, tmp_path):
    (tmp_path / "rough.yaml").write_text(ROUGH)

    command = loadtests("run", str(tmp_path / "rough.yaml"), "--clock", "virtual", "--out", "run")

    assert command.end(240) == 0
    for variant in command.summary()["variants"].values():
        outcomes = variant["phases"]["all"]["outcomes"]
        assert outcomes["complete"] > 10 and outcomes["timeout"] > 100


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_on_virtual_time(loadtests, tmp_path, number: signal.Signals):
    (tmp_path / "long.yaml").write_text(
        "about: x\nload: {user: chat, rate: 20}\nphases: [{name: all, seconds: 3600}]\n"
    )
    command = loadtests("run", str(tmp_path / "long.yaml"), "--clock", "virtual", "--out", "run")
    command.wait_for_load()

    command.process.send_signal(number)

    assert command.end(5) == 130
    assert "interrupted by" in command.output()
    assert "Traceback" not in command.output()
    report = loadtests("report", str(command.run))
    assert report.end(30) == 3
    assert "the run was interrupted" in report.output()


@pytest.mark.virtual
def test_another_seed_is_another_run(loadtests):
    short = ["--clock", "virtual", "--out", "run", "--set", "phases.steady.seconds=3"]
    commands = [loadtests("run", "smoke", *short, "--seed", seed) for seed in ("1", "2")]

    assert [command.end(240) for command in commands] == [0, 0]

    assert (
        commands[0].run.joinpath("samples.jsonl").read_text() != commands[1].run.joinpath("samples.jsonl").read_text()
    )


@pytest.mark.virtual
def test_a_slow_claude_fails_smoke_on_virtual_time_too(loadtests):
    slow = ["--set", "mock.latency.ttft.p50=2", "--set", "mock.latency.ttft.p95=4"]

    command = loadtests("run", "smoke", "--clock", "virtual", "--out", "run", *slow)

    assert command.end(240) == 1
    assert 'gate "ttft.p95 < 1.5" failed' in command.output()


@pytest.mark.virtual
@pytest.mark.parametrize(
    ("change", "clock", "said"),
    [
        ("needs=[threads, processes]", "virtual", "cannot run on virtual time: it needs threads and processes"),
        ("clock=real", "virtual", "--clock virtual: this scenario says clock: real"),
        ("clock=virtual", "real", "--clock real: this scenario says clock: virtual"),
    ],
)
def test_a_scenario_that_cannot_run_on_a_clock_says_why(loadtests, change: str, clock: str, said: str):
    command = loadtests("run", "smoke", "--clock", clock, "--set", change, "--out", "run")

    assert command.end(240) == 2
    assert said in command.output()
    assert not command.run.exists()


@pytest.mark.virtual
def test_virtual_time_sees_no_setting_of_the_callers_shell(loadtests):
    hostile = {"GATEWAY_ATTEMPT_TIMEOUT": "0.01", "ANTHROPIC_AUTH_TOKEN": "real", "HTTPS_PROXY": "http://192.0.2.1:1"}

    command = loadtests("run", "smoke", "--clock", "virtual", "--out", "run", env=hostile)

    assert command.end(240) == 0, command.output()


@pytest.mark.virtual
def test_an_hour_is_rehearsed_in_minutes(loadtests, tmp_path):
    """A tenth of it here; the whole hour took 61 s of one core where it was measured."""
    hour = tmp_path / "hour.yaml"
    hour.write_text(
        "about: x\nclock: virtual\nload: {user: chat, rate: 10}\nphases: [{name: all, seconds: 360}]\n"
        "gates: [goodput_ratio == 1, started > 3000]\n"
    )

    command = loadtests("run", str(hour), "--out", "run")

    assert command.end(240) == 0, command.output()


@pytest.mark.virtual
def test_a_map_is_drawn_from_rehearsals_in_parallel(loadtests):
    plane = ["--x", "load.rate=2:10:2", "--y", "phases.dip.seconds=1:8:2", "--seeds", "1"]

    command = loadtests("map", "retry_storm", *plane, "--out", "run")

    assert command.end(240) == 0, command.output()
    row = json.loads((command.run / "map-1.json").read_text())
    assert {(cell["x"], cell["y"]): cell["collapsed"] for cell in row["cells"]} == {
        (2, 1): 0.0,
        (10, 1): 0.0,
        (2, 8): 0.0,
        (10, 8): 1.0,
    }
    assert row["agreement"] == {"cells": 4, "as_predicted": 4, "astray": 0}
    assert command.leftovers() == []


@pytest.mark.virtual
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--x", "load.rat=1:2:2", "--y", "load.patience=1:2:2"], 'did you mean "rate"?'),
        (["--x", "load.rate=1:2:2", "--y", "gateway.atempts=1:2:2"], "gateway.atempts"),
        (["--x", "load.rate=1:2:2", "--y", "load.patience=1:2:2", "--variant", "nave"], 'did you mean "naive"?'),
        (["--set", "network.redis=true"], "it needs redis"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused_before_hours_go_into_it(loadtests, arguments: list[str], said: str):
    command = loadtests("map", "retry_storm", *arguments, "--out", "run")

    assert command.end(240) == 2
    assert said in command.output()
    assert not command.run.exists()


def test_a_map_that_is_interrupted_ends_at_once(loadtests):
    command = loadtests("map", "retry_storm", "--out", "run")
    command.wait_for(lambda: len(command.children()) > 0 and command.output())

    command.process.send_signal(2)

    assert command.end(5) == 130
    assert "Traceback" not in command.output()
    assert command.leftovers() == []
