"""The load generator judges itself first: what it cannot measure is no figure of a run, and the run is invalid."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from loadtests.experiment.plan import VARIABLE, Plan
from loadtests.programs.crew import LOCUST
from loadtests.record.rundir import RunDir
from loadtests.sample import OUTCOMES
from tests.system.misbehaving import Misbehaving, never_answers

BEYOND = """\
about: Three times and more of what one core can send.
slo: {e2e: 4}
load: {user: chat, arrivals: constant, rate: 20000, patience: 3}
phases: [{name: load, seconds: 2}]
mock: {latency: {ttft: {p50: 0.05, p95: 0.05}, tokens_per_second: 1000, output_tokens: 10}}
gates: [load.e2e.p50 < 3, load.goodput_ratio < 0.9]
"""


def test_a_load_of_three_times_what_one_core_can_send_is_invalid_and_has_no_latency(loadtests, tmp_path: Path):
    (tmp_path / "beyond.yaml").write_text(BEYOND)

    command = loadtests("run", str(tmp_path / "beyond.yaml"), "--out", "run")

    assert command.end(90) == 3
    assert "the generator could not keep up" in command.output()
    summary = command.summary()
    figures = summary["variants"]["default"]["phases"]["load"]
    assert summary["verdict"] == "invalid"
    assert [figures[name] for name in ("goodput", "goodput_ratio")] == [None, None]
    assert {figures[name]["p50"] for name in ("e2e", "ttft", "service_time", "e2e_adjusted")} == {None}
    assert [gate["status"] for gate in summary["gates"]] == ["skipped", "skipped"]
    assert figures["dispatch_lag"]["max"] > 1
    assert sum(figures["outcomes"].values()) == figures["started"] == 39999
    assert set(figures["outcomes"]) <= set(OUTCOMES)


def test_a_generator_that_cannot_read_known_streams_sends_no_load(loadtests, tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text("from loadtests.sending import known\nknown.LIMIT = 0.0\n")

    command = loadtests("run", "smoke", "--out", "run", env={"PYTHONPATH": str(tmp_path)})

    assert command.end(60) == 3
    assert "the generator measured 10 known streams wrong: TTFT off by " in command.output()
    assert "at best of 3 tries" in command.output()
    assert (command.run / "samples.jsonl").read_text() == ""
    assert command.leftovers() == []


def test_what_the_known_streams_came_to_is_in_the_runs_events(loadtests, tmp_path: Path):
    (tmp_path / "small.yaml").write_text("about: x\nload: {user: chat, rate: 5}\nphases: [{name: a, seconds: 3}]\n")

    command = loadtests("run", str(tmp_path / "small.yaml"), "--out", "run")

    assert command.end(40) == 0, command.output()
    (found,) = (event for event in RunDir(command.run).events_of("default") if event["event"] == "calibrated")
    assert 0 <= found["ttft"] <= 0.002 and 0 <= found["itl"] <= 0.002
    generator = command.summary()["variants"]["default"]["phases"]["a"]["generator"]
    assert 0 < generator["cpu"] < 0.95
    assert generator["sockets"] > 3


def test_a_generator_without_sockets_blames_itself(tmp_path: Path):
    (tmp_path / "scenario.yaml").write_text(
        "about: x\nload: {user: chat, arrivals: constant, rate: 100, patience: 4}\nphases: [{name: a, seconds: 2}]\n"
    )
    # root's Locust would raise the limit again
    (tmp_path / "sitecustomize.py").write_text("import resource\nresource.setrlimit = lambda *limits: None\n")
    files = [str(tmp_path / name) for name in ("scenario.yaml", "samples.jsonl", "events.jsonl")]
    with Misbehaving(lambda name: never_answers) as server:
        Plan(files[0], "default", 1, server.url, server.url, "k", *files[1:]).write(tmp_path / "plan.json")
        done = subprocess.run(
            [sys.executable, "-m", *LOCUST, "--headless"],
            env={**os.environ, VARIABLE: str(tmp_path / "plan.json"), "PYTHONPATH": str(tmp_path)},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
            capture_output=True,
            timeout=60,
        )

    samples = [json.loads(line) for line in Path(files[1]).read_text().splitlines()]
    starved = [row for row in map(json.loads, Path(files[2]).read_text().splitlines()) if row["event"] == "starved"]
    assert done.returncode == 0, done.stderr
    assert {sample["outcome"] for sample in samples} == {"timeout", "aborted"}
    assert sum(sample["outcome"] == "aborted" for sample in samples) == len(starved) > 50
    assert "Too many open files" in starved[0]["message"]
