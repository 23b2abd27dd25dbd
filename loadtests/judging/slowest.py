"""The slowest requests of a run, each with what became of its attempts: where a reviewer looks first."""

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from loadtests.sample import Row, Sample

SHOWN = 10


class Step(NamedTuple):
    """One attempt, in seconds since the request was meant to start: it came, had a slot, and ended so."""

    came: float
    began: float
    ended: float
    how: str
    tokens: int

    @property
    def waited(self) -> float:
        return self.began - self.came


class Slow(NamedTuple):
    """One request; `late` is how long after its intended start it was sent."""

    request_id: str
    phase: str
    intended: float
    late: float
    e2e: float
    outcome: str
    error: str | None
    steps: tuple[Step, ...]


def of(
    samples: Sequence[Sample], attempts_of: Mapping[str, Sequence[Row]], phase_of: Mapping[str, tuple[float, float]]
) -> list[Slow]:
    """The ten that took longest from their intended start, whatever came of them; not those that we aborted at the end.
    `phase_of` has the judged phases, from their start to their end."""
    known = []
    for sample in samples:
        phases = [name for name, (start, end) in phase_of.items() if start <= sample.intended < end]
        if phases and sample.outcome != "aborted":
            known.append((sample, phases[0]))
    longest = heapq.nlargest(SHOWN, known, key=lambda each: each[0].e2e)
    return [_slow(sample, phase, attempts_of.get(sample.request_id, ())) for sample, phase in longest]


def _slow(sample: Sample, phase: str, attempts: Sequence[Row]) -> Slow:
    steps = (_step(attempt, sample.intended) for attempt in sorted(attempts, key=lambda attempt: attempt["t"]))
    told = (sample.request_id, phase, sample.intended, sample.dispatch_lag, sample.e2e, sample.outcome, sample.error)
    return Slow(*told, tuple(steps))


def _step(attempt: Row, since: float) -> Step:
    came, ended = attempt["t"] - since, attempt["ended"] - since
    return Step(came, min(ended, came + attempt["queued"]), ended, _how(attempt), attempt["output_tokens"])


def _how(attempt: Row) -> str:
    """`complete`, `529`, `left`, `left in the queue`, `fault: cut`."""
    if attempt.get("fault"):
        return f"fault: {attempt['fault']}"
    if attempt["outcome"] == "left":
        return "left" if attempt.get("read", True) else "left in the queue"
    refused = attempt["status"] is not None and attempt["status"] >= 400
    return str(attempt["status"]) if refused else str(attempt["outcome"])
