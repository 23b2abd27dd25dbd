import heapq
import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from mockclaude import capacity
from mockclaude.capacity import Capacity, Size, State
from mockclaude.settings import ConfigError


def states(tickets):
    return [ticket.state for ticket in tickets]


def test_slots_fill_first_then_the_queue_then_attempts_are_turned_away():
    claude = Capacity(Size(slots=1, queue=1))

    tickets = [claude.offer(0.0) for _ in range(3)]

    assert states(tickets) == [State.RUNNING, State.QUEUED, State.TURNED_AWAY]


def test_who_came_first_is_served_first():
    claude = Capacity(Size(slots=1, queue=5))
    running, *waiting = [claude.offer(float(k)) for k in range(4)]

    [first] = claude.leave(running, 10.0)
    [second] = claude.leave(first, 11.0)

    assert [first, second] == waiting[:2]


def test_a_ticket_knows_how_long_it_waited():
    claude = Capacity(Size(slots=1, queue=1))
    running, waiting = claude.offer(1.0), claude.offer(2.0)

    assert waiting.waited is None
    claude.leave(running, 5.0)

    assert running.waited == 0.0
    assert waiting.waited == 3.0


def test_a_place_in_the_queue_that_is_given_up_is_free_again():
    claude = Capacity(Size(slots=1, queue=1))
    claude.offer(0.0)
    waiting = claude.offer(0.0)

    admitted = claude.abandon(waiting, 1.0)

    assert admitted == []
    assert claude.offer(1.0).state is State.QUEUED


def test_a_slot_that_is_given_up_goes_to_the_next():
    claude = Capacity(Size(slots=1, queue=1))
    running, waiting = claude.offer(0.0), claude.offer(0.0)

    assert claude.abandon(running, 1.0) == [waiting]
    assert claude.cancelled == 1


def test_when_slots_shrink_what_runs_finishes_and_nothing_new_starts():
    claude = Capacity(Size(slots=3, queue=5))
    running = [claude.offer(0.0) for _ in range(3)]
    waiting = claude.offer(0.0)

    assert claude.resize(Size(1, 5), 1.0) == []
    assert claude.running == 3
    assert claude.leave(running[0], 2.0) == []
    assert claude.leave(running[1], 2.0) == []
    assert claude.leave(running[2], 2.0) == [waiting]


def test_when_slots_grow_the_queue_is_admitted_at_once():
    claude = Capacity(Size(slots=1, queue=5))
    claude.offer(0.0)
    waiting = [claude.offer(0.0) for _ in range(3)]

    assert claude.resize(Size(3, 5), 1.0) == waiting[:2]


def test_when_the_queue_shrinks_who_waits_keeps_waiting():
    claude = Capacity(Size(slots=1, queue=5))
    tickets = [claude.offer(0.0) for _ in range(4)]

    claude.resize(Size(1, 1), 1.0)

    assert claude.queued == 3
    assert claude.offer(1.0).state is State.TURNED_AWAY
    assert states(tickets) == [State.RUNNING] + [State.QUEUED] * 3


def test_who_came_last_is_served_first_if_so_configured():
    claude = Capacity(Size(slots=1, queue=5, order="lifo"))
    running, early, late = [claude.offer(float(k)) for k in range(3)]

    assert claude.leave(running, 10.0) == [late]
    assert early.state is State.QUEUED


def test_by_deadline_the_most_urgent_is_served_first_and_who_has_none_last():
    claude = Capacity(Size(slots=1, queue=5, order="deadline"))
    running, patient, urgent, unhurried = (
        claude.offer(0.0),
        claude.offer(0.0, deadline=50.0),
        claude.offer(0.0, deadline=9.0),
        claude.offer(0.0),
    )

    served = []
    current = running
    for now in (1.0, 2.0, 3.0):
        [current] = claude.leave(current, now)
        served.append(current)

    assert served == [urgent, patient, unhurried]


def test_by_deadline_who_cannot_finish_in_time_is_turned_away_when_its_turn_comes():
    claude = Capacity(Size(slots=1, queue=5, order="deadline"))
    running = claude.offer(0.0)
    hopeless = claude.offer(0.0, deadline=4.0, needs=2.0)
    hopeful = claude.offer(0.0, deadline=5.5, needs=2.0)

    assert claude.leave(running, 3.0) == [hopeless, hopeful]
    assert states([hopeless, hopeful]) == [State.TURNED_AWAY, State.RUNNING]
    assert (claude.turned_away, claude.running, claude.queued) == (1, 1, 0)


def test_those_who_left_the_queue_are_not_kept_in_the_order_by_deadline():
    claude = Capacity(Size(slots=0, queue=None, order="deadline"))

    for k in range(10_000):
        claude.abandon(claude.offer(float(k), deadline=k + 1.0), float(k))

    assert len(claude._by_deadline) <= capacity.FORGOTTEN + 1


def test_the_order_can_change_while_some_wait():
    claude = Capacity(Size(slots=1, queue=5))
    running, late, soon = claude.offer(0.0), claude.offer(0.0, deadline=9.0), claude.offer(0.0, deadline=5.0)

    claude.resize(Size(slots=1, queue=5, order="deadline"), 1.0)

    assert claude.leave(running, 2.0) == [soon]
    claude.resize(Size(slots=1, queue=5, order="lifo"), 2.0)
    assert claude.leave(soon, 3.0) == [late]


@pytest.mark.parametrize("size", [Size(slots=0, queue=None), Size(slots=0, queue=1, on_full="wait")])
def test_a_queue_without_a_bound_turns_nobody_away(size):
    claude = Capacity(size)

    assert {claude.offer(0.0).state for _ in range(5000)} == {State.QUEUED}


def test_who_has_waited_as_long_as_any_may_is_turned_away():
    claude = Capacity(Size(slots=1, queue=1))
    running, waiting = claude.offer(0.0), claude.offer(0.0)

    claude.expire(waiting)

    assert (waiting.state, claude.turned_away) == (State.TURNED_AWAY, 1)
    with pytest.raises(ValueError, match="only a queued ticket can expire, this one is running"):
        claude.expire(running)


@pytest.mark.parametrize(
    ("size", "running", "stretch"),
    [
        (Size(slots=5, slowdown=3.0), 1, 1.0),
        (Size(slots=5, slowdown=3.0), 3, 2.0),
        (Size(slots=5, slowdown=3.0), 5, 3.0),
        (Size(slots=1, slowdown=3.0), 1, 1.0),
        (Size(slots=5, slowdown=capacity.Linear(2.0, 0.5)), 4, 2.0),
        (Size(slots=5), 5, 1.0),
        (Size(slots=5, slowdown=3.0), 0, 1.0),
    ],
)
def test_the_more_run_the_longer_all_takes(size, running, stretch):
    assert size.stretch(running) == pytest.approx(stretch)


def test_without_a_slow_down_work_keeps_the_clock_to_the_last_bit():
    claude = Capacity(Size(slots=2))
    ticket = claude.offer(0.1)
    claude.offer(0.7)

    assert (ticket.begun, claude.work(0.4)) == (0.1, 0.4)
    assert claude.wait(0.3, 0.1) == 0.3 - 0.1
    assert claude.lag(1e6) == 0.0


def test_no_slots_at_all_is_an_outage_with_a_queue():
    claude = Capacity(Size(slots=0, queue=1))

    assert states([claude.offer(0.0), claude.offer(0.0)]) == [State.QUEUED, State.TURNED_AWAY]


@pytest.mark.parametrize("end", ["leave", "abandon"])
def test_a_ticket_ends_only_once(end):
    claude = Capacity(Size(slots=1, queue=0))
    ticket = claude.offer(0.0)
    claude.leave(ticket, 1.0)

    with pytest.raises(ValueError, match="this one is completed"):
        getattr(claude, end)(ticket, 2.0)


def test_new_counts_begin_with_what_runs_and_waits():
    claude = Capacity(Size(slots=1, queue=1))
    for _ in range(3):
        claude.offer(0.0)

    claude.restart_counts()

    assert (claude.arrived, claude.running, claude.queued, claude.turned_away) == (2, 1, 1, 0)


class Conservation(RuleBasedStateMachine):
    """Whatever happens in whatever order, nobody is lost and no slot leaks."""

    def __init__(self):
        super().__init__()
        self.claude = Capacity(Size(slots=2, queue=3))
        self.tickets = []
        self.now = 0.0

    def alive(self, *wanted):
        return [ticket for ticket in self.tickets if ticket.state in wanted]

    @rule(left=st.sampled_from([1.0, 5.0, math.inf]), needs=st.sampled_from([0.0, 2.0]))
    def offer(self, left, needs):
        self.now += 1
        self.tickets.append(self.claude.offer(self.now, self.now + left, needs))

    @precondition(lambda self: self.alive(State.RUNNING))
    @rule(data=st.data())
    def leave(self, data):
        self.claude.leave(data.draw(st.sampled_from(self.alive(State.RUNNING))), self.now)

    @precondition(lambda self: self.alive(State.RUNNING, State.QUEUED))
    @rule(data=st.data())
    def abandon(self, data):
        self.claude.abandon(data.draw(st.sampled_from(self.alive(State.RUNNING, State.QUEUED))), self.now)

    @precondition(lambda self: self.alive(State.QUEUED))
    @rule(data=st.data())
    def expire(self, data):
        self.claude.expire(data.draw(st.sampled_from(self.alive(State.QUEUED))))

    @rule(
        slots=st.integers(0, 4),
        queue=st.one_of(st.none(), st.integers(0, 4)),
        order=st.sampled_from(["fifo", "lifo", "deadline"]),
        slowdown=st.sampled_from([None, 2.0, capacity.Linear(1.0, 0.5)]),
    )
    def resize(self, slots, queue, order, slowdown):
        self.claude.resize(Size(slots, queue, order=order, slowdown=slowdown), self.now)

    @rule()
    def restart(self):
        self.claude.restart_counts()

    @invariant()
    def conserved(self):
        one = self.claude
        assert one.arrived == one.completed + one.running + one.queued + one.turned_away + one.cancelled

    @invariant()
    def counts_are_those_of_the_tickets(self):
        assert self.claude.running == len(self.alive(State.RUNNING))
        assert self.claude.queued == len(self.alive(State.QUEUED))

    @invariant()
    def nobody_waits_beside_a_free_slot(self):
        assert self.claude.queued == 0 or self.claude.running >= self.claude.size.slots


def test_whatever_happens_nobody_is_lost():
    run_state_machine_as_test(Conservation, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))


def simulate(claude, rate, service, arrivals, seed):
    """Poisson arrivals and exponential service against the machine, with an event heap; every ticket that came."""
    rng, order, ends, tickets = random.Random(seed), itertools.count(), [], []

    def serve(admitted, now):
        for ticket in admitted:
            heapq.heappush(ends, (now + rng.expovariate(1 / service), next(order), ticket))

    now = 0.0
    for _ in range(arrivals):
        now += rng.expovariate(rate)
        while ends and ends[0][0] <= now:
            at, _, ticket = heapq.heappop(ends)
            serve(claude.leave(ticket, at), at)
        ticket = claude.offer(now)
        tickets.append(ticket)
        if ticket.state is State.RUNNING:
            serve([ticket], now)
    return tickets


def erlang_b(servers, load):
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked


def erlang_c(servers, load):
    blocked = erlang_b(servers, load)
    return blocked / (1 - load / servers * (1 - blocked))


def test_without_a_queue_the_share_turned_away_is_erlang_b():
    claude = Capacity(Size(slots=10, queue=0))

    simulate(claude, rate=8.0, service=1.0, arrivals=60_000, seed=1)

    assert claude.turned_away / claude.arrived == pytest.approx(erlang_b(10, 8.0), rel=0.05)


def test_with_a_queue_the_mean_wait_is_erlang_cs():
    claude = Capacity(Size(slots=10, queue=1_000_000))

    tickets = simulate(claude, rate=8.0, service=1.0, arrivals=60_000, seed=2)

    waits = [ticket.waited for ticket in tickets if ticket.waited is not None]
    assert math.fsum(waits) / len(waits) == pytest.approx(erlang_c(10, 8.0) / (10 - 8.0), rel=0.1)


def test_a_section_is_laid_over_what_is_in_force():
    base = Size(slots=16, queue=200, on_disconnect="finish")

    assert capacity.parse({"slots": 1}, base) == Size(1, 200, "finish")
    assert capacity.parse({"queue": 0}, base) == Size(16, 0, "finish")
    assert capacity.parse({}) == Size()
    assert capacity.parse({"queue": "unbounded", "slowdown": {"s0": 1, "a": 0.1}}, base) == Size(
        16, None, "finish", slowdown=capacity.Linear(1, 0.1)
    )


@pytest.mark.parametrize(
    "size",
    [
        Size(),
        Size(3, None, "skip_if_queued", "deadline", 2.5, 429, 2.0),
        Size(3, 0, on_full="wait", slowdown=capacity.Linear(1.0, 0.2)),
    ],
)
def test_what_is_shown_can_be_read_back(size):
    assert capacity.parse(capacity.as_config(size), Size(1, 1, "finish", "lifo")) == size


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"slots": -1}, "capacity.slots: expected greater than or equal to 0, got -1"),
        ({"slots": "16"}, "capacity.slots: expected a valid integer, got '16'"),
        (
            {"on_disconnect": "ignore"},
            "capacity.on_disconnect: expected 'cancel', 'finish' or 'skip_if_queued', got 'ignore'",
        ),
        ({"queue": "endless"}, "capacity.queue: expected a valid integer, got 'endless'"),
        ({"slowdown": 0.5}, "capacity.slowdown: expected greater than or equal to 1, got 0.5"),
        ({"slowdown": {"s0": 0, "a": 1}}, "capacity.slowdown.s0: expected greater than 0, got 0"),
        ({"slowdown": {"s0": 1}}, "capacity.slowdown.a: is missing"),
        ({"order": "random"}, "capacity.order: expected 'fifo', 'lifo' or 'deadline', got 'random'"),
        ([], "capacity: expected a mapping"),
        ({"que": 1}, 'capacity.que: unknown key; did you mean "queue"'),
    ],
)
def test_what_makes_no_sense_is_refused(section, reason):
    with pytest.raises(ConfigError, match=reason):
        capacity.parse(section)


@given(slots=st.integers(0, 5), queue=st.integers(0, 5), attempts=st.integers(0, 20))
def test_a_burst_is_shared_between_slots_queue_and_the_door(slots, queue, attempts):
    claude = Capacity(Size(slots, queue))

    for _ in range(attempts):
        claude.offer(0.0)

    assert claude.running == min(attempts, slots)
    assert claude.queued == min(attempts - claude.running, queue)
    assert claude.turned_away == attempts - claude.running - claude.queued
