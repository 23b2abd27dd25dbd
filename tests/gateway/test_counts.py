"""The count of each caller's requests, kept in memory."""

import threading

import pytest

from gateway_under_test import counts


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kept(clock):
    return counts.Counts(now=clock)


def test_a_window_begins_with_its_first_request_and_ends_by_itself(kept, clock):
    first = [kept.incr("key-1", 60), kept.incr("key-1", 60)]
    clock.now += 59
    last, reopens = kept.incr("key-1", 60), kept.get_expiry("key-1")
    clock.now += 1
    anew = (kept.get("key-1"), kept.incr("key-1", 60), kept.get_expiry("key-1"))

    assert (first, last, reopens) == ([1, 2], 3, 1060)
    assert anew == (0, 1, 1120)


def test_callers_are_counted_apart(kept):
    kept.incr("key-1", 60)

    assert (kept.incr("key-2", 60, amount=3), kept.get("key-1")) == (3, 1)


def test_who_has_no_window_may_ask_now(kept, clock):
    assert (kept.get("nobody"), kept.get_expiry("nobody")) == (0, clock.now)


def test_who_was_forgotten_begins_again(kept):
    for key in ("key-1", "key-2", "key-3"):
        kept.incr(key, 60)

    kept.clear("key-1")

    assert [kept.get(key) for key in ("key-1", "key-2")] == [0, 1]
    assert kept.reset() == 2
    assert (kept.get("key-2"), kept.check()) == (0, True)


def test_windows_that_are_over_are_not_kept(kept, clock):
    for n in range(10 * counts.FEW):
        kept.incr(f"10.0.0.{n}", 60)
        clock.now += 1

    assert kept.reset() <= counts.FEW


def test_windows_that_are_not_over_are_all_kept(kept):
    for n in range(3 * counts.FEW):
        kept.incr(f"10.0.0.{n}", 60)

    assert kept.get("10.0.0.0") == 1
    assert kept.reset() == 3 * counts.FEW


def test_counting_starts_no_thread(kept):
    before = threading.active_count()

    kept.incr("key-1", 60)

    assert threading.active_count() == before
