"""The prompt cache: which beginnings of prompts are known, for how long, and what reading and writing them counts as.

As documented (platform.claude.com/docs: prompt caching): a prompt is read as tools, system, messages; `cache_control`
on a block asks to keep everything up to its end, and at the top level, up to the last block that can be kept. Nothing
is written but at such a breakpoint; a lookup starts at each breakpoint and goes back over at most 20 blocks. Reading
an entry renews it. Where the longest hit ends at A, the last breakpoint for an hour at B and the last of all at C,
A is read, A to B written for an hour, B to C for five minutes, and the rest is input.

A prefix is known by a chain of digests, one a block. What changes the prompt without being a block of it goes into the
chain where it takes effect: the model and the caller's key before the tools, `speed` and a format for the output
before the system prompt, `tool_choice`, `thinking` and whether there is any image before the messages.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from mockclaude import catalog, tokens

MINUTES, HOUR = 300.0, 3600.0
LOOKBACK = 20
"""Blocks that are tried for each breakpoint, its own among them."""
PREFIXES_KEPT = 100_000
ORDER = {"tools": 0, "system": 1}
"""Where parts of a prompt stand; messages come last, by whatever role."""
NEVER_MARKED = ("thinking", "redacted_thinking")

Json = Mapping[str, Any]


class Mark(NamedTuple):
    """The end of a block: the digest and the tokens of the prompt up to here, and for how many seconds to keep it.

    `ttl` is None where the prompt has no breakpoint.
    """

    digest: bytes
    tokens: int
    ttl: float | None = None


class Reading(NamedTuple):
    """What the cache made of a prompt, in tokens."""

    read: int = 0
    written_5m: int = 0
    written_1h: int = 0


class Cache:
    """All the prefixes that one mock knows: at most `limit`, the longest unused forgotten first.

    `now` is in seconds on one steady clock.
    """

    def __init__(self, limit: int = PREFIXES_KEPT) -> None:
        self._limit = limit
        self._entries: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, marks: Sequence[Mark], minimum: int, now: float) -> Reading:
        """Read what is known of a prompt and keep what it asks to keep, in one step.

        Breakpoints after less than `minimum` tokens are silently passed over.
        """
        points = [at for at, mark in enumerate(marks) if mark.ttl is not None and mark.tokens >= minimum]
        hit = max((self._longest(marks, point, now) for point in points), default=-1)
        for at in sorted({*points, hit} - {-1}):
            self._keep(marks[at], now)
        known = marks[hit].tokens if hit >= 0 else 0
        hour = max([marks[at].tokens for at in points if marks[at].ttl == HOUR], default=0)
        last = max([marks[at].tokens for at in points], default=0)
        hour = max(hour, known)
        return Reading(known, max(0, last - hour), hour - known)

    def _longest(self, marks: Sequence[Mark], point: int, now: float) -> int:
        """Where the longest known prefix ends that can be seen from this breakpoint; -1 if there is none."""
        for at in range(point, max(point - LOOKBACK, -1), -1):
            if self._alive(marks[at].digest, now):
                return at
        return -1

    def _alive(self, digest: bytes, now: float) -> bool:
        entry = self._entries.get(digest)
        return entry is not None and now < entry[0]

    def _keep(self, mark: Mark, now: float) -> None:
        """Begin or renew an entry; one that is alive keeps the time it was written for."""
        ttl = self._entries[mark.digest][1] if self._alive(mark.digest, now) else mark.ttl or MINUTES
        self._entries[mark.digest] = now + ttl, ttl
        self._entries.move_to_end(mark.digest)
        while len(self._entries) > self._limit or next(iter(self._entries.values()))[0] <= now:
            self._entries.popitem(last=False)


def marks(body: Json, model: catalog.Model, key: str, parts: Sequence[tokens.Part] = ()) -> list[Mark]:
    """The ends of all blocks of a prompt; none when it has no breakpoint. `key` keeps callers apart.

    `parts` are the prompt's, where it has been read before.
    """
    if not _asked(body):
        return []
    parts = parts or list(tokens.parts(body, model.token_scale, model.keeps_thinking))
    try:
        digests = _digests(parts, [[key, model.id], *_beside(body, parts)])
    except orjson.JSONEncodeError:  # too deep for JSON by a few levels: not worth keeping
        return []
    marked, automatic = _automatic(body, parts)
    found, weight = [], tokens.Weight()
    for at, (part, digest) in enumerate(zip(parts, digests, strict=True)):
        weight = weight.plus(part.weight)
        ttl = _ttl(part.block) or (automatic if at == marked else None)
        found.append(Mark(digest, weight.tokens(model.token_scale), ttl))
    return found


def _digests(parts: Sequence[tokens.Part], beside: list[list[object]]) -> list[bytes]:
    """The chain, one link a block; `beside` has what comes before the tools, the system prompt and the messages."""
    digest, entered, chain = b"", -1, []
    for part in parts:
        while entered < ORDER.get(part.place, 2):
            entered += 1
            digest = _chained(digest, beside[entered])
        digest = _chained(digest, [part.place, _bare(part.block)])
        chain.append(digest)
    return chain


def _asked(body: Json) -> bool:
    """Whether there is any breakpoint: most prompts have none, and are not worth a digest."""
    if _control(body) is not None:
        return True
    contents = [body.get("tools"), body.get("system")]
    contents += [message.get("content") for message in tokens.blocks(body.get("messages"))]
    return any(_ttl(block) for content in contents if isinstance(content, list) for block in tokens.blocks(content))


def _automatic(body: Json, parts: Sequence[tokens.Part]) -> tuple[int, float | None]:
    """The block that `cache_control` at the top level marks, the last that can be kept, and for how long."""
    for at in range(len(parts) - 1, -1, -1):
        block = parts[at].block
        if block.get("type") not in NEVER_MARKED and (block.get("type") != "text" or block.get("text")):
            return at, _control(body)
    return -1, None


def _beside(body: Json, parts: Sequence[tokens.Part]) -> list[list[object]]:
    """What changes the prompt from the system prompt on, and what does so from the messages on."""
    config = body.get("output_config")
    form = config.get("format") if isinstance(config, Mapping) else None
    shown = any(_shows(part.block) for part in parts)
    choice = body.get("tool_choice") or {"type": "auto"}
    return [[body.get("speed") == "fast", form], [choice, body.get("thinking"), shown]]


def _shows(block: Json) -> bool:
    """Whether a block is an image, or the result of a tool with one."""
    if block.get("type") == "tool_result":
        return any(one.get("type") == "image" for one in tokens.blocks(block.get("content")))
    return block.get("type") == "image"


def _ttl(block: Json) -> float | None:
    """For how long to keep the prompt up to this block; a breakpoint inside a tool's result is one at its end."""
    ttl = _control(block)
    if ttl is None and block.get("type") == "tool_result":
        return max(filter(None, map(_control, tokens.blocks(block.get("content")))), default=None)
    return ttl


def _control(holder: Json) -> float | None:
    control = holder.get("cache_control")
    if not isinstance(control, dict):
        return None
    return HOUR if control.get("ttl") == "1h" else MINUTES


def _bare(block: Json, inside: bool = False) -> Json:
    """A block without its breakpoints, and with the digest of a file in place of the file."""
    bare = {name: value for name, value in block.items() if name != "cache_control"}
    source, content = bare.get("source"), bare.get("content")
    if isinstance(source, Mapping) and isinstance(source.get("data"), str):
        bare["source"] = {**source, "data": _digest(source["data"].encode("utf-8", "surrogatepass")).hex()}
    if isinstance(content, list) and not inside:
        bare["content"] = [_bare(one, inside=True) if isinstance(one, Mapping) else one for one in content]
    return bare


def _chained(digest: bytes, value: object) -> bytes:
    return _digest(digest + orjson.dumps(value))


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]
