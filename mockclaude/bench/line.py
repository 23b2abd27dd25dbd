"""A caller who asks one thing after the other: connections that are kept, and no framework to wait for."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from mockclaude.bench import process
from mockclaude.bench.contender import CouldNotRun, Running

LINES = 16
ENOUGH = 1024 * 1024
"""Bytes read at once."""
PATIENCE = 120.0
GLANCE = 0.0005
"""Seconds between two questions of one who wants to know whether anybody is answered."""


def request(method: str, path: str, body: bytes = b"", key: str = "sk-bench") -> bytes:
    """The bytes of one request."""
    lines = (
        f"{method} {path} HTTP/1.1",
        "host: bench",
        "content-type: application/json",
        f"x-api-key: {key}",
        "anthropic-version: 2023-06-01",
        f"content-length: {len(body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


HEALTH = request("GET", "/_mock/health")


class Line:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, said: bytes) -> None:
        """Ask."""
        self._connection.sendall(said)

    def receive(self) -> bytes:
        """The whole answer's body; raises `CouldNotRun` when it is no 200, or none at all."""
        came = b""
        while (end := came.find(b"\r\n\r\n")) < 0:
            came += self._more(came)
        head, parts = came[:end].lower(), [came[end + 4 :]]
        left = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0] or 0) - len(parts[0])
        while left > 0:
            parts.append(self._more(head))
            left -= len(parts[-1])
        if head[9:12] != b"200":
            raise CouldNotRun(f"the mock answered {head[9:12].decode()}: {b''.join(parts)[:300].decode()}")
        return b"".join(parts)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _more(self, before: bytes) -> bytes:
        part = self._connection.recv(ENOUGH)
        if not part:
            raise CouldNotRun(f"the mock closed the connection after {before[:80]!r}")
        return part


class Caller:
    """Asks one server over some lines, and knows what that costs it."""

    def __init__(self, running: Running) -> None:
        if running.pid is None:
            raise CouldNotRun("what a server's answers cost can be told only of one that was started here")
        self.running, self.pid = running, running.pid
        self._lines = [Line(running.port) for _ in range(LINES)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for line in self._lines:
            line.close()

    def ask(self, said: bytes) -> bytes:
        """One answer."""
        self._lines[0].send(said)
        return self._lines[0].receive()

    def configure(self, sections: object) -> None:
        """Change the mock's configuration."""
        self.ask(request("PATCH", "/_mock/config", json.dumps(sections).encode()))

    def answers(self, requests: Iterable[bytes], rate: float | None = None) -> float:
        """CPU of the server for all of them: as many at once as there are lines, or so many a second."""
        with self.measured() as cpu:
            waiting: list[Line] = []
            begun = time.monotonic()
            for k, said in enumerate(requests):
                if rate is not None:
                    time.sleep(max(0.0, begun + k / rate - time.monotonic()))
                if len(waiting) == LINES:
                    self._hear(waiting)
                waiting.append(self._lines[len(waiting)])
                waiting[-1].send(said)
                if rate is not None:
                    self._hear(waiting)
            self._hear(waiting)
        return cpu[0]

    @contextlib.contextmanager
    def measured(self) -> Iterator[list[float]]:
        """The CPU of the server while the block ran; it is there when the block has ended."""
        cpu: list[float] = []
        before = process.usage(self.pid)
        yield cpu
        cpu.append(process.usage(self.pid).since(before).cpu)

    def held_up(self, said: bytes) -> tuple[float, float]:
        """The longest that anybody else waited for an answer meanwhile, and how long the server did for a CPU."""
        before = process.usage(self.pid)
        asking = threading.Thread(target=self.ask, args=(said,))
        longest, other = 0.0, self._lines[1]
        asking.start()
        while asking.is_alive():
            begun = time.monotonic()
            other.send(HEALTH)
            other.receive()
            longest = max(longest, time.monotonic() - begun)
            time.sleep(GLANCE)
        asking.join()
        return longest, process.usage(self.pid).since(before).waited

    @staticmethod
    def _hear(waiting: list[Line]) -> None:
        for line in waiting:
            line.receive()
        waiting.clear()
