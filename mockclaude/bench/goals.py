"""What the figures are held to, and whether they are good, bad, or of a round too noisy to tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from mockclaude.bench.load import Found
from mockclaude.bench.rounds import Row, quiet

OURS = "mockclaude"

Verdict = Literal["met", "missed", "undecided"]
Figure = Callable[[Any], float | None]
"""Of what `rounds` measured; None where it was not."""


class Goal(NamedTuple):
    """A figure of `own` at `n` callers, or its share of that of `beside`, is at most `limit`."""

    what: str
    n: int
    figure: Figure
    limit: float
    beside: str = ""
    own: str = OURS
    counted: str = "callers"


class Judged(NamedTuple):
    """A goal's verdict with the figures of the rounds it rests on, lowest to highest."""

    what: str
    limit: float
    figures: tuple[float, ...]
    verdict: Verdict
    why: str = ""


def cpu(found: Found) -> float | None:
    """Seconds of CPU for each token or answer."""
    return found.cpu


def late(found: Found) -> float | None:
    """99 of 100 tokens came within so many seconds of their schedule."""
    return found.late and found.late.p99


def first(found: Found) -> float | None:
    """99 of 100 first tokens came within so many seconds of their schedule."""
    return found.first and found.first.p99


def drift(found: Found) -> float | None:
    """How far the rate is from the one asked for."""
    return None if found.rate is None else abs(found.rate - 1)


def memory(found: Found) -> float | None:
    """Bytes a caller."""
    return found.memory


MOCK = (
    Goal("CPU a token, of naive's", 300, cpu, 1 / 3.5, "naive"),
    Goal("CPU a token, of StreamingResponse's", 300, cpu, 1 / 1.8, "streaming"),
    Goal("rate off by", 300, drift, 0.001),
    Goal("p99 of |arrival - schedule|, s", 300, late, 0.002),
    Goal("p99 of |arrival - schedule|, s", 1000, late, 0.005),
)
IDLE = (
    Goal("p99 of |first token - schedule|, s", 10_000, first, 0.005),
    Goal("memory a caller, bytes", 10_000, memory, 30_000),
)
JSON = (Goal("CPU an answer, of FastAPI's with pydantic models", 32, cpu, 1 / 3, "json_reply"),)
ABSOLUTE = (late, first)
"""Times: a round in which the machine was not ours alone says nothing of them."""


def judge(goals: Sequence[Goal], rows: Sequence[Row], times: Sequence[Figure] = ABSOLUTE) -> list[Judged]:
    """The goals whose figures were measured; those of `times` count from quiet rounds alone."""
    by_name = {(row.name, row.n): row for row in rows}
    judged = []
    for goal in goals:
        own, other = by_name.get((goal.own, goal.n)), by_name.get((goal.beside, goal.n))
        if own is not None and (other is not None or not goal.beside):
            judged.append(_judged(goal, own, other, times))
    return judged


def _judged(goal: Goal, own: Row, other: Row | None, times: Sequence[Figure]) -> Judged:
    what = f"{goal.what}, {goal.n} {goal.counted}"
    if any(found.failed or found.short for found in own.rounds):
        return Judged(what, goal.limit, (), "missed", "answers failed or were short")
    figures = tuple(sorted(_figures(goal, own, other, times)))
    if not figures:
        return Judged(what, goal.limit, (), "undecided", "no quiet round")
    kept = [figure <= goal.limit for figure in figures]
    if all(kept):
        return Judged(what, goal.limit, figures, "met")
    if not any(kept):
        return Judged(what, goal.limit, figures, "missed")
    return Judged(what, goal.limit, figures, "undecided", "the rounds disagree")


def _figures(goal: Goal, own: Row, other: Row | None, times: Sequence[Figure]) -> Iterator[float]:
    """One for each round that can tell, of which a time needs the quiet ones."""
    beside = [None] * len(own.rounds) if other is None else other.rounds
    for one, two in zip(own.rounds, beside, strict=True):
        if goal.figure in times and not (quiet(one) and (two is None or quiet(two))):
            continue
        figure, of = goal.figure(one), 1.0 if two is None else goal.figure(two)
        if figure is not None and of is not None:
            yield figure / of
