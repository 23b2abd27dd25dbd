"""How many streams a server carries: rungs 15 % apart, and the highest on which 99 of 100 tokens are in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Literal, NamedTuple

from mockclaude.bench import goals
from mockclaude.bench.load import Found
from mockclaude.bench.rounds import BUSY, NOISY, REPEATS

LOWEST, STEP = 50, 1.15
HIGHEST = 40
"""Rungs: the last is 13,000 streams."""
STRIDE = 4
"""Rungs at once while nothing is known above, or below."""
IN_TIME = 0.005
"""Seconds that the 99th of 100 tokens may be off its schedule."""
MANY = 1000
BESIDE, TWICE = "streaming+gc", 2.0

Foothold = Literal["kept", "late", "reader", "noisy"]


class Height(NamedTuple):
    """The most streams of one contender in one round; `at_least` where the reader could not follow any further."""

    n: int
    at_least: bool = False


class Judged(NamedTuple):
    """What the heights are held to: a figure a round that told, and at least how much it shall be."""

    what: str
    limit: float
    figures: tuple[float, ...]
    verdict: goals.Verdict
    why: str = ""


def streams(rung: int) -> int:
    """How many are on this rung."""
    return round(LOWEST * STEP**rung)


def foothold(found: Found) -> Foothold:
    """What one measurement says. What else ran, or a reader who could not follow, can only have made tokens late: if
    they were in time that is so, and if not nobody can tell.
    """
    if found.failed or found.short:
        return "late"
    if found.late is not None and found.late.p99 <= IN_TIME:
        return "kept"
    if found.reader > BUSY:
        return "reader"
    return "noisy" if found.wait > NOISY else "late"


def following(tried: Mapping[int, Foothold], start: int) -> int | None:
    """The rung to try next; None when the highest is known."""
    kept = max((rung for rung, found in tried.items() if found == "kept"), default=None)
    lost = min((rung for rung, found in tried.items() if found != "kept"), default=None)
    if lost is None:
        above = start if kept is None else kept + STRIDE
        return None if kept == HIGHEST else min(above, HIGHEST)
    if kept is None:
        return None if lost == 0 else max(0, lost - STRIDE)
    return None if lost - kept <= 1 else (lost + kept) // 2


def climb(measure: Callable[[int], Found], start: int) -> Height | None:
    """One round of one contender; None when the machine was not quiet."""
    tried: dict[int, Foothold] = {}
    while (rung := following(tried, start)) is not None:
        for _ in range(1 + REPEATS):
            tried[rung] = foothold(measure(streams(rung)))
            if tried[rung] != "noisy":
                break
        else:
            return None
    kept = max((rung for rung, found in tried.items() if found == "kept"), default=None)
    lost = min((rung for rung, found in tried.items() if found != "kept"), default=HIGHEST)
    return Height(0 if kept is None else streams(kept), tried.get(lost) != "late")


def start(before: Sequence[Height | None]) -> int:
    """Where to begin a round: where the last one ended."""
    known = [height.n for height in before if height is not None and height.n]
    return round(math.log(known[-1] / LOWEST, STEP)) if known else 3 * STRIDE


def judge(heights: Mapping[str, Sequence[Height | None]]) -> list[Judged]:
    """Ours against a number, and against twice what `BESIDE` carries; what was not measured is not judged."""
    ours = heights.get(goals.OURS)
    if ours is None:
        return []
    own = [(float(height.n), height.at_least) for height in ours if height is not None]
    judged = [_judged(f"streams with p99 under {IN_TIME * 1e3:g} ms", MANY, own)]
    if BESIDE in heights:
        pairs = zip(ours, heights[BESIDE], strict=True)
        told = [(a, b) for a, b in pairs if a is not None and b is not None and b.n and not b.at_least]
        ratios = [(a.n / b.n, a.at_least) for a, b in told]
        judged.append(_judged(f"streams, of {BESIDE}'s", TWICE, ratios))
    return judged


def _judged(what: str, limit: float, figures: Sequence[tuple[float, bool]]) -> Judged:
    """A figure that is too low but "at least" decides nothing."""
    told = [figure for figure, at_least in figures if figure >= limit or not at_least]
    ordered = tuple(sorted(figure for figure, _ in figures))
    kept = [figure >= limit for figure in told]
    if not kept:
        return Judged(what, limit, ordered, "undecided", "the reader is the limit" if figures else "no quiet round")
    if all(kept) or not any(kept):
        return Judged(what, limit, ordered, "met" if all(kept) else "missed")
    return Judged(what, limit, ordered, "undecided", "the rounds disagree")


def table(heights: Mapping[str, Sequence[Height | None]]) -> Iterator[str]:
    """A line for each contender: its heights round by round."""
    width = max(map(len, heights))
    for name, found in heights.items():
        known = [height.n for height in found if height is not None]
        middle = f"{median(known):6,.0f}" if known else f"{'-':>6}"
        yield f"{name:{width}}  {middle}  of {', '.join(map(_told, found))}"


def _told(height: Height | None) -> str:
    if height is None:
        return "noisy"
    return f"at least {height.n:,} (the reader is the limit)" if height.at_least else f"{height.n:,}"


def verdicts(judged: Sequence[Judged]) -> Iterator[str]:
    """A line for each."""
    for one in judged:
        said = f"{median(one.figures):.3g} [{one.figures[0]:.3g}-{one.figures[-1]:.3g}]" if one.figures else "-"
        why = f" ({one.why})" if one.why else ""
        yield f"{one.verdict:9}  {said:>24}  at least {one.limit:<7g}  {one.what}{why}"


def document(heights: Mapping[str, Sequence[Height | None]], judged: Sequence[Judged]) -> dict[str, Any]:
    """As plain values."""
    plain = {name: [height and height._asdict() for height in found] for name, found in heights.items()}
    return {"heights": plain, "goals": [one._asdict() for one in judged]}
