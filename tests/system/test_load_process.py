"""Locust as the runner starts it, against a server that misbehaves on purpose: every ending has its true outcome.

The server is a few lines of asyncio on a raw socket, so that it can break HTTP in ways no framework would.
"""

import asyncio
import contextlib
import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET

import pytest

from loadtests.crew import LOCUST
from loadtests.plan import VARIABLE, Plan
from loadtests.sample import Sample

GAP = 0.1
SCENARIO = """\
about: x
load: {user: chat, arrivals: constant, rate: 10, patience: 1.5}
phases: [{name: all, seconds: %s}]
"""

Wire = asyncio.StreamWriter
Ending = Callable[[Wire], Awaitable[None]]
Behaviour = Callable[[str], Ending]
"""How to answer the request with this id."""


def event(payload: object) -> bytes:
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


DONE = event({"done": True, "usage": {"input": 2, "output": 3}}) + b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def json_reply(status: int, body: object) -> bytes:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def three_deltas(wire: Wire, framed: Callable[[bytes], bytes], head: bytes) -> None:
    """The head at once, the first delta after 0.2 s, the next two 0.1 s apart."""
    wire.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n" + head + b"\r\n")
    await asyncio.sleep(2 * GAP)
    for text in "abc":
        wire.write(framed(event({"text": text})))
        await asyncio.sleep(GAP)


async def well(wire: Wire) -> None:
    await three_deltas(wire, chunk, b"transfer-encoding: chunked\r\n")
    wire.write(chunk(DONE) + b"0\r\n\r\n")


async def clean_end_without_done(wire: Wire) -> None:
    await three_deltas(wire, chunk, b"transfer-encoding: chunked\r\n")
    wire.write(b"0\r\n\r\n")


async def cut_inside_chunked(wire: Wire) -> None:
    await three_deltas(wire, chunk, b"transfer-encoding: chunked\r\n")
    wire.close()


async def cut_without_framing(wire: Wire) -> None:
    await three_deltas(wire, bytes, b"connection: close\r\n")
    wire.close()


async def reset_in_the_middle(wire: Wire) -> None:
    await three_deltas(wire, chunk, b"transfer-encoding: chunked\r\n")
    wire.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


async def error_in_the_middle(wire: Wire) -> None:
    await three_deltas(wire, chunk, b"transfer-encoding: chunked\r\n")
    wire.write(chunk(b"event: error\n" + event({"error": {"type": "upstream_error"}})) + b"0\r\n\r\n")


async def closes_without_an_answer(wire: Wire) -> None:
    wire.close()


async def never_answers(wire: Wire) -> None:
    await asyncio.sleep(30)


async def stops_in_the_middle(wire: Wire) -> None:
    await three_deltas(wire, chunk, b"transfer-encoding: chunked\r\n")
    await asyncio.sleep(30)


def answering(status: int, body: object) -> Ending:
    async def answer(wire: Wire) -> None:
        wire.write(json_reply(status, body))

    return answer


ENDINGS: dict[str, tuple[Ending, str]] = {
    "json": (answering(200, {"text": "hi", "input_tokens": 1, "output_tokens": 1}), "complete"),
    "stream": (well, "complete"),
    "clean end without done": (clean_end_without_done, "truncated"),
    "cut inside chunked": (cut_inside_chunked, "truncated"),
    "cut without framing": (cut_without_framing, "truncated"),
    "reset in the middle": (reset_in_the_middle, "reset"),
    "error in the middle": (error_in_the_middle, "error_event"),
    "closes without an answer": (closes_without_an_answer, "reset"),
    "never answers": (never_answers, "timeout"),
    "stops in the middle": (stops_in_the_middle, "timeout"),
    "shed": (answering(503, {"error": {"type": "shed"}}), "shed"),
    "throttled": (answering(429, {"error": {"type": "throttled"}}), "throttled"),
    "redirect": (answering(307, {}), "failed"),
}


class Misbehaving:
    """Answers each request as told, and `POST /_mock/...` as the mock would."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.url = ""
        self._behaviour = behaviour
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> "Misbehaving":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the loop's next turn

    async def _connection(self, reader: asyncio.StreamReader, wire: Wire) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(wire):
            while not wire.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
                await reader.readexactly(int(lines.get(b"content-length", b"0")))
                if head.startswith(b"POST /_mock/"):
                    wire.write(json_reply(200, {"t": 0.0, "wall": 1.0, "instance": "i"}))
                else:
                    await self._behaviour(lines[b"x-request-id"].decode())(wire)


def locust(*options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *LOCUST, "--headless", *options],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., list[Sample]]]:
    def driven(behaviour: Behaviour, seconds: float) -> list[Sample]:
        (tmp_path / "scenario.yaml").write_text(SCENARIO % seconds)
        samples, events = tmp_path / "samples.jsonl", tmp_path / "events.jsonl"
        with Misbehaving(behaviour) as server:
            scenario = str(tmp_path / "scenario.yaml")
            plan = Plan(scenario, "default", 1, server.url, server.url, "k", str(samples), str(events))
            plan.write(tmp_path / "plan.json")
            finished = locust("-u", "1", "-r", "1", env={VARIABLE: str(tmp_path / "plan.json")})
        assert finished.returncode == 0, finished.stderr
        assert "Traceback" not in finished.stderr
        return sorted(
            (Sample.from_row(json.loads(line)) for line in samples.read_text().splitlines()),
            key=lambda sample: sample.intended,
        )

    yield driven


def test_every_ending_has_its_true_outcome(drive):
    names = list(ENDINGS)

    samples = drive(lambda name: ENDINGS[names[int(name.rsplit("-", 1)[1]) - 1]][0], seconds=len(names) / 10 + 0.05)

    found = {name: sample.outcome for name, sample in zip(names, samples, strict=True)}
    assert found == {name: outcome for name, (_, outcome) in ENDINGS.items()}


def test_a_stream_is_timed_event_by_event_not_kilobyte_by_kilobyte(drive):
    """Locust's own `iter_lines` waits for 1,024 bytes: it would see all three deltas at the end."""
    samples = drive(lambda name: well, seconds=2.05)

    assert len(samples) == 20
    assert all(sample.outcome == "complete" and sample.output_tokens == 3 for sample in samples)
    assert all(sample.ttft_sent is not None and sample.ttft_sent >= 2 * GAP - 0.005 for sample in samples)
    ttfts = sorted(sample.ttft_sent or 0 for sample in samples)
    gaps = sorted(gap for sample in samples for gap in sample.gaps)
    assert ttfts[len(ttfts) // 2] == pytest.approx(2 * GAP, abs=0.05)
    assert gaps[len(gaps) // 2] == pytest.approx(GAP, abs=0.03)
    assert len(gaps) == 40


def test_requests_start_when_the_schedule_says_though_none_is_answered(drive):
    """An open loop: a closed one with these twenty slow answers would have started fewer."""
    samples = drive(lambda name: never_answers, seconds=2.05)

    assert [round(sample.intended, 6) for sample in samples] == [round(0.1 * n, 6) for n in range(1, 21)]
    lags = sorted(sample.dispatch_lag for sample in samples)
    assert lags[0] >= 0
    assert lags[len(lags) // 2] < 0.5
    assert {sample.outcome for sample in samples} == {"timeout"}
    assert all(1.4 < sample.e2e < 3 for sample in samples)


@pytest.mark.parametrize(
    ("host", "more", "said"),
    [
        ("http://example.com", [], "--allow-remote"),
        ("https://api.anthropic.com", [], "--i-will-pay"),
        ("https://api.anthropic.com", ["--allow-remote"], "--i-will-pay"),
        ("nonsense", [], "expected a URL"),
    ],
)
def test_plain_locust_refuses_a_target_that_is_not_this_machine(host: str, more: list[str], said: str):
    finished = locust("-H", host, "-u", "1", "-t", "1s", *more)

    assert finished.returncode == 2
    assert said in finished.stdout


def test_plain_locust_is_a_closed_loop_whose_metrics_stay_out_of_aggregated(tmp_path: Path):
    closed_loop = ["-u", "4", "-r", "4", "-t", "4s", "--stop-timeout", "2", "--csv", str(tmp_path / "out")]

    with Misbehaving(lambda name: well) as server:
        finished = locust("-H", server.url, *closed_loop, "StreamUser")

    rows = [line.split(",") for line in (tmp_path / "out_stats.csv").read_text().splitlines()[1:]]
    counts = {(row[0], row[1]): int(row[2]) for row in rows}
    assert finished.returncode == 0, finished.stderr
    assert counts["POST", "/chat/stream"] >= 4
    assert counts["TTFT", "/chat/stream"] == counts["POST", "/chat/stream"]
    assert counts["", "Aggregated"] == counts["POST", "/chat/stream"]


def test_plain_locust_ends_in_time_though_its_users_still_wait_for_an_answer():
    with Misbehaving(lambda name: never_answers) as server:
        started = time.monotonic()
        finished = locust("-H", server.url, "-u", "4", "-r", "4", "-t", "2s")

    assert finished.returncode == 0, finished.stderr
    assert time.monotonic() - started < 20
