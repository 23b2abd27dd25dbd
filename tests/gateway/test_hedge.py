"""The hedge's purse."""

import random

import pytest

from gateway_under_test.resilience.hedge import Hedge


@pytest.mark.parametrize(("requests", "share"), [(20, 0.05), (10, 0.1), (3, 1 / 3)])
def test_so_many_requests_pay_for_one_hedge_whatever_binary_fractions_make_of_their_share(requests, share):
    hedge = Hedge(after=5.0, share=share)

    before = [hedge.may() for _ in range(3)]
    for _ in range(requests):
        hedge.asked()

    assert (before, hedge.may(), hedge.may()) == ([False] * 3, True, False)


def test_no_more_than_three_hedges_are_saved_up():
    hedge = Hedge(after=5.0, share=0.5)

    for _ in range(1000):
        hedge.asked()

    assert [hedge.may() for _ in range(5)] == [True] * 3 + [False] * 2


def test_a_share_of_nothing_hedges_nothing():
    hedge = Hedge(after=5.0, share=0.0)
    hedge.asked()

    assert not hedge.may()


def test_a_share_of_one_hedges_every_request():
    hedge = Hedge(after=5.0, share=1.0)

    answers = []
    for _ in range(100):
        hedge.asked()
        answers.append(hedge.may())

    assert all(answers)


def test_hedges_never_exceed_their_share_of_the_requests():
    rng, hedge = random.Random(5), Hedge(after=5.0, share=0.05)
    requests = hedges = 0

    for _ in range(20_000):
        hedge.asked()
        requests += 1
        if rng.random() < 0.3:
            hedges += hedge.may()
        assert hedges <= 0.05 * requests + 1e-6

    assert hedges > 0.049 * requests


def test_it_says_after_how_long_a_hedge_may_start():
    assert Hedge(after=5.0, share=0.05).after == 5.0
