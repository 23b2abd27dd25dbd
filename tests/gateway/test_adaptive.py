"""The adaptive limit against simulated Claudes."""

import random

import pytest

from gateway_under_test.resilience.adaptive import Gradient


def limit(initial=100, floor=10, ceiling=100, tolerance=1.5, **more):
    return Gradient(initial, floor, ceiling, tolerance, **more)


def driven(gradient, ttft, attempts, load=10**6):
    """Attempts whose TTFT is a function of how many are in flight; the limits after each."""
    limits = []
    for _ in range(attempts):
        inflight = min(load, gradient.limit)
        limits.append(gradient.update(ttft(inflight), inflight))
    return limits


def shared(slots, base=0.5):
    """Claude with so many slots: beyond them the first token waits (M/PS)."""
    return lambda inflight: base * max(1.0, inflight / slots)


def learnt(**settings):
    """A limit that knows the usual TTFT of half a second."""
    gradient = limit(**settings)
    driven(gradient, shared(1000), 200, load=20)
    return gradient


def test_while_the_first_token_takes_what_it_usually_takes_the_limit_stays_at_its_ceiling():
    assert set(driven(limit(), lambda inflight: 0.7, 2000)) == {100}


def test_from_below_the_limit_grows_to_its_ceiling():
    limits = driven(limit(initial=10), lambda inflight: 0.7, 2000)

    assert limits == sorted(limits)
    assert (limits[0], limits[-1]) == (10, 100)


@pytest.mark.parametrize("tolerance", [1.0, 1.5, 2.0])
def test_where_more_at_once_are_slower_it_settles_at_the_slots_times_the_tolerance_and_the_queue(tolerance):
    gradient = learnt(tolerance=tolerance)

    limits = driven(gradient, shared(slots=30), 300)

    assert limits[-1] == pytest.approx(tolerance * 30 + 4, rel=0.15)
    assert limits[-1] < 75  # where all hundred were in flight at first


def test_an_overload_that_lasts_for_thousands_of_attempts_becomes_the_usual():
    gradient = learnt()

    limits = driven(gradient, shared(slots=30), 20_000)

    assert (limits[1000] < 70, limits[-1]) == (True, 100)


def test_however_slow_it_is_the_limit_keeps_its_floor():
    limits = driven(learnt(floor=10), lambda inflight: 60.0, 400)

    assert (min(limits), limits[-1]) == (10, 10)


def test_when_it_is_over_the_limit_comes_back():
    gradient = learnt()
    during = driven(gradient, lambda inflight: 5.0, 500)

    after = driven(gradient, shared(1000), 1500)

    assert (during[-1], after[-1]) == (10, 100)


def test_after_a_long_overload_the_usual_is_what_it_was_within_a_minute_of_attempts():
    gradient = learnt()
    driven(gradient, lambda inflight: 20.0, 20_000)
    driven(gradient, shared(1000), 600)

    again = driven(gradient, lambda inflight: 5.0, 300)

    assert again[-1] < again[0] / 2


def test_a_load_that_does_not_fill_the_limit_does_not_change_it():
    gradient = limit(initial=50)
    driven(gradient, lambda inflight: 0.5, 500, load=24)
    before = gradient.limit

    driven(gradient, lambda inflight: 5.0, 500, load=24)

    assert (before, gradient.limit) == (50, 50)


def test_a_window_is_as_full_as_its_fullest_moment():
    gradient = limit(initial=50)

    for inflight in [50, *[1] * 9] * 2:
        gradient.update(0.5, inflight)

    assert gradient.limit == 51


def test_half_full_is_enough_to_grow():
    gradient = limit(initial=50)

    driven(gradient, lambda inflight: 0.5, 20, load=26)

    assert gradient.limit == 51


def test_one_late_first_token_in_ten_is_no_overload():
    gradient = learnt()
    rng = random.Random(1)

    limits = driven(gradient, lambda inflight: 2.0 if rng.random() < 0.1 else 0.4, 3000)

    assert min(limits) > 80


def test_a_heavy_tail_of_first_tokens_costs_a_limit_little():
    rng = random.Random(1)

    limits = driven(limit(), lambda inflight: rng.lognormvariate(-0.51, 0.91), 5000)  # median 0.6 s, p99 5 s

    assert sum(limits) / len(limits) > 85


@pytest.mark.parametrize(("share", "least", "most"), [(0.01, 99, 100), (0.2, 12, 40), (1.0, 10, 10)])
def test_as_many_of_the_attempts_are_dropped_the_limit_shrinks_by_that_share(share, least, most):
    gradient, rng = learnt(), random.Random(1)

    for _ in range(2000):
        dropped = rng.random() < share
        gradient.update(30.0 if dropped else 0.5, gradient.limit, dropped)  # 30 s: it ran out of time

    assert least <= gradient.limit <= most


def test_a_quick_refusal_does_not_teach_that_first_tokens_are_quick():
    gradient = learnt()
    for _ in range(500):
        gradient.update(0.01, 20, dropped=True)

    limits = driven(gradient, shared(1000), 500)

    assert limits == sorted(limits)


def test_one_window_takes_at_most_a_tenth_off():
    gradient = learnt()

    limits = driven(gradient, lambda inflight: 1000.0, 10)

    assert limits == [100] * 9 + [90]


def test_where_the_ceiling_is_below_the_floor_it_wins():
    assert set(driven(limit(initial=10, floor=10, ceiling=4), lambda inflight: 0.5, 100)) == {4}


def test_first_tokens_without_delay_divide_by_nothing():
    assert driven(limit(), lambda inflight: 0.0, 100)[-1] == 100
