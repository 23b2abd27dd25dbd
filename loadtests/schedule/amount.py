"""An amount that differs from request to request: fixed, anything between two, or lognormal through two percentiles."""

import dataclasses
import math
import random
from collections.abc import Mapping
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt
from pydantic import ConfigDict, Strict, WrapValidator

from loadtests.documents import document, section

Z95 = 1.6448536
"""The standard normal's 95th percentile: sigma = ln(p95/p50) / Z95."""
FORMS = "a number, {min, max} or {p50, p95}"


@dataclasses.dataclass(frozen=True)
class Uniform:
    __pydantic_config__: ClassVar[ConfigDict] = section.STRICT

    min: Annotated[float, Strict(), Ge(0)]
    max: Annotated[float, Strict(), Ge(0)]

    def __post_init__(self) -> None:
        if self.max < self.min:
            raise ValueError(f"got a max of {self.max:g}, expected at least the min, {self.min:g}")


@dataclasses.dataclass(frozen=True)
class Lognormal:
    __pydantic_config__: ClassVar[ConfigDict] = section.STRICT

    p50: Annotated[float, Strict(), Gt(0)]
    p95: Annotated[float, Strict(), Gt(0)]

    def __post_init__(self) -> None:
        if self.p95 < self.p50:
            raise ValueError(f"got a p95 of {self.p95:g}, expected at least the p50, {self.p50:g}")


def _parse(value: object) -> object:
    if isinstance(value, Mapping):
        return section.read(Lognormal if {"p50", "p95"} & value.keys() else Uniform, dict(value))
    if isinstance(value, Uniform | Lognormal):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"got {document.shown(value)}, expected {FORMS}")
    return value


Amount = Annotated[float | Uniform | Lognormal, WrapValidator(lambda value, _: _parse(value))]


def draw(amount: Amount, rng: random.Random) -> float:
    """One of it."""
    match amount:
        case Uniform():
            return rng.uniform(amount.min, amount.max)
        case Lognormal():
            return amount.p50 * math.exp(math.log(amount.p95 / amount.p50) / Z95 * rng.gauss(0.0, 1.0))
        case _:
            return amount


def highest(amount: Amount) -> float:
    """The most of it, but for the twentieth part of a lognormal one."""
    match amount:
        case Uniform():
            return amount.max
        case Lognormal():
            return amount.p95
        case _:
            return amount
