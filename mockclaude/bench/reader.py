"""The reader: many callers in a process of its own, one epoll and no framework, so that it is never the slow one.

When something came is what the kernel says (SO_TIMESTAMPNS), not when this process got round to reading it. Run as
`python -m mockclaude.bench.reader`: what to do comes in as JSON, what was found goes out.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time
from typing import NamedTuple

from mockclaude.bench import process
from mockclaude.bench.load import Found, Load, Spread

SO_TIMESTAMPNS = 35
ANCILLARY = socket.CMSG_SPACE(16)
TIMESPEC = struct.Struct("qq")
ENOUGH = 65536
"""Bytes read at once."""
END = b"0\r\n\r\n"


class Task(NamedTuple):
    """The load, the port it goes to, the process whose CPU it costs, if that is known, and one on this core."""

    load: Load
    port: int
    pid: int | None
    beside: int | None = None


class Caller:
    """One connection. It asks, counts, and asks again."""

    def __init__(self, task: Task, tally: Tally) -> None:
        self._load = task.load
        self._host = f"127.0.0.1:{task.port}"
        self._request = task.load.request(self._host)
        self._marker = task.load.marker.encode()
        self._tally = tally
        self.connection = socket.create_connection(("127.0.0.1", task.port))
        self.connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.setblocking(False)

    def ask(self) -> None:
        """Send the request; the clock of its answer starts."""
        self._tail = b""
        self._length: int | None = None
        self._got = 0
        self._came = 0
        self._last = 0.0
        self._tally.asked += 1
        if self._load.fresh:
            self._request = self._load.request(self._host, self._tally.asked)
        self._sent = self._heard = time.time()
        self.connection.send(self._request)

    def read(self) -> bool:
        """Take what has come; false when the server has closed the connection."""
        try:
            data, ancillary, _, _ = self.connection.recvmsg(ENOUGH, ANCILLARY)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2]) if ancillary else (time.time(), 0)
        self._take(data, seconds + nanoseconds * 1e-9)
        return True

    def _take(self, data: bytes, at: float) -> None:
        self._heard = at
        if not self._came and data[9:12] != b"200":
            self._tally.failed += 1
        self._came += len(data)
        self._tally.reads += 1
        if not self._marker:
            self._whole(data, at)
            return
        count = (self._tail + data).count(self._marker)
        self._tail = data[1 - len(self._marker) :]
        for _ in range(count):
            self._tally.token(at, self._sent, self._got, self._last)
            self._last = at
            self._got += 1
        if data.endswith(END):
            self._tally.short += self._got != self._load.tokens
            self.ask()

    def over(self) -> None:
        """The window is over; what should have come and has not counts too."""
        self._tally.silent(self._sent, self._got, self._heard)
        self.connection.close()

    def _whole(self, data: bytes, at: float) -> None:
        """An answer with a length."""
        if self._length is None:
            head, _, _ = data.partition(b"\r\n\r\n")
            self._length = len(head) + 4 + int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if self._came >= self._length:
            self._tally.answer(at)
            self.ask()


class Tally:
    """What came while it counted."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.begins = self.ends = float("inf")
        self.failed = self.short = self.reads = self.counted = self.asked = 0
        self._late: list[float] = []
        self._first: list[float] = []
        self._gaps: list[float] = []

    def token(self, at: float, sent: float, k: int, last: float) -> None:
        """Token `k` of an answer came."""
        if not self.begins <= at < self.ends:
            return
        self.counted += 1
        if k:
            self._gaps.append(at - last)
        late = at - sent - self._load.ttft - k * self._load.gap
        self._late.append(abs(late))
        if not k:
            self._first.append(abs(late))

    def silent(self, sent: float, got: int, heard: float) -> None:
        """The window ended: of an answer asked for at `sent`, `got` tokens have come, the last of anything at `heard`.

        Every token that was due is late by what it is late by now. Who has heard nothing all the time has no answer.
        """
        load, due = self._load, sent + self._load.ttft + got * self._load.gap
        self.failed += due < self.begins and heard < self.begins
        for k in range(got, load.tokens if load.marker else 0):
            if due >= self.ends:
                return
            self._late.append(self.ends - due)
            if not k:
                self._first.append(self.ends - due)
            due += load.gap

    def answer(self, at: float) -> None:
        """A whole answer came."""
        self.counted += self.begins <= at < self.ends

    def found(self, own: process.Usage, server: process.Usage | None, memory: float | None) -> Found:
        """All of it, with the CPU that our core and the server used meanwhile, and the memory a caller costs."""
        gap, seconds = self._load.gap, self._load.window
        return Found(
            counted=self.counted,
            seconds=seconds,
            failed=self.failed,
            short=self.short,
            rate=gap * len(self._gaps) / sum(self._gaps) if self._gaps else None,
            late=Spread.of(self._late),
            uneven=Spread.of([abs(one - gap) for one in self._gaps]),
            first=Spread.of(self._first),
            wait=max(own.waited, 0.0 if server is None else server.waited) / seconds,
            reader=own.cpu / seconds,
            reads=self.reads / max(self.counted, 1),
            cpu=None if server is None else server.cpu / max(self.counted, 1),
            busy=None if server is None else server.cpu / seconds,
            memory=memory,
        )


def measure(task: Task) -> Found:
    """Put the load on the server and count while the window is open."""
    load, tally = task.load, Tally(task.load)
    idle = _usage(task.pid)
    poll, callers = select.epoll(), dict[int, Caller]()
    start = time.time()

    def read(until: float) -> None:
        while (left := until - time.time()) > 0:
            for number, _ in poll.poll(left):
                if not callers[number].read():
                    tally.failed += 1
                    poll.unregister(number)

    for k in range(load.n):
        caller = Caller(task, tally)
        callers[caller.connection.fileno()] = caller
        poll.register(caller.connection, select.EPOLLIN)
        caller.ask()
        read(start + load.ramp * (k + 1) / load.n)
    read(start + load.ramp + load.warm)
    tally.reads, tally.begins = 0, time.time()
    tally.ends = tally.begins + load.window
    before = _usage(task.pid)
    ourselves = _ourselves(task.beside)
    read(tally.ends)
    own, after = _ourselves(task.beside).since(ourselves), _usage(task.pid)
    for caller in callers.values():
        caller.over()
    if before is None or after is None or idle is None:
        return tally.found(own, None, None)
    return tally.found(own, after.since(before), after.since(idle).memory / load.n)


def _ourselves(beside: int | None) -> process.Usage:
    """What this core is used for. That we wait for a mock beside us makes nothing late: the kernel stamps all."""
    own = process.usage(os.getpid())
    if beside is None:
        return own
    mock = process.usage(beside)
    return mock._replace(cpu=own.cpu + mock.cpu)


def _usage(pid: int | None) -> process.Usage | None:
    return None if pid is None else process.usage(pid)


def main() -> None:
    """Measure what standard input asks for."""
    asked = json.load(sys.stdin)
    task = Task(Load(**asked["load"]), asked["port"], asked["pid"], asked["beside"])
    sys.stdout.write(json.dumps(measure(task)._asdict()))


if __name__ == "__main__":
    main()
