"""The overload scenarios against their theory: the map of dead work on virtual time, and cells of a map for real.

That each scenario passes on virtual time is in test_virtual_time.py; `make scenarios` runs them all for real.
"""

import json
from pathlib import Path

import pytest

FLAKY = """\
about: A share of attempts fails.
load: {user: chat, rate: 10, patience: 5, max_tokens: 5}
phases: [{name: all, seconds: 4}]
mock: {faults: [{name: status, code: 500, share: 0}]}
gateway: {preset: naive, attempts: 1}
maps:
  - {x: "mock.faults.0.share=0:0.9:4", y: "load.rate=10:11:2", variant: default, collapse_when: x > 0.5, because: share}
"""


@pytest.mark.virtual
@pytest.mark.timeout(600)
def test_dead_work_takes_over_where_the_closed_form_says(loadtests):
    short = ["--set", "phases.before.seconds=1", "--set", "phases.after.seconds=8"]
    plane = ["--x", "load.rate=2:7:6", "--y", "phases.stall.seconds=0.5:5.5:6", "--seeds", "3"]

    command = loadtests("map", "fifo_dead_work", *plane, *short, "--out", "run")

    assert command.end(590) == 0, command.output()
    row = json.loads((command.run / "map-1.json").read_text())
    assert row["agreement"]["astray"] == 0, command.output()
    assert row["agreement"]["as_predicted"] >= 28, command.output()


def test_cells_of_a_map_are_confirmed_for_real(loadtests, tmp_path: Path):
    (tmp_path / "flaky.yaml").write_text(FLAKY)

    command = loadtests("map", str(tmp_path / "flaky.yaml"), "--seeds", "1", "--confirm", "2", "--out", "run")

    assert command.end(100) == 0, command.output()
    row = json.loads((command.run / "map-1.json").read_text())
    assert [(cell["x"], cell["predicted"], cell["agrees"]) for cell in row["confirmed"]] == [
        (0.9, True, True),
        (0, False, True),
    ]
    assert row["confirmed"][0]["goodput"] < 0.4 < row["confirmed"][1]["goodput"]
    report = loadtests("report", str(command.run / "map-1-real-2"))
    assert report.end(30) == 0, report.output()
    assert "for real" in (command.run / "map.html").read_text().lower()
    assert command.leftovers() == []


def test_a_map_without_a_line_has_nothing_to_confirm(loadtests, tmp_path: Path):
    (tmp_path / "flaky.yaml").write_text(FLAKY)
    plane = ["--x", "load.patience=5:6:2", "--y", "load.rate=10:11:2"]

    command = loadtests("map", str(tmp_path / "flaky.yaml"), *plane, "--seeds", "1", "--confirm", "2", "--out", "run")

    assert command.end(60) == 2
    assert "no two sides to confirm" in command.output()
    assert not command.run.exists()
