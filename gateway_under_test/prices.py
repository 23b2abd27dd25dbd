"""What tokens cost: Claude's public price list, as genai-prices carries it; nothing is fetched."""

from __future__ import annotations

from typing import NamedTuple

import genai_prices
from genai_prices import data_snapshot
from genai_prices.types import ModelPrice, PriceCalculation, TieredPrices

MOST = 100
"""Models whose rates are kept, because callers may invent names that the list takes for those it knows."""


class Used(NamedTuple):
    """Tokens as Claude counts them: `input` are those that no prompt cache was involved in."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0


EACH = (Used(1, 0), Used(0, 1), Used(0, 0, 1), Used(0, 0, 0, 1))


class Prices:
    """The list, read when this is made: that takes a tenth of a second, which no caller should wait for.

    To ask it costs a tenth of a millisecond, and there is one answer for each attempt. So a model whose price is the
    same at any length and on any day is looked up once, for a token of each kind.
    """

    def __init__(self) -> None:
        data_snapshot.get_snapshot()
        self._rates: dict[str, tuple[float, ...]] = {}

    def dollars(self, model: str | None, used: Used) -> float | None:
        """The price of `used` in US dollars; None for a model without a known price."""
        model = model or ""
        rates = self._rates.get(model)
        if rates is not None:
            return sum(count * rate for count, rate in zip(used, rates, strict=True))
        try:
            asked = _asked(model, used)
        except LookupError:
            return None
        if len(self._rates) < MOST and _is_flat(asked):
            self._rates[model] = tuple(float(_asked(model, one).total_price) for one in EACH)
        return float(asked.total_price)


def _asked(model: str, used: Used) -> PriceCalculation:
    usage = genai_prices.Usage(
        input_tokens=used.input + used.cache_read + used.cache_write,
        output_tokens=used.output,
        cache_read_tokens=used.cache_read,
        cache_write_tokens=used.cache_write,
    )
    return genai_prices.calc_price(usage, model, provider_id="anthropic")


def _is_flat(asked: PriceCalculation) -> bool:
    """Whether twice as many tokens cost twice as much, today as tomorrow."""
    prices = asked.model.prices
    return isinstance(prices, ModelPrice) and not any(isinstance(one, TieredPrices) for one in vars(prices).values())
