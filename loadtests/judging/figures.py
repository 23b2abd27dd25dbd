"""The figures of summary.json as a flat list: one measured number a row, under the name that gates know it by."""

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from loadtests.experiment.gates import OF_A_VARIANT
from loadtests.sample import Row

JUDGED = "judged"
"""What stands for the phase where a figure is of all judged phases together."""


class Figure(NamedTuple):
    """`phase` is None where the figure is of the whole variant; `value` is "inf" where it is beyond all measure."""

    variant: str
    phase: str | None
    metric: str
    value: float | str | None

    @property
    def name(self) -> str:
        return ".".join(filter(None, (self.variant, self.phase, self.metric)))


def of(summary: Row) -> Iterator[Figure]:
    """Every figure of every variant: of each phase, of all judged ones together, of the whole."""
    for variant, row in summary["variants"].items():
        for metric in OF_A_VARIANT:
            yield Figure(variant, None, metric, row[metric])
        for phase, figures in (*row["phases"].items(), (JUDGED, row[JUDGED])):
            for metric, value in _flat(figures):
                yield Figure(variant, phase, metric, value)


def to_csv(summary: Row) -> str:
    """`variant,phase,metric,value` a line; a value that was not measured is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Figure._fields)
    writer.writerows(of(summary))
    return text.getvalue()


def _flat(figures: Row) -> Iterator[tuple[str, float | str | None]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{part}", number) for part, number in value.items())
        else:
            yield name, value
