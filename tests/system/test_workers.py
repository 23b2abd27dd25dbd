"""One load from several processes: nothing is lost or sent twice, the clocks agree, and a worker that dies is named."""

import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from loadtests.experiment.plan import VARIABLE, Plan
from loadtests.programs.crew import LOCUST, worker_command, worker_environment
from loadtests.record.rundir import RunDir
from loadtests.sample import Sample

SCENARIO = """\
about: Streams of 0.3 s, twenty a second.
load: {{user: stream, arrivals: poisson, rate: 20, patience: 5{more}}}
phases: [{{name: load, seconds: {seconds}}}]
mock: {{latency: {{ttft: {{p50: 0.1, p95: 0.1}}, tokens_per_second: 100, output_tokens: 20}}}}
"""


def written(folder: Path, seconds: float, more: str = "") -> str:
    path = folder / "small.yaml"
    path.write_text(SCENARIO.format(seconds=seconds, more=more))
    return str(path)


def locusts(command, role: str) -> list[psutil.Process]:
    """Locust's processes of a command in this role: --master or --worker."""
    children = psutil.Process(command.process.pid).children(recursive=True)
    return [child for child in children if role in child.cmdline()]


@pytest.fixture
def join() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    joined: list[subprocess.Popen[bytes]] = []

    def start(address: str) -> subprocess.Popen[bytes]:
        joined.append(subprocess.Popen([sys.executable, "-m", "loadtests", "run", "--worker", address]))
        return joined[-1]

    yield start
    for process in joined:
        process.kill()
        process.wait()


def test_two_workers_send_the_load_that_one_process_would(loadtests, tmp_path: Path):
    command = loadtests("run", written(tmp_path, seconds=3), "--workers", "2", "--out", "run")

    assert command.end(40) == 0, command.output()
    command.check_the_books()
    run = RunDir(command.run)
    _, scenario = run.read_about()
    samples = run.samples_of("default")
    planned = {arrival.request_id: arrival.at for arrival in scenario.arrivals(1, "default")}
    assert {sample.request_id: sample.intended for sample in samples} == planned
    assert len(samples) == len(planned)
    assert {sample.outcome for sample in samples} == {"complete"}
    aligned = {event["program"]: event["error"] for event in run.events_of("default") if event["event"] == "aligned"}
    assert set(aligned) == {"load worker 1", "load worker 2"}
    assert all(0 < error < 0.005 for error in aligned.values())
    # the clocks agree: what the journal says of an attempt lies within what its caller says of the request
    asked = {sample.request_id: sample for sample in samples}
    came = sorted(attempt["t"] - asked[attempt["request_id"]].sent for attempt in run.journal_of("default"))
    went = sorted(asked[attempt["request_id"]].ended - attempt["ended"] for attempt in run.journal_of("default"))
    assert -0.002 < came[0] < 0.02
    assert -0.002 < went[0] < 0.02


def test_a_load_balancer_is_one_for_all_workers(loadtests, tmp_path: Path):
    more = ", probe: {path: /nowhere, every: 0.2, unhealthy_after: 5}"
    command = loadtests("run", written(tmp_path, 3, more), "--workers", "2", "--out", "run")

    assert command.end(40) == 0, command.output()
    run = RunDir(command.run)
    (turned,) = (event for event in run.events_of("default") if event["event"] == "probe")
    assert turned["state"] == "unhealthy"
    out = [sample for sample in run.samples_of("default") if sample.sent > turned["t"] + 0.1]
    assert len(out) > 20
    assert {sample.outcome for sample in out} == {"refused"}


def test_users_of_a_closed_loop_are_divided_among_workers_and_know_what_to_ask_next(loadtests, tmp_path: Path):
    closed = ", users: 5, think: 0.2, turns: 2"
    text = Path(written(tmp_path, 3, closed)).read_text().replace("rate: 20, ", "")
    (tmp_path / "closed.yaml").write_text(text.replace("user: stream", "user: messages_stream"))

    command = loadtests("run", str(tmp_path / "closed.yaml"), "--workers", "2", "--out", "run")

    assert command.end(40) == 0, command.output()
    command.check_the_books()
    own: dict[str, list[Sample]] = {}
    for sample in RunDir(command.run).samples_of("default"):
        own.setdefault(sample.request_id.split("-")[2], []).append(sample)
    assert len(own) == 5
    for samples in own.values():
        ordered = sorted(samples, key=lambda sample: sample.intended)
        assert len(ordered) >= 4  # an answer takes 0.3 s, a turn 0.5
        for before, after in itertools.pairwise(ordered):
            assert after.intended == pytest.approx(before.ended + 0.2, abs=0.1)
            assert (after.input_tokens > 30) == (
                len(after.request_id.split("-")) > 3 and after.request_id[-1] in "2468"
            )


def test_a_worker_that_is_killed_is_named_with_its_last_words_and_the_run_is_invalid(loadtests, tmp_path: Path):
    command = loadtests("run", written(tmp_path, seconds=60), "--workers", "2", "--out", "run")
    command.wait_for_load()

    locusts(command, "--worker")[0].kill()

    assert command.end(5) == 3
    assert "load worker 1 died in the middle of the run: SIGKILL; " in command.output()
    assert "default-load-worker-1.log says:" in command.output()
    assert command.summary()["verdict"] == "invalid"
    assert "load worker 1 died" in command.summary()["reasons"][0]
    assert command.leftovers() == []


def test_workers_that_join_by_hand_need_no_file_of_the_scenario(loadtests, tmp_path: Path, join):
    command = loadtests("run", written(tmp_path, seconds=3), "--master", "--workers", "2", "--out", "run")
    command.wait_for(lambda: "loadtests run --worker " in command.output())
    address = command.output().split("loadtests run --worker ")[1].split()[0]

    workers = [join(address), join(address)]

    assert command.end(40) == 0, command.output()
    command.check_the_books()
    assert [worker.wait(10) for worker in workers] == [0, 0]


def test_a_worker_of_another_machine_that_is_killed_is_missed_by_the_master(loadtests, tmp_path: Path, join):
    command = loadtests("run", written(tmp_path, seconds=60), "--master", "--workers", "2", "--out", "run")
    command.wait_for(lambda: "loadtests run --worker " in command.output())
    address = command.output().split("loadtests run --worker ")[1].split()[0]
    workers = [join(address), join(address)]
    command.wait_for_load()

    (locust,) = psutil.Process(workers[0].pid).children()
    locust.kill()

    assert command.end(15) == 3
    (died,) = (event for event in RunDir(command.run).events_of("default") if event["event"] == "died")
    assert f"-{workers[0].pid} died in the middle of the run" in died["message"]
    assert died["message"] in command.output()
    assert workers[1].wait(10) == 0


def test_a_worker_with_a_bad_address_says_what_was_expected(loadtests):
    command = loadtests("run", "--worker", "nonsense:port")

    assert command.end(60) == 2
    assert "expected the master's HOST or HOST:PORT" in command.output()


def test_a_load_from_workers_is_a_load_on_the_real_clock(loadtests):
    command = loadtests("run", "smoke", "--workers", "2", "--clock", "virtual")

    assert command.end(60) == 2
    assert "virtual time is one process" in command.output()


def test_a_worker_loads_another_machine_only_by_its_own_leave(tmp_path: Path):
    """What the master may is no permission for a machine that joins it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    files = [written(tmp_path, seconds=2), *(str(tmp_path / name) for name in ("samples.jsonl", "events.jsonl"))]
    Plan(files[0], "default", 1, "http://192.0.2.1", "http://127.0.0.1:9", "k", *files[1:]).write(
        tmp_path / "plan.json"
    )
    master = [*LOCUST, "--headless", "--allow-remote", "--master", "--master-bind-host", "127.0.0.1"]
    command = [sys.executable, "-m", *master, "--master-bind-port", str(port), "--expect-workers", "1"]
    leader = subprocess.Popen(command, env={**os.environ, VARIABLE: str(tmp_path / "plan.json")})
    env = {**os.environ, **worker_environment("load worker 1", str(tmp_path))}
    follower = subprocess.Popen(worker_command("127.0.0.1", port), env=env)

    assert leader.wait(60) == 3
    assert follower.wait(20) == 0
    events = [json.loads(line) for line in Path(files[2]).read_text().splitlines()]
    (died,) = (event for event in events if event["event"] == "died")
    assert died["message"].startswith("the load worker 1 could not go on: target: 192.0.2.1 is not this machine")
