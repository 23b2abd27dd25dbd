"""A scenario run several times, each with a seed of its own: the spread of every figure that it is judged by."""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from loadtests.experiment import gates
from loadtests.judging import compare
from loadtests.judging.compare import Compared
from loadtests.judging.figures import JUDGED
from loadtests.sample import Row

SCHEMA = 1


class Spread(NamedTuple):
    """What one figure was in each repeat, None where it was not measured, and its standard errors (see `compare`)."""

    name: str
    metric: str
    values: list[float | None]
    errors: list[float]

    @property
    def known(self) -> list[float]:
        return [value for value in self.values if value is not None]

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.known) if self.known else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation; None of fewer than two, and of what took for ever."""
        return statistics.stdev(self.known) if len(self.known) > 1 and all(map(math.isfinite, self.known)) else None

    def to_row(self) -> Row:
        told = {"mean": self.mean, "low": min(self.known, default=None), "high": max(self.known, default=None)}
        return {
            "metric": self.metric,
            **{name: gates.figure(value) for name, value in told.items()},
            "deviation": self.deviation,
            "values": [gates.figure(value) for value in self.values],
            "errors": self.errors,
        }


def build(summaries: Sequence[Row]) -> Row:
    """repeat.json: how the runs ended, and the spread of their figures."""
    verdicts = [summary["verdict"] for summary in summaries]
    return {
        "schema": SCHEMA,
        "scenario": summaries[0]["scenario"],
        "verdict": next((verdict for verdict in ("invalid", "fail") if verdict in verdicts), "pass"),
        "seeds": [summary["seed"] for summary in summaries],
        "verdicts": verdicts,
        "reasons": [f"seed {summary['seed']}: {why}" for summary in summaries for why in summary["reasons"]],
        "spread": {each.name: each.to_row() for each in spreads(summaries)},
    }


def spreads(summaries: Sequence[Row]) -> Iterator[Spread]:
    """Of each judged figure (of expectations and gates), then of all else that runs are compared by."""
    runs = [_figures(summary) for summary in summaries]
    names = {name: each.metric for run in runs for name, each in run.items()}
    for name, metric in names.items():
        told = [run.get(name) or Compared(name, metric, None, 0.0) for run in runs]
        yield Spread(name, metric, [each.value for each in told], [each.error for each in told])


def judged(summary: Row) -> list[str]:
    """The names of the figures that expectations and gates look at."""
    return list(dict.fromkeys(each.name for each in _judged(summary)))


def _figures(summary: Row) -> dict[str, Compared]:
    return {each.name: each for each in (*_judged(summary), *compare.compared(summary))}


def _judged(summary: Row) -> Iterator[Compared]:
    for row in (*summary["expectations"], *summary["gates"]):
        of_all = None if row["metric"] in gates.OF_A_VARIANT else JUDGED
        path = (row["variant"], row["phase"] or of_all, row["metric"])
        yield Compared(".".join(filter(None, path)), row["metric"], gates.number(row["measured"]), 0.0)
