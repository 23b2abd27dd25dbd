"""The figures of a summary as a flat list."""

import csv
import io

from loadtests import sample
from loadtests.experiment import gates
from loadtests.judging import figures
from tests.load.written import Written


def test_every_figure_has_the_name_that_gates_know_it_by(both: Written):
    found = list(figures.of(both.judge()))

    names = {figure.metric for figure in found}
    assert names <= gates.METRICS
    only_some = {"outcomes": sample.OUTCOMES, **dict.fromkeys(gates.USAGE, gates.PROGRAMS)}
    assert gates.METRICS - names <= {f"{name}.{part}" for name, parts in only_some.items() for part in parts}
    assert len({figure.name for figure in found}) == len(found)


def test_csv_has_a_line_for_each_figure_of_each_phase(both: Written):
    rows = list(csv.DictReader(io.StringIO(figures.to_csv(both.judge()))))

    values = {(row["variant"], row["phase"], row["metric"]): row["value"] for row in rows}
    assert values["fixed", "after", "goodput_ratio"] == "1.0"
    assert values["naive", "judged", "outcomes.timeout"] == "56"
    assert values["naive", "after", "e2e.p95"] == ""
    assert values["naive", "", "recovery_s"] == ""
