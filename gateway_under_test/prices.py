"""What tokens cost: Claude's public price list, as genai-prices carries it; nothing is fetched."""

from __future__ import annotations

from typing import NamedTuple

import genai_prices
from genai_prices import data_snapshot


class Used(NamedTuple):
    """Tokens as Claude counts them: `input` are those that no prompt cache was involved in."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0


def load() -> None:
    """Read the list now: that takes a tenth of a second, which no caller should wait for."""
    data_snapshot.get_snapshot()


def dollars(model: str | None, used: Used) -> float | None:
    """The price of `used` in US dollars; None for a model without a known price."""
    usage = genai_prices.Usage(
        input_tokens=used.input + used.cache_read + used.cache_write,
        output_tokens=used.output,
        cache_read_tokens=used.cache_read,
        cache_write_tokens=used.cache_write,
    )
    try:
        return float(genai_prices.calc_price(usage, model or "", provider_id="anthropic").total_price)
    except LookupError:
        return None
