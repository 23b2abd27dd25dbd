"""Which cells of a map are tried for real."""

import pytest

from loadtests.errors import CannotRun
from loadtests.mapping import confirm, maps
from loadtests.mapping.maps import Axis, Plane

SIX = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


def plane(collapse_when: str | None) -> Plane:
    return Plane(Axis("load.rate", SIX), Axis("phases.dip.seconds", SIX), "naive", collapse_when)


def test_a_cell_is_as_far_off_the_line_as_steps_lead_to_the_other_side():
    assert confirm.distances([False, False, False, True, True, True] * 2, columns=6) == [3, 2, 1, 1, 2, 3] * 2


def test_a_diagonal_is_one_step():
    away = confirm.distances([False] * 8 + [True], columns=3)

    assert away == [2, 2, 2, 2, 1, 1, 2, 1, 1]


@pytest.mark.parametrize(("count", "collapsed"), [(2, 1), (3, 2), (4, 2), (6, 3)])
def test_both_sides_are_among_the_chosen_and_all_are_two_cells_off(count: int, collapsed: int):
    chosen = confirm.choose(plane("x > 3"), count)

    columns = [cell % 6 for cell in chosen]
    assert len(set(chosen)) == count
    assert sum(column in (4, 5) for column in columns) == collapsed
    assert sum(column in (0, 1) for column in columns) == count - collapsed


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        pytest.param(None, "no boundary", id="no formula"),
        pytest.param("x > 9", "no boundary", id="a line outside of the map"),
        pytest.param(
            "x > 5", "0 cells where collapse is predicted are two cells off the line, 2 are needed", id="edge"
        ),
    ],
)
def test_a_map_without_two_sides_cannot_be_confirmed(formula: str | None, said: str):
    with pytest.raises(CannotRun, match=said):
        confirm.choose(plane(formula), 3)


@pytest.mark.parametrize(
    ("wrong", "astray"),
    [
        pytest.param((), 0, id="as predicted"),
        pytest.param((2, 3), 0, id="beside the line"),
        pytest.param((1, 4), 2, id="two cells off"),
    ],
)
def test_a_cell_is_astray_when_it_does_otherwise_and_is_not_beside_the_line(wrong: tuple[int, ...], astray: int):
    plane = Plane(Axis("load.rate", SIX), Axis("phases.dip.seconds", (1.0, 2.0)), "naive", "x > 3")
    goodput = [0.0 if x > 3 else 1.0 for x in SIX] * 2
    for column in wrong:
        goodput[column] = 1 - goodput[column]

    row = maps.result("small", plane, 1, goodput)

    assert row["agreement"] == {"cells": 12, "as_predicted": 12 - len(wrong), "astray": astray}
