"""How a rehearsal ends: each ending has its exit code, says what happened, and leaves no process behind."""

import json
import signal
import socket
import time
from pathlib import Path

import pytest

PROMPT = 5.0


def test_a_typo_is_one_clear_line_and_nothing_starts(loadtests, tmp_path: Path):
    scenario = tmp_path / "mine.yaml"
    scenario.write_text("about: x\nload: {user: chat, rat: 4}\nphases:\n  - {name: all, seconds: 2}\n")

    command = loadtests("run", str(scenario), "--out", "run")

    assert command.end(PROMPT) == 2
    assert command.output() == f'loadtests: {scenario}:2: load.rat: unknown key; did you mean "rate"?\n'
    assert not command.run.exists()


def test_on_github_a_typo_is_shown_where_it_stands(loadtests, tmp_path: Path):
    scenario = tmp_path / "mine.yaml"
    scenario.write_text("about: x\nload: {user: chat, rat: 4}\nphases:\n  - {name: all, seconds: 2}\n")

    command = loadtests("run", str(scenario), env={"GITHUB_ACTIONS": "true"})

    assert command.end(30) == 2
    assert f"\n::error file={scenario},line=2,title=loadtests%3A could not run::{scenario}:2: " in command.output()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("mock: {latency: {ttfd: {p50: 1}}}", ":3: mock.latency.ttfd: ", id="the mock's section"),
        pytest.param("mock: {capacity: {slots: many}}", ":3: mock.capacity.slots: ", id="a bad number for the mock"),
        pytest.param("mock: {timeline: [{phase: all, capacity: {slotz: 1}}]}", ":3: mock.timeline.0.", id="a timeline"),
        pytest.param("gateway: {atempts: 3}", ":3: gateway.atempts: ", id="the gateway's section"),
        pytest.param(
            "variants: {a: {retry_budget: {ratoi: 1}}}", ":3: variants.a.retry_budget.ratoi: ", id="a variant"
        ),
    ],
)
def test_the_sections_of_the_programs_are_checked_by_them_and_named_by_line(loadtests, tmp_path, line, said):
    scenario = tmp_path / "mine.yaml"
    scenario.write_text(f"about: x\nload: {{user: chat, rate: 4}}\n{line}\nphases:\n  - {{name: all, seconds: 2}}\n")

    command = loadtests("run", str(scenario), "--out", "run")

    assert command.end(10) == 2
    assert f"{scenario}{said}" in command.output()
    assert len(command.output().splitlines()) == 1


@pytest.mark.parametrize(
    ("module", "name"), [("mockclaude", "mock"), ("gateway_under_test", "gateway"), ("locust", "load generator")]
)
def test_a_program_that_dies_at_start_is_named_with_its_last_words(loadtests, tmp_path: Path, module: str, name: str):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        f"if '{module}' in sys.orig_argv and not {{'check', '--check'}} & set(sys.orig_argv):\n"
        "    raise SystemExit('no such luck')\n"
    )

    command = loadtests("run", "smoke", "--out", "run", env={"PYTHONPATH": str(tmp_path)})

    assert command.end(15) == 2
    assert f"the {name} ended at start" in command.output()
    assert "no such luck" in command.output()
    assert command.leftovers() == []


@pytest.mark.parametrize(
    ("module", "name"), [("mockclaude", "mock"), ("gateway_under_test", "gateway"), ("locust", "load generator")]
)
def test_a_program_killed_in_the_middle_makes_the_run_invalid(loadtests, module: str, name: str):
    command = loadtests("run", "retry_storm", "--variant", "naive", "--out", "run")
    command.wait_for_load()

    command.children()[module].kill()

    assert command.end(PROMPT) == 3
    assert f"the {name} died in the middle of the run: SIGKILL" in command.output()
    summary = json.loads((command.run / "summary.json").read_text())
    assert summary["verdict"] == "invalid"
    assert f"the {name} died" in summary["reasons"][0]
    assert command.leftovers() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_stops_at_once_and_keeps_its_raw_files(loadtests, number: signal.Signals):
    command = loadtests("run", "retry_storm", "--out", "run")
    command.wait_for_load()

    command.process.send_signal(number)

    assert command.end(PROMPT) == 130
    assert "interrupted" in command.output()
    assert "Traceback" not in command.output()
    assert (command.run / "samples.jsonl").stat().st_size > 0
    assert command.leftovers() == []


def test_a_load_generator_that_is_told_to_stop_ends_the_whole_run(loadtests):
    command = loadtests("run", "retry_storm", "--out", "run")
    command.wait_for_load()

    command.children()["locust"].send_signal(signal.SIGINT)

    assert command.end(PROMPT) == 3
    assert "the load generator stopped before the load was sent" in command.output()
    assert command.summary()["variants"]["fixed"]["verdict"] == "invalid"


@pytest.mark.parametrize("delay", [0.3, 0.6])
def test_an_interrupt_in_the_first_moments_is_no_traceback(loadtests, delay: float):
    command = loadtests("run", "smoke", "--out", "run")
    time.sleep(delay)

    command.process.send_signal(signal.SIGINT)
    command.end(PROMPT)

    assert command.process.returncode in (130, -signal.SIGINT)  # the latter before Python has read our first line
    assert command.leftovers() == []


def test_an_interrupt_while_programs_start_leaves_none_behind(loadtests):
    command = loadtests("run", "smoke", "--out", "run")
    command.wait_for(lambda: "mockclaude" in command.children() and command.run.exists())

    command.process.send_signal(signal.SIGINT)

    assert command.end(PROMPT) == 130
    assert command.leftovers() == []


def test_a_runner_that_is_killed_takes_its_programs_with_it(loadtests):
    command = loadtests("run", "smoke", "--out", "run")
    command.wait_for_load()

    command.process.kill()
    command.end(PROMPT)

    assert command.leftovers() == []


def test_an_interrupted_run_can_still_be_reported_and_is_invalid(loadtests):
    command = loadtests("run", "smoke", "--out", "run")
    command.wait_for_load()
    command.process.send_signal(signal.SIGINT)
    command.end(PROMPT)

    report = loadtests("report", str(command.run))

    assert report.end(PROMPT) == 3
    assert "the run was interrupted" in report.output()
    assert (command.run / "report.html").exists()


def test_a_folder_that_has_a_run_is_not_written_over(loadtests, tmp_path: Path):
    (tmp_path / "taken" / "logs").mkdir(parents=True)

    command = loadtests("run", "smoke", "--out", str(tmp_path / "taken"))

    assert command.end(10) == 2
    assert "has a run in it already" in command.output()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "smok"], 'did you mean "smoke"?'),
        (["run", "smoke", "--variant", "naive"], "--variant naive: expected one of: default"),
        (["run", "smoke", "--set", "load.rate"], "expected KEY=VALUE"),
        (["ui", "smoke", "--port", "99999"], "65535"),
        (["report", "."], "expected the folder of a run"),
        (["run", "smoke", "--target", "http://127.0.0.1:1"], "--target needs --mock URL"),
        (["run", "smoke", "--target", "http://10.1.2.3", "--mock", "http://127.0.0.1:1"], "--allow-remote"),
        (["run", "smoke", "--target", "https://api.anthropic.com", "--mock", "http://127.0.0.1:1"], "--i-will-pay"),
        (["run", "smoke", "--toxiproxy", "http://127.0.0.1:1"], "are those of a --target"),
        (["run", "smoke", "--target", "pass_throu"], 'did you mean "pass_through"?'),
        (["run", "smoke", "--target", "pass_through"], "headers.authorization: the environment has no GATEWAY_KEY"),
        (["run", "batch_semaphore", "--target", "own_endpoint"], "it cannot be asked what user batch asks"),
        (["run", "smoke", "--target", "own_endpoint", "--clock", "virtual"], "--target: it runs on the real clock"),
        (
            ["run", "smoke", "--target", "http://127.0.0.1:1", "--mock", "http://127.0.0.1:1"],
            "--mock http://127.0.0.1:1",
        ),
    ],
)
def test_a_bad_command_says_what_was_expected(loadtests, arguments: list[str], said: str):
    command = loadtests(*arguments)

    assert command.end(10) == 2
    assert said in command.output()
    assert "Traceback" not in command.output()


def test_a_busy_web_port_is_said_to_be_busy(loadtests):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = loadtests("ui", "smoke", "--port", str(taken.getsockname()[1]))

        assert command.end(10) == 2
        assert "is in use" in command.output()
        assert command.leftovers() == []
