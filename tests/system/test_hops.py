"""The whole stack of a scenario with a network, for real: it is up, it is steered, it is watched, and it is gone."""

import json
import signal
from pathlib import Path

import pytest
import requests

from loadtests.programs.chaos import Toxiproxy
from loadtests.record import rundir

ALL = """\
about: Every hop there is.
load: {user: stream, arrivals: constant, rate: 10, patience: 15, max_tokens: 10}
phases:
  - {name: before, seconds: 2}
  - {name: slow, seconds: 2}
  - {name: after, seconds: 2}
mock: {latency: {ttft: {distribution: constant, value: 0.05}, tokens_per_second: 100, prefill: false}}
network:
  nginx: [{proxy_http_version: "1.1"}, {proxy_buffering: false}]
  egress: {upstreams: 2}
  redis: true
  toxics: [{hop: gateway, type: slicer, average_size: 100}]
  timeline:
    - phase: slow
      toxics: [{hop: claude, type: latency, latency: 300}, {hop: caller, type: latency, latency: 200}]
gates: [rss.gateway < 1000, rss.mock > 10, rss.load > 10, cpu.nginx < 1, cpu.redis < 1, cpu.toxiproxy < 2]
"""
NGINX = ("nginx", "nginx-2", "nginx-egress")
PROGRAMS = {"mock", "gateway", "load", "nginx", "toxiproxy", "redis"}


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    (tmp_path / "all.yaml").write_text(ALL)
    return str(tmp_path / "all.yaml")


@pytest.mark.timeout(90)
def test_a_request_passes_every_hop_and_toxics_come_and_go_with_the_timeline(loadtests, scenario: str):
    command = loadtests("run", scenario, "--out", "run")

    assert command.end(60) == 0, command.output()

    phases = command.summary()["variants"]["default"]["phases"]
    e2e = {name: figures["e2e"]["p50"] for name, figures in phases.items()}
    assert e2e["slow"] - e2e["before"] == pytest.approx(0.5, abs=0.1)
    assert abs(e2e["after"] - e2e["before"]) < 0.1
    assert {outcome for figures in phases.values() for outcome in figures["outcomes"]} == {"complete"}
    assert set(phases["slow"]["rss"]) == set(phases["slow"]["cpu"]) == PROGRAMS
    noted = [row for row in rundir.rows(command.run / "events.jsonl") if row["event"] in ("toxic", "started")]
    assert [row.get("hop") for row in noted] == ["gateway", None, "caller", "claude", "caller", "claude"]
    assert [row.get("at") for row in noted] == [0.0, None, 2.0, 2.0, 4.0, 4.0]
    assert '"network: latency' in (command.run / "report.html").read_text().replace("&#34;", '"')
    passed = [(command.run / "logs" / f"default-{name}" / "access.log").read_text() for name in NGINX]
    outer, inner, egress = (text.count('"POST /') for text in passed)
    assert egress == 1 + sum(f["started"] for f in phases.values())  # and the canary
    assert outer == inner == egress + 1  # and what the gateway has refused before the load
    command.check_the_books()
    assert command.leftovers() == []


KEY = {"x-api-key": "loadtest"}
ENTRANCES = ("entrance", "nginx", "gateway", 'toxiproxy "caller"', 'toxiproxy "gateway"')
KILLED = [
    ("mockclaude", "mock"),
    ("gateway_under_test", "gateway"),
    ("nginx", "nginx"),
    ("toxiproxy-server", "toxiproxy"),
    ("redis-server", "redis"),
    ("locust", "load generator"),
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("program", "name"), KILLED, ids=[name for _, name in KILLED])
def test_any_program_killed_in_the_middle_makes_the_run_invalid(loadtests, scenario: str, program: str, name: str):
    command = loadtests("run", scenario, "--out", "run", "--set", "phases.after.seconds=60")
    command.wait_for_load()

    next(child for line, child in command.children().items() if program in line).kill()

    assert command.end(5) == 3, command.output()
    assert f"the {name} died in the middle of the run: SIGKILL" in command.output()
    summary = json.loads((command.run / "summary.json").read_text())
    assert summary["verdict"] == "invalid"
    assert f"the {name} died" in summary["reasons"][0]
    assert " says:\n" in summary["reasons"][0]
    assert command.leftovers() == []


def test_ctrl_c_takes_every_hop_down(loadtests, scenario: str):
    command = loadtests("run", scenario, "--out", "run")
    command.wait_for_load()
    children = command.children()
    assert len(children) == len(PROGRAMS)  # all nginx have one command line
    assert children["gateway_under_test"].environ()["REDIS_URL"].startswith("redis://127.0.0.1:")

    command.process.send_signal(signal.SIGINT)

    assert command.end(5) == 130
    assert command.leftovers() == []


def test_a_runner_that_is_killed_takes_every_hop_with_it(loadtests, scenario: str):
    command = loadtests("run", scenario, "--out", "run")
    command.wait_for_load()
    command.children()

    command.process.kill()
    command.end(5)

    assert command.leftovers() == []


def test_who_lacks_a_program_gets_one_line_before_anything_starts(loadtests, scenario: str):
    command = loadtests("run", scenario, "--out", "run", env={"TOXIPROXY_BIN": "/nowhere/toxiproxy"})

    assert command.end(10) == 2
    assert len(command.output().splitlines()) == 1
    assert "all needs toxiproxy (TOXIPROXY_BIN says /nowhere/toxiproxy), not found here; type: " in command.output()
    assert not command.run.exists()


def test_a_stack_that_is_kept_up_says_where_everything_is_and_goes_with_ctrl_c(loadtests):
    command = loadtests("up", "--out", "run", "--set", "mock.capacity.slots=4")
    command.wait_for(lambda: "Ctrl-C ends it" in command.output())
    urls = {name.strip(): url for line in command.output().splitlines()[:-1] for name, _, url in [line.partition("  ")]}

    asked = {"message": "hello", "max_tokens": 5}
    answers = [requests.post(f"{urls[name].strip()}/chat", json=asked, headers=KEY) for name in ENTRANCES]
    command.process.send_signal(signal.SIGINT)

    assert [answer.status_code for answer in answers] == [200] * len(ENTRANCES)
    assert {'toxiproxy "claude"', 'toxiproxy "redis"', "toxiproxy, control", "redis", "mock", "gateway"} <= set(urls)
    assert command.end(5) == 130
    assert command.leftovers() == []


def test_the_stack_of_a_scenario_is_kept_up_and_a_program_that_dies_is_told(loadtests, scenario: str):
    command = loadtests("up", scenario, "--out", "run")
    command.wait_for(lambda: "Ctrl-C ends it" in command.output())
    assert "nginx-2" in command.output()
    control = command.output().partition("toxiproxy, control")[2].split()[0]
    assert [toxic["name"] for toxic in Toxiproxy(control).toxics("gateway")] == ["slicer_downstream"]

    next(child for line, child in command.children().items() if "redis-server" in line).kill()

    assert command.end(5) == 3
    assert "the redis died: SIGKILL" in command.output()
    assert command.leftovers() == []


def test_the_doctor_says_what_is_here_and_how_to_get_the_rest(loadtests):
    well, ill = loadtests("doctor"), loadtests("doctor", env={"TOXIPROXY_BIN": "/nowhere/toxiproxy"})

    assert (well.end(30), ill.end(30)) == (0, 2)
    for name in ("nginx", "toxiproxy", "redis", "prometheus", "browser", "open files", "cores"):
        assert name in well.output()
    assert "missing" in ill.output() and "type: make setup-toxiproxy" in ill.output()
