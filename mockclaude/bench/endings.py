"""Attempts that end in every way there is, many at once, to see whether any leaves something behind."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from mockclaude.bench.contender import CouldNotRun
from mockclaude.bench.line import Line, request

HAND = 20
"""Attempts at once."""
LATER = 5 * HAND
"""A slow reader reads on when so many others have come and gone."""
PATIENCE = 120.0
"""Seconds: more than a machine that does something else needs."""
ENOUGH = 65536
NARROW = 4096
"""Bytes that a slow reader lets come to him."""
RESET = struct.pack("ii", 1, 0)
END = b"0\r\n\r\n"
CONFIG: Mapping[str, object] = {
    "latency": {
        "haiku": {"ttft": {"p50": 0, "p95": 0}, "tokens_per_second": 1e9, "tokens_per_delta": 1, "prefill": False},
        "sonnet": {"ttft": {"p50": 60, "p95": 60}},
    },
    "limits": {"opus": {"input_tokens_per_minute": 1}},
}
"""Haiku's replies come at once, Sonnet's first token never; and no question is short enough for Opus."""


class Ending(NamedTuple):
    """One way to end. Of a hundred attempts `share` end so; `hear` does what this caller does once it has asked.

    `hear` raises `CouldNotRun` unless it got what it should have got, and says whether the connection may be used on.
    """

    share: int
    hear: Callable[[socket.socket], bool]
    model: str = "claude-haiku-4-5"
    tokens: int = 5
    stream: bool = True
    fault: str = ""
    sent: float = 1.0
    narrow: bool = False


def _status(connection: socket.socket, expected: bytes = b"200") -> bytes:
    came = connection.recv(ENOUGH)
    if came[9:12] != expected:
        raise CouldNotRun(f"a caller got {came[:60]!r}, expected {expected.decode()}")
    return came


def _whole(connection: socket.socket) -> bool:
    came = _status(connection)
    while not came.endswith(END):
        more = connection.recv(ENOUGH)
        if not more:
            raise CouldNotRun("a stream ended before its time")
        came = came[-len(END) :] + more
    return True


def _document(expected: bytes) -> Callable[[socket.socket], bool]:
    def hear(connection: socket.socket) -> bool:
        head, _, body = _status(connection, expected).partition(b"\r\n\r\n")
        left = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]) - len(body)
        while left > 0:
            left -= len(connection.recv(ENOUGH))
        return True

    return hear


def _broken(connection: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(ENOUGH):
            if more.endswith(END):
                raise CouldNotRun("a stream that should break off came to its end")
    return False


def _left(connection: socket.socket) -> bool:
    _status(connection)
    return False


def _reset(connection: socket.socket) -> bool:
    _status(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return False


def _gone(connection: socket.socket) -> bool:
    return False


ENDINGS: Mapping[str, Ending] = {
    "complete": Ending(28, _whole),
    "complete in JSON": Ending(30, _document(b"200"), stream=False),
    "a longer one": Ending(2, _whole, tokens=60),
    "left": Ending(4, _left, "claude-sonnet-4-5"),
    "left in mid-write": Ending(1, _left, tokens=1500),
    "reset": Ending(2, _reset, "claude-sonnet-4-5"),
    "left unheard": Ending(2, _gone, "claude-sonnet-4-5"),
    "left while it asks": Ending(2, _gone, sent=0.8),
    "slow reader": Ending(1, _whole, tokens=300, narrow=True),
    "cut": Ending(3, _broken, fault="cut;after=2"),
    "cut by a reset": Ending(3, _broken, fault="cut;after=2;how=rst"),
    "truncated": Ending(3, _whole, fault="truncate"),
    "error event": Ending(3, _whole, fault="error_event;after=2"),
    "529": Ending(4, _document(b"529"), fault="status;code=529"),
    "400": Ending(4, _document(b"400"), tokens=-1),
    "no JSON": Ending(1, _document(b"400"), 'a "quote"'),
    "404": Ending(2, _document(b"404"), "claude-none"),
    "429": Ending(5, _document(b"429"), "claude-opus-4-5"),
}


def order(endings: Mapping[str, Ending]) -> Sequence[Ending]:
    """A hundred, or as many as the shares make, well mixed."""
    places = [((k + 0.5) / one.share, index) for index, one in enumerate(endings.values()) for k in range(one.share)]
    named = list(endings.values())
    return [named[index] for _, index in sorted(places)]


def asked(ending: Ending, k: int) -> bytes:
    """Attempt `k`: no two ask the same."""
    body = (
        f'{{"model":"{ending.model}","max_tokens":{ending.tokens},"stream":{str(ending.stream).lower()},'
        f'"messages":[{{"role":"user","content":"Question {k}"}}]}}'
    )
    fault = f"x-mockclaude-fault: {ending.fault}\r\n" if ending.fault else ""
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: bench\r\nx-api-key: sk-bench\r\nanthropic-version: 2023-06-01\r\n{fault}"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body.encode()[: int(len(body) * ending.sent)]


class Callers:
    """They ask the server on this port, a hand at a time."""

    def __init__(self, port: int, endings: Mapping[str, Ending]) -> None:
        self._port = port
        self._order = order(endings)
        self._lines: list[socket.socket] = []
        self._slow: list[tuple[int, socket.socket, Ending]] = []
        self._asked = 0
        with contextlib.closing(Line(port)) as control:
            control.send(request("PUT", "/_mock/config", json.dumps(CONFIG).encode()))
            control.receive()

    def ask(self, attempts: int) -> None:
        """So many more; raises `CouldNotRun` when one does not end as it should."""
        until = self._asked + attempts
        while self._asked < until:
            self._play(min(HAND, until - self._asked))

    def close(self) -> None:
        """Nobody asks any more."""
        self._hear_slow(self._asked)
        for line in self._lines:
            line.close()

    def _play(self, count: int) -> None:
        hand = []
        for _ in range(count):
            ending = self._order[self._asked % len(self._order)]
            line = self._come(NARROW) if ending.narrow else self._lines.pop() if self._lines else self._come()
            line.sendall(asked(ending, self._asked))
            self._asked += 1
            hand.append((line, ending))
        for line, ending in hand:
            if ending.narrow:
                self._slow.append((self._asked, line, ending))
            else:
                self._hear(line, ending)
        self._hear_slow(self._asked - LATER)

    def _hear_slow(self, until: int) -> None:
        while self._slow and self._slow[0][0] <= until:
            _, line, ending = self._slow.pop(0)
            ending.hear(line)
            line.close()

    def _hear(self, line: socket.socket, ending: Ending) -> None:
        if ending.hear(line):
            self._lines.append(line)
        else:
            line.close()

    def _come(self, room: int | None = None) -> socket.socket:
        line = socket.socket()
        if room is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        line.settimeout(PATIENCE)
        line.connect(("127.0.0.1", self._port))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return line
