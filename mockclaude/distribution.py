"""Numbers by chance, by name: constant, exponential, lognormal, gamma, or drawn from measured ones.

To add one: a frozen dataclass with `draw` and `mean`, and its name in `DISTRIBUTIONS`. Its fields are its YAML.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

from annotated_types import Ge, Gt, Le, Len
from pydantic import ConfigDict, Strict

from mockclaude import settings

Z95 = 1.6448536
"""The standard normal's 95th percentile: sigma = ln(p95/p50) / Z95."""

MOST_VALUES = 100_000
WIDEST = 1_000_000
"""How many times p50 a lognormal's p95 may be: beyond, a draw may be too large for a number."""
Number = Annotated[float, Strict(), Ge(0)]
Above0 = Annotated[float, Strict(), Gt(0)]


class Distribution(Protocol):
    """A way to draw a number that is not negative."""

    @property
    def mean(self) -> float:
        """What draws average to."""

    def draw(self, rng: random.Random) -> float:
        """One number."""


@dataclass(frozen=True)
class Constant:
    """Always the same."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    value: Number

    @property
    def mean(self) -> float:
        """The value."""
        return self.value

    def draw(self, rng: random.Random) -> float:
        """The value."""
        return self.value


@dataclass(frozen=True)
class Exponential:
    """Memoryless, with a mean."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    mean: Above0

    def draw(self, rng: random.Random) -> float:
        """One number."""
        return rng.expovariate(1 / self.mean)


@dataclass(frozen=True)
class Lognormal:
    """Lognormal through two percentiles."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    p50: Above0
    p95: Above0

    def __post_init__(self) -> None:
        if not 1 / WIDEST <= self.p95 / self.p50 <= WIDEST:
            raise ValueError(f"p95 {self.p95:g} is too far from p50 {self.p50:g}; expected at most {WIDEST:,} times it")

    @property
    def mean(self) -> float:
        """p50 · exp(σ²/2)."""
        return self.p50 * math.exp(self._sigma**2 / 2)

    def draw(self, rng: random.Random) -> float:
        """One number."""
        return self.p50 * math.exp(self._sigma * rng.gauss(0.0, 1.0))

    @property
    def _sigma(self) -> float:
        return abs(math.log(self.p95 / self.p50)) / Z95


@dataclass(frozen=True)
class Gamma:
    """Gamma, with a mean and a coefficient of variation (1 is exponential)."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    mean: Above0
    cv: Annotated[float, Strict(), Ge(0.001), Le(1000)]

    def draw(self, rng: random.Random) -> float:
        """One number."""
        return rng.gammavariate(1 / self.cv**2, self.mean * self.cv**2)


@dataclass(frozen=True)
class Empirical:
    """One of `values`, which were measured; each is as likely as the others."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    values: Annotated[tuple[Number, ...], Len(1, MOST_VALUES)]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.values)

    def draw(self, rng: random.Random) -> float:
        """One of them."""
        return rng.choice(self.values)


def drawn(one: Distribution, rng: Callable[[], random.Random]) -> float:
    """One number. A constant leaves nothing to chance, and making chance costs more than drawing from it."""
    return one.value if isinstance(one, Constant) else one.draw(rng())


DISTRIBUTIONS: Mapping[str, type[Any]] = {
    "constant": Constant,
    "exponential": Exponential,
    "lognormal": Lognormal,
    "gamma": Gamma,
    "empirical": Empirical,
}


def parse(section: Mapping[str, object], loc: settings.Loc) -> Distribution:
    """Read `{distribution: NAME, ...}`; raises `ConfigError`.

    An empirical one has `values`, or `file` (a CSV, read by whoever loads the configuration) and its `column`.
    """
    fields = {name: value for name, value in section.items() if name != "distribution"}
    name = section.get("distribution")
    if not isinstance(name, str) or name not in DISTRIBUTIONS:
        why = f"no distribution is called {name!r} (known: {', '.join(DISTRIBUTIONS)})"
        raise settings.ConfigError([settings.Problem((*loc, "distribution"), why)])
    if name == "empirical" and "file" in fields:
        fields = {"values": _column(fields, loc)}
    read: Distribution = settings.read(DISTRIBUTIONS[name], fields, loc)
    return read


def as_config(distribution: Distribution) -> dict[str, object]:
    """The section that gives this distribution."""
    names = {kind: name for name, kind in DISTRIBUTIONS.items()}
    fields: dict[str, object] = dataclasses.asdict(distribution)  # type: ignore[call-overload]
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    return {"distribution": names[type(distribution)], **listed}


def _column(fields: Mapping[str, object], loc: settings.Loc) -> list[float]:
    """The numbers in one column of a CSV with a header."""
    file, column, text = fields.get("file"), fields.get("column"), fields.get("text")
    if not isinstance(text, str):
        raise settings.ConfigError([settings.Problem((*loc, "file"), f"{file!r} can only be named in a file")])
    rows = csv.DictReader(io.StringIO(text))
    known = rows.fieldnames or []
    if column is None and len(known) == 1:
        column = known[0]
    if not isinstance(column, str) or column not in known:
        why = f"expected one of the columns of {file}: {', '.join(known)}; got {column!r}"
        raise settings.ConfigError([settings.Problem((*loc, "column"), why)])
    values = []
    for row in rows:
        try:
            values.append(float(row[column]))
        except (TypeError, ValueError):
            why = f"line {rows.line_num} of {file}: expected a number, got {row[column]!r}"
            raise settings.ConfigError([settings.Problem((*loc, "file"), why)]) from None
    return values
