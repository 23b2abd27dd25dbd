"""When requests are meant to start, and what each asks: the schedule of a run, whatever the server does."""

import dataclasses
import itertools
import random
from collections.abc import Iterator
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


def schedule(load: Load, seconds: float, seed: int, variant: str) -> list[Arrival]:
    """Every arrival of a run of `seconds`. Times depend on load and seed alone: each variant meets the same crowd."""
    times = TIMES[load.arrivals](load.rate, random.Random(f"{seed}:arrivals"))
    prompts = random.Random(f"{seed}:prompts")
    starts = itertools.takewhile(lambda at: at < seconds, (round(at, 6) for at in times))
    return [
        Arrival(at, f"{variant}-{seed}-{number:06d}", question(number, prompts))
        for number, at in enumerate(starts, start=1)
    ]


def _constant(rate: float, rng: random.Random) -> Iterator[float]:
    return (number / rate for number in itertools.count(1))  # not a sum of gaps, which would drift


def _poisson(rate: float, rng: random.Random) -> Iterator[float]:
    return itertools.accumulate(rng.expovariate(rate) for _ in itertools.count())


TIMES = {"constant": _constant, "poisson": _poisson}


def question(name: object, rng: random.Random) -> str:
    """Unique by its name, so that each request draws its own reply and latency at the mock."""
    return f"Question {name}: how do {' and '.join(rng.sample(WORDS, 4))} work together?"
