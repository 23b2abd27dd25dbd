"""What a recording must not tell: each text becomes filler of its length, so that only shapes and sizes are left.

Nothing is kept because it looks harmless: a string stays only where Claude's own words stand (`KEPT`), a name inside a
tool's arguments only where the tool's schema declares it. Numbers inside arguments become ones, booleans stay.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from mockclaude import wire
from mockclaude.recordings.recording import Asked, Event, Exchange, Json

KEPT = frozenset(
    ("type", "role", "model", "name", "stop_reason", "category", "service_tier", "inference_geo", "speed", "error_code")
)
IDS = frozenset(("id", "tool_use_id", "file_id", "request_id", "server_id"))
AN_ID = re.compile(r"([a-z]{2,12}_)[A-Za-z0-9_-]+")
FRAGMENTS = ("text", "thinking", "partial_json")
"""Where the deltas of a block have their piece of it."""

BOOK = "the words that stood here were left out when this was recorded and only their length is the same "
WIDE = {2: "é", 3: "字", 4: "😀"}
"""Stand-ins by their bytes in UTF-8, so that an estimate of tokens stays what it was."""

OWN = frozenset(("query", "url", "code", "command", "path"))
"""Names in the arguments of Claude's own tools."""

KINDS = frozenset(kind for kind, _ in wire.ERRORS.values())
PUBLIC = re.compile(
    "|".join(sorted({re.escape(usual) for _, usual in wire.ERRORS.values()}))
    + r"|prompt is too long: \d+ tokens > \d+ maximum"
)
"""What an error may say of itself; anything else may quote the prompt."""

TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)("?)(?=(\s*:)?)|(-?\d[-+.eE\d]*)|(true|false|null|[\s{}\[\]:,]+)|.', re.DOTALL)

Mask = Callable[[str], str]


def redacted(exchange: Exchange, body: object) -> Exchange:
    """The exchange without its texts; `body` is the request's JSON, which declares the names that may stay."""
    names = OWN.union(_declared(body))
    as_json = functools.partial(masked, names=names)
    walk = _Walk(as_json, as_json if _structured(body) else filler)
    return dataclasses.replace(
        exchange,
        request=_asked(exchange.request),
        events=None if exchange.events is None else walk.events(exchange.events),
        body=None if exchange.body is None else walk.claudes(exchange.body),
    )


def filler(text: str) -> str:
    """As many characters and bytes of nothing, wide ones last: not even the lengths of words are kept."""
    widths = [1 if mark < "\x80" else 2 if mark < "\u0800" else 3 if mark < "\U00010000" else 4 for mark in text]
    plain = widths.count(1)
    start = (BOOK * (plain // len(BOOK) + 1))[:plain]
    return start + "".join(WIDE[width] * widths.count(width) for width in WIDE)


def masked(text: str, names: frozenset[str] = frozenset()) -> str:
    """The text of some JSON, or of its beginning, with its structure and the names of `names`, and nothing else."""
    return TOKEN.sub(lambda found: _token(found, names), text)


def _token(found: re.Match[str], names: frozenset[str]) -> str:
    inside, closing, colon, number, structure = found.groups()
    if inside is not None:
        kept = colon is not None and inside in names
        return f'"{inside if kept else filler(inside)}{closing}'
    if number is not None:
        return re.sub(r"\d", "1", number)
    return structure if structure is not None else filler(found[0])


class _Walk:
    """Goes through one exchange; equal ids stay equal."""

    def __init__(self, arguments: Mask, words: Mask) -> None:
        self._arguments = arguments
        self._words = words
        self._ids: dict[str, str] = {}

    def identifier(self, value: str) -> str:
        """A number in place of an id, with the id's prefix."""
        found = AN_ID.fullmatch(value)
        prefix = found[1] if found else "id_"
        return self._ids.setdefault(value, f"{prefix}{len(self._ids) + 1}")

    def events(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """The pieces of a block are masked as the one text they are, then cut where they were cut."""
        pieces: dict[tuple[object, str], list[str]] = {}
        for place, piece in filter(None, (_fragment(event.data) for event in events)):
            pieces.setdefault(place, []).append(piece)
        whole = {place: self._mask(place[1])("".join(parts)) for place, parts in pieces.items()}
        at = dict.fromkeys(whole, 0)
        done = []
        for event in events:
            data = self.claudes(event.data)
            if found := _fragment(event.data):
                place, piece = found
                data["delta"][place[1]] = whole[place][at[place] : at[place] + len(piece)]
                at[place] += len(piece)
            done.append(event._replace(data=data))
        return tuple(done)

    def claudes(self, value: Json) -> Json:
        """An object of Claude's own: its names are Claude's words."""
        if "message" in value and value.get("type") in KINDS:
            return {**self._fields(value), "message": _complaint(value["message"])}
        return self._fields(value)

    def _fields(self, value: Json) -> Json:
        return {name: self._value(name, one) for name, one in value.items()}

    def _value(self, name: str, value: Any) -> Any:
        if name == "input":
            return json.loads(self._arguments(json.dumps(value, ensure_ascii=False)))
        if isinstance(value, dict):
            return self.claudes(value)
        if isinstance(value, list):
            return [self._value(name, one) for one in value]
        if not isinstance(value, str) or name in KEPT:
            return value
        return self.identifier(value) if name in IDS else self._mask(name)(value)

    def _mask(self, name: str) -> Mask:
        return {"partial_json": self._arguments, "text": self._words}.get(name, filler)


def _fragment(data: Json) -> tuple[tuple[object, str], str] | None:
    """Which text a delta brings a piece of, and the piece."""
    delta = data.get("delta")
    if not isinstance(delta, dict) or "index" not in data:
        return None
    for name in FRAGMENTS:
        if isinstance(delta.get(name), str):
            return (str(data["index"]), name), delta[name]
    return None


def _asked(request: Asked) -> Asked:
    """A digest without a secret would let one guess the prompt and be told so."""
    return dataclasses.replace(request, digest=None, text=filler(request.text))


def _complaint(message: object) -> object:
    if not isinstance(message, str) or PUBLIC.fullmatch(message):
        return message
    return filler(message)


def _structured(body: object) -> bool:
    """Whether the reply's text was asked for as JSON."""
    form = body if isinstance(body, dict) else {}
    config = form.get("output_config")
    return bool(form.get("output_format") or (isinstance(config, dict) and config.get("format")))


def _declared(value: object, inside: bool = False) -> Iterator[str]:
    """The names of all properties in the schemas of a request."""
    if isinstance(value, list):
        for one in value:
            yield from _declared(one, inside)
    elif isinstance(value, dict):
        properties = value.get("properties")
        if inside and isinstance(properties, dict):
            yield from properties
        for name, one in value.items():
            if inside or name in ("tools", "output_config", "output_format"):
                yield from _declared(one, True)
