"""Whether memory stays where it is while attempts come and go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

from mockclaude.bench import goals

WARM = 200_000
"""Attempts until the journal, the prompt cache and the counts of what was asked are as full as they get."""
STEPS = 2
LEAK = 4.0
"""Bytes an attempt: what one in a hundred leaves behind, if all that it leaves is a small object or two."""


class Reading(NamedTuple):
    """The memory of a process after so many attempts, in bytes."""

    attempts: int
    memory: int


class Judged(NamedTuple):
    """By how many bytes each attempt makes it grow, once it is warm, without its largest steps and with them; None as
    long as it is not."""

    slope: float | None
    verdict: goals.Verdict
    whole: float = 0.0


def judge(readings: Sequence[Reading]) -> Judged:
    """The growth from `WARM` on, without the `STEPS` largest: a table that is full of what has gone is made anew, and
    what leaks does so all the time.
    """
    warm = [one for one in readings if one.attempts >= WARM]
    grown = sorted((later.memory - one.memory) / (later.attempts - one.attempts) for one, later in pairwise(warm))
    if len(grown) < 2 * STEPS:
        return Judged(None, "undecided")
    slope = fmean(grown[:-STEPS])
    return Judged(slope, "met" if slope <= LEAK else "missed", fmean(grown))


def told(judged: Judged) -> str:
    """In a line."""
    if judged.slope is None:
        return f"{judged.verdict}: it is full after {WARM:,} attempts only, and needs five readings from there"
    steps = f"{judged.whole:+.2f} with its {STEPS} largest steps"
    return (
        f"{judged.verdict}: {judged.slope:+.2f} bytes an attempt after the first {WARM:,}, at most {LEAK:g} ({steps})"
    )


def table(readings: Sequence[Reading]) -> Iterator[str]:
    """A line for each."""
    for one in readings:
        yield f"{one.attempts:>10,} attempts  {one.memory / 1e6:8.1f} MB"
