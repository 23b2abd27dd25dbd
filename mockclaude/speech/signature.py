"""The seal on what Claude thought: whoever sends thinking back must not have touched it.

A signature carries the digest of the text and a keyed MAC over everything in it, in base64 of 320 to 1,688 characters
that begins as Claude's do. The key is public, as all of this mock is: it finds an altered text, not a forger.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random

KEY = b"mockclaude thinks"
HEAD, DIGEST, MAC = 3, 16, 16
SHORTEST, LONGEST = 240, 1266
"""Bytes before base64; multiples of three, so that no character has a bit to spare."""


def sign(text: str, rng: random.Random) -> str:
    """Sign a thought; the longer it is, the longer the signature."""
    size = min(SHORTEST + len(text.encode()) // 12 * 3, LONGEST)
    rest = size - HEAD
    head = bytes((0x12, rest & 0x7F | 0x80, rest >> 7))  # field 2 of a protobuf message and its length: "E..."
    sealed = head + _digest(text) + rng.randbytes(rest - DIGEST - MAC)
    return base64.b64encode(sealed + _mac(sealed)).decode()


def valid(text: str, signature: str) -> bool:
    """Whether `signature` is ours and `text` is what it was made for; hidden thinking comes back as ''."""
    try:
        whole = base64.b64decode(signature, validate=True)
    except ValueError:
        return False
    sealed, mac = whole[:-MAC], whole[-MAC:]
    if not hmac.compare_digest(mac, _mac(sealed)):
        return False
    return text == "" or hmac.compare_digest(sealed[HEAD : HEAD + DIGEST], _digest(text))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=DIGEST).digest()


def _mac(sealed: bytes) -> bytes:
    return hashlib.blake2b(sealed, key=KEY, digest_size=MAC).digest()
