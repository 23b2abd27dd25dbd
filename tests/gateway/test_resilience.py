"""The patterns alone, on numbers."""

import math
import random
from types import SimpleNamespace

import pytest

from gateway_under_test.resilience.budget import Budget, Unlimited
from gateway_under_test.resilience.deadline import Deadline, ServiceTime
from gateway_under_test.resilience.retry import Retry


def failure(retryable=True, retry_after=None, **more):
    return SimpleNamespace(retryable=retryable, retry_after=retry_after, **more)


def retry(attempts=4, base=1.0, cap=8.0, jitter="none", honour_retry_after=True, on="transient"):
    return Retry(attempts, base, cap, jitter, honour_retry_after, on)


@pytest.mark.parametrize(
    ("policy", "n", "error", "room", "wait"),
    [
        (retry(), 1, failure(), math.inf, 1.0),
        (retry(), 3, failure(), math.inf, 4.0),
        (retry(attempts=9, cap=5.0), 8, failure(), math.inf, 5.0),
        (retry(attempts=10**6), 10**5, failure(), math.inf, 8.0),
        (retry(), 4, failure(), math.inf, None),
        (retry(attempts=1), 1, failure(), math.inf, None),
        (retry(), 1, failure(retryable=False), math.inf, None),
        (retry(), 1, failure(retry_after=6.0), math.inf, 6.0),
        (retry(), 1, failure(retry_after=0.1), math.inf, 1.0),
        (retry(honour_retry_after=False), 1, failure(retry_after=6.0), math.inf, 1.0),
        (retry(), 1, failure(), 1.0, 1.0),
        (retry(), 1, failure(), 0.9, None),
        (retry(), 1, failure(retry_after=6.0), 5.0, None),
    ],
    ids=[
        *("first", "third", "capped", "no overflow", "used up", "only one", "not retryable", "retry-after"),
        *("backoff is longer", "ignored", "just fits", "does not fit", "retry-after does not fit"),
    ],
)
def test_next_wait(policy, n, error, room, wait):
    assert policy.next_wait(n, error, room, random.Random(1)) == wait


def test_full_jitter_is_uniform_up_to_the_backoff():
    rng, policy = random.Random(1), retry(jitter="full")

    waits = [policy.next_wait(2, failure(), math.inf, rng) for _ in range(2000)]

    assert 0 <= min(waits) < 0.02 and 1.98 < max(waits) <= 2.0
    assert sum(waits) / len(waits) == pytest.approx(1.0, abs=0.05)


def test_equal_jitter_is_half_the_backoff_and_as_much_at_most_again():
    rng, policy = random.Random(1), retry(jitter="equal")

    waits = [policy.next_wait(2, failure(), math.inf, rng) for _ in range(2000)]

    assert 1.0 <= min(waits) < 1.02 and 1.98 < max(waits) <= 2.0
    assert sum(waits) / len(waits) == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize(
    ("jitter", "retry_after", "earliest", "latest"),
    [("none", 6.0, 6.0, 6.0), ("equal", 6.0, 6.0, 7.0), ("full", 6.0, 6.0, 8.0), ("equal", 0.1, 1.0, 2.0)],
    ids=["none", "equal", "full", "half the backoff is longer"],
)
def test_callers_told_the_same_second_come_back_spread_over_the_random_part(jitter, retry_after, earliest, latest):
    rng, policy = random.Random(1), retry(jitter=jitter)

    waits = [policy.next_wait(2, failure(retry_after=retry_after), math.inf, rng) for _ in range(2000)]

    assert (min(waits), max(waits)) == pytest.approx((earliest, latest), abs=0.02)
    assert earliest <= min(waits) and max(waits) <= latest


@pytest.mark.parametrize(
    ("on", "error", "again"),
    [
        ("transient", failure(retryable=False), False),
        ("every_status", failure(retryable=False), True),
        ("every_status", failure(retryable=False, final=False), True),
        ("every_status", failure(retryable=True, final=True), False),
        ("transient", failure(retryable=True, final=True), False),
    ],
)
def test_every_status_is_tried_again_unless_it_is_final(on, error, again):
    wait = retry(on=on).next_wait(1, error, math.inf, random.Random(1))

    assert (wait is not None) == again


def test_every_status_still_ends_with_the_attempts():
    assert retry(on="every_status").next_wait(4, failure(retryable=False), math.inf, random.Random(1)) is None


def test_a_budget_starts_full_and_runs_dry():
    budget = Budget(ratio=0.1, burst=5)

    assert [budget.spend() for _ in range(7)] == [True] * 5 + [False] * 2


def test_ten_tenths_are_one_retry():
    budget = Budget(ratio=0.1, burst=1)
    budget.spend()

    for _ in range(9):
        budget.earn()
    early = budget.spend()
    budget.earn()

    assert (early, budget.spend(), budget.spend()) == (False, True, False)


def test_a_budget_saves_no_more_than_its_burst():
    budget = Budget(ratio=0.5, burst=2)

    for _ in range(100):
        budget.earn()

    assert budget.tokens == 2


def test_a_budget_of_nothing_allows_nothing():
    budget = Budget(ratio=0.0, burst=0)
    budget.earn()

    assert not budget.spend()


def test_without_a_budget_every_retry_is_paid_for():
    budget = Unlimited()
    budget.earn()

    assert all(budget.spend() for _ in range(1000))


def test_what_is_left_of_a_budget_can_be_read():
    budget = Budget(ratio=0.5, burst=3)

    budget.spend()
    budget.earn()

    assert (budget.left, Unlimited().left) == (2.5, None)


def test_retries_never_exceed_burst_plus_ratio_for_each_success():
    rng, budget = random.Random(7), Budget(ratio=0.1, burst=5)
    successes = retries = 0

    for _ in range(10_000):
        if rng.random() < 0.5:
            budget.earn()
            successes += 1
        else:
            retries += budget.spend()
        assert retries <= 5 + 0.1 * successes + 1e-6


@pytest.mark.parametrize(
    ("deadline", "timeout", "until"),
    [(None, None, None), (None, 3.0, 13.0), (4.0, None, 14.0), (4.0, 3.0, 13.0), (2.0, 3.0, 12.0)],
)
def test_the_earlier_of_timeout_and_deadline_counts(deadline, timeout, until):
    assert Deadline.after(deadline, 10.0).within(timeout, 10.0) == until


def test_remaining_time_is_infinite_without_a_deadline_and_negative_after_it():
    assert Deadline.after(None, 10.0).remaining(1e9) == math.inf
    assert Deadline.after(4.0, 10.0).remaining(15.0) == -1.0


def test_the_expected_service_time_is_the_median_of_the_last_fifty():
    service = ServiceTime()
    before = service.expected

    for seconds in [100.0] * 50 + [1.0, 2.0, 3.0] * 16 + [2.0, 2.0]:
        service.add(seconds)

    assert (before, service.expected) == (0.0, 2.0)
