"""A reply as a plan: which bytes go out how many seconds after a slot was granted, all drawn from one seed."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from typing import NamedTuple

from mockclaude import content, wire
from mockclaude.latency import Profile

ROUNDING = 1e-9
"""A token due at this very moment counts as produced, whatever floating point made of its time."""


class Chunk(NamedTuple):
    """Bytes that are due `at` seconds after the slot was granted."""

    at: float
    data: bytes


class Draw(NamedTuple):
    """What decides a request's fate: the server's seed, the request's digest, and how many like it came before.

    Each purpose has its own stream of numbers, so that turning a fault on does not change what another reply says.
    """

    seed: int
    digest: bytes
    ordinal: int

    def rng(self, purpose: str) -> random.Random:
        """The numbers for `purpose`, the same in every run and whatever else the server does."""
        key = f"{self.seed}/{self.ordinal}/{purpose}/".encode() + self.digest
        return random.Random(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()))

    @property
    def request_id(self) -> str:
        """The `request-id` of the answer."""
        return wire.identifier("req_011C", 20, self.rng("request-id"))


class Reply(NamedTuple):
    """A planned reply: seconds to the first token, seconds a token, how many tokens, and the lazy run of chunks."""

    ttft: float
    pace: float
    tokens: int
    run: Iterator[Chunk]

    @property
    def seconds(self) -> float:
        """How long the slot is held: the service time."""
        return self.ttft + self.tokens * self.pace

    def produced(self, elapsed: float) -> int:
        """Tokens made `elapsed` seconds after the slot was granted: token k, from 0, is due at ttft + k * pace."""
        since_first = elapsed - self.ttft + ROUNDING
        if since_first < 0:
            return 0
        return min(self.tokens, math.floor(since_first / self.pace) + 1)


def plan(ask: wire.Ask, profile: Profile, draw: Draw) -> Reply:
    """Plan the reply to `ask` at the speed of `profile`; `speed: fast` halves TTFT and the time a token takes."""
    haste = 0.5 if ask.fast else 1.0
    ttft = profile.ttft(draw.rng("ttft")) * haste
    pace = haste / profile.tokens_per_second
    tokens = profile.length(ask.max_tokens)
    run = _events(ask, draw, ttft, pace, tokens) if ask.stream else _document(ask, draw, ttft + tokens * pace, tokens)
    return Reply(ttft, pace, tokens, run)


def _document(ask: wire.Ask, draw: Draw, at: float, tokens: int) -> Iterator[Chunk]:
    text = "".join(content.words(draw.rng("text"), tokens))
    blocks: list[dict[str, object]] = [{"type": "text", "text": text}] if tokens else []
    yield Chunk(at, wire.dumps(wire.message(ask, _message_id(draw), blocks, _stop_reason(ask, tokens), tokens)))


def _events(ask: wire.Ask, draw: Draw, ttft: float, pace: float, tokens: int) -> Iterator[Chunk]:
    """The head goes out when generation starts; TTFT counts to the first content delta."""
    padding = draw.rng("padding")
    opening = wire.message(ask, _message_id(draw), [], None, min(1, tokens))
    head = wire.event("message_start", {"message": opening}, padding)
    if tokens:
        start = {"index": 0, "content_block": {"type": "text", "text": ""}}
        head += wire.event("content_block_start", start, padding) + wire.PING
    yield Chunk(0.0, head)

    for k, word in enumerate(content.words(draw.rng("text"), tokens)):
        yield Chunk(ttft + k * pace, wire.text_delta(word, padding))

    tail = wire.event("content_block_stop", {"index": 0}, padding) if tokens else b""
    stop = {"stop_reason": _stop_reason(ask, tokens), "stop_sequence": None, "stop_details": None}
    counted = {
        "input_tokens": ask.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": tokens,
    }
    tail += wire.event("message_delta", {"delta": stop, "usage": counted}, padding)
    yield Chunk(ttft + tokens * pace, tail + wire.event("message_stop", {}, padding))


def _message_id(draw: Draw) -> str:
    return wire.identifier("msg_01", 22, draw.rng("message-id"))


def _stop_reason(ask: wire.Ask, tokens: int) -> str:
    return "max_tokens" if tokens == ask.max_tokens else "end_turn"
