"""Chance that can be repeated: every decision about a request has its own stream of numbers."""

from __future__ import annotations

import hashlib
import random
from typing import NamedTuple

from mockclaude import wire

ID_BYTES = 20
"""More than the 22 letters of an id can tell apart."""


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
        return random.Random(self._number(purpose, 8))

    @property
    def request_id(self) -> str:
        """The `request-id` of the answer."""
        return wire.spelled("req_011C", 20, self._number("request-id" + "-stream" * self.stream, ID_BYTES))

    @property
    def message_id(self) -> str:
        """The id of the message."""
        return wire.spelled("msg_01", 22, self._number("message-id", ID_BYTES))

    def _number(self, purpose: str, size: int) -> int:
        key = f"{self.seed}/{self.ordinal}/{purpose}/".encode() + self.digest
        return int.from_bytes(hashlib.blake2b(key, digest_size=size).digest())
