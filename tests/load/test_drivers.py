"""Both drivers do the same: locust on real sockets, and the open loop on virtual time, against one small gateway."""

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import looptime
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from loadtests.experiment import scenario
from loadtests.experiment.plan import VARIABLE, Plan
from loadtests.programs.crew import LOCUST
from loadtests.programs.memory import served
from loadtests.sample import Sample
from loadtests.sending.openloop import OpenLoop

TOKENS = {"input_tokens": 7, "output_tokens": 3}
BUSY = JSONResponse({"error": {"type": "overloaded"}}, 503)
REJECTED = JSONResponse({"error": {"type": "rejected"}}, 400)
EVENTS = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
]
STOP = {"type": "message_stop"}
Row = dict[str, Any]
Run = tuple[list[Sample], list[Row], "Gateway"]


class Gateway:
    """What it does depends on the number in the request's id alone; what it was asked is kept."""

    def __init__(self, health: str = "", gzip: bool = False, takes: float = 0.0) -> None:
        self._takes = takes
        self.gzip = gzip
        self.asked: Counter[tuple[str, str, str]] = Counter()
        self.said: list[tuple[str | None, str | None]] = []
        self.heard: dict[str, list[dict[str, str]]] = {}
        self._health = iter(health)
        self.app = Starlette(
            routes=[
                Route("/_mock/{what}", self._control, methods=["POST"]),
                Route("/health", self._healthy),
                Route("/chat", self._chat, methods=["POST"]),
                Route("/analyze", self._accept, methods=["POST"]),
                Route("/analyze/{task}", self._task),
                Route("/v1/messages", self._message, methods=["POST"]),
            ]
        )

    def _count(self, request: Request) -> tuple[int, int]:
        """The number of the request, and how often it was asked this."""
        name = request.headers["x-request-id"]
        self.said.append((request.headers.get("x-priority"), request.headers.get("x-request-deadline")))
        self.asked[request.method, request.url.path, name] += 1
        return int(name.rsplit("-", 1)[1]), self.asked[request.method, request.url.path, name]

    async def _control(self, request: Request) -> Response:
        return JSONResponse({"t": 0.0, "wall": 1.0, "instance": "i"})

    async def _healthy(self, request: Request) -> Response:
        self._count(request)
        state = next(self._health, "+")
        if state == "z":
            await asyncio.sleep(30)
        return Response(status_code=200 if state == "+" else 503)

    async def _chat(self, request: Request) -> Response:
        number, tries = self._count(request)
        await asyncio.sleep(self._takes)
        good = JSONResponse({"text": "hi", **TOKENS})
        return [good, good if tries > 1 else BUSY, REJECTED, BUSY][number % 4]

    async def _accept(self, request: Request) -> Response:
        number, _ = self._count(request)
        return JSONResponse({"task_id": f"t{number}", "status": "processing"}, 202)

    async def _task(self, request: Request) -> Response:
        number, polls = self._count(request)
        if polls <= number % 3:
            return JSONResponse({"task_id": f"t{number}", "status": "processing"})
        return JSONResponse({"task_id": f"t{number}", "status": "complete", "result": TOKENS})

    async def _message(self, request: Request) -> Response:
        number, _ = self._count(request)
        assert request.headers["anthropic-version"]
        self.heard[request.headers["x-request-id"]] = (await request.json())["messages"]
        events = [*EVENTS, STOP] if number % 2 else EVENTS
        wire = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]

        squeeze = zlib.compressobj(wbits=31)

        async def body() -> AsyncIterator[bytes]:
            for event in wire:
                await asyncio.sleep(0.05)
                data = event.encode()
                yield squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH) if self.gzip else data

        asked = "gzip" in request.headers["accept-encoding"]
        headers = {"content-encoding": "gzip"} if self.gzip and asked else {}
        return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


Drive = Callable[[str, Gateway], tuple[list[Sample], list[Row]]]


def on_virtual_time(load: str, gateway: Gateway, folder: Path) -> tuple[list[Sample], list[Row]]:
    experiment, _ = scenario.load(written(load, folder))
    samples: list[Sample] = []
    events: list[Row] = []

    async def run() -> None:
        async with served(gateway.app, contextlib.nullcontext()) as program:
            t0 = asyncio.get_running_loop().time()
            loop = OpenLoop(program, experiment, t0, samples.append, lambda event, **row: events.append(row))
            await loop.walk(experiment.crowd(1, "default"), "default", 1)

    kind = looptime.make_event_loop_class(asyncio.SelectorEventLoop)
    with asyncio.Runner(loop_factory=lambda: kind(start=0)) as runner:
        runner.run(run())
    return samples, events


def on_real_sockets(load: str, gateway: Gateway, folder: Path) -> tuple[list[Sample], list[Row]]:
    samples, events, plan = (folder / name for name in ("samples.jsonl", "events.jsonl", "plan.json"))
    with listening(gateway) as url:
        Plan(written(load, folder), "default", 1, url, url, "k", str(samples), str(events)).write(plan)
        command = [sys.executable, "-m", *LOCUST, "--headless", "-u", "1", "-r", "1"]
        done = subprocess.run(command, env={**os.environ, VARIABLE: str(plan)}, capture_output=True, timeout=60)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    rows = [json.loads(line) for line in events.read_text().splitlines()]
    found = [Sample.from_row(json.loads(line)) for line in samples.read_text().splitlines()]
    return found, [row for row in rows if row["event"] == "probe"]


DRIVERS = [
    pytest.param(on_virtual_time, id="virtual"),
    pytest.param(on_real_sockets, id="real", marks=pytest.mark.system),
]


def written(load: str, folder: Path) -> str:
    path = folder / "scenario.yaml"
    pace = "" if "users" in load and "rate" not in load else "rate: 10, " if "rate" not in load else ""
    load = f"{{arrivals: constant, {pace}{load}}}"
    path.write_text(f"about: x\nload: {load}\nphases: [{{name: a, seconds: 1.25}}]\n")
    return str(path)


@contextlib.contextmanager
def listening(gateway: Gateway) -> Iterator[str]:
    config = uvicorn.Config(gateway.app, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.mark.parametrize("drive", DRIVERS)
def test_a_caller_tries_again_what_may_get_better(drive, tmp_path: Path):
    gateway = Gateway()

    wishes = "patience: 5, attempts: 3, backoff: 0.1, priority: low, deadline: true"
    samples, _ = drive(f"user: chat, {wishes}", gateway, tmp_path)

    found = {int(sample.request_id[-6:]): (sample.outcome, sample.tries) for sample in samples}
    expected = [("complete", 1), ("complete", 2), ("rejected", 1), ("overloaded", 3)]
    assert found == {number: expected[number % 4] for number in range(1, 13)}
    assert {priority for priority, _ in gateway.said} == {"low"}
    assert all(3.5 < float(deadline or 0) <= 5 for _, deadline in gateway.said)
    waits = [sample.service_time for sample in samples if sample.tries == 3]
    assert all(0.29 < wait < 1.5 for wait in waits), waits


@pytest.mark.parametrize("drive", DRIVERS)
def test_work_in_the_background_is_asked_for_until_it_is_done(drive, tmp_path: Path):
    gateway = Gateway()

    samples, _ = drive("user: analyze", gateway, tmp_path)

    assert {(sample.outcome, sample.output_tokens) for sample in samples} == {("complete", 3)}
    for sample in samples:
        number = int(sample.request_id[-6:])
        assert gateway.asked["POST", "/analyze", sample.request_id] == 1
        assert gateway.asked["GET", f"/analyze/t{number}", sample.request_id] == 1 + number % 3
        assert -0.01 < sample.e2e - 0.5 * (1 + number % 3) < 0.4


@pytest.mark.parametrize("drive", DRIVERS)
def test_a_caller_loses_patience_while_it_waits_for_the_next_poll(drive, tmp_path: Path):
    samples, _ = drive("user: analyze, patience: 0.75", Gateway(), tmp_path)

    found = {int(sample.request_id[-6:]): sample.outcome for sample in samples}
    assert found == {number: "timeout" if number % 3 else "complete" for number in range(1, 13)}
    assert all(0.74 < sample.e2e < 1.2 for sample in samples if sample.outcome == "timeout")


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("drive", DRIVERS)
def test_claudes_own_streams_are_read_event_by_event(drive, gzip: bool, tmp_path: Path):
    samples, _ = drive("user: messages_stream", Gateway(gzip=gzip), tmp_path)

    found = {int(sample.request_id[-6:]): sample.outcome for sample in samples}
    assert found == {number: "complete" if number % 2 else "truncated" for number in range(1, 13)}
    assert all((sample.input_tokens, sample.output_tokens) == (7, 3) for sample in samples)
    assert all(sample.ttft is not None and 0.09 < sample.ttft < 0.4 for sample in samples)
    assert {(sample.text_bytes, sample.encoding) for sample in samples} == {((1, 1), "gzip" if gzip else None)}
    assert all(0.04 < sample.gaps[0] < 0.3 for sample in samples)


@pytest.mark.parametrize("drive", DRIVERS)
def test_a_load_balancer_sends_nobody_to_a_gateway_that_is_not_well(drive, tmp_path: Path):
    gateway = Gateway(health="+--z+")
    probe = "probe: {path: /health, every: 0.1, timeout: 0.3, unhealthy_after: 3}"

    samples, events = drive(f"user: chat, {probe}", gateway, tmp_path)

    # probes at 0, 0.1, 0.2 and 0.3; the last of them fails at 0.6, when the next one succeeds at once
    assert [event["state"] for event in events] == ["unhealthy", "healthy"]
    assert 0.55 < events[0]["t"] <= events[1]["t"] < 0.9
    refused = [sample for sample in samples if sample.outcome == "refused"]
    probes = [name for _, _, name in gateway.asked if name.startswith("probe-")]
    assert all(
        sample.error == "out of rotation" and events[0]["t"] <= sample.sent <= events[1]["t"] for sample in refused
    )
    assert 9 <= len(probes) <= 12


@pytest.mark.parametrize("drive", DRIVERS)
def test_a_conversation_waits_for_its_answer_and_thinks(drive, tmp_path: Path):
    gateway = Gateway()

    samples, _ = drive("user: messages_stream, turns: 3, think: 0.1, rate: 4", gateway, tmp_path)

    by_name = {sample.request_id: sample for sample in samples}
    said = gateway.heard["default-1-000001-3"]
    assert [message["role"] for message in said] == ["user", "assistant", "user", "assistant", "user"]
    assert [message["content"] for message in said[:3]] == [
        *(message["content"] for message in gateway.heard["default-1-000001-2"])
    ]
    first, second, third = (by_name[f"default-1-000001{turn}"] for turn in ("", "-2", "-3"))
    for before, after in ((first, second), (second, third)):
        assert after.intended == pytest.approx(before.ended + 0.1, abs=0.05)
        assert after.sent - after.intended < 0.1
    assert all(sample.intended < 1.25 for sample in samples)
    assert {sample.outcome for sample in samples} <= {"complete", "truncated"}


@pytest.mark.parametrize("drive", DRIVERS)
def test_users_of_a_closed_loop_ask_only_when_they_have_got_an_answer(drive, tmp_path: Path):
    samples, _ = drive("user: messages_stream, users: 2, think: 0.1", Gateway(), tmp_path)

    # an answer takes 0.25 s (or 0.2, cut off), a turn 0.35 or 0.3: four in 1.25 s
    for visitor in ("000001", "000002"):
        own = sorted((one for one in samples if f"-{visitor}" in one.request_id), key=lambda one: one.intended)
        assert 3 <= len(own) <= 5
        for before, after in itertools.pairwise(own):
            assert after.intended == pytest.approx(before.ended + 0.1, abs=0.05)
    assert all(sample.dispatch_lag < 0.1 for sample in samples)


@pytest.mark.parametrize("drive", DRIVERS)
def test_what_comes_while_all_users_are_busy_is_sent_late_and_counts_from_when_it_was_meant(drive, tmp_path: Path):
    samples, _ = drive("user: chat, users: 1, rate: 10, patience: 1", Gateway(takes=0.3), tmp_path)

    found = {int(sample.request_id[-6:]): sample for sample in samples}
    first, fourth = found[1], found[4]
    assert first.service_time == pytest.approx(0.3, abs=0.1)
    assert fourth.service_time == pytest.approx(0.3, abs=0.1)
    assert fourth.e2e == pytest.approx(0.9, abs=0.2)  # three others, the first of them 0.3 s ahead
    late = [sample for sample in samples if sample.outcome == "timeout"]
    assert late and all(sample.e2e >= 0.99 for sample in late)
    assert len(samples) == 12


@pytest.mark.parametrize("drive", DRIVERS)
def test_callers_leave_on_purpose_while_they_wait_or_read(drive, tmp_path: Path):
    waiting, _ = drive("user: messages_stream, leaves: {waiting: 0.075}", Gateway(), tmp_path)
    (tmp_path / "samples.jsonl").unlink(missing_ok=True)
    reading, _ = drive("user: messages_stream, leaves: {reading: 0.025}", Gateway(), tmp_path)
    (tmp_path / "samples.jsonl").unlink(missing_ok=True)
    patient, _ = drive("user: messages_stream, leaves: {reading: 5}", Gateway(), tmp_path)

    assert {(sample.outcome, sample.first_delta) for sample in waiting} == {("left", None)}
    assert all(0.07 < sample.service_time < 0.2 for sample in waiting)
    assert {sample.outcome for sample in reading} == {"left"}
    assert all(sample.first_delta is not None for sample in reading)
    assert all(0.02 < sample.ended - (sample.first_delta or 0) < 0.15 for sample in reading)
    assert {sample.outcome for sample in patient} == {"complete", "truncated"}


@pytest.mark.parametrize("drive", DRIVERS)
def test_a_slow_reader_takes_so_many_bytes_a_second(drive, tmp_path: Path):
    samples, _ = drive("user: messages_stream, rate: 4, reads: 1000", Gateway(), tmp_path)

    whole = sum(len(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n") for event in [*EVENTS, STOP])
    complete = [sample for sample in samples if sample.outcome == "complete"]
    assert len(complete) == 2
    assert all(whole / 1000 - 0.1 < sample.service_time < whole / 1000 + 0.5 for sample in complete)
