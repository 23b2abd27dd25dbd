"""How the API misbehaves on demand: each fault is a value that turns a lazy run of chunks into a worse one.

To add one: a frozen dataclass with `apply`, and its name in `FAULTS`. Its fields are its YAML and its JSON. Raising
`Injected` before the first chunk is a status, after it an `error` event; raising `Broken` ends the answer for good.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal, Protocol

import yaml
from annotated_types import Ge, Gt, Le
from pydantic import Field, Strict

from mockclaude import settings, wire
from mockclaude.aim import Aim, Facts
from mockclaude.reply import Broken, Chunk

Count = Annotated[int, Strict(), Ge(0)]
Seconds = Annotated[float, Ge(0), Le(1e9)]
"""31 years can still be waited for, and be written as a date."""
Code = Literal[400, 401, 402, 403, 404, 409, 413, 429, 500, 502, 503, 504, 529]
Kind = Literal["overloaded_error", "api_error", "rate_limit_error", "timeout_error", "invalid_request_error"]

HEADER = "x-mockclaude-fault"
"""A request may ask for one fault on itself: `status;code=529`, `error_event;after=3;type=overloaded_error`."""

DELTA = b"event: content_block_delta"
PING_EVERY = 5.0
"""Seconds between pings while a stream stalls."""

ABSURD = "9999999999"
HTML = """<html>
<head><title>{status} {reason}</title></head>
<body>
<center><h1>{status} {reason}</h1></center>
<hr><center>cloudflare</center>
</body>
</html>
"""
REASONS = frozenset(HTTPStatus)


class Injected(wire.ApiError):
    """An error that a fault asked for: the journal tells it from the mock's own. In a stream it is due `at`.

    With `html` its body is what a proxy in front of Claude would say. `later` is in how many seconds the HTTP date of
    its `retry-after` lies, and with `dated` its words have a `{day}`: only who sends it knows what time it is.
    """

    at = 0.0
    html = False
    later: float | None = None
    dated = False

    def page(self) -> bytes:
        """A proxy's page."""
        reason = HTTPStatus(self.status).phrase if self.status in REASONS else "Overloaded"
        return HTML.format(status=self.status, reason=reason).encode()


class Fault(Protocol):
    """One way to go wrong."""

    @property
    def share(self) -> float:
        """The part of attempts it strikes, 0 to 1."""

    def strikes(self, facts: Facts, lot: float) -> bool:
        """Whether it strikes this attempt."""

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """A worse run than `run`."""


@dataclass(frozen=True)
class Status(Aim):
    """Refuse with a status, in Claude's envelope or as a proxy's page (`body: html`).

    `retry_after` is in seconds; `retry_after_as` says how it is written, or that it is absurd. `message` and
    `error_code` replace Claude's usual words; a message may be the name of one in `wire.REFUSALS`.
    """

    code: Code
    retry_after: Seconds | None = None
    retry_after_as: Literal["seconds", "ms", "date", "absurd"] = "seconds"
    body: Literal["claude", "html"] = "claude"
    message: str | None = None
    error_code: str | None = None

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """No chunk at all: the error comes first."""
        raise self._error()
        yield from run  # type: ignore[unreachable]  # a generator: nothing happens before the first chunk is due

    def _error(self) -> Injected:
        message, known_code = wire.REFUSALS.get(self.message or "", (self.message, None))
        error_code = self.error_code or known_code
        details = None if error_code is None else {"error_code": error_code}
        error = Injected(self.code, message, self._headers(), details)
        error.html = self.body == "html"
        error.dated = self.message in wire.REFUSALS
        error.later = self.retry_after if self.retry_after_as == "date" else None
        return error

    def _headers(self) -> dict[str, str]:
        if self.retry_after_as == "absurd":
            return {"retry-after": ABSURD}
        if self.retry_after is None or self.retry_after_as == "date":
            return {}
        if self.retry_after_as == "ms":
            return {"retry-after-ms": f"{self.retry_after * 1000:.15g}"}
        return {"retry-after": f"{self.retry_after:.15g}"}


@dataclass(frozen=True)
class ErrorEvent(Aim):
    """Break a stream off with an `error` event in place of delta number `after`; with 0, of the first event."""

    after: Count = 0
    type: Kind = "overloaded_error"

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The run up to the error. A JSON reply has no events and is left alone."""
        for deltas, chunk in _counted(run):
            if _is_event(chunk) and deltas >= self.after:
                error = Injected(wire.STATUSES[self.type])
                error.at = chunk.at
                raise error
            yield chunk


@dataclass(frozen=True)
class SlowFirstByte(Aim):
    """Let the first byte, and all that follows, come `seconds` later."""

    seconds: Seconds

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The run, later."""
        for chunk in run:
            yield chunk._replace(at=chunk.at + self.seconds)


@dataclass(frozen=True)
class Hang(Aim):
    """Send nothing at all, not even headers; close the connection after `seconds`."""

    seconds: Seconds = 3600.0

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """Silence, then the end."""
        if next(iter(run), None) is not None:
            raise Broken(self.seconds, "fin")
        yield from ()


@dataclass(frozen=True)
class Stall(Aim):
    """Stop for `seconds` after delta number `after`, with or without a ping every five seconds."""

    after: Count
    seconds: Seconds
    pings: bool = False

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The run with a hole in it."""
        late = 0.0
        for deltas, chunk in _counted(run):
            if not late and deltas >= self.after and chunk.data.startswith(DELTA):
                late = self.seconds
                for k in range(1, int(self.seconds / PING_EVERY) + 1 if self.pings else 0):
                    yield Chunk(chunk.at + k * PING_EVERY, wire.PING)
            yield chunk._replace(at=chunk.at + late)


@dataclass(frozen=True)
class Drip(Aim):
    """Let everything take `factor` times as long."""

    factor: Annotated[float, Gt(0)]

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The run, stretched."""
        for chunk in run:
            yield chunk._replace(at=chunk.at * self.factor)


@dataclass(frozen=True)
class Truncate(Aim):
    """End a stream cleanly after `after` deltas, without `message_stop`; a JSON body in the middle."""

    after: Count = 1

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The beginning of the run."""
        yield from _until(run, self.after, "end")


@dataclass(frozen=True)
class Cut(Aim):
    """Cut the connection after `after` deltas (a JSON body in the middle): `how` it is closed, or reset."""

    after: Count = 1
    how: Literal["fin", "rst"] = "fin"

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The beginning of the run."""
        yield from _until(run, self.after, self.how)


@dataclass(frozen=True)
class MalformedEvent(Aim):
    """Make delta number `after` something that is not JSON."""

    after: Count = 1

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The run with one event spoilt."""
        for hit, chunk in _nth_delta(run, self.after):
            yield chunk._replace(data=chunk.data.replace(b'"delta":', b"delta=", 1), text=0) if hit else chunk


@dataclass(frozen=True)
class TruncatedJson(Aim):
    """Leave out the second half of the JSON of delta number `after`; the event ends as if nothing were missing."""

    after: Count = 1

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The run with half an event."""
        for hit, chunk in _nth_delta(run, self.after):
            yield chunk._replace(data=chunk.data[: len(chunk.data) * 2 // 3] + b"\n\n", text=0) if hit else chunk


@dataclass(frozen=True)
class DuplicateEvent(Aim):
    """Send delta number `after` twice."""

    after: Count = 1

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The run with one event more."""
        for hit, chunk in _nth_delta(run, self.after):
            yield chunk
            if hit:
                yield chunk


@dataclass(frozen=True)
class MissingEvent(Aim):
    """Leave out every event called `event`; without one, delta number `after`."""

    after: Count = 1
    event: Literal["content_block_start", "content_block_stop", "message_delta", "message_stop"] | None = None

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The run with less in it."""
        name = None if self.event is None else f"event: {self.event}\n".encode()
        for hit, chunk in _nth_delta(run, self.after):
            if hit and name is None:
                continue
            if name is not None and name in chunk.data:
                events = [one for one in chunk.data.split(b"\n\n") if one and not one.startswith(name)]
                chunk = chunk._replace(data=b"".join(one + b"\n\n" for one in events))
            if chunk.data:
                yield chunk


@dataclass(frozen=True)
class SplitPackets(Aim):
    """Send each chunk in two packets `seconds` apart, split inside a character where it has one of several bytes."""

    seconds: Seconds = 0.01

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The run in more pieces."""
        for chunk in run:
            data = chunk.data
            inside = next((k for k, byte in enumerate(data) if 0x80 <= byte < 0xC0), len(data) // 2)
            yield Chunk(chunk.at, data[:inside])
            yield Chunk(chunk.at + self.seconds, data[inside:], chunk.text)


@dataclass(frozen=True)
class Comments(Aim):
    """Put a comment line in front of every event, as some proxies do to keep a connection alive."""

    text: str = "keep-alive"

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The run with comments. A JSON reply is left alone."""
        comment = f": {self.text.replace(chr(10), ' ').replace(chr(13), ' ')}\n\n".encode()
        for chunk in run:
            yield chunk._replace(data=comment + chunk.data) if _is_event(chunk) else chunk


@dataclass(frozen=True)
class GiantEvent(Aim):
    """Send a text delta of `size` bytes before delta number `after`."""

    after: Count = 1
    size: Annotated[int, Strict(), Ge(1), Le(64 * 1024 * 1024)] = 1024 * 1024

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The run with a great deal more in it."""
        for hit, chunk in _nth_delta(run, self.after):
            if hit and (start := chunk.data.find(b'"text":"')) >= 0:
                at = start + len(b'"text":"')
                data = chunk.data[:at] + b"a" * self.size + chunk.data[at:]
                yield chunk._replace(data=data, text=chunk.text + self.size)
            else:
                yield chunk


@dataclass(frozen=True)
class ContentType(Aim):
    """Answer with another content type."""

    type: Annotated[str, Field(strict=True, pattern="^[ -~]+$")] = "text/html"

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """The same bytes."""
        return iter(run)


FAULTS: Mapping[str, type[Any]] = {
    "status": Status,
    "slow_first_byte": SlowFirstByte,
    "hang": Hang,
    "stall": Stall,
    "drip": Drip,
    "error_event": ErrorEvent,
    "truncate": Truncate,
    "cut": Cut,
    "malformed_event": MalformedEvent,
    "truncated_json": TruncatedJson,
    "duplicate_event": DuplicateEvent,
    "missing_event": MissingEvent,
    "split_packets": SplitPackets,
    "comments": Comments,
    "giant_event": GiantEvent,
    "content_type": ContentType,
}
BYTES_ONLY = (SplitPackets, Comments)
"""What no longer begins with its name is no event to another fault."""
NAMES = {kind: name for name, kind in FAULTS.items()}
Faults = tuple[Fault, ...]


def parse(section: object, base: Faults = (), loc: settings.Loc = ("faults",)) -> Faults:
    """Read a list of faults; it takes the place of `base` as a whole."""
    if not isinstance(section, Sequence) or isinstance(section, str):
        raise settings.ConfigError([settings.Problem(loc, f"expected a list of faults, got {section!r}")])
    return tuple(_one(entry, (*loc, index)) for index, entry in enumerate(section))


def _one(entry: object, loc: settings.Loc) -> Fault:
    if not isinstance(entry, Mapping):
        raise settings.ConfigError([settings.Problem(loc, f"expected a mapping with a name, got {entry!r}")])
    name = entry.get("name")
    if not isinstance(name, str) or name not in FAULTS:
        problem = "is missing" if name is None else f"no fault is called {name!r}"
        raise settings.ConfigError([settings.Problem((*loc, "name"), f"{problem} (known: {', '.join(FAULTS)})")])
    fields = {field: value for field, value in entry.items() if field != "name"}
    fault: Fault = settings.read(FAULTS[name], fields, loc)
    return fault


def asked(headers: Mapping[str, str], loc: settings.Loc = (HEADER,)) -> Faults:
    """The fault that a request asks for itself; raises `ConfigError`."""
    said = headers.get(HEADER)
    name, *fields = [part.strip() for part in said.split(";")] if said else [""]
    if not name:
        return ()
    pairs = [field.partition("=") for field in fields if field]
    return (_one({"name": name, **{key.strip(): _scalar(value, loc) for key, _, value in pairs}}, loc),)


def _scalar(text: str, loc: settings.Loc) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise settings.ConfigError([settings.Problem(loc, f"expected key=value, got {text!r}")]) from None


def drawn(faults: Faults, facts: Facts, rng: random.Random) -> Faults:
    """The faults that strike an attempt. Each draws its own number, so one does not change another's luck."""
    lots = [(fault, rng.random()) for fault in faults]
    return tuple(fault for fault, lot in lots if fault.strikes(facts, lot))


def worsen(faults: Faults, run: Iterable[Chunk]) -> Iterable[Chunk]:
    """Apply all of them, the first one innermost; those after which events are not seen any more come last."""
    for fault in sorted(faults, key=lambda one: isinstance(one, BYTES_ONLY)):
        run = fault.apply(run)
    return run


def refuse(faults: Faults) -> None:
    """Raise what a fault says before the first chunk. Run on nothing, only such a fault has anything to say."""
    next(iter(worsen(faults, ())), None)


def headers(faults: Faults) -> dict[str, str]:
    """The headers that faults change in an answer; the last one wins."""
    types = [fault.type for fault in faults if isinstance(fault, ContentType)]
    return {"content-type": types[-1]} if types else {}


def shares(faults: Faults) -> dict[str, float]:
    """The share of attempts each kind of fault strikes, at most 1."""
    by_name: dict[str, float] = {}
    for fault in faults:
        name = NAMES[type(fault)]
        by_name[name] = min(1.0, by_name.get(name, 0.0) + fault.share)
    return by_name


def names(faults: Faults) -> str | None:
    """What struck, for the journal; None when nothing did."""
    return ",".join(NAMES[type(fault)] for fault in faults) or None


def as_config(faults: Faults) -> list[dict[str, object]]:
    """The section that gives these faults."""
    return [{"name": NAMES[type(fault)], **_set(fault)} for fault in faults]


def _set(fault: Fault) -> dict[str, object]:
    fields: dict[str, object] = dataclasses.asdict(fault)  # type: ignore[call-overload]
    return {name: value for name, value in fields.items() if value is not None}


def _is_event(chunk: Chunk) -> bool:
    return chunk.data.startswith(b"event: ")


def _counted(run: Iterable[Chunk]) -> Iterator[tuple[int, Chunk]]:
    """Each chunk with the number of deltas before it."""
    deltas = 0
    for chunk in run:
        yield deltas, chunk
        deltas += chunk.data.startswith(DELTA)


def _nth_delta(run: Iterable[Chunk], nth: int) -> Iterator[tuple[bool, Chunk]]:
    """Each chunk, and whether it is delta number `nth`, counted from 1."""
    for deltas, chunk in _counted(run):
        yield deltas == nth - 1 and chunk.data.startswith(DELTA), chunk


def _until(run: Iterable[Chunk], after: int, how: Literal["end", "fin", "rst"]) -> Iterator[Chunk]:
    """The run up to delta number `after`; half of a JSON body. Then it breaks."""
    for deltas, chunk in _counted(run):
        if not _is_event(chunk):
            yield chunk._replace(data=chunk.data[: len(chunk.data) // 2])
            raise Broken(chunk.at, how)
        if deltas >= after and (chunk.data.startswith(DELTA) or after == 0):
            raise Broken(chunk.at, how)
        yield chunk
