"""The line in front of the places, on values: who is in flight, who waits, who is sent away."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_under_test.resilience.limiter import Line


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


@pytest.mark.parametrize(("order", "served"), [("fifo", "bcd"), ("lifo", "dcb")])
def test_the_order_says_who_of_those_who_wait_is_next(order, served):
    line = Line(1, order, waiting=3)
    for ticket in "abcd":
        line.offer(ticket)

    assert "".join(line.leave() for _ in "bcd") == served


@pytest.mark.parametrize(("waiting", "answers"), [(0, ["in", "full", "full"]), (1, ["in", "wait", "full"])])
def test_so_many_may_wait_and_no_more(waiting, answers):
    line = Line(1, waiting=waiting)

    assert [line.offer(ticket) for ticket in "abc"] == answers


def test_low_priority_fills_sixty_percent_of_the_places_and_never_waits():
    line = Line(10)
    answers = [line.offer(ticket, "low") for ticket in range(7)]

    others = [line.offer(ticket) for ticket in range(7, 12)]

    assert answers == ["in"] * 6 + ["full"]
    assert others == ["in"] * 4 + ["wait"]
    assert line.offer(12, "low") == "full"


def test_high_priority_waits_in_the_place_of_the_newest_normal_one():
    line = Line(1, waiting=3)
    for ticket, priority in zip("abcd", ["normal", "normal", "normal", "high"], strict=True):
        line.offer(ticket, priority)

    full, displaced = line.offer("e", "high"), line.displace("e")

    assert (full, displaced, line.waiting) == ("full", "c", 3)
    assert [line.leave() for _ in "bde"] == ["b", "d", "e"]


def test_high_priority_displaces_no_other_of_high():
    line = Line(1, waiting=1)
    line.offer("a")
    line.offer("b", "high")

    assert (line.displace("c"), line.leave()) == (None, "b")


def test_who_has_displaced_another_is_displaced_by_nobody():
    line = Line(1, waiting=1)
    line.offer("a")
    line.offer("b")

    assert (line.displace("c"), line.displace("d"), line.leave()) == ("b", None, "c")


def test_a_higher_limit_lets_in_those_who_wait():
    line = Line(1, waiting=5)
    for ticket in "abcd":
        line.offer(ticket)

    entered = line.resize(3)

    assert (entered, line.inflight, line.waiting) == (["b", "c"], 3, 1)


def test_a_place_is_free_only_while_nobody_would_be_passed_over():
    line = Line(2)
    before = line.free()
    for ticket in "abc":
        line.offer(ticket)
    line.limit = 3

    assert (before, line.free()) == (True, False)


OPS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.sampled_from(["low", "normal", "high"])),
        st.tuples(st.sampled_from(["leave", "abandon", "abandon a place"]), st.integers(0, 99)),
        st.tuples(st.just("resize"), st.integers(1, 6)),
    ),
    max_size=80,
)


@given(limit=st.integers(1, 6), order=st.sampled_from(["fifo", "lifo"]), room=st.none() | st.integers(0, 4), ops=OPS)
def test_whatever_happens_a_line_loses_nobody_and_no_place(limit, order, room, ops):
    line, inside, waiting = Line(limit, order, room), [], []

    def expect_next(woken):
        assert woken == waiting.pop(0 if order == "fifo" else -1)
        inside.append(woken)

    for ticket, (op, argument) in enumerate(ops):
        before = len(inside)
        match op:
            case "offer":
                queue = line.limit if room is None else room
                answer = line.offer(ticket, argument)
                if answer == "full" and argument == "high" and (loser := line.displace(ticket)) is not None:
                    waiting.remove(loser)
                    waiting.append(ticket)
                elif answer != "full":
                    {"in": inside, "wait": waiting}[answer].append(ticket)
                    assert len(waiting) <= queue or answer == "in"
            case "leave" if inside:
                inside.pop()
                if (woken := line.leave()) is not None:
                    expect_next(woken)
            case "abandon" if waiting:
                assert line.abandon(waiting.pop(argument % len(waiting))) is None
            case "abandon a place" if inside:
                if (woken := line.abandon(inside.pop(argument % len(inside)))) is not None:
                    expect_next(woken)
            case "resize":
                for woken in line.resize(argument):
                    expect_next(woken)
        assert (line.inflight, line.waiting) == (len(inside), len(waiting))
        assert line.inflight <= max(line.limit, before)  # a lower limit sends nobody away, and lets nobody in
        assert not waiting or line.inflight >= line.limit
