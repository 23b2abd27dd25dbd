"""Chance that can be repeated: every decision about a request has its own stream of numbers."""

from __future__ import annotations

import hashlib
import random
from typing import NamedTuple

from mockclaude import wire


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
