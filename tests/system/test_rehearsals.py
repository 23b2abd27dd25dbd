"""The product for real: whole rehearsals on real sockets, with their verdicts and their books in balance."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from loadtests.programs import stack
from loadtests.programs.stack import Program
from loadtests.record import rundir

STORM = 600.0
SMOKE = 60.0


def run_storm(loadtests):
    """One whole run; another if the machine itself stood still in the first, which says nothing about the product."""
    command = loadtests("run", "retry_storm", "--out", "run")
    if command.end(240) == 3 and all(
        "stood still" in reason or "late" in reason for reason in command.summary()["reasons"]
    ):
        command = loadtests("run", "retry_storm", "--out", "run")
        command.end(240)
    return command


@pytest.mark.timeout(STORM)
def test_a_retry_storm_collapses_naive_and_a_budget_brings_it_back(loadtests):
    command = run_storm(loadtests)

    assert command.end(0) == 0, command.output()
    summary = command.summary()
    assert summary["verdict"] == "pass"
    assert [row["status"] for row in summary["expectations"]] == ["pass"] * 5
    assert summary["variants"]["naive"]["recovery_s"] is None
    assert summary["variants"]["budget"]["recovery_s"] is not None
    command.check_the_books()
    assert (command.run / "report.html").read_text().startswith("<!doctype html>")
    assert command.leftovers() == []


@pytest.mark.timeout(SMOKE)
def test_smoke_passes_on_a_healthy_gateway(loadtests):
    command = loadtests("run", "smoke", "--out", "run", "--json")

    assert command.end(SMOKE) == 0, command.output()

    summary = command.summary()
    steady = summary["variants"]["default"]["phases"]["steady"]
    assert steady["outcomes"] == {"complete": steady["started"]}
    assert steady["ttft"]["n"] == steady["started"] > 30
    assert steady["output_tokens"] == 60 * steady["started"]
    command.check_the_books()
    assert json.loads(command.output()[command.output().index("\n{") :].partition("\n}\n")[0] + "}") == summary


@pytest.mark.timeout(SMOKE)
def test_a_gate_beyond_hope_calls_the_run_off_and_leaves_nothing_running(loadtests):
    longer = ("--set", "phases.steady.seconds=300", "--set", "mock.faults=[{name: status, code: 400}]")
    gates = ("--gate", "steady.error_ratio < 0.02 abort_on_fail", "--gate", "steady.goodput_ratio > 0.9")

    command = loadtests("run", "smoke", *longer, *gates, "--out", "run")

    assert command.end(SMOKE - 5) == 1, command.output()
    summary = command.summary()
    assert (summary["verdict"], summary["variants"]["default"]["invalid_because"]) == ("fail", [])
    assert [row["status"] for row in summary["gates"]] == ["skipped", "skipped", "fail", "skipped"]
    assert summary["gates"][2]["measured"] >= 0.02
    assert "was called off at" in summary["findings"][0]
    assert command.leftovers() == []


@pytest.mark.timeout(SMOKE)
def test_smoke_fails_on_a_slow_claude_and_names_the_gate(loadtests):
    slow = ["--set", "mock.latency.ttft.p50=2", "--set", "mock.latency.ttft.p95=4"]

    command = loadtests("run", "smoke", "--out", "run", *slow)

    assert command.end(SMOKE) == 1, command.output()
    assert 'gate "ttft.p95 < 1.5" failed' in command.output()
    assert command.summary()["verdict"] == "fail"


@pytest.mark.timeout(SMOKE)
def test_the_children_never_see_a_real_key_or_endpoint(loadtests):
    hostile = {
        "ANTHROPIC_API_KEY": "sk-ant-api03-secret",
        "ANTHROPIC_BASE_URL": "https://api.anthropic.com",
        "ANTHROPIC_AUTH_TOKEN": "sk-ant-api03-secret",
        "HTTPS_PROXY": "http://192.0.2.1:3128",
        "HTTP_PROXY": "http://192.0.2.1:3128",
        "GATEWAY_PRESET": "naive",
        "VALID_API_KEYS": "another",
    }

    command = loadtests("run", "smoke", "--out", "run", "--set", "phases.steady.seconds=2", env=hostile)
    command.wait_for_load()
    environments = [process.environ() for process in command.children().values()]

    assert command.end(SMOKE) == 0, command.output()
    assert len(environments) >= 3
    values = [value for found in environments for value in found.values()]
    assert not [value for value in values if any(bad in value for bad in ("-secret", "192.0.2.1", "api.anthropic"))]


@pytest.mark.timeout(SMOKE)
def test_two_runs_at_once_do_not_disturb_each_other(loadtests):
    short = ["--set", "phases.steady.seconds=4"]
    commands = [loadtests("run", "smoke", "--out", "run", "--seed", str(seed), *short) for seed in (1, 2)]

    assert [command.end(SMOKE) for command in commands] == [0, 0]

    for command in commands:
        command.check_the_books()


@pytest.mark.timeout(90)
def test_the_web_ui_runs_as_often_as_asked_and_the_last_run_is_judged(loadtests):
    short = ["--set", "phases.steady.seconds=2", "--set", "phases.warmup.seconds=1"]
    command = loadtests("ui", "smoke", "--out", "run", "--port", "0", *short)
    command.wait_for(lambda: "web UI: http" in command.output())
    url = command.output().partition("web UI: ")[2].split()[0]

    def events() -> list[str]:
        found = [row["event"] for row in rundir.rows(command.run / "events.jsonl")]
        return [event for event in found if event in ("started", "ended")]

    walls = []
    for _ in range(2):
        before = len(walls)
        answer = requests.post(f"{url}/swarm", data={"user_count": 1, "spawn_rate": 1}, timeout=10)
        assert answer.json()["success"], answer.text
        command.wait_for(lambda: requests.get(f"{url}/stats/requests", timeout=10).json()["state"] == "running")
        command.wait_for(lambda: requests.get(f"{url}/stats/requests", timeout=10).json()["state"] == "stopped")
        walls += [row["wall"] for row in rundir.rows(command.run / "events.jsonl") if row["event"] == "started"]
        assert len(walls) == before + 1
        assert events() == ["started", "ended"]
    assert walls[0] < walls[1]

    command.process.send_signal(2)

    assert command.end(6) == 130
    assert "smoke: pass" in command.output()
    assert command.summary()["verdict"] == "pass"
    command.check_the_books()
    assert command.leftovers() == []
    assert loadtests("report", str(command.run)).end(20) == 0


@pytest.mark.timeout(SMOKE)
def test_a_web_ui_that_is_closed_in_the_middle_of_a_run_judges_it_invalid(loadtests):
    command = loadtests("ui", "retry_storm", "--out", "run", "--port", "0")
    command.wait_for(lambda: "web UI: http" in command.output())
    url = command.output().partition("web UI: ")[2].split()[0]
    requests.post(f"{url}/swarm", data={"user_count": 1, "spawn_rate": 1}, timeout=10)
    command.wait_for_load()

    command.process.send_signal(2)

    assert command.end(6) == 130
    assert "retry_storm: invalid" in command.output()
    assert "Traceback" not in command.output()
    assert command.leftovers() == []


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Program, Program, Program]]:
    """A mock, a gateway that speaks to it, and a mock that nobody speaks to: programs that somebody else started."""
    mock, gateway, other = (Program(name, tmp_path / f"{name}.log") for name in ("mock", "gateway", "other"))
    mock.start(["mockclaude", "serve"], {})
    other.start(["mockclaude", "serve"], {})
    keys = {"ANTHROPIC_BASE_URL": mock.url, "ANTHROPIC_API_KEY": "k", "VALID_API_KEYS": "theirs"}
    gateway.start(["gateway_under_test"], keys)
    for program, path in ((mock, "/_mock/health"), (other, "/_mock/health"), (gateway, "/readyz")):
        program.wait_until_healthy(path)
    yield mock, gateway, other
    stack.stop(mock, gateway, other)


@pytest.mark.timeout(SMOKE)
def test_a_gateway_that_runs_already_can_be_the_target(loadtests, running):
    mock, gateway, _ = running
    aimed = ["--target", gateway.url, "--mock", mock.url, "--api-key", "theirs"]

    command = loadtests("run", "smoke", "--out", "run", "--set", "phases.steady.seconds=4", *aimed)

    assert command.end(SMOKE) == 0, command.output()
    steady = command.summary()["variants"]["target"]["phases"]["steady"]
    assert steady["amplification"] == 1
    assert (mock.exit_code, gateway.exit_code) == (None, None)


@pytest.mark.timeout(SMOKE)
def test_a_target_that_speaks_to_another_claude_gets_no_load(loadtests, running):
    mock, gateway, other = running
    aimed = ["--target", gateway.url, "--mock", other.url, "--api-key", "theirs"]

    command = loadtests("run", "smoke", "--out", "run", *aimed)

    assert command.end(SMOKE) == 2
    assert "the canary request is not in the mock's journal" in command.output()
    assert stack.Mock(mock.url).stats()["arrived"] == 1  # the canary alone


@pytest.mark.timeout(SMOKE)
def test_a_mock_that_runs_already_forgets_the_run_before(loadtests, running, tmp_path: Path):
    mock, gateway, _ = running
    aimed = ["--target", gateway.url, "--mock", mock.url, "--api-key", "theirs"]
    for name, section in (("first", "mock: {faults: [{name: status, code: 400, share: 1}]}"), ("second", "")):
        (tmp_path / f"{name}.yaml").write_text(
            f"about: x\nload: {{user: chat, rate: 5, max_tokens: 5}}\nphases: [{{name: all, seconds: 2}}]\n{section}\n"
        )

    first = loadtests("run", str(tmp_path / "first.yaml"), "--out", "run", *aimed)
    assert first.end(30) == 0, first.output()
    second = loadtests("run", str(tmp_path / "second.yaml"), "--out", "run", *aimed)
    assert second.end(30) == 0, second.output()

    phases = [command.summary()["variants"]["target"]["phases"]["all"] for command in (first, second)]
    assert [phase["error_ratio"] for phase in phases] == [1.0, 0.0]


@pytest.mark.timeout(SMOKE)
def test_a_gateway_does_not_meet_what_the_timeline_has_for_later_before_the_load_begins(loadtests, running, tmp_path):
    mock, gateway, _ = running
    aimed = ["--target", gateway.url, "--mock", mock.url, "--api-key", "theirs"]
    (tmp_path / "later.yaml").write_text(
        "about: A spend cap, which a gateway with a breaker does not forget, comes when the load is over.\n"
        "load: {user: chat, rate: 5, max_tokens: 5}\nphases: [{name: all, seconds: 1}]\n"
        "mock: {timeline: [{at: 3, for: 60, limits: {spend: {tokens: 0}}}]}\ngates: [goodput_ratio == 1]\n"
    )
    time.sleep(3)  # so long a slow machine may take to start the programs

    command = loadtests("run", str(tmp_path / "later.yaml"), "--out", "run", *aimed)

    assert command.end(40) == 0, command.output()


@pytest.mark.timeout(SMOKE)
def test_settings_that_locust_finds_around_it_do_not_change_a_run(loadtests, tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".locust.conf").write_text("run-time = 1s\n")
    (tmp_path / "0").mkdir()  # the folder that the command will run in
    (tmp_path / "0" / "locust.conf").write_text("run-time = 1s\n")
    (tmp_path / "0" / "locust.py").write_text("raise SystemExit('not locust')\n")

    command = loadtests(
        "run", "smoke", "--out", "run", "--set", "phases.steady.seconds=4", env={"HOME": str(tmp_path / "home")}
    )

    assert command.end(SMOKE) == 0, command.output()
