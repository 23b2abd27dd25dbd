"""How fast requests come: evenly, on a ramp or in waves; how many that makes, and when the next one is due."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Protocol

from annotated_types import Ge, Gt
from pydantic import ConfigDict, Strict, WrapValidator

from loadtests.documents import document, section

NotNegative = Annotated[float, Strict(), Ge(0)]
Positive = Annotated[float, Strict(), Gt(0)]
HALVINGS = 60
FORMS = "a number above 0, {start, end} or {mean, amplitude, period}"


@dataclasses.dataclass(frozen=True)
class Ramp:
    """From one rate to another, evenly over the stretch of time it is given for."""

    __pydantic_config__: ClassVar[ConfigDict] = section.STRICT

    start: NotNegative
    end: NotNegative

    def __post_init__(self) -> None:
        if self.start == self.end == 0:
            raise ValueError("got a ramp from 0 to 0, expected requests: start or end above 0")


@dataclasses.dataclass(frozen=True)
class Wave:
    """A sine around its mean, on its way up when it begins: a day in `period` seconds."""

    __pydantic_config__: ClassVar[ConfigDict] = section.STRICT

    mean: Positive
    amplitude: NotNegative
    period: Positive

    def __post_init__(self) -> None:
        if self.amplitude > self.mean:
            raise ValueError(f"got an amplitude of {self.amplitude:g}, expected at most the mean, {self.mean:g}")


def _parse(value: object) -> object:
    if isinstance(value, Mapping):
        return section.read(Wave if {"mean", "amplitude", "period"} & value.keys() else Ramp, dict(value))
    if isinstance(value, Ramp | Wave):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"got {document.shown(value)}, expected {FORMS}")
    return float(value)


Rate = Annotated[float | Ramp | Wave, WrapValidator(lambda value, _: _parse(value))]
"""Requests per second."""


class Curve(Protocol):
    """A rate at each moment, its integral, and the inverse of that."""

    def at(self, seconds: float) -> float:
        """The rate after so many seconds."""

    def count(self, seconds: float) -> float:
        """How many requests so many seconds bring."""

    def when(self, count: float) -> float:
        """After how many seconds there have been so many."""


@dataclasses.dataclass(frozen=True)
class Line:
    """The curve of a ramp of `seconds`; a constant rate is one whose ends are the same."""

    start: float
    end: float
    seconds: float

    def at(self, seconds: float) -> float:
        return self.start + self._slope * seconds

    def count(self, seconds: float) -> float:
        return seconds * (self.start + self._slope * seconds / 2)

    def when(self, count: float) -> float:
        return 2 * count / (self.start + math.sqrt(max(0.0, self.start**2 + 2 * self._slope * count)) or math.inf)

    @property
    def _slope(self) -> float:
        return (self.end - self.start) / self.seconds


@dataclasses.dataclass(frozen=True)
class Swing:
    """The curve of a wave."""

    wave: Wave

    def at(self, seconds: float) -> float:
        return self.wave.mean + self.wave.amplitude * math.sin(2 * math.pi * seconds / self.wave.period)

    def count(self, seconds: float) -> float:
        turn = 2 * math.pi / self.wave.period
        return self.wave.mean * seconds + self.wave.amplitude / turn * (1 - math.cos(turn * seconds))

    def when(self, count: float) -> float:
        early = max(0.0, count - self.wave.amplitude * self.wave.period / math.pi) / self.wave.mean
        late = count / self.wave.mean
        for _ in range(HALVINGS):
            middle = (early + late) / 2
            early, late = (middle, late) if self.count(middle) < count else (early, middle)
        return late


@dataclasses.dataclass(frozen=True)
class Faster:
    """Another curve, `factor` times as fast."""

    curve: Curve
    factor: float

    def at(self, seconds: float) -> float:
        return self.factor * self.curve.at(seconds)

    def count(self, seconds: float) -> float:
        return self.factor * self.curve.count(seconds)

    def when(self, count: float) -> float:
        return self.curve.when(count / self.factor)


@dataclasses.dataclass(frozen=True)
class Stretch:
    """From `start` to `end` on the clock a rate is in force whose own time began at `origin`."""

    start: float
    end: float
    curve: Curve
    origin: float

    def count(self) -> float:
        """How many requests it brings."""
        return self.curve.count(self.end - self.origin) - self._before

    def when(self, count: float) -> float:
        """The moment at which it has brought so many."""
        return self.origin + self.curve.when(self._before + count)

    @property
    def _before(self) -> float:
        return self.curve.count(self.start - self.origin)


def curve(rate: Rate, seconds: float) -> Curve:
    """Of a rate that is in force for so many seconds."""
    match rate:
        case Ramp():
            return Line(rate.start, rate.end, seconds)
        case Wave():
            return Swing(rate)
        case _:
            return Line(rate, rate, seconds)


def stretches(own: Rate, phases: Sequence[tuple[float, float, Rate | None]]) -> list[Stretch]:
    """The rates in force from phase to phase: each has a start, an end and a rate; None: the load's `own`, which runs
    on from the start of all."""
    whole = curve(own, phases[-1][1])
    return [
        Stretch(start, end, whole, 0.0) if given is None else Stretch(start, end, curve(given, end - start), start)
        for start, end, given in phases
    ]


Paces = Sequence[tuple[float, float]]
"""From which moment on the load comes how many times as fast as was planned, in the order of time."""


def paced(stretches: Sequence[Stretch], paces: Paces) -> Iterator[Stretch]:
    """The same, with its rates changed on the way. What comes before a change comes as it would have without it."""
    for stretch in stretches:
        cuts = [at for at, _ in paces if stretch.start < at < stretch.end]
        for start, end in itertools.pairwise([stretch.start, *cuts, stretch.end]):
            factor = next((factor for at, factor in reversed(paces) if at <= start), 1.0)
            yield dataclasses.replace(stretch, start=start, end=end, curve=Faster(stretch.curve, factor))


def at(stretches: Sequence[Stretch], moment: float) -> float:
    """The rate in force at a moment of the run."""
    stretch = next(each for each in reversed(stretches) if each.start <= moment)
    return stretch.curve.at(moment - stretch.origin)


def total(stretches: Sequence[Stretch]) -> float:
    """How many requests all of them bring."""
    return sum(stretch.count() for stretch in stretches)


def moments(counts: Iterator[float], stretches: Sequence[Stretch]) -> Iterator[float]:
    """When so many requests were to be expected: the moment at which the integral of the rate reaches each count."""
    before, count = 0.0, next(counts, math.inf)
    for stretch in stretches:
        whole = stretch.count()
        while count - before < whole:
            yield stretch.when(count - before)
            count = next(counts, math.inf)
        before += whole
