"""The schedule: when requests are meant to start."""

import dataclasses
import itertools
import json
import statistics

import pytest

from loadtests import load
from loadtests.sample import Sample


@dataclasses.dataclass
class Rate:
    arrivals: str
    rate: float


def test_a_seed_gives_the_same_schedule_and_another_seed_another():
    first, again, other = (load.schedule(Rate("poisson", 8), 60, seed, "v") for seed in (1, 1, 2))

    assert first == again
    assert [arrival.at for arrival in first] != [arrival.at for arrival in other]


def test_every_variant_meets_the_same_crowd_under_names_of_its_own():
    naive, fixed = (load.schedule(Rate("poisson", 8), 60, 1, variant) for variant in ("naive", "fixed"))

    assert [(a.at, a.message) for a in naive] == [(a.at, a.message) for a in fixed]
    assert not {a.request_id for a in naive} & {a.request_id for a in fixed}


def test_requests_are_named_and_asked_once_each():
    arrivals = load.schedule(Rate("poisson", 50), 60, 1, "v")

    assert len({arrival.request_id for arrival in arrivals}) == len(arrivals)
    assert len({arrival.message for arrival in arrivals}) == len(arrivals)


def test_a_schedule_lies_within_its_run_in_order():
    times = [arrival.at for arrival in load.schedule(Rate("poisson", 8), 60, 1, "v")]

    assert times == sorted(times)
    assert times[0] > 0 and times[-1] < 60


def test_poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process():
    times = [arrival.at for arrival in load.schedule(Rate("poisson", 20), 5000, 1, "v")]
    gaps = [b - a for a, b in itertools.pairwise(times)]

    # 100,000 gaps: their mean has a standard error of 0.3 %, their coefficient of variation is 1
    assert statistics.mean(gaps) == pytest.approx(1 / 20, rel=0.01)
    assert statistics.stdev(gaps) / statistics.mean(gaps) == pytest.approx(1, rel=0.02)


def test_constant_arrivals_are_evenly_spaced():
    times = [arrival.at for arrival in load.schedule(Rate("constant", 4), 2, 1, "v")]

    assert times == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]


@pytest.mark.parametrize("rate", [1, 3, 7, 9, 10, 11, 30, 100])
def test_constant_arrivals_do_not_drift_over_a_boundary(rate: int):
    """A sum of a thousand gaps of 0.1 s is not 100 s: one request would fall into the phase before its own."""
    times = [arrival.at for arrival in load.schedule(Rate("constant", rate), 101, 1, "v")]

    assert sum(time < 100 for time in times) == 100 * rate - 1
    assert 100.0 in times


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_an_intended_start_survives_its_row_on_disk(arrivals: str):
    """Else a request near a boundary would be offered in one phase and started in the other."""
    for arrival in load.schedule(Rate(arrivals, 7), 60, 1, "v"):
        row = json.loads(Sample(arrival.request_id, arrival.at, arrival.at, arrival.at, "complete").to_json("v"))
        assert row["intended"] == arrival.at


def test_a_stretch_may_have_a_rate_of_its_own():
    arrivals = load.schedule(Rate("constant", 2), 6, 1, "v", rates=[(0.0, 2), (2.0, 5), (4.0, 1)])

    assert [arrival.at for arrival in arrivals] == [0.5, 1, 1.5, 2, 2.2, 2.4, 2.6, 2.8, 3, 3.2, 3.4, 3.6, 3.8, 4, 5]


def test_a_crowd_at_another_rate_is_the_same_crowd_sooner():
    slow = load.schedule(Rate("poisson", 5), 60, 1, "v")
    fast = load.schedule(Rate("poisson", 10), 30, 1, "v")

    assert [arrival.message for arrival in slow] == [arrival.message for arrival in fast]
    assert [arrival.at for arrival in slow] == pytest.approx([2 * arrival.at for arrival in fast], abs=1e-5)


def test_random_arrivals_keep_the_rate_of_each_stretch():
    arrivals = load.schedule(Rate("poisson", 10), 300, 1, "v", rates=[(0.0, 10), (100.0, 50), (200.0, 10)])
    counts = [sum(start <= arrival.at < start + 100 for arrival in arrivals) for start in (0, 100, 200)]

    assert counts == pytest.approx([1000, 5000, 1000], abs=4 * 5000**0.5)
    assert [arrival.at for arrival in arrivals] == sorted(arrival.at for arrival in arrivals)
