"""What the figures are held to, and whether they are good, bad, or of a round too noisy to tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mockclaude.bench.load import Found
from mockclaude.bench.rounds import BUSY, STARVED, Measured, Row, quiet

OURS = "mockclaude"
UNHEARD = "mockclaude (new prompts)"
BUSY_ENOUGH, BUSIEST = 0.7, 0.82
"""Of a core: four fifths, and what one measurement is off from the next."""

Rounds = Mapping[str, Sequence[Measured]]
"""Those of each contender a goal names."""
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
    """How far the rate is from the one asked for, as long as the server has a fifth of its core to spare."""
    if found.rate is None or (found.busy or 0.0) > BUSIEST:
        return None
    return abs(found.rate - 1)


def full_drift(found: Found) -> float | None:
    """The same, where four fifths of the core were in use, or nearly."""
    return drift(found) if (found.busy or 0.0) > BUSY_ENOUGH else None


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
JSON = (
    Goal("CPU an answer, of FastAPI's with pydantic models", 32, cpu, 1 / 3, "json_reply"),
    Goal("the same for prompts never seen", 32, cpu, 1 / 3, "json_reply", UNHEARD),
)


def full(n: int) -> Goal:
    """With as many callers as fill four fifths of a core, whatever a token costs."""
    return Goal("rate off by, with four fifths of a core in use", n, full_drift, 0.001)


ABSOLUTE = (late, first)
"""Times: a round in which the machine was not ours alone says nothing of them."""


def judge(goals: Sequence[Goal], rows: Sequence[Row], times: Sequence[Figure] = ABSOLUTE) -> list[Judged]:
    """The goals whose figures were measured; those of `times` count from quiet rounds alone."""
    by_name = {(row.name, row.n): row for row in rows}
    judged = []
    for goal in goals:
        measured = {name: by_name.get((name, goal.n)) for name in (goal.own, goal.beside) if name}
        found = {name: row.rounds for name, row in measured.items() if row is not None}
        if len(found) == len(measured):
            judged.append(_judged(goal, found, times))
    return judged


def _judged(goal: Goal, rounds: Rounds, times: Sequence[Figure]) -> Judged:
    what = f"{goal.what}, {goal.n} {goal.counted}"
    if any(found.failed or found.short for found in rounds[goal.own]):
        return Judged(what, goal.limit, (), "missed", "answers failed or were short")
    if failed := [name for name, each in rounds.items() if any(found.failed or found.short for found in each)]:
        return Judged(what, goal.limit, (), "undecided", f"answers of {' and '.join(failed)} failed or were short")
    figures = tuple(sorted(_figures(goal, rounds, times)))
    if not figures:
        return Judged(what, goal.limit, (), "undecided", _why_none(goal, rounds))
    kept = [figure <= goal.limit for figure in figures]
    if all(kept):
        return Judged(what, goal.limit, figures, "met")
    if not any(kept):
        return Judged(what, goal.limit, figures, "missed")
    return Judged(what, goal.limit, figures, "undecided", "the rounds disagree")


def _why_none(goal: Goal, rounds: Rounds) -> str:
    found = [one for each in rounds.values() for one in each]
    busiest, starved = max(one.reader for one in found), max(one.wait for one in found)
    if busiest > BUSY:
        return f"the reader's core was {busiest:.0%} busy"
    if starved > STARVED:
        return f"one stood without a CPU for {starved:.0%} of the time"
    if goal.figure in (drift, full_drift):
        used = ", ".join(f"{one.busy or 0:.0%}" for one in rounds[goal.own] if isinstance(one, Found))
        least = f"{BUSY_ENOUGH:.0%} to " if goal.figure is full_drift else ""
        return f"of its core it used {used}, expected {least}{BUSIEST:.0%} at most"
    return "no quiet round"


def _figures(goal: Goal, rounds: Rounds, times: Sequence[Figure]) -> Iterator[float]:
    """One for each round that can tell, of which a time needs the quiet ones."""
    timed = goal.figure in times
    for all_of_one in zip(*rounds.values(), strict=True):
        if any(found.reader > BUSY or found.wait > STARVED or (timed and not quiet(found)) for found in all_of_one):
            continue
        found = dict(zip(rounds, map(goal.figure, all_of_one), strict=True))
        own, of = found[goal.own], found.get(goal.beside, 1.0)
        if own is not None and of:
            yield own / of
