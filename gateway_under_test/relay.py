"""What passes through unchanged: a caller's request as it came, and Claude's answer as it comes.

The bytes are never parsed on their way. `Reading` looks at a copy of them for the log alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway_under_test.events import Event, Events

Headers = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade".split()
)
"""For one connection alone (RFC 9110, section 7.6.1)."""
NOT_SENT_ON = HOP_BY_HOP | {b"host", b"content-length", b"accept-encoding", b"expect", b"x-api-key", b"authorization"}
NOT_GIVEN_BACK = HOP_BY_HOP | {b"date"}
"""Our web server puts its own date on every response."""
LONGEST = 1024 * 1024
"""Bytes of an event, or of a JSON body, that are looked at for its usage."""
MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,100})"')
STREAM = re.compile(rb'"stream"\s*:\s*true')


@dataclass(frozen=True)
class Letter:
    """A caller's request: `target` is its path and query, `headers` those that are sent on, without a credential.

    `kind` is its endpoint; `patience` are the seconds after which such an answer is of no use, if any are known.
    """

    kind: str
    method: str
    target: bytes
    headers: Headers
    body: bytes | None = None
    patience: float | None = None

    @property
    def model(self) -> str | None:
        """The model asked for, as far as a glance tells: a name for the log until the answer says its own."""
        found = MODEL.search(self.body or b"")
        return found and found[1].decode("utf-8", "replace")

    @property
    def streamed(self) -> bool:
        """Whether the answer may go on after its first bytes; what cannot be read may."""
        compressed = any(name == b"content-encoding" for name, _ in self.headers)
        return compressed or STREAM.search(self.body or b"") is not None

    def outward(self, ours: Headers) -> Headers:
        """The headers to send, `ours` in the place of the caller's own."""
        replaced = {name for name, _ in ours}
        return [pair for pair in self.headers if pair[0] not in replaced] + ours

    def header(self, name: bytes) -> bytes | None:
        """The value of the first header with this name."""
        return next((value for each, value in self.headers if each == name), None)


class Head(NamedTuple):
    """How an answer begins: its status, its headers, and the first bytes of its body."""

    status: int
    headers: Headers
    body: bytes

    @property
    def streams(self) -> bool:
        """Whether these are server-sent events."""
        return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in self.headers)


Part = Head | bytes
"""A piece of an answer: its head, then bytes; the empty piece says that Claude ended it."""


def end_to_end(headers: Iterable[tuple[bytes, bytes]], dropped: frozenset[bytes]) -> Headers:
    """Headers without those `dropped` and those that `connection` names; their names in lower case."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = b",".join(value for name, value in lowered if name == b"connection")
    gone = dropped.union(name.strip().lower() for name in named.split(b","))
    return [pair for pair in lowered if pair[0] not in gone]


class Reading:
    """What an answer says of itself, read on the side while its bytes pass."""

    def __init__(self, head: Head) -> None:
        self.model: str | None = None
        self.input_tokens = 0
        self.output_tokens = 0
        self.failed: str | None = None
        self._started = False
        self._stopped = False
        self._streams = head.streams
        self._events = Events()
        self._whole: list[bytes] = []
        self._size = 0
        self.hear(head.body)

    @property
    def broke_off(self) -> bool:
        """Whether a stream ended as none should: without `message_stop`, and without an error that says why."""
        return self._streams and not self._stopped and self.failed is None

    @property
    def failed_at_once(self) -> bool:
        """Whether its first event is an error."""
        return self.failed is not None and not self._started

    def hear(self, part: bytes) -> None:
        """The next bytes."""
        if not self._streams:
            self._size += len(part)
            self._whole.append(part)
            if self._size > LONGEST:
                self._whole.clear()
            return
        for event in self._events.read(part):
            self._note(event)
        if self._events.held > LONGEST:
            self._events.forget()

    def end(self) -> None:
        """There are no more."""
        if not self._streams:
            self._take(parsed(b"".join(self._whole)))

    def _note(self, event: Event) -> None:
        match event.name:
            case b"message_start":
                self._started = True
                self._take(_object(parsed(event.data).get("message")))
            case b"message_delta":
                self._take(parsed(event.data))
            case b"message_stop":
                self._stopped = True
            case b"error":
                self.failed = str(_object(parsed(event.data).get("error")).get("type"))

    def _take(self, said: dict[str, Any]) -> None:
        usage = _object(said.get("usage"))
        self.input_tokens = _count(usage.get("input_tokens"), self.input_tokens)
        self.output_tokens = _count(usage.get("output_tokens"), self.output_tokens)
        if isinstance(model := said.get("model"), str):
            self.model = model


def parsed(data: bytes) -> dict[str, Any]:
    try:
        return _object(json.loads(data))
    except (ValueError, RecursionError):
        return {}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object, known: int) -> int:
    return value if isinstance(value, int) else known
