"""A request as Claude understands it: opened on arrival, labelled for the journal, then judged in Claude's order.

JSON is read by orjson: its words for what is not JSON are the ones Claude's refusals have [B].
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from mockclaude import cache, catalog, roster, tokens, wire
from mockclaude.request import beta, body, intake, rules

BODY_LIMIT = intake.LIMIT
MARKER = re.compile(r"\[id:([^\]]{1,256})\]")
"""No longer: a text full of beginnings would be read to its end from each of them."""

ASIDE = ("metadata", "stream")
"""What of a request does not change its answer."""


class Letter(NamedTuple):
    """A request as it came in, before it is judged: its JSON if it is any, and the digest that seeds its fate.

    One that is remembered (`memory`) keeps what it was `judged` to be, and nobody must change its data.
    """

    data: Any
    digest: bytes
    error: wire.ApiError | None = None
    judged: dict[object, tuple[Door, Any]] | None = None


class Door(NamedTuple):
    """Who may come in: any key, or only these; with which betas, any or only known ones; and for which models."""

    keys: frozenset[str] = frozenset()
    strict_betas: bool = False
    models: roster.Roster = roster.EVERYBODY


ANYONE = Door()
NO_BETAS = frozenset[str]()


class Caller(NamedTuple):
    """Who asks, and in which version of the API."""

    key: str
    version: str
    betas: frozenset[str]


class Labels(NamedTuple):
    """What can be told of any request, even one that will be refused."""

    model: str | None
    stream: bool | None
    request_id: str | None


class Ask(NamedTuple):
    """A request Claude would answer. `body` is its JSON, found valid; `input_tokens` counts the whole prompt.

    `marks` are the ends of its blocks for the prompt cache, none without a breakpoint.
    """

    key: str
    version: str
    betas: frozenset[str]
    model: catalog.Model
    body: tokens.Json
    input_tokens: int
    marks: Sequence[cache.Mark] = ()

    @property
    def max_tokens(self) -> int:
        """The most tokens the reply may have, thinking included."""
        return int(self.body["max_tokens"])

    @property
    def stream(self) -> bool:
        """Whether the reply is a stream."""
        return bool(self.body.get("stream"))

    @property
    def stop_sequences(self) -> Sequence[str]:
        """Texts that end the reply."""
        return self.body.get("stop_sequences") or ()

    @property
    def geography(self) -> str:
        """Where it is answered, as `usage.inference_geo` says it."""
        return self.body.get("inference_geo") or self.model.geography

    @property
    def fast(self) -> bool:
        """Whether fast mode is asked for."""
        return self.body.get("speed") == "fast"


def received(whole: intake.Intake) -> Letter:
    """Read a body that has come in; what is wrong with its encoding is said later, in Claude's order."""
    try:
        return open_letter(whole.body())
    except wire.ApiError as error:
        return Letter(None, _digest(error.message.encode()), error.again())


def open_letter(raw: bytes | bytearray) -> Letter:
    """Read a body leniently. The digest leaves out who asks, and whether for a stream: that changes no answer."""
    if len(raw) > BODY_LIMIT:
        return Letter(None, _digest(raw), wire.ApiError(413))
    try:
        data = orjson.loads(raw)
        rest = {name: value for name, value in data.items() if name not in ASIDE} if isinstance(data, dict) else data
        canonical = orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONDecodeError as error:
        return Letter(None, _digest(raw), wire.no_json(str(error)))
    except orjson.JSONEncodeError:  # more than 254 levels deep
        return Letter(None, _digest(raw), wire.no_json("depth limit exceeded"))
    return Letter(data, _digest(canonical))


def labels(letter: Letter, headers: Mapping[str, str]) -> Labels:
    """The model, the mode and the caller's own id: header `x-request-id`, `metadata.user_id`, or `[id:...]`."""
    data = letter.data if isinstance(letter.data, dict) else {}
    model, stream, metadata = data.get("model"), data.get("stream", False), data.get("metadata")
    user_id = metadata.get("user_id") if isinstance(metadata, dict) else None
    request_id = headers.get("x-request-id") or user_id or _marker(data.get("messages"))
    return Labels(
        model if isinstance(model, str) else None,
        stream if isinstance(stream, bool) and data else None,
        request_id if isinstance(request_id, str) else None,
    )


def credential(headers: Mapping[str, str]) -> str:
    """The key a caller shows, or ''; `x-api-key` wins over a bearer token."""
    if key := headers.get("x-api-key", "").strip():
        return key
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def admitted(headers: Mapping[str, str], door: Door = ANYONE) -> Caller:
    """Let a caller in; raises `ApiError` 400 or 401."""
    key = credential(headers)
    if not key:
        raise wire.ApiError(401, "x-api-key header is required")
    if door.keys and key not in door.keys:
        raise wire.ApiError(
            401, "invalid x-api-key" if headers.get("x-api-key", "").strip() else "Invalid bearer token"
        )
    version = headers.get("anthropic-version")
    if version is None:
        raise wire.ApiError(400, "anthropic-version: header is required")
    if version not in body.VERSIONS:  # [C] no capture of this text is known
        raise wire.ApiError(400, f'anthropic-version: "{version}" is not a valid version')
    named = betas(headers)
    if door.strict_betas:
        beta.check(named)
    return Caller(key, version, named)


def betas(headers: Mapping[str, str]) -> frozenset[str]:
    """The names in `anthropic-beta`, an open list."""
    said = headers.get("anthropic-beta")
    return frozenset(name.strip() for name in said.split(",") if name.strip()) if said else NO_BETAS


def parse(letter: Letter, headers: Mapping[str, str], door: Door = ANYONE) -> Ask:
    """Judge a request for a message in Claude's order; raises `ApiError` 400, 401, 404 or 413 in Claude's words."""
    caller = _judged(letter, headers, door)
    asked = body.created(letter.data, caller.version)
    model, parts = _read(asked, caller, door)
    size = tokens.of_parts(parts, model.token_scale)
    rules.fits(asked, model, size, caller.betas)
    return Ask(*caller, model, asked, size, cache.marks(asked, model, caller.key, parts))


def counted(letter: Letter, headers: Mapping[str, str], door: Door = ANYONE) -> int:
    """The tokens of the prompt, for a request that only wants to know; judged and refused as one for a message is."""
    caller = _judged(letter, headers, door)
    model, parts = _read(body.counted(letter.data), caller, door)
    return tokens.of_parts(parts, model.token_scale)


def _judged(letter: Letter, headers: Mapping[str, str], door: Door) -> Caller:
    """All that comes before the body; a 413 is Cloudflare's, who asks nobody's name."""
    if letter.error is not None and letter.error.status == 413:
        raise letter.error.again()
    caller = admitted(headers, door)
    if letter.error is not None:
        raise letter.error.again()
    return caller


def _read(asked: tokens.Json, caller: Caller, door: Door) -> tuple[catalog.Model, Sequence[tokens.Part]]:
    model = door.models.find(asked["model"])
    if model is None:
        raise wire.ApiError(404, f"model: {asked['model']}")
    rules.check(asked, model, caller.version, caller.betas)
    return model, list(tokens.parts(asked, model.token_scale, model.keeps_thinking))


def plain(content: object) -> str:
    """The text of a message's or a system prompt's content."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (block.get("text") for block in content if isinstance(block, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def last_user_text(messages: object) -> str:
    """The text of the last user message."""
    listed = messages if isinstance(messages, list) else []
    users = [one for one in listed if isinstance(one, dict) and one.get("role") == "user"]
    return plain(users[-1].get("content")) if users else ""


def _marker(messages: object) -> str | None:
    """`[id:...]` in the last user text."""
    found = MARKER.findall(last_user_text(messages))
    return str(found[-1]) if found else None


def _digest(data: bytes | bytearray) -> bytes:
    return hashlib.sha256(data).digest()[:16]  # processors have it: a third of what blake2 takes
