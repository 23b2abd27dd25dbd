"""The circuit breaker on a clock of numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_under_test.resilience.breaker import TRANSITIONS, Breaker, NoBreaker


def breaker(failures=0.5, window=10, cooldown=30.0):
    return Breaker(failures, window, cooldown)


def ends(breaker, outcomes, now=0.0):
    """Attempts one after the other, `.` succeeds, `x` fails; the state after each."""
    states = []
    for outcome in outcomes:
        ticket = breaker.admit(now)
        {".": breaker.success, "x": breaker.failure}[outcome](ticket, now)
        states.append(breaker.state(now))
    return states


def opened(**settings):
    it = breaker(**settings)
    ends(it, "xxxxx")
    return it


@pytest.mark.parametrize(
    ("settings", "outcomes", "opens_at"),
    [
        ({}, "xxxxx", 5),
        ({}, ".....xxxx", None),
        ({}, ".....xxxxx", 10),
        ({}, "." * 50 + "xxxxx", 55),
        ({}, "xxxx......", None),
        ({"window": 20}, "xxxxxxxxxx", 10),
        ({"window": 20}, "." * 10 + "x" * 10, 20),
        ({"window": 1}, "x", 1),
        ({"window": 3}, "xxx", 3),
        ({"failures": 1.0}, "xxxx.xxxxx" + "xxxxx", 15),
        ({"failures": 0.1}, "." * 100 + "x", 101),
        ({"failures": 0.3, "window": 10}, ".......xxx", 10),
    ],
    ids=[
        *("five are enough of ten", "less than half", "half", "only the window counts", "failures first"),
        *("half of twenty", "half of a full twenty", "one of one", "a small window must be full"),
        *("all must fail", "one in ten", "three tenths"),
    ],
)
def test_it_opens_when_the_share_of_the_last_attempts_failed(settings, outcomes, opens_at):
    states = ends(breaker(**settings), outcomes)

    assert (states.index("open") + 1 if "open" in states else None) == opens_at


def test_open_it_admits_nobody_until_the_cooldown_is_over():
    it = opened(cooldown=30.0)

    assert (it.state(29.9), it.admit(29.9), it.retry_in(10.0)) == ("open", None, 20.0)
    assert (it.state(30.0), bool(it.admit(30.0)), it.retry_in(30.0)) == ("half_open", True, 0.0)


def test_half_open_it_admits_one_probe_at_a_time():
    it = opened()

    assert [bool(it.admit(31.0)) for _ in range(3)] == [True, False, False]


def test_a_probe_that_succeeds_closes_it_and_the_past_is_forgotten():
    it = opened()

    it.success(it.admit(31.0), 32.0)

    assert it.state(32.0) == "closed"
    assert ends(it, "xxxx", 33.0)[-1] == "closed"


def test_a_probe_that_fails_opens_it_for_another_cooldown():
    it = opened(cooldown=30.0)

    it.failure(it.admit(31.0), 35.0)

    assert (it.state(64.9), it.state(65.0)) == ("open", "half_open")


def test_a_probe_whose_caller_left_makes_room_for_another():
    it = opened()

    it.forget(it.admit(31.0), 32.0)

    assert (it.state(32.0), bool(it.admit(32.0)), it.admit(32.0)) == ("half_open", True, None)


def test_who_is_forgotten_while_it_is_closed_counts_for_nothing():
    it = breaker()

    for _ in range(100):
        it.forget(it.admit(0.0), 1.0)

    assert ends(it, "xxxx")[-1] == "closed"


@pytest.mark.parametrize("how", ["success", "failure", "forget"])
def test_what_began_before_it_opened_neither_closes_nor_opens_it_nor_frees_the_probe(how):
    it = breaker()
    late = it.admit(0.0)
    ends(it, "xxxxx")
    probe = it.admit(31.0)

    getattr(it, how)(late, 32.0)

    assert (it.state(32.0), it.admit(32.0)) == ("half_open", None)
    it.success(probe, 33.0)
    assert it.state(33.0) == "closed"


def test_what_began_before_it_opened_does_not_count_after_it_has_closed_again():
    it = breaker()
    late = [it.admit(0.0) for _ in range(10)]
    ends(it, "xxxxx")
    it.success(it.admit(31.0), 31.0)

    for ticket in late:
        it.failure(ticket, 32.0)

    assert it.state(32.0) == "closed"


def test_failures_of_attempts_that_overlap_open_it_once():
    it = breaker(cooldown=30.0)
    tickets = [it.admit(0.0) for _ in range(9)]

    for second, ticket in enumerate(tickets):
        it.failure(ticket, float(second))

    assert (it.state(33.9), it.state(34.0)) == ("open", "half_open")  # since the fifth, not the ninth


@pytest.mark.parametrize("begin", ["closed", "open", "half_open"])
def test_held_it_is_open_until_that_moment_whatever_happens(begin):
    it = breaker() if begin == "closed" else opened()
    now = 31.0 if begin == "half_open" else 1.0
    ticket = it.admit(now)

    it.hold(100.0)
    if ticket:
        it.success(ticket, 50.0)

    assert (it.state(99.9), it.admit(99.9), it.retry_in(40.0)) == ("open", None, 60.0)
    assert it.state(100.0) == "half_open"


def test_an_earlier_hold_does_not_shorten_a_later_one():
    it = breaker()

    it.hold(100.0)
    it.hold(50.0)

    assert it.state(99.0) == "open"


def test_every_transition_of_the_table_leads_to_a_state_of_the_table():
    states = {state for state, _ in TRANSITIONS}

    assert set(TRANSITIONS.values()) == states == {"closed", "open", "half_open"}


def test_without_a_breaker_everybody_is_admitted():
    it = NoBreaker()

    it.hold(math.inf)
    for _ in range(100):
        it.failure(it.admit(0.0), 0.0)
    it.success(it.admit(0.0), 0.0)
    it.forget(it.admit(0.0), 0.0)

    assert (it.state(0.0), bool(it.admit(0.0)), it.retry_in(0.0)) == ("closed", True, 0.0)


OPS = st.tuples(
    st.sampled_from(["admit", "admit", "success", "failure", "failure", "forget", "hold"]),
    st.integers(0, 99),
    st.floats(0, 8),
)


@given(window=st.integers(1, 12), failures=st.floats(0.1, 1), ops=st.lists(OPS, max_size=120))
def test_whatever_happens_there_is_one_probe_at_most_and_nobody_passes_an_open_one(window, failures, ops):
    it, now, out, held = Breaker(failures, window, cooldown=10.0), 0.0, [], -math.inf

    for op, pick, seconds in ops:
        now += seconds
        state = it.state(now)
        match op:
            case "admit":
                ticket = it.admit(now)
                probing = any(began == "half_open" and own.era == it._era for own, began in out)
                assert (ticket is not None) == {"closed": True, "open": False, "half_open": not probing}[state]
                if ticket is not None:
                    out.append((ticket, state))
            case "hold":
                held = max(held, now + pick / 5)
                it.hold(now + pick / 5)
            case _ if out:
                ticket, began = out.pop(pick % len(out))
                current = ticket.era == it._era
                getattr(it, op)(ticket, now)
                if not current:
                    assert it.state(now) == state
                elif began == "half_open":
                    assert it.state(now) == {"success": "closed", "failure": "open", "forget": "half_open"}[op]
        assert it.state(now) == "open" or now >= held
        assert (it.retry_in(now) > 0) == (it.state(now) == "open")
