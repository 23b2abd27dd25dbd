"""How many tokens a text is: one documented estimate, used everywhere."""

from __future__ import annotations

import math

BYTES_PER_TOKEN = 3.5


def count(text: str) -> int:
    """Estimate the tokens of `text`: one for every 3.5 bytes of UTF-8, rounded up."""
    return math.ceil(len(text.encode()) / BYTES_PER_TOKEN)
