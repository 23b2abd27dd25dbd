"""The patterns alone, on numbers."""

import asyncio
import math
import random
from types import SimpleNamespace

import pytest

from gateway_under_test import errors
from gateway_under_test.resilience import limiter
from gateway_under_test.resilience.budget import Budget, Unlimited
from gateway_under_test.resilience.deadline import Deadline, ServiceTime
from gateway_under_test.resilience.limiter import Limiter, Line
from gateway_under_test.resilience.retry import Retry


def failure(retryable=True, retry_after=None):
    return SimpleNamespace(retryable=retryable, retry_after=retry_after)


def retry(attempts=4, base=1.0, cap=8.0, jitter="none", honour_retry_after=True):
    return Retry(attempts, base, cap, jitter, honour_retry_after)


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


def test_a_line_lets_in_up_to_its_limit_then_queues_as_many_then_refuses():
    line = Line(2)

    assert [line.offer(ticket) for ticket in "abcde"] == ["in", "in", "wait", "wait", "full"]


def test_places_go_to_those_who_wait_in_the_order_they_came():
    line = Line(1)
    for ticket in "ab":
        line.offer(ticket)

    first = line.leave()
    line.offer("c")

    assert (first, line.leave(), line.leave(), line.inflight) == ("b", "c", None, 0)


def test_who_gives_up_while_waiting_is_never_woken():
    line = Line(2)
    for ticket in "abcd":
        line.offer(ticket)

    line.abandon("c")

    assert (line.leave(), line.leave(), line.leave()) == ("d", None, None)


def test_who_gives_up_with_a_place_just_granted_passes_it_on():
    line = Line(2)
    for ticket in "abcd":
        line.offer(ticket)
    granted = line.leave()

    assert (line.abandon(granted), line.inflight) == ("d", 2)


def test_a_lower_limit_takes_effect_as_places_are_left():
    line = Line(3)
    for ticket in "abcd":
        line.offer(ticket)

    line.limit = 2

    assert (line.leave(), line.inflight) == (None, 2)
    assert (line.leave(), line.inflight) == ("d", 2)


def test_a_line_driven_at_random_loses_no_place():
    rng, line, waiting, inside = random.Random(3), Line(4), set(), set()

    for ticket in range(5000):
        match rng.choice(["offer", "leave", "abandon"]):
            case "offer":
                answer = line.offer(ticket)
                {"in": inside, "wait": waiting, "full": set()}[answer].add(ticket)
            case "leave" if inside:
                inside.pop()
                if (woken := line.leave()) is not None:
                    waiting.remove(woken)
                    inside.add(woken)
            case "abandon" if waiting:
                assert line.abandon(waiting.pop()) is None
        assert (line.inflight, line.waiting) == (len(inside), len(waiting))
        assert line.inflight <= 4 and not (waiting and line.inflight < 4)


async def test_a_cancelled_wait_leaks_no_place_and_wakes_nobody_dead():
    places = Limiter(limit=1, max_wait=60.0)
    order = []

    async def caller(name, seconds=1.0):
        async with places.slot(None):
            order.append(name)
            await asyncio.sleep(seconds)

    tasks = [asyncio.create_task(caller(name)) for name in "a"]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(caller("b"))]
    await asyncio.sleep(0.5)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await caller("c")

    assert order == ["a", "c"]
    assert (places.line.inflight, places.line.waiting) == (0, 0)


async def test_a_waiter_cancelled_in_the_moment_it_got_its_place_passes_it_on():
    places = Limiter(limit=2, max_wait=60.0)
    order = []

    async def caller(name, seconds):
        async with places.slot(None):
            order.append(name)
            await asyncio.sleep(seconds)

    holders = [asyncio.create_task(caller(name, seconds)) for name, seconds in [("a", 1.0), ("b", 9.0)]]
    await asyncio.sleep(0)
    dead, alive = (asyncio.create_task(caller(name, 1.0)) for name in "cd")
    holders[0].add_done_callback(lambda _: dead.cancel())
    await asyncio.gather(*holders, dead, alive, return_exceptions=True)

    assert "d" in order
    assert (places.line.inflight, places.line.waiting) == (0, 0)


@pytest.mark.parametrize(("until", "waited"), [(None, 5.0), (2.0, 2.0)], ids=["max_wait", "deadline"])
async def test_a_wait_ends_with_shed(until, waited):
    places = Limiter(limit=1, max_wait=5.0)
    start = asyncio.get_running_loop().time()

    async with places.slot(None):
        with pytest.raises(errors.Shed):
            async with places.slot(None if until is None else start + until):
                pass

    assert asyncio.get_running_loop().time() - start == pytest.approx(waited)
    assert (places.line.inflight, places.line.waiting) == (0, 0)


async def test_an_exception_inside_gives_the_place_back():
    places = Limiter(limit=1, max_wait=5.0)

    with pytest.raises(ZeroDivisionError):
        async with places.slot(None):
            raise ZeroDivisionError

    assert places.line.inflight == 0


async def test_without_a_limit_nobody_waits():
    async with limiter.Unlimited().slot(None), limiter.Unlimited().slot(None):
        pass
