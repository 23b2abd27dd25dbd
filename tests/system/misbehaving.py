"""A server that misbehaves on purpose, and Locust as it is typed against it.

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
from collections.abc import Awaitable, Callable
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import NamedTuple

from loadtests.programs.crew import LOCUST

GAP = 0.1

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


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Misbehaving:
    """Answers each request as told, and `/_mock/...` as the mock would; `asked` is what else it was asked."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.url = ""
        self.asked: list[Asked] = []
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
        ends = (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError)
        with contextlib.suppress(*ends), contextlib.closing(wire):
            while not wire.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                if path.startswith("/_mock/"):
                    wire.write(json_reply(200, {"t": 0.0, "wall": time.time(), "instance": "i"}))
                else:
                    self.asked.append(Asked(method, path, headers, body))
                    await self._behaviour(headers["x-request-id"])(wire)


def locust(
    *options: str, locustfile: Path | None = None, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Plain Locust, with our users or those of another `locustfile`."""
    command = ["locust", "-f", str(locustfile)] if locustfile else LOCUST
    return subprocess.run(
        [sys.executable, "-m", *command, "--headless", *options],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )
