"""Chance that can be repeated: every decision about a request has its own stream of numbers."""

from __future__ import annotations

import hashlib
import random
from typing import NamedTuple

from mockclaude import wire

WORD = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


class Few(random.Random):
    """Chance for a few numbers (splitmix64): made in a tenth of the time that Python's own takes, whose every number is
    cheaper. It begins at `number`, below 2**64.
    """

    def __init__(self, number: int) -> None:
        self._state = number
        self.gauss_next = None

    def random(self) -> float:
        """From 0 to 1."""
        return (self._next() >> 11) * 2**-53

    def getrandbits(self, k: int, /) -> int:
        """So many bits."""
        bits = 0
        for _ in range(0, k, 64):
            bits = bits << 64 | self._next()
        return bits >> (-k % 64)

    def _next(self) -> int:
        self._state = z = (self._state + STEP) & WORD
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
        return z ^ (z >> 31)


class Draw(NamedTuple):
    """What decides a request's fate: the server's seed, the request's digest, and how many like it came before.

    Each purpose has its own stream of numbers, so that turning a fault on does not change what another reply says. A
    request for a stream is counted apart from one for JSON (`stream`): the first of each are told the same message.
    """

    seed: int
    digest: bytes
    ordinal: int
    stream: bool = False

    def rng(self, purpose: str) -> random.Random:
        """The numbers for `purpose`, the same in every run and whatever else the server does."""
        return random.Random(self.number(purpose))

    def few(self, purpose: str) -> random.Random:
        """The same, for a dozen numbers at most."""
        return Few(self.number(purpose))

    def number(self, purpose: str) -> int:
        """One number for `purpose`, below 2**64: making an `rng` costs ten times as much."""
        return int.from_bytes(self._bytes(purpose, 8))

    @property
    def request_id(self) -> str:
        """The `request-id` of the answer."""
        return wire.spelled("req_011C", self._bytes("request-id-stream" if self.stream else "request-id", 20))

    @property
    def message_id(self) -> str:
        """The id of the message."""
        return wire.spelled("msg_01", self._bytes("message-id", 22))

    def _bytes(self, purpose: str, size: int) -> bytes:
        return hashlib.blake2b(
            b"%d/%d/%b/%b" % (self.seed, self.ordinal, purpose.encode(), self.digest), digest_size=size
        ).digest()
