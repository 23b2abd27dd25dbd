"""Vulnerability maps: the plane, the prediction, the picture and the page."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.errors import CannotRun
from loadtests.experiment import scenario
from loadtests.mapping import maps
from loadtests.mapping.maps import Axis, Plane


@pytest.fixture
def mapped(write: Callable[[str], str], text: str) -> str:
    return write(
        text + "maps:\n"
        "  - {x: load.rate=1:4:4, y: phases.dip.seconds=1:3:3, variant: fixed, collapse_when: x * y > 6,\n"
        "     because: area}\n"
    )


PLANE = Plane(Axis("load.rate", (1, 2, 3, 4)), Axis("phases.dip.seconds", (1, 2, 3)), "fixed", "x * y > 6", "area")


def test_an_axis_has_its_steps_with_both_ends():
    assert Axis.parse("load.rate=2:14:7") == Axis("load.rate", (2, 4, 6, 8, 10, 12, 14))
    assert Axis.parse("a.b=0:1:3") == Axis("a.b", (0, 0.5, 1))


@pytest.mark.parametrize(
    "text", ["load.rate", "load.rate=2", "load.rate=2:14", "load.rate=2:14:1", "=1:2:3", "a=x:2:3"]
)
def test_a_bad_axis_says_what_was_expected(text: str):
    with pytest.raises(CannotRun, match="expected KEY=FROM:TO:STEPS"):
        Axis.parse(text)


def test_without_axes_the_scenarios_own_maps_are_drawn(mapped: str):
    assert maps.planes(scenario.load(mapped)[0], None, None, None) == [PLANE]


def test_the_same_plane_with_other_steps_keeps_the_scenarios_prediction(mapped: str):
    experiment = scenario.load(mapped)[0]

    (finer,) = maps.planes(experiment, "load.rate=1:4:7", "phases.dip.seconds=1:3:5", None)
    (other,) = maps.planes(experiment, "load.rate=1:4:7", "phases.after.seconds=1:3:5", None)
    (naive,) = maps.planes(experiment, "load.rate=1:4:7", "phases.dip.seconds=1:3:5", "naive")

    assert (finer.variant, finer.collapse_when) == ("fixed", "x * y > 6")
    assert (other.variant, other.collapse_when) == ("naive", None)
    assert (naive.variant, naive.collapse_when) == ("naive", None)


def test_one_axis_alone_is_no_plane(mapped: str):
    with pytest.raises(CannotRun, match="two axes"):
        maps.planes(scenario.load(mapped)[0], "load.rate=1:4:7", None, None)


def test_a_scenario_without_maps_says_so(small: scenario.Scenario):
    with pytest.raises(CannotRun, match="lists no map"):
        maps.planes(small, None, None, None)


@pytest.mark.parametrize("formula", ["x > z", "x >", "__import__('os')", "open('x')"])
def test_a_formula_can_use_x_and_y_and_nothing_else(write, text, formula):
    own = f'  - {{x: "load.rate=1:4:4", y: "load.patience=1:3:3", variant: fixed, collapse_when: "{formula}"}}\n'
    experiment = scenario.load(write(text + "maps:\n" + own))[0]

    with pytest.raises(CannotRun, match="it may use x, y, min, max"):
        maps.planes(experiment, None, None, None)


def test_the_jobs_are_every_seed_of_every_cell():
    found = maps.jobs("small", ["load.patience=3"], PLANE, seeds=2)

    assert len(found) == 4 * 3 * 2
    assert [job.seed for job in found[:2]] == [1, 2]
    assert found[0].assignments == ("load.patience=3", "load.rate=1", "phases.dip.seconds=1")
    assert found[2].assignments[1:] == ("load.rate=2", "phases.dip.seconds=1")
    assert found[-1].assignments[1:] == ("load.rate=4", "phases.dip.seconds=3")


def test_a_value_is_written_so_that_yaml_reads_a_number():
    found = maps.jobs("small", [], Plane(Axis("a", (0.00005, 1000000.0)), Axis("b", (0.0, -2.5)), "v"), seeds=1)

    assert [job.assignments for job in found] == [
        ("a=0.00005", "b=0"),
        ("a=1000000", "b=0"),
        ("a=0.00005", "b=-2.5"),
        ("a=1000000", "b=-2.5"),
    ]


def test_what_goes_wrong_in_a_worker_reaches_its_parent(write: Callable[[str], str], text: str):
    job = maps.Job(write(text), ("variants.naive.attempts=2.5",), "naive", 1)

    with pytest.raises(CannotRun, match=r"attempts=2.5, seed 1: .*attempts") as raised:
        maps.run_one(job)

    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_every_cell_is_checked_before_any_is_run(mapped: str):
    plane = Plane(Axis("load.rate", (1, 2)), Axis("variants.fixed.attempts", (1, 2.5, 4)), "fixed")

    with pytest.raises(CannotRun, match=r"cell load.rate=1, variants.fixed.attempts=2.5: attempts"):
        maps.check(mapped, [], plane)


def test_a_cell_in_which_nothing_is_offered_is_not_called_collapsed(write: Callable[[str], str], text: str):
    job = maps.Job(write(text), ("load.rate=0.1", "phases.after.seconds=0.1"), "naive", 1)

    with pytest.raises(CannotRun, match="nothing is offered in after"):
        maps.run_one(job)


def test_a_cell_has_the_share_of_its_seeds_that_collapsed_beside_the_prediction():
    goodput = [1.0] * 24
    goodput[22:] = [0.1, 0.6]  # the last cell, x = 4, y = 3

    row = maps.result("small", PLANE, 2, goodput)

    assert row["cells"][0] == {"x": 1, "y": 1, "collapsed": 0.0, "goodput": [1.0, 1.0], "predicted": False}
    assert row["cells"][-1] == {"x": 4, "y": 3, "collapsed": 0.5, "goodput": [0.1, 0.6], "predicted": True}
    # x * y of 8, 9 and 12 were predicted to collapse; each has a neighbour that was not
    assert row["agreement"] == {"cells": 12, "as_predicted": 9, "astray": 0}
    json.dumps(row)


def test_without_a_formula_there_is_no_agreement_to_speak_of():
    row = maps.result("small", Plane(PLANE.x, PLANE.y, "naive"), 1, [1.0] * 12)

    assert row["agreement"] is None
    assert {cell["predicted"] for cell in row["cells"]} == {None}


def test_a_map_leaves_data_a_picture_and_a_page(tmp_path: Path):
    row = maps.result("small", PLANE, 1, [1.0] * 11 + [0.0])

    page = maps.write(tmp_path / "map", "What falls?", "loadtests map small", [(PLANE, row)])

    assert json.loads((tmp_path / "map" / "map-1.json").read_text()) == row
    assert (tmp_path / "map" / "map-1.png").read_bytes().startswith(b"\x89PNG")
    html = page.read_text()
    assert html.count('class="cell predicted"') == 3 + 1  # and the legend
    assert "10 of 12 cells" in html
    assert "src=" not in html and 'href="http' not in html


def test_a_page_escapes_what_people_wrote(tmp_path: Path):
    hostile = Plane(PLANE.x, PLANE.y, "fixed", "x > 1", "</p><script>alert(1)</script>")

    html = maps.render([maps.result("small", hostile, 1, [1.0] * 12)], about="<img src=x>", command="x")

    assert "<script>" not in html
    assert "<img" not in html
