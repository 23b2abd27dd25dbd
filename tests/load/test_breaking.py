"""The largest rate that holds the SLO, from what became of each request of a rising load."""

import random

import pytest

from loadtests.judging import breaking
from loadtests.judging.breaking import Breakpoint

RAMP = [10 + 0.02 * number for number in range(1000)]  # from 10 to 30


def test_a_sharp_break_is_found_to_the_request():
    found = breaking.find([rate < 20 for rate in RAMP], RAMP)

    # 35 good ones of 35 and no good one of 2 are beyond doubt: 1/(1 + 1.96²/n) > 0.9, and 1 - 1/(1 + 1.96²/n) < 0.9
    assert found == pytest.approx(Breakpoint(rate=19.98, low=19.3, high=20.0), abs=0.021)


def test_bad_luck_on_the_way_is_not_the_break():
    unlucky = [rate < 20 and not 15 <= rate < 15.2 for rate in RAMP]

    found = breaking.find(unlucky, RAMP)

    assert found.rate == pytest.approx(19.98)


def test_good_luck_beyond_is_not_the_capacity():
    lucky = [rate < 20 or 25 <= rate < 25.4 for rate in RAMP]

    found = breaking.find(lucky, RAMP)

    assert found.rate == pytest.approx(19.98)


def test_the_interval_holds_the_rate_at_which_nine_of_ten_are_good():
    """The share falls evenly from 1 at 16 to 0 at 24, so that it is 0.9 at 16.8; 95 of 100 intervals must hold that, or
    less by three standard deviations, 88."""
    held = 0
    for seed in range(100):
        rng = random.Random(seed)
        found = breaking.find([rng.random() < min(1, max(0, (24 - rate) / 8)) for rate in RAMP], RAMP)
        assert found.low is not None and found.high is not None
        assert found.high - found.low < 4
        held += found.low < 16.8 < found.high

    assert held >= 88


def test_what_held_to_the_end_broke_nowhere():
    found = breaking.find([True] * len(RAMP), RAMP)

    assert found.rate is found.high is None
    assert found.low == pytest.approx(29.3, abs=0.021)


def test_what_never_held_broke_before():
    found = breaking.find([False] * len(RAMP), RAMP)

    assert found == Breakpoint(high=pytest.approx(10.02, abs=0.021))


@pytest.mark.parametrize(
    "rates", [[], [10.0] * 1000, RAMP[::-1]], ids=["nothing", "a constant rate", "a ramp that falls"]
)
def test_without_a_rise_there_is_no_breakpoint(rates: list[float]):
    assert breaking.find([rate < 20 for rate in rates], rates) == Breakpoint()


def test_only_the_way_up_counts():
    """After a peak a backlog is still there at rates that were held before."""
    there_and_back = [*RAMP, *RAMP[::-1]]

    found = breaking.find([*(rate < 20 for rate in RAMP), *(False for _ in RAMP)], there_and_back)

    assert found == breaking.find([rate < 20 for rate in RAMP], RAMP)
