"""Rates over time against their closed forms: the integral, and when so many requests have come."""

import itertools
import math

import pytest

from loadtests.schedule import rate
from loadtests.schedule.rate import Line, Ramp, Rate, Stretch, Swing, Wave

DAY = Wave(mean=10, amplitude=8, period=60)
CURVES = [
    pytest.param(Line(5, 5, 30), lambda t: 5.0, id="constant"),
    pytest.param(Line(0, 20, 30), lambda t: 20 * t / 30, id="up from nothing"),
    pytest.param(Line(20, 0, 30), lambda t: 20 - 20 * t / 30, id="down to nothing"),
    pytest.param(Line(3, 9, 30), lambda t: 3 + 6 * t / 30, id="up"),
    pytest.param(Swing(DAY), lambda t: 10 + 8 * math.sin(2 * math.pi * t / 60), id="wave"),
    pytest.param(Swing(Wave(4, 4, 7)), lambda t: 4 + 4 * math.sin(2 * math.pi * t / 7), id="wave that ebbs to nothing"),
]


def evenly(own: Rate, phases: list[tuple[float, float, Rate | None]]) -> list[float]:
    return list(rate.moments(map(float, itertools.count(1)), rate.stretches(own, phases)))


@pytest.mark.parametrize(("curve", "rate_at"), CURVES)
def test_a_curve_is_the_integral_of_its_rate(curve, rate_at):
    steps = 30_000
    summed = sum(rate_at((step + 0.5) * 30 / steps) for step in range(steps)) * 30 / steps

    assert [curve.at(t) for t in range(31)] == pytest.approx([rate_at(t) for t in range(31)])
    assert curve.count(30) == pytest.approx(summed, rel=1e-6)
    assert curve.count(0) == 0


@pytest.mark.parametrize(("curve", "rate_at"), CURVES)
def test_when_is_the_inverse_of_count(curve, rate_at):
    counts = [curve.count(30) * share for share in (0, 0.001, 0.25, 0.5, 0.9, 1)]

    assert [curve.count(curve.when(count)) for count in counts] == pytest.approx(counts, abs=1e-6)


def test_a_ramp_brings_half_of_its_requests_in_its_first_seventy_one_percent():
    """From 0 the integral grows as the square of time: the n-th of N comes at T times the root of n/N."""
    times = evenly(Ramp(0, 20), [(0, 30, None)])

    assert len(times) == 299
    assert times == pytest.approx([30 * math.sqrt(number / 300) for number in range(1, 300)])


def test_a_wave_brings_its_mean_in_each_period_and_more_in_the_first_half():
    times = evenly(DAY, [(0, 120, None)])

    assert len(times) == 1199
    halves = [sum(start <= at < start + 30 for at in times) for start in (0, 30, 60, 90)]
    more = 8 * 60 / math.pi  # 2·A·P/2π above the mean in the half of a period
    assert halves == pytest.approx([300 + more, 300 - more] * 2, abs=1)


def test_a_phase_may_step_to_a_rate_of_its_own_and_the_loads_own_ramp_goes_on_behind_it():
    times = evenly(Ramp(0, 30), [(0, 10, None), (10, 20, 2.0), (20, 30, None)])

    counts = [sum(start <= at < start + 10 for at in times) for start in (0, 10, 20)]
    assert counts == pytest.approx([50, 20, 250], abs=1)


def test_a_phases_own_ramp_runs_over_that_phase():
    times = evenly(5.0, [(0, 10, None), (10, 20, Ramp(5, 25)), (20, 30, 25.0)])

    counts = [sum(start <= at < start + 5 for at in times) for start in range(0, 30, 5)]
    assert counts == pytest.approx([25, 25, 50, 100, 125, 125], abs=1)


def test_so_many_come_as_the_stretches_say():
    found = rate.stretches(5.0, [(0, 10, None), (10, 20, Ramp(5, 25))])

    assert rate.total(found) == 200
    assert [rate.at(found, moment) for moment in (0, 9.9, 10, 15, 20)] == [5, 5, 5, 15, 25]
    assert found[1] == Stretch(10, 20, Line(5, 25, 10), 10)


def test_a_rate_that_is_changed_on_the_way_leaves_what_came_before_as_it_was():
    planned = rate.stretches(Ramp(2, 8), [(0, 10, None), (10, 20, 4.0)])

    before = list(rate.moments(map(float, itertools.count(1)), planned))
    after = list(rate.moments(map(float, itertools.count(1)), list(rate.paced(planned, [(6.0, 3.0)]))))

    early = [at for at in before if at < 6]
    assert after[: len(early)] == early
    assert sum(10 <= at < 20 for at in after) == pytest.approx(3 * 40, abs=1)


def test_the_last_change_of_a_rate_counts_and_one_is_the_rate_as_planned():
    planned = rate.stretches(10.0, [(0, 10, None), (10, 30, None)])

    times = list(rate.moments(map(float, itertools.count(1)), list(rate.paced(planned, [(5, 4), (12, 0.5), (20, 1)]))))

    counted = [sum(start <= at < end for at in times) for start, end in ((0, 5), (5, 12), (12, 20), (20, 30))]
    assert counted == pytest.approx([50, 280, 40, 100], abs=1)
    assert rate.total(list(rate.paced(planned, [(5, 4), (12, 0.5), (20, 1)]))) == pytest.approx(470)


def test_a_wave_that_is_changed_keeps_its_beat():
    planned = rate.stretches(DAY, [(0, 120, None)])

    times = list(rate.moments(map(float, itertools.count(1)), list(rate.paced(planned, [(60, 2)]))))

    first, second = (sum(start <= at < start + 30 for at in times) for start in (0, 60))
    assert second == pytest.approx(2 * first, abs=2)
