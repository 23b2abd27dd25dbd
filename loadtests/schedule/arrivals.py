"""In what manner requests come: evenly, by chance, in clumps, or when others once came.

Each is a process that runs at rate 1, which any rate stretches: one seed is one crowd, however fast it comes.
"""

import csv
import dataclasses
import itertools
import math
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le
from pydantic import ConfigDict, Strict, WithJsonSchema, WrapValidator

from loadtests.documents import document, section
from loadtests.errors import ScenarioError

FILE_OR_MOMENTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "number", "minimum": 0}}]}
"""What a trace is in a scenario's file; what has been read of it are moments."""
FORMS = "constant, poisson, {cv} or {trace}"


@dataclasses.dataclass(frozen=True)
class Clumps:
    """Gaps of a gamma distribution by their coefficient of variation: 1 is Poisson, more comes in clumps, less is more
    even."""

    __pydantic_config__: ClassVar[ConfigDict] = section.STRICT

    cv: Annotated[float, Strict(), Ge(0.01), Le(100)]


@dataclasses.dataclass(frozen=True)
class Trace:
    """The moments themselves, in seconds since T0."""

    __pydantic_config__: ClassVar[ConfigDict] = section.STRICT

    trace: Annotated[tuple[Annotated[float, Strict(), Ge(0)], ...], WithJsonSchema(FILE_OR_MOMENTS)]

    def __post_init__(self) -> None:
        if not self.trace:
            raise ValueError("got an empty trace, expected at least one moment")
        for before, at in itertools.pairwise(self.trace):
            if at < before:
                raise ValueError(f"got {at:g} after {before:g}, expected moments in the order of time")


def _parse(value: object) -> object:
    match value:
        case "constant" | "poisson" | Clumps() | Trace():
            return value
        case Mapping():
            return section.read(Trace if "trace" in value else Clumps, dict(value))
        case _:
            raise ValueError(f"got {document.shown(value)}, expected {FORMS}")


Arrivals = Annotated[Literal["constant", "poisson"] | Clumps | Trace, WrapValidator(lambda value, _: _parse(value))]


def counts(arrivals: Arrivals, rng: random.Random) -> Iterator[float]:
    """How many requests were to be expected by the time each of them comes."""
    match arrivals:
        case "constant":
            return map(float, itertools.count(1))
        case "poisson":
            return itertools.accumulate(rng.expovariate(1.0) for _ in itertools.count())
        case Trace():
            return iter(arrivals.trace)
        case Clumps():
            shape, scale = 1 / arrivals.cv**2, arrivals.cv**2
            return itertools.accumulate(rng.gammavariate(shape, scale) for _ in itertools.count())


def read_trace(path: Path) -> list[float]:
    """The moments in the first column of a CSV; a first line without a number is its head. Raises OSError, and
    ScenarioError with file and line."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = list(csv.reader(file))
    moments: list[float] = []
    for line, row in enumerate(rows, start=1):
        at = _moment(row)
        if at is None and (line == 1 or not row):
            continue
        if at is None or at < (moments[-1] if moments else 0.0):
            least = f"at least {moments[-1]:g}, as in the line above" if moments else "seconds since the start"
            raise ScenarioError(f"{path}:{line}", f'got "{row[0]}", expected {least}')
        moments.append(at)
    if not moments:
        raise ScenarioError(str(path), "there is no moment in it; expected seconds since the start, one a line")
    return moments


def _moment(row: list[str]) -> float | None:
    try:
        at = float(row[0])
    except (IndexError, ValueError):
        return None
    return at if math.isfinite(at) else None
