"""One exchange with a server, as bytes: what was asked and what came back, and how the parts of it read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

Json = Mapping[str, Any]

BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class NoAnswer(Exception):
    """There is no whole answer: not reachable, too slow, broken off, or not HTTP."""


class Absent(Exception):
    """What was to be looked at is not there, and need not be; says why."""


class Wrong(Exception):
    """Something other than what Claude sends: what came, and what was expected."""

    def __init__(self, got: object, expected: object) -> None:
        self.got, self.expected = str(got), str(expected)
        super().__init__(f"got {got}, expected {expected}")


class Request(NamedTuple):
    """What to ask. A body that is no bytes is sent as JSON; `path` is relative to the base URL."""

    path: str = "/v1/messages"
    body: Json | bytes | None = None
    headers: Mapping[str, str] = {}
    method: str = "POST"

    @property
    def data(self) -> bytes | None:
        """The body as it is sent."""
        return self.body if self.body is None or isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Event(NamedTuple):
    """A server-sent event: its name, and its data as bytes."""

    name: str
    data: bytes

    @property
    def json(self) -> Any:
        """The data read; raises `ValueError`."""
        return json.loads(self.data)


class Exchange(NamedTuple):
    """A request and its whole answer; header names as they were sent."""

    request: Request
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def json(self) -> Any:
        """The body read as JSON; raises `ValueError`."""
        return json.loads(self.body)

    @property
    def asked(self) -> Json:
        """The JSON that was sent."""
        return self.request.body if isinstance(self.request.body, Mapping) else {}

    def header(self, name: str) -> str | None:
        """A header's value, whatever the case of its name; None when it was not sent."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def events(self) -> list[Event]:
        """The events of a stream, read as leniently as clients do."""
        return [event for part in BOUNDARY.split(self.body) if (event := _event(part)) is not None]

    def payloads(self, name: str) -> list[Any]:
        """The JSON of every event called `name`."""
        return [event.json for event in self.events if event.name == name]

    @property
    def excerpt(self) -> str:
        """Status and body in one line, for a person."""
        body = self.body.decode(errors="replace")
        return f"{self.status} {body if len(body) <= 200 else body[:200] + '...'}".replace("\n", "\\n")


def _event(part: bytes) -> Event | None:
    fields = [line.partition(b":")[::2] for line in part.splitlines()]
    told = {name: value.removeprefix(b" ") for name, value in fields}
    return Event(told.get(b"event", b"").decode(errors="replace"), told[b"data"]) if b"data" in told else None
