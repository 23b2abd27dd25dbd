"""What goes wrong in load tests of streams, by the naive code that does it (traps/naive.py) and by ours.

| trap | here, or where else its test is |
|---|---|
| `iter_lines` is late: TTFT and ITL are of the kilobyte | lines; test_known.py, test_generator.py |
| a stream's row is its headers | well |
| the timer starts after the headers, so that queueing is not in TTFT | queued |
| what ends is whole (truncated streams are successes) | clean, cut; test_load_process.py, every ending |
| who is killed at the end is a success | stops; test_locust.py |
| failures improve the percentiles; failures with a time of 0 | mixed; test_locust.py, test_metrics.py |
| parts of requests count in "Aggregated", with workers too | Aggregated; test_locust.py |
| a trickle never times out | trickle |
| a closed loop slows down with its server | slow; test_load_process.py, requests start when the schedule says |
| wait times by `poisson()` are no Poisson arrivals | test_crowd.py |
| percentiles in buckets of two digits pass an SLO that is broken | a bucket |
| any failure is exit code 1, and there are no thresholds | test_endings.py, test_gates.py |
| ten connections are a hidden queue | test_load_process.py: all requests reach a server that answers none |
| workers have the same random numbers | two processes; test_share.py, test_workers.py |
| a message to the master for each request | test_ledger.py: a batch |
| seconds where milliseconds are meant | test_rows.py |
| a loop that is held up measures itself | test_fitness.py, test_generator.py |
| two asyncio loops in a gevent thread; an SDK's client for each user | import-linter: Locust's side |
| a character that is split between two reads | split: the sizes of texts are right |
"""

import asyncio
import csv
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadtests.experiment import gates
from loadtests.judging.metrics import distribution
from loadtests.protocol import reading
from loadtests.protocol.reading import Exchange
from tests.system.misbehaving import (
    GAP,
    Ending,
    Misbehaving,
    Wire,
    answering,
    chunk,
    clean_end_without_done,
    cut_inside_chunked,
    locust,
    stops_in_the_middle,
    well,
)

HERE = Path(__file__).parent / "traps"
WHOLE, FIRST, BETWEEN = 5000 * GAP, 2000 * GAP, 1000 * GAP  # milliseconds of a stream that goes well

Row = dict[str, Any]
Rows = dict[tuple[str, str], Row]


async def queued(wire: Wire) -> None:
    """The server thinks before it says anything at all."""
    await asyncio.sleep(3 * GAP)
    await well(wire)


async def trickle(wire: Wire) -> None:
    wire.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        wire.write(chunk(b": still there\n\n"))
        await asyncio.sleep(GAP)


async def slow(wire: Wire) -> None:
    await asyncio.sleep(1)
    await answering(200, {"text": "at last", "input_tokens": 1, "output_tokens": 1})(wire)


BEHAVIOURS: dict[str, Ending] = {
    "well": well,
    "lines": well,
    "queued": queued,
    "clean": clean_end_without_done,
    "cut": cut_inside_chunked,
    "stops": stops_in_the_middle,
    "trickle": trickle,
    "slow": slow,
}


class Said:
    """What one load test says of a server that does all of this at once."""

    def __init__(self, locustfile: str, folder: Path) -> None:
        refused = itertools.cycle([answering(503, {"error": {"type": "shed"}})] * 3 + [well])
        outputs = ["--json-file", str(folder / locustfile), "--csv", str(folder / locustfile)]
        with Misbehaving(lambda name: BEHAVIOURS.get(name.partition("-")[0]) or next(refused)) as server:
            options = ["-H", server.url, "-u", "18", "-r", "18", "-t", "5s", *outputs]
            done = locust(*options, locustfile=HERE / f"{locustfile}.py")
        assert (folder / f"{locustfile}.json").exists(), done.stderr
        found = json.loads((folder / f"{locustfile}.json").read_text())
        self.rows: Rows = {(row["method"], row["name"]): row for row in found}
        with (folder / f"{locustfile}_stats.csv").open() as file:
            self.aggregated = {row["Type"] or row["Name"]: 0 for row in csv.DictReader(file)}
        with (folder / f"{locustfile}_stats.csv").open() as file:
            for row in csv.DictReader(file):
                self.aggregated[row["Type"] or row["Name"]] += int(row["Request Count"])

    def median(self, kind: str, name: str) -> float:
        counts = Counter({float(ms): count for ms, count in self.rows[kind, name]["response_times"].items()})
        return sorted(counts.elements())[(counts.total() - 1) // 2]

    def count(self, kind: str, name: str) -> int:
        return int(self.rows.get((kind, name), {}).get("num_requests", 0))

    def failures(self, name: str) -> int:
        return int(self.rows.get(("POST", name), {}).get("num_failures", 0))


@pytest.fixture(scope="module")
def naive(tmp_path_factory: pytest.TempPathFactory) -> Said:
    return Said("naive", tmp_path_factory.mktemp("naive"))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Said:
    return Said("ours", tmp_path_factory.mktemp("ours"))


def all_failed(said: Said, name: str) -> bool:
    return 0 < said.count("POST", name) == said.failures(name)


TRAPS: dict[str, Callable[[Said], bool]] = {
    "well: the row of a stream is the whole stream": lambda said: said.median("POST", "well") >= WHOLE - 50,
    "lines: the first text counts when it is there": lambda said: abs(said.median("TTFT", "lines") - FIRST) < 80,
    "lines: so does each gap": lambda said: abs(said.median("ITL", "lines") - BETWEEN) < 50,
    "queued: TTFT has the server's queue in it": lambda said: said.median("TTFT", "queued") >= 3000 * GAP + FIRST - 50,
    "clean: a stream without its end is a failure": lambda said: all_failed(said, "clean"),
    "cut: a stream that is cut is a failure": lambda said: all_failed(said, "cut"),
    "stops: who is killed is no success": lambda said: said.count("POST", "stops") == 0,
    "mixed: refusals make nothing faster": lambda said: said.median("POST", "mixed") >= WHOLE - 50,
    "trickle: patience has an end": lambda said: said.failures("trickle") > 0,
    "Aggregated: has requests only": lambda said: said.aggregated["Aggregated"] == said.aggregated["POST"],
}


@pytest.mark.parametrize("trap", TRAPS)
def test_naive_code_falls_into_the_trap_and_ours_does_not(naive: Said, ours: Said, trap: str):
    assert not TRAPS[trap](naive)
    assert TRAPS[trap](ours)


def test_slow_a_closed_loop_asks_less_of_a_server_that_is_slow(naive: Said):
    """Two users at five a second are ten a second; of a server that takes one, they ask two. Ours, with a schedule:
    `test_requests_start_when_the_schedule_says_though_none_is_answered`."""
    assert naive.count("POST", "slow") <= 2 * 5
    assert naive.median("POST", "slow") < 1300


def test_a_bucket_of_two_digits_passes_an_slo_that_is_broken():
    code = "from locust.stats import bucket_response_time as rounded; print(rounded(204.9))"
    rounded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    gate = gates.parse("e2e.p50 <= 0.2", [], [])

    assert gate.holds(float(rounded) / 1000)
    assert not gate.holds(distribution([0.2049] * 9)["p50"])


def test_split_characters_are_whole_again():
    """`iter_lines` decodes block by block, and has U+FFFD where a character was split."""
    event = 'data: {"text": "größer"}\n\n'.encode()
    inside = event.index("ö".encode()) + 1
    exchange = Exchange(reading.TEXT)
    exchange.head(200, "text/event-stream", "")

    exchange.feed(event[:inside], 1.0)
    exchange.feed(event[inside:], 2.0)

    assert "\ufffd" in event[:inside].decode(errors="replace")
    assert (exchange.first_delta, exchange.text_bytes) == (2.0, [len("größer".encode())])


def test_two_processes_ask_different_questions():
    with Misbehaving(lambda name: well) as server:
        options = ["-H", server.url, "-u", "8", "-r", "8", "-t", "4s", "--processes", "2", "StreamUser"]
        done = locust(*options)

    texts = [json.loads(asked.body)["message"] for asked in server.asked]
    assert done.returncode == 0, done.stderr
    assert len(texts) == len(set(texts)) > 8
