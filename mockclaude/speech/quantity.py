"""The numbers of a JSON schema: bounds, multiples, and how two schemas' bounds make one. Exact, as fractions."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

Said = Any
"""Any JSON: a keyword need not have what it should."""
Rules = Mapping[str, Said]

WIDE = 100
"""How wide a range is that has no other end."""
FINE = Fraction(1, 100)
TRIES = 20
NARROW = {"minimum": max, "exclusiveMinimum": max, "maximum": min, "exclusiveMaximum": min}


def whole(said: object, otherwise: int) -> int:
    """A keyword that counts something; `otherwise` where it is absent or no number."""
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said < 1e18:
        return otherwise
    return int(said)


def integer(flat: Rules, rng: random.Random) -> int:
    """A whole number within the bounds, a multiple of what is asked for."""
    step = _exact(flat.get("multipleOf"))
    return int(_drawn(flat, Fraction(step.numerator if step else 1), rng))


def number(flat: Rules, rng: random.Random) -> float:
    """A number within the bounds, to the cent where there is room."""
    step = _exact(flat.get("multipleOf"))
    if not step:
        return float(_drawn(flat, FINE, rng))
    drawn = [float(_drawn(flat, step, rng)) for _ in range(TRIES)]
    return next((one for one in drawn if (one / float(step)).is_integer()), drawn[0])  # as a validator divides


def within(one: object, flat: Rules) -> bool:
    """Whether a value keeps the bounds, if it is a number."""
    exact = _exact(one)
    if exact is None:
        return True
    low, high = _bounds(flat, Fraction(0))
    step = _exact(flat.get("multipleOf"))
    inside = (low is None or low <= exact) and (high is None or exact <= high)
    open_ends = (_exact(flat.get("exclusiveMinimum")), _exact(flat.get("exclusiveMaximum")))
    return inside and exact not in open_ends and not (step and exact % step)


def narrower(key: str, one: Said, other: Said) -> Said:
    """What two schemas say of `key`, made one: the tighter bound; of anything else the latter."""
    first, second = _exact(one), _exact(other)
    if first is None or second is None:
        return other
    if key.startswith("min") or key in NARROW:
        return NARROW.get(key, max)(one, other)
    if key.startswith("max"):
        return min(one, other)
    if key == "multipleOf" and first.denominator == second.denominator == 1:
        return math.lcm(int(first), int(second))
    return other


def _drawn(flat: Rules, step: Fraction, rng: random.Random) -> Fraction:
    low, high = _bounds(flat, step)
    if low is None:
        low = Fraction(0) if high is None else min(Fraction(0), high - WIDE)
    if high is None:
        high = low + max(Fraction(WIDE), step * WIDE)
    first, last = math.ceil(low / step), math.floor(high / step)
    if first > last:
        return (low + high) / 2
    return rng.randint(first, last) * step


def _bounds(flat: Rules, step: Fraction) -> tuple[Fraction | None, Fraction | None]:
    """Both ends; one that is open is moved inward by a thousandth of `step`."""
    inward = step / 1000
    lows = [_exact(flat.get("minimum"))]
    highs = [_exact(flat.get("maximum"))]
    if (low := _exact(flat.get("exclusiveMinimum"))) is not None:
        lows.append(low + inward)
    if (high := _exact(flat.get("exclusiveMaximum"))) is not None:
        highs.append(high - inward)
    return max((one for one in lows if one is not None), default=None), min(
        (one for one in highs if one is not None), default=None
    )


def _exact(said: object) -> Fraction | None:
    """As a fraction of what is written; None for what is no number, or no sensible one."""
    if isinstance(said, bool) or not isinstance(said, int | float) or not abs(said) < 1e15:
        return None
    return Fraction(repr(said))
