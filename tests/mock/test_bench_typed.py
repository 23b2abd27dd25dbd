"""What is typed after `bench` is checked before anything is measured, and what was found is the exit code."""

import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from typer.testing import CliRunner

from mockclaude.bench import asked, child, contender, earlier, goals, reader, report, rounds
from mockclaude.bench.contender import Contender, CouldNotRun
from mockclaude.bench.load import Load
from mockclaude.bench.rounds import Row
from mockclaude.commands import benching

NOBODY = "--peer", "x=http://127.0.0.1:1"
DOCUMENT = report.document("mock", [], [])


def its_readers():
    """The readers that this process started: other tests leave children of other kinds."""
    processes = psutil.process_iter(["ppid", "cmdline"])
    return [
        one for one in processes if one.info["ppid"] == os.getpid() and reader.__name__ in (one.info["cmdline"] or ())
    ]


def ended(*words):
    return CliRunner().invoke(benching.app, words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mock", "--n", "foo"], "--n foo: got 'foo', expected numbers from 1 on or 80%, separated by commas"),
        (["mock", "--n", "0"], "got '0', expected numbers from 1 on"),
        (["mock", "--n", "5,"], "got ''"),
        (["idle", "--n", "80%"], "got '80%', expected numbers from 1 on, separated"),
        (["gateway", "--n", "-1"], "got '-1'"),
        (["mock", "--n", "80%", "--ablate"], "--n 80%: it is of mockclaude without --ablate"),
        (["mock", "--n", "80%", "--only", "naive"], "--n 80%: it is of mockclaude"),
        (["mock", "--only", "typo"], "--only typo: got typo, expected some of mockclaude, naive,"),
        (["ladder", "--only", "typo"], "got typo"),
        (["growth", "--only", "typo"], "got typo"),
        (["memory", "--only", "typo"], "got typo"),
        (["growth", "--only", "streams", "--up-to", "5"], "--up-to 5: streams has no size so small"),
        (["mock", *NOBODY], "--peer x=http://127.0.0.1:1: expected a server, nobody answers"),
        (["idle", "--n", "1000000000", "--only", "mockclaude"], "1000000000 callers need 1000000200 open files"),
        (["gateway", "--n", "1000000000"], "1000000000 callers need 2000000200 open files"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_measured_is_said_in_words(words, said):
    told = ended(*words)

    assert (told.exit_code, said in told.output) == (2, True), told.output


@pytest.mark.parametrize("command", ["mock", "ladder", "growth", "memory"])
def test_a_file_that_cannot_be_written_is_found_out_before(command, tmp_path):
    for place in (tmp_path / "none" / "bench.json", tmp_path):
        told = ended(command, "--json", str(place))

        assert told.exit_code == 2
        assert f"--json {place}: expected a" in told.output


def test_sizes_are_numbers_each_once():
    assert asked.sizes("--n", "300, 5,300,80%", ["80%"]) == [300, 5]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "Invalid JSON"),
        ("[]", "should be an object"),
        (json.dumps({"bench": "mock"}), "machine: Field required; expected a file that --json of the benchmark 'mock'"),
        (
            json.dumps(DOCUMENT | {"rows": [{"name": "naive", "n": 3, "rounds": [{}]}]}),
            "rows.0.rounds.0.cpu: Field req",
        ),
        (json.dumps(DOCUMENT | {"bench": "idle"}), "got one of 'idle', expected a file that --json of the benchmark"),
    ],
    ids=["nothing", "a list", "another's", "without CPU", "another benchmark"],
)
def test_what_is_compared_with_is_read_before_anything_is_measured(written, said, tmp_path):
    file = tmp_path / "before.json"
    file.write_text(written)

    told = ended("mock", "--compare", str(file))

    assert (told.exit_code, said in told.output) == (2, True), told.output


def test_a_run_elsewhere_or_with_other_libraries_is_warned_of():
    machine = DOCUMENT["machine"] | {"cpu": "Z80", "cores": 1}
    there = DOCUMENT | {"machine": machine, "versions": {"uvicorn": "0.1", "mockclaude": "0.0", "gone": "1"}}
    now = DOCUMENT | {"machine": machine | {"cpu": "6502"}, "versions": {"uvicorn": "0.2", "mockclaude": "0.1"}}

    [line] = earlier.warning(earlier.Earlier.model_validate(there), now)

    assert line == "warning: the two runs differ in more than mockclaude: CPU Z80 -> 6502, uvicorn 0.1 -> 0.2"


def test_a_document_says_when_it_was_made_and_with_what():
    assert DOCUMENT["made"].endswith("+00:00")
    assert DOCUMENT["versions"]["mockclaude"]
    assert {"anthropic", "aiohttp", "httpx2"} <= set(DOCUMENT["versions"])


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([], 0),
        (["met", "undecided"], 0),
        (["undecided", "undecided"], 3),
        (["undecided", "missed"], 1),
        (["met", "missed"], 1),
    ],
    ids=str,
)
def test_the_exit_code_tells_a_miss_from_what_nobody_could_decide(verdicts, code):
    assert report.exit_code(verdicts) == code


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ([("mockclaude", 300), ("naive", 300), ("streaming", 300)], []),
        ([("mockclaude", 500)], ["no goal is for 500 callers; there are goals for 300, 1000"]),
        ([("mockclaude", 300), ("mockclaude", 5)], ["no goal is for 5 callers; there are goals for 300, 1000"]),
        ([("mockclaude", 300), ("naive", 300)], ["not judged: what is measured beside streaming"]),
        ([("naive", 300)], ["no goal is for naive"]),
    ],
    ids=["all", "another size", "one more size", "a baseline left out", "only a baseline"],
)
def test_what_has_no_goal_is_told_in_a_line(measured, said):
    assert list(report.unjudged(goals.MOCK, [Row(name, n, ()) for name, n in measured])) == said


@pytest.mark.system
def test_a_server_that_dies_at_once_is_told_with_its_last_words():
    dying = Contender("dying", ("-c", "import sys; print('first'); sys.exit('no such thing')"))

    with (
        pytest.raises(CouldNotRun, match=r"dying ended with 1 \(no such thing\) before it answered"),
        contender.running(dying, Load(1, "/", ""), contender.cores()[0]),
    ):
        raise AssertionError


def test_baselines_come_with_a_clone():
    with pytest.raises(CouldNotRun, match=r"naive: there is no .*none.py: it comes with a clone"):
        contender.ready([Contender("naive", (str(contender.BASELINES / "none.py"), "{fd}"))], [])


@pytest.mark.system
def test_a_reader_that_is_killed_is_told(wait_for):
    core = contender.cores()[1]
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool:
        running = contender.Running(silent.getsockname()[1], None)
        reading = pool.submit(rounds.read, Load(1, "/", "", window=60.0), running, core)
        wait_for(its_readers)
        its_readers()[0].kill()

        with pytest.raises(CouldNotRun, match="1 callers: the reader ended with -9"):
            reading.result()


@pytest.mark.system
def test_a_peer_is_ready_when_it_answers():
    with contender.running(contender.OURS, Load(1, "/", ""), contender.cores()[0]) as there:
        contender.ready([Contender("peer", url=f"http://127.0.0.1:{there.port}")], [])

    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(CouldNotRun, match="nobody answers"):
        contender.ready([Contender("peer", url=f"http://127.0.0.1:{silent.getsockname()[1]}")], [])


def test_as_many_callers_as_there_may_be_files_are_too_many():
    most = int(child.files()) - contender.SPARE

    contender.ready([contender.OURS], [Load(most, "/", "")])
    with pytest.raises(CouldNotRun, match=f"{most + 1} callers need .* open files, allowed are .*ulimit -Hn"):
        contender.ready([contender.OURS], [Load(most + 1, "/", "")])
