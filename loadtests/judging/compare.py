"""Two runs of one scenario, figure beside figure: what got worse beyond noise.

Compared is what a service is judged by (`KINDS`), of each judged phase and of each variant. Noise is a difference that
chance exceeds once in a thousand:

- when both sides were repeated three times or more, by their spread (Welch's t, one-sided);
- else by how many requests a figure is of (`error`): the binomial's for shares, that of an order statistic for
  percentiles, with the density between the percentiles beside it. To that comes what a machine and the fate of single
  requests do to any run: never less than the `alone` of its kind.

Below `least` no difference counts, however steady: nobody would act on it.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from loadtests.errors import CannotRun, InvalidRun
from loadtests.experiment import gates
from loadtests.judging import figures
from loadtests.sample import Row

FEWEST = 20  # a percentile of fewer answers is one request's luck
REPEATED = 3  # runs of a side from which on its spread tells of noise


class Bound(NamedTuple):
    """A difference: so much, or such a share of what there was before, whichever is more."""

    absolute: float
    relative: float = 0.0

    def at(self, before: float) -> float:
        return max(self.absolute, self.relative * abs(before))


class Kind(NamedTuple):
    """How figures of one kind are compared: the least noise of a run alone, the least difference that counts, and
    whether more of it is worse."""

    alone: Bound
    least: Bound
    more_is_worse: bool = True


SHARE = Kind(Bound(0.05), Bound(0.01))
LATENCY = Kind(Bound(0.06, 0.1), Bound(0.005, 0.02))
KINDS: dict[str, Kind] = {
    "goodput_ratio": SHARE._replace(more_is_worse=False),
    "error_ratio": SHARE,
    "hidden_error_ratio": SHARE,
    "amplification": Kind(Bound(0.1, 0.1), Bound(0.02, 0.02)),
    **{f"{clock}.{q}": LATENCY for clock in ("e2e", "service_time", "ttft", "ttft_sent") for q in ("p50", "p95")},
    **{f"{clock}.p99": LATENCY for clock in ("e2e", "ttft")},
    "itl.p95": Kind(Bound(0.005, 0.25), Bound(0.001, 0.05)),
    "wasted_ratio": SHARE,
    "cost.usd_per_good": Kind(Bound(0.0, 0.15), Bound(0.0, 0.02)),
    "recovery_s": Kind(Bound(8.0), Bound(1.0)),
}
BESIDE = {"p50": ("p50", "p90"), "p95": ("p90", "p99"), "p99": ("p95", "p999")}
"""The percentiles between which the density at one is taken."""
QUANTILE = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
NORMAL = 3.09
"""The 99.9th percentile of the normal distribution."""
STUDENT = {2: 22.33, 3: 10.21, 4: 7.17, 5: 5.89, 6: 5.21, 8: 4.50, 10: 4.14, 15: 3.73, 20: 3.55, 30: 3.39, 60: 3.23}
"""Degrees of freedom and the 99.9th percentile of Student's t."""


class Values(NamedTuple):
    """One figure of a side: what it was in each run, None where it was not measured, and its standard `errors` as far
    as the number of requests tells."""

    metric: str
    values: Sequence[float | None]
    errors: Sequence[float]


class Difference(NamedTuple):
    """One figure on both sides; `noise` is what it may differ by."""

    name: str
    metric: str
    before: float
    after: float
    noise: float

    @property
    def change(self) -> float:
        """How much worse, in the figure's own unit; below 0 it is better."""
        by = 0.0 if self.after == self.before else self.after - self.before
        return by if KINDS[self.metric].more_is_worse else -by

    def to_row(self) -> Row:
        numbers = {"before": self.before, "after": self.after, "noise": self.noise}
        told = {name: gates.figure(value) for name, value in numbers.items()}
        return {"figure": self.name, "metric": self.metric, **told, "verdict": self.verdict}

    @property
    def verdict(self) -> str:
        if abs(self.change) <= self.noise:
            return "same"
        return "worse" if self.change > 0 else "better"


class Side(NamedTuple):
    """The runs of one side, their figures by name."""

    scenario: str
    values: Mapping[str, Values]


def side(found: Row, where: str) -> Side:
    """One run (summary.json) or its repeats (repeat.json). Raises InvalidRun when its numbers cannot be trusted."""
    if found["verdict"] == "invalid":
        raise InvalidRun(f"{where}: an invalid run cannot be compared: {'; '.join(found['reasons'])}")
    if "spread" in found:
        rows = {name: row for name, row in found["spread"].items() if row["metric"] in KINDS}
        values = {
            name: Values(row["metric"], [gates.number(value) for value in row["values"]], row["errors"])
            for name, row in rows.items()
        }
    else:
        values = {each.name: Values(each.metric, [each.value], [each.error]) for each in compared(found)}
    return Side(found["scenario"], values)


class Compared(NamedTuple):
    """A figure that is worth comparing; `error` is its standard error."""

    name: str
    metric: str
    value: float | None
    error: float


def compared(summary: Row) -> Iterator[Compared]:
    """The figures of one run; percentiles of fewer than 20 answers are left out."""
    judged = [phase["name"] for phase in summary["phases"] if phase["judge"]]
    for figure in figures.of(summary):
        if figure.metric not in KINDS or (figure.phase is not None and figure.phase not in judged):
            continue
        cell = summary["variants"][figure.variant]["phases"].get(figure.phase) or {}
        name, _, quantile = figure.metric.partition(".")
        if quantile in QUANTILE and cell[name]["n"] < FEWEST:
            continue
        yield Compared(figure.name, figure.metric, gates.number(figure.value), error(figure.metric, cell))


def error(metric: str, cell: Row) -> float:
    """The standard error of a phase's figure by the number of its requests, as if each had its own fate."""
    name, _, quantile = metric.partition(".")
    value = gates.value(cell, metric) if cell else None
    if value is None:
        return 0.0
    if quantile in BESIDE:
        share, (low, high) = QUANTILE[quantile], BESIDE[quantile]
        slope = (cell[name][high] - cell[name][low]) / (QUANTILE[high] - QUANTILE[low])
        return float(math.sqrt(share * (1 - share) / cell[name]["n"]) * slope)
    match metric:
        case "amplification":
            return math.sqrt(abs(value - 1) * value / cell["started"])
        case "cost.usd_per_good":
            return value * math.sqrt((1 - cell["goodput_ratio"]) / cell["goodput"])
        case _:
            requests = cell["offered"] if metric == "goodput_ratio" else cell["started"]
            share = (value * requests + 1) / (requests + 2)
            return math.sqrt(share * (1 - share) / requests)


def compare(before: Side, after: Side) -> list[Difference]:
    """Every figure that both sides have. Raises CannotRun when there is none, or they are of different scenarios."""
    if before.scenario != after.scenario:
        raise CannotRun(f"{before.scenario} and {after.scenario} are different scenarios; expected two runs of one")
    shared = [name for name in before.values if name in after.values]
    if not shared:
        raise CannotRun(f"two runs of {before.scenario} that have no variant and phase in common")
    found = (_difference(name, before.values[name], after.values[name]) for name in shared)
    return [difference for difference in found if difference is not None]


def _difference(name: str, before: Values, after: Values) -> Difference | None:
    recovers = before.metric == "recovery_s" and any(value is not None for value in (*before.values, *after.values))
    first, second = (_known(side.values, for_ever=recovers) for side in (before, after))
    if not first or not second:
        return None
    kind, was = KINDS[before.metric], statistics.fmean(first)
    if not all(map(math.isfinite, (*first, *second))):
        noise = 0.0
    elif min(len(first), len(second)) >= REPEATED:
        noise = max(kind.least.at(was), _by_spread(first, second))
    else:
        chance = NORMAL * math.hypot(_together(before.errors), _together(after.errors))
        noise = max(kind.least.at(was), kind.alone.at(was), chance)
    return Difference(name, before.metric, was, statistics.fmean(second), noise)


def _known(values: Sequence[float | None], *, for_ever: bool) -> list[float]:
    """What was not measured is left out, but who does not recover takes `for_ever`."""
    missing = [math.inf] if for_ever else []
    return [number for value in values for number in (missing if value is None else [value])]


def _together(errors: Sequence[float]) -> float:
    """The standard error of the mean of so many runs."""
    return math.hypot(*errors) / len(errors)


def _by_spread(before: Sequence[float], after: Sequence[float]) -> float:
    first, second = (statistics.variance(values) / len(values) for values in (before, after))
    if first + second == 0:
        return 0.0
    freedom = (first + second) ** 2 / (first**2 / (len(before) - 1) + second**2 / (len(after) - 1))
    known = [degrees for degrees in STUDENT if degrees <= freedom + 1e-9]
    return STUDENT[max(known, default=2)] * math.sqrt(first + second)
