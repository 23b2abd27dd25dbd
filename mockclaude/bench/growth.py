"""How what something costs grows with its size, and whether that is faster than linearly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from mockclaude.bench import goals

STEEPEST = 1.15
"""Cost grows like size to the power of this at most: the rest is what one measurement is off from the next."""
SCALES: Mapping[str, Sequence[tuple[float, str]]] = {
    "s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bytes": ((1e6, "MB"), (1e3, "KB"), (1, "bytes")),
}


class Cost(NamedTuple):
    """What something costs at one size: `each` as people think of it, `total` as it may grow with the size.

    `quiet` is false of a time that something else on the machine had a part in.
    """

    what: str
    each: float
    total: float
    unit: Literal["s", "bytes"] = "s"
    quiet: bool = True


class Point(NamedTuple):
    """Everything measured at one size of a series."""

    size: int
    costs: tuple[Cost, ...]

    def least(self, other: Point) -> Point:
        """Measured twice: whatever else the machine did can only have made it dearer."""
        pairs = zip(self.costs, other.costs, strict=True)
        return Point(self.size, tuple(min(one, two, key=lambda cost: cost.total) for one, two in pairs))


class Curve(NamedTuple):
    """One cost of a series, at each of its sizes."""

    series: str
    what: str
    unit: str
    sizes: tuple[int, ...]
    each: tuple[float, ...]
    totals: tuple[float, ...]
    quiet: bool = True

    @property
    def exponents(self) -> tuple[float | None, ...]:
        """From each size to the next: 0, the same; 1, linear; 2, quadratic. None from size 0 or from no cost."""
        found = []
        for (size, total), (larger, dearer) in pairwise(zip(self.sizes, self.totals, strict=True)):
            known = size > 0 and total > 0 and dearer > 0
            found.append(math.log(dearer / total) / math.log(larger / size) if known else None)
        return tuple(found)

    @property
    def steepest(self) -> float:
        """The largest exponent, 0 if there is none."""
        return max((one for one in self.exponents if one is not None), default=0.0)

    @property
    def verdict(self) -> goals.Verdict:
        """Whether it grows as its size at most; of a time that is too steep on a busy machine nobody knows."""
        if self.steepest <= STEEPEST:
            return "met"
        return "missed" if self.quiet else "undecided"


def curves(series: str, points: Sequence[Point]) -> list[Curve]:
    """The costs of a series one by one; a cost that not all sizes have begins at the first that has it."""
    named = dict.fromkeys(cost.what for point in points for cost in point.costs)
    found = []
    for what in named:
        known = [(point.size, cost) for point in points for cost in point.costs if cost.what == what]
        sizes, costs = zip(*known, strict=True)
        each, totals = tuple(cost.each for cost in costs), tuple(cost.total for cost in costs)
        found.append(Curve(series, what, costs[0].unit, sizes, each, totals, all(cost.quiet for cost in costs)))
    return found


def steep(series: str, points: Sequence[Point]) -> list[int]:
    """The sizes to measure again: both ends of every step that looks faster than linear."""
    again: set[int] = set()
    for curve in curves(series, points):
        for (size, larger), exponent in zip(pairwise(curve.sizes), curve.exponents, strict=True):
            if exponent is not None and exponent > STEEPEST:
                again |= {size, larger}
    return sorted(again)


def table(found: Sequence[Curve], counts: Mapping[str, str]) -> Iterator[str]:
    """A line for each size, costs beside each other; `counts` says of what there are so many."""
    for series in dict.fromkeys(curve.series for curve in found):
        own = [curve for curve in found if curve.series == series]
        yield f"{series}: {counts[series]}"
        yield "  ".join([f"{'':>10}", *(f"{curve.what:>34}" for curve in own)])
        for size in own[0].sizes:
            yield "  ".join([f"{size:>10,}", *(f"{_cell(curve, size):>34}" for curve in own)])
        yield ""


def _cell(curve: Curve, size: int) -> str:
    """What it costs, and the power of the size by which it grew to there."""
    if size not in curve.sizes:
        return "-"
    at = curve.sizes.index(size)
    exponent = curve.exponents[at - 1] if at else None
    grown = f"{'':8}" if exponent is None else f"(^{exponent:+.2f})"
    return f"{told(curve.each[at], curve.unit)}  {grown}"


def told(value: float, unit: str) -> str:
    """Three figures and a unit: 65.9 ms."""
    scales = SCALES[unit]
    size, name = next((scale for scale in scales if value >= scale[0]), scales[-1])
    return f"{value / size:.3g} {name}"


def verdicts(found: Sequence[Curve]) -> Iterator[str]:
    """A line for each cost."""
    for curve in found:
        faster = {"met": "", "missed": ": faster than linear", "undecided": ": the machine was busy"}[curve.verdict]
        yield f"{curve.verdict:9}  ^{curve.steepest:<+6.2f} at most ^{STEEPEST}  {curve.series}: {curve.what}{faster}"


def document(found: Sequence[Curve]) -> list[dict[str, Any]]:
    """As plain values."""
    return [
        {**curve._asdict(), "exponents": curve.exponents, "verdict": curve.verdict, "limit": STEEPEST}
        for curve in found
    ]
