"""A recording: a file with one JSON line per exchange with Claude, each event with the second it came at.

    {"recorded_at": "2026-11-12T10:00:00Z", "request": {"model": ..., "stream": true, "max_tokens": 64, ...},
     "status": 200, "headers": {"request-id": ...}, "ttfb": 0.31,
     "events": [[0.31, "message_start", {...}], ...], "ended": "complete"}

Times are seconds from the moment the request was sent. What is no stream has "body" and "at" in place of "events".
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from annotated_types import Ge, Le
from pydantic import ConfigDict

from mockclaude import settings
from mockclaude.request import ask

Json = dict[str, Any]
Seconds = Annotated[float, Ge(0)]
Ended = Literal["complete", "cut", "error", "left"]
"""Whole; broken off by the upstream; a status or an `error` event; the caller went away."""

HEADERS = ("request-id", "retry-after", "content-type", "x-should-retry")
FAMILIES = ("anthropic-ratelimit-", "anthropic-priority-", "anthropic-fast-")
CREDENTIAL = 8
"""Keys at least this long are blotted out wherever they stand; a shorter one would take innocent text with it."""


class Event(NamedTuple):
    """One server-sent event, `at` seconds after the request was sent."""

    at: Seconds
    name: str
    data: Json


@dataclass(frozen=True)
class Asked:
    """What is kept of a request. `digest` tells equal requests; it is None when the text is redacted."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    model: str | None
    stream: bool
    max_tokens: int | None = None
    digest: str | None = None
    text: str = ""


@dataclass(frozen=True)
class Exchange:
    """One request and what became of it."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    recorded_at: str
    request: Asked
    status: Annotated[int, Ge(200), Le(599)]
    headers: dict[str, str]
    ttfb: Seconds
    ended: Ended
    events: tuple[Event, ...] | None = None
    body: Json | None = None
    at: Seconds | None = None


class Tape:
    """Listens to a body as it passes, as to server-sent events; comments and what is not JSON are not kept."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []

    def hear(self, at: float, part: bytes) -> None:
        """Some more bytes came `at`."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            self._line(at, line.removesuffix(b"\r"))

    def _line(self, at: float, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        elif field == b"event":
            self._name = value.decode(errors="replace").strip()
        elif not line:
            self._end(at)

    def _end(self, at: float) -> None:
        data = parsed(b"\n".join(self._data))
        if data is not None:
            self.events.append(Event(round(at, 6), self._name or str(data.get("type")), data))
        self._name, self._data = "", []


def asked(data: object) -> Asked:
    """What to keep of a request's JSON, whatever it is."""
    body: Json = data if isinstance(data, dict) else {}
    model, most = body.get("model"), body.get("max_tokens")
    return Asked(
        model if isinstance(model, str) else None,
        body.get("stream") is True,
        most if isinstance(most, int) else None,
        digest(body),
        ask.last_user_text(body.get("messages")),
    )


def digest(body: Mapping[str, object]) -> str:
    """Equal for requests that ask the same, whoever asks, streamed or not."""
    rest = {name: value for name, value in body.items() if name not in ask.ASIDE}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of an answer that are recorded: nothing that names an organization or opens a session."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {name: value for name, value in lower.items() if name in HEADERS or name.startswith(FAMILIES)}


def parsed(data: bytes) -> Json | None:
    """A JSON object, or None for anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def outcome(status: int, events: Sequence[Event] | None, body: Json | None, left: bool) -> Ended:
    """How an exchange ended; the last event of a stream decides, not how the connection was closed."""
    if status >= 400:
        return "error"
    names = {event.name for event in events or ()}
    if body is not None or "message_stop" in names:
        return "complete"
    if "error" in names:
        return "error"
    return "left" if left else "cut"


def line(exchange: Exchange, secrets: tuple[str, ...] = ()) -> bytes:
    """The exchange as one line of the file; each of `secrets` is blotted out of every text in it."""
    row = {name: value for name, value in _row(exchange).items() if value is not None}
    blots = {secret: "x" * len(secret) for secret in secrets if len(secret) >= CREDENTIAL}
    return json.dumps(_blotted(row, blots) if blots else row, separators=(",", ":")).encode() + b"\n"


def load(text: str, loc: settings.Loc = ()) -> tuple[Exchange, ...]:
    """Read a recording; raises `ConfigError` that names the line."""
    return tuple(exchange for _, exchange in numbered(text, loc))


def numbered(text: str, loc: settings.Loc = ()) -> Iterator[tuple[settings.Loc, Exchange]]:
    """The exchanges of a recording, each with its place; raises `ConfigError`."""
    for number, row in lines(text, loc):
        place = (*loc, f"line {number}")
        yield place, _read(row, place)


def lines(text: str, loc: settings.Loc = ()) -> Iterator[tuple[int, Json]]:
    """The JSON objects of a file with one on each line, and their line numbers; raises `ConfigError`."""
    for number, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        data = parsed(row.encode(errors="replace"))
        if data is None:
            problem = settings.Problem((*loc, f"line {number}"), "expected a JSON object")
            raise settings.ConfigError([problem])
        yield number, data


def _read(row: Json, loc: settings.Loc) -> Exchange:
    exchange = settings.read(Exchange, row, loc)
    times = [event.at for event in exchange.events or ()]
    if times != sorted(times):
        raise settings.ConfigError([settings.Problem((*loc, "events"), "expected times in ascending order")])
    if exchange.ended == "complete" and exchange.events is None and exchange.body is None:
        raise settings.ConfigError([settings.Problem(loc, 'expected "events" or "body", got neither')])
    return exchange


def _row(exchange: Exchange) -> Json:
    return {field.name: getattr(exchange, field.name) for field in dataclasses.fields(exchange)} | {
        "request": dataclasses.asdict(exchange.request)
    }


def _blotted(value: Any, blots: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {_blotted(name, blots): _blotted(one, blots) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_blotted(one, blots) for one in value]
    if isinstance(value, str):
        for secret, blot in blots.items():
            value = value.replace(secret, blot)
    return value
