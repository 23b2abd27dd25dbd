"""How the benchmark tells whether a cost grows faster than what it is the cost of."""

import json
import re
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from mockclaude.bench import growth, plot
from mockclaude.bench.growth import Cost, Point
from mockclaude.commands import benching


def points(power, sizes=(10, 100, 1000), base=0.0):
    return [Point(size, (Cost("CPU", base + size**power, base + size**power),)) for size in sizes]


def curve(*measured):
    [found] = growth.curves("keys", measured)
    return found


@pytest.mark.parametrize(
    ("power", "verdict"), [(0, "met"), (1, "met"), (1.1, "met"), (1.3, "missed"), (2, "missed")], ids=str
)
def test_what_grows_faster_than_its_size_is_missed(power, verdict):
    found = curve(*points(power))

    assert found.exponents == pytest.approx((power, power))
    assert (found.steepest, found.verdict) == (pytest.approx(power), verdict)


def test_of_a_time_that_is_steep_on_a_busy_machine_nobody_knows():
    busy = [Point(size, (Cost("others wait", size**2, size**2, quiet=size < 100),)) for size in (10, 100)]

    assert curve(*busy).verdict == "undecided"
    assert next(growth.verdicts([curve(*busy)])).endswith("others wait: the machine was busy")


def test_a_fixed_part_does_not_hide_where_it_becomes_quadratic():
    found = curve(*points(2, sizes=(1, 10, 100, 1000), base=1000))

    assert found.exponents[0] < 0.1
    assert found.exponents[-1] > 1.9
    assert found.verdict == "missed"


def test_from_nothing_to_something_is_no_step():
    assert curve(*points(1, sizes=(0, 10, 100))).exponents == (None, pytest.approx(1))


def test_it_is_the_total_that_may_grow_with_the_size():
    flat = [Point(size, (Cost("CPU a token", 2e-5, 2e-5 * size),)) for size in (10, 100)]

    assert curve(*flat).exponents == pytest.approx((1,))


def test_both_ends_of_a_steep_step_are_measured_again():
    steady, jumping = (1.0, 2.0, 3.0, 4.0), (1.0, 1.0, 200.0, 201.0)
    measured = [
        Point(10**k, (Cost("CPU", a, a), Cost("memory", b, b, "bytes")))
        for k, (a, b) in enumerate(zip(steady, jumping, strict=True))
    ]

    assert growth.steep("keys", measured) == [10, 100]


def test_of_two_measurements_the_cheaper_counts_for_each_cost():
    one = Point(10, (Cost("CPU", 1.0, 1.0), Cost("memory", 9.0, 9.0, "bytes")))
    two = Point(10, (Cost("CPU", 2.0, 2.0), Cost("memory", 8.0, 8.0, "bytes")))

    assert [cost.total for cost in one.least(two).costs] == [1.0, 8.0]


def test_a_cost_that_the_first_size_has_not_begins_with_the_second():
    measured = [Point(0, (Cost("CPU", 1, 1),)), *(Point(n, (Cost("CPU", 1, 1), Cost("read", n, n))) for n in (1, 10))]

    _, read = growth.curves("journal", measured)

    assert (read.sizes, read.exponents) == ((1, 10), pytest.approx((1,)))
    assert "-" in list(growth.table(growth.curves("journal", measured), {"journal": "records"}))[2]


def test_the_table_has_a_line_for_each_size_and_a_verdict_for_each_cost():
    found = [curve(*points(2))]

    lines = list(growth.table(found, {"keys": "callers"}))
    [said] = growth.verdicts(found)

    assert [re.split(r"\s{2,}", line.strip())[0] for line in lines[2:5]] == ["10", "100", "1,000"]
    assert "(^+2.00)" in lines[3]
    assert said.startswith("missed")
    assert said.endswith("keys: CPU: faster than linear")


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0659, "s", "65.9 ms"),
        (1.5, "s", "1.5 s"),
        (2.78e-4, "s", "278 µs"),
        (28380, "bytes", "28.4 KB"),
        (0, "s", "0 µs"),
    ],
)
def test_a_figure_has_the_unit_in_which_it_is_readable(value, unit, said):
    assert growth.told(value, unit) == said


def test_the_picture_has_a_panel_for_each_series_and_says_what_is_steep():
    found = [curve(*points(0.5)), curve(*points(2))._replace(series="rules")]

    drawn = plot.svg(found, {"keys": "callers < all", "rules": "rules"})

    root = ElementTree.fromstring(drawn)
    paths = [path for path in root.iter("{http://www.w3.org/2000/svg}path") if path.get("class") in ("a", "missed")]
    assert [path.get("class") for path in paths] == ["a", "missed"]
    for path in paths:
        heights = [float(y) for y in re.findall(r" ([\d.]+)", path.get("d"))]
        assert (heights[0], heights[-1]) == (plot.BOTTOM, plot.TOP)


@pytest.mark.system
def test_the_mock_is_measured_against_its_size(tmp_path):
    saved, picture = tmp_path / "growth.json", tmp_path / "growth.svg"
    words = ["growth", "--only", "limits,document", "--up-to", "1000", "--json", str(saved), "--plot", str(picture)]

    ended = CliRunner().invoke(benching.app, words)

    assert ended.exit_code == 0, ended.output
    curves = json.loads(saved.read_text())["curves"]
    assert {one["series"]: one["sizes"] for one in curves} == {"document": [1000], "limits": [0, 1, 2, 3, 4, 5]}
    assert all(0 < each < 0.1 for one in curves for each in one["each"])
    assert picture.read_text().startswith("<svg")


def test_a_series_that_is_none_is_refused():
    ended = CliRunner().invoke(benching.app, ["growth", "--only", "keys,cheese"])

    assert ended.exit_code == 2
    assert "got cheese, expected some of streams" in ended.output
