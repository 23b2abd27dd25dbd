"""When requests are meant to start, and what each asks: the schedule of a run, whatever the server does."""

import dataclasses
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Protocol

WORDS = [
    "queue",
    "retry",
    "budget",
    "latency",
    "stream",
    "token",
    "gateway",
    "slot",
    "burst",
    "jitter",
    "limit",
    "deadline",
    "breaker",
    "shed",
    "hedge",
    "backlog",
    "timeout",
    "recovery",
    "throughput",
    "percentile",
    "arrival",
    "capacity",
    "overload",
    "collapse",
    "goodput",
    "attempt",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """`at`: intended start, seconds since T0. `request_id` names it in every program's records."""

    at: float
    request_id: str
    message: str


class Load(Protocol):
    @property
    def arrivals(self) -> str: ...
    @property
    def rate(self) -> float: ...


def schedule(
    load: Load, seconds: float, seed: int, variant: str, rates: Sequence[tuple[float, float]] = ()
) -> list[Arrival]:
    """Every arrival of a run of `seconds`. Times depend on load and seed alone: each variant meets the same crowd.

    `rates`: (from, rate) in the order of time; from that moment on, the load comes at this rate and not at its own.
    """
    counts = COUNTS[load.arrivals](random.Random(f"{seed}:arrivals"))
    prompts = random.Random(f"{seed}:prompts")
    times = _at_rates(counts, [(0.0, load.rate), *rates])
    starts = itertools.takewhile(lambda at: at < seconds, (round(at, 6) for at in times))
    return [
        Arrival(at, f"{variant}-{seed}-{number:06d}", question(number, prompts))
        for number, at in enumerate(starts, start=1)
    ]


def _at_rates(counts: Iterator[float], rates: Sequence[tuple[float, float]]) -> Iterator[float]:
    """When so many arrivals were to be expected: the moment t at which the integral of the rate reaches each count."""
    start, rate, expected = *rates[0], 0.0
    coming = list(rates[1:])
    for count in counts:
        while coming and expected + (coming[0][0] - start) * rate <= count:
            expected += (coming[0][0] - start) * rate
            start, rate = coming.pop(0)
        yield start + (count - expected) / rate


def _constant(rng: random.Random) -> Iterator[float]:
    return (float(number) for number in itertools.count(1))


def _poisson(rng: random.Random) -> Iterator[float]:
    return itertools.accumulate(rng.expovariate(1.0) for _ in itertools.count())


COUNTS = {"constant": _constant, "poisson": _poisson}
"""A process that runs at rate 1, which any rate stretches: one seed is one crowd, however fast it comes."""


def question(name: object, rng: random.Random) -> str:
    """Unique by its name, so that each request draws its own reply and latency at the mock."""
    return f"Question {name}: how do {' and '.join(rng.sample(WORDS, 4))} work together?"
