"""Where a rising load breaks the SLO: the largest rate that holds it, and how sure that is.

Add what a good answer is above the share that must be good, 1 - HELD, and take off HELD for each that is not: the sum
rises while the SLO holds and falls when it does not. At its highest point every stretch that ends there has kept the
SLO and every stretch that begins there has not (it is where the monotone regression of the goodput ratio on the rate
crosses HELD); a moment of bad luck before it is made up for, and one good answer after it is not. How far to both sides
one has to go until that stretch, and every longer one, is good or bad beyond doubt is Wilson's interval of a share.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

HELD = 0.9
"""The goodput ratio up from which the SLO is held."""
Z = 1.96
RISE = 1.1  # what rises by less is no ramp


class Breakpoint(NamedTuple):
    """From `low` to `rate` the SLO held, and from `rate` to `high` it did not, each with 97.5 % confidence. `rate` is
    None when it held to the end or never did; `low` and `high` are when no stretch is long enough to be sure."""

    rate: float | None = None
    low: float | None = None
    high: float | None = None


def find(good: Sequence[bool], rates: Sequence[float]) -> Breakpoint:
    """`good`: whether each request in the order of time was answered within the SLO; `rates`: the load's, at its
    intended start. Only what comes up to the highest rate counts, and only where that has risen."""
    peak = max(range(len(rates)), key=rates.__getitem__, default=0)
    good, rates = good[: peak + 1], rates[: peak + 1]
    if not rates or rates[-1] < RISE * rates[0]:
        return Breakpoint()
    sums = list(itertools.accumulate((1 - HELD if each else -HELD for each in good), initial=0.0))
    last = max(range(len(sums)), key=sums.__getitem__)
    counts = list(itertools.accumulate(good, initial=0))
    low = next((k for k in range(last) if _share(counts, k, last)[0] < HELD), last) - 1
    high = next((k for k in range(len(good), last, -1) if _share(counts, last, k)[1] >= HELD), last) + 1
    return Breakpoint(
        rate=None if last in (0, len(good)) else rates[last - 1],
        low=None if low < 0 else rates[low],
        high=None if high > len(good) else rates[high - 1],
    )


def _share(counts: Sequence[int], start: int, end: int) -> tuple[float, float]:
    """Wilson's interval of the share of good ones among the requests from `start` to `end`."""
    n = end - start
    share = (counts[end] - counts[start]) / n
    middle, spread = share + Z * Z / (2 * n), Z * math.sqrt(share * (1 - share) / n + (Z / (2 * n)) ** 2)
    return (middle - spread) / (1 + Z * Z / n), (middle + spread) / (1 + Z * Z / n)
