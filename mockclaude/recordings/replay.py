"""Saying again what was recorded: which exchange answers a request, and its events with ids of their own.

A reply is replayed as it is, whatever `max_tokens` says: its events at the seconds they came at, counted from the grant
of the slot, and its usage. A stream asked for as JSON becomes the message its events make; JSON asked for as a stream
becomes events spread evenly over the time it took.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from pydantic import ConfigDict

from mockclaude import settings, wire
from mockclaude.draw import Draw
from mockclaude.recordings import recording, transcript
from mockclaude.recordings.recording import Exchange, Json
from mockclaude.request.ask import Ask
from mockclaude.speech import script, signature
from mockclaude.speech.script import Take

A_TOOL_ID = re.compile(r"((?:srv|mcp)?toolu_).*")


class Replayed(wire.ApiError):
    """A refusal that was recorded, in the words it had."""

    def __init__(self, status: int, body: script.Json | None = None, headers: Mapping[str, str] | None = None):
        said = (body or {}).get("error")
        error = said if isinstance(said, dict) else {}
        wait = {name: value for name, value in (headers or {}).items() if name == "retry-after"}
        known = status if status in wire.ERRORS else 400 if status < 500 else 500
        super().__init__(known, _text(error.get("message")), wait, _object(error.get("details")))
        self.status = status
        self.kind = _text(error.get("type")) or self.kind
        self._retry = (headers or {}).get("x-should-retry")

    @property
    def retryable(self) -> bool:
        """As it was said then, if it was."""
        return super().retryable if self._retry is None else self._retry == "true"


class Kept(NamedTuple):
    """One exchange that can be replayed: without a `take` it is a refusal."""

    exchange: Exchange
    take: Take | None

    def script(self, ask: Ask) -> script.Script:
        """What to say; raises `ApiError` when that was an error, or is no message where one is asked for."""
        if self.take is None:
            raise Replayed(self.exchange.status, self.exchange.body, self.exchange.headers)
        if not ask.stream and self.take.whole is None:
            raise _broken(self.take)
        return script.Script((), take=self.take)


@dataclass(frozen=True)
class Recorded:
    """Answer with what was recorded in `file`; `text` is what stands in it, or a recording without a file."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    file: str | None = None
    text: str | None = None

    def script(self, ask: Ask, draw: Draw, length: int) -> script.Script:
        """The reply of the exchange that suits best; raises `ApiError` when that was an error."""
        return chosen(self.kept, ask, draw).script(ask)

    @functools.cached_property
    def kept(self) -> Sequence[Kept]:
        """What there is to choose from; raises `ConfigError`."""
        return playable(self.text or "")

    def check(self, loc: settings.Loc) -> None:
        """Raises `ConfigError` when there is nothing to replay."""
        if self.text is None:
            raise settings.ConfigError([settings.Problem(loc, 'expected "file" or "text"')])
        try:
            kept = self.kept
        except settings.ConfigError as error:
            problems = [settings.Problem((*loc, self.file or "text", *inner), said) for inner, said in error.problems]
            raise settings.ConfigError(problems) from None
        if not kept:
            problem = settings.Problem((*loc, self.file or "text"), "no exchange in it can be replayed")
            raise settings.ConfigError([problem])

    def as_config(self) -> dict[str, object]:
        """The section that gives it: the file, not what was in it."""
        return {"text": self.text} if self.file is None else {"file": self.file}


def playable(text: str) -> tuple[Kept, ...]:
    """The exchanges of a recording that were not cut short by their own caller; raises `ConfigError`."""
    kept = []
    for place, exchange in recording.numbered(text):
        if exchange.status >= 400:
            kept.append(Kept(exchange, None))
        elif exchange.ended != "left" and (exchange.events or exchange.body is not None):
            kept.append(Kept(exchange, take(exchange, place)))
    return tuple(kept)


def chosen(kept: Sequence[Kept], ask: Ask, draw: Draw) -> Kept:
    """The one that suits best: the same request, else the same model, else the same mode; of several, one by one.

    Requests that are equal go through the candidates in the recorded order; where each begins is its own chance,
    unless the request itself was recorded.
    """
    digest = recording.digest(ask.body) if any(one.exchange.request.digest for one in kept) else None
    same: list[Callable[[recording.Asked], bool]] = [
        lambda asked: asked.digest is not None and asked.digest == digest,
        lambda asked: asked.model in (ask.body.get("model"), ask.model.id),
        lambda asked: asked.stream == ask.stream,
    ]
    for suits in same:
        kept = [one for one in kept if suits(one.exchange.request)] or kept
    known = same[0](kept[0].exchange.request)
    first = 0 if known else draw._replace(ordinal=0).rng("recorded").randrange(len(kept))
    return kept[(first + draw.ordinal) % len(kept)]


def take(exchange: Exchange, loc: settings.Loc = ()) -> Take:
    """The exchange as something that can be said again; raises `ConfigError` when its events make no sense."""
    try:
        events = exchange.events or transcript.spread(exchange.body or {}, exchange.at or exchange.ttfb)
        whole = exchange.body if exchange.events is None else transcript.assembled(events)
        made = whole["usage"]["output_tokens"] if whole else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise settings.ConfigError([settings.Problem(loc, f"its events make no message: {error!r}")]) from None
    deltas = [event.at for event in events if event.name == "content_block_delta"]
    end = events[-1].at
    tokens = made if isinstance(made, int) and made >= 0 else len(deltas)
    return Take(tuple(events), whole, deltas[0] if deltas else end, end, tokens)


def chunks(take: Take, ask: Ask, draw: Draw) -> Iterator[tuple[float, bytes, int]]:
    """When each part of a replay is due, its bytes, and how many bytes of text a stream says with it."""
    fresh = _Fresh(ask, draw)
    if not ask.stream:
        yield take.seconds, wire.dumps(fresh.message(take.whole or {})), 0
        return
    padding = draw.rng("padding")
    for at, name, data in take.events:
        said = wire.PING if name == "ping" else wire.event(name, fresh.event(data), padding)
        yield at, said, wire.text_bytes(_object(data.get("delta")) or {})


class _Fresh:
    """Gives one replay its own ids, the model that was asked for, and signatures that this mock takes back."""

    def __init__(self, ask: Ask, draw: Draw) -> None:
        self._model = ask.model.id
        self._message_id, self._request_id = draw.message_id, draw.request_id
        self._rng = draw.rng("ids")
        self._ids: dict[str, str] = {}
        self._thought: dict[str, str] = {}

    def event(self, data: script.Json) -> Json:
        """The fields of an event, without its type."""
        fields = {name: value for name, value in data.items() if name != "type"}
        if isinstance(fields.get("message"), dict):
            fields["message"] = self.message(fields["message"])
        if isinstance(fields.get("content_block"), dict):
            fields["content_block"] = self._block(fields["content_block"])
        if isinstance(fields.get("delta"), dict):
            fields["delta"] = self._delta(fields["delta"], str(fields.get("index")))
        if "error" in fields:
            fields["request_id"] = self._request_id
        return fields

    def message(self, message: script.Json) -> Json:
        """A message, whole or just begun."""
        blocks = message.get("content")
        content = [self._block(block) for block in blocks] if isinstance(blocks, list) else []
        return {**message, "model": self._model, "id": self._message_id, "content": content}

    def _delta(self, delta: Json, index: str) -> Json:
        """Thinking is signed anew, since a redacted text is another text."""
        thought = delta.get("thinking")
        if isinstance(thought, str):
            self._thought[index] = self._thought.get(index, "") + thought
        return self._signed(delta, self._thought.get(index, ""))

    def _block(self, block: object) -> object:
        if not isinstance(block, dict):
            return block
        named = {name: self._id(value) if name in ("id", "tool_use_id") else value for name, value in block.items()}
        return self._signed(named, str(block.get("thinking", "")))

    def _signed(self, part: Json, thought: str) -> Json:
        return part | {"signature": signature.sign(thought, self._rng)} if part.get("signature") else part

    def _id(self, value: object) -> object:
        found = A_TOOL_ID.fullmatch(value) if isinstance(value, str) else None
        if found is None or not isinstance(value, str):
            return value
        return self._ids.setdefault(value, wire.identifier(f"{found[1]}01", 22, self._rng))


def _broken(take: Take) -> wire.ApiError:
    """What a caller who asked for JSON sees of a stream that broke."""
    errors = [data for _, name, data in take.events if name == "error"]
    said = _object(errors[0].get("error")) if errors else None
    return Replayed(wire.STATUSES.get(str((said or {}).get("type")), 500), errors[0] if errors else None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _object(value: object) -> Json | None:
    return value if isinstance(value, dict) else None
