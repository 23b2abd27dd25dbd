import asyncio

import pytest

from mockclaude.clock import SAMPLE_EVERY, STALLS_KEPT, Clock, LagMeter


async def test_the_clock_counts_from_t0_on_the_loops_time():
    clock = Clock()
    await asyncio.sleep(3)

    clock.restart()
    await asyncio.sleep(2)

    assert clock.elapsed() == pytest.approx(2)
    assert clock.now() - clock.zero == pytest.approx(2)


async def test_a_loop_on_time_has_no_stalls():
    clock = Clock()
    lag = LagMeter(clock)
    lag.start()

    await asyncio.sleep(10)
    lag.stop()

    assert list(lag.stalls) == []


def test_a_wake_up_that_came_late_is_a_stall_with_its_time_since_t0():
    clock = Clock()
    clock.zero = 100.0
    lag = LagMeter(clock)

    lag.note(due=103.0, woke=104.5)
    lag.note(due=105.0, woke=105.05)

    assert [stall._asdict() for stall in lag.stalls] == [{"t": 3.0, "seconds": 1.5}]
    assert lag.largest == 1.5


def test_stalls_are_bounded_and_can_be_forgotten():
    lag = LagMeter(Clock())
    for k in range(STALLS_KEPT + 10):
        lag.note(due=k, woke=k + 1)
    assert len(lag.stalls) == STALLS_KEPT

    lag.clear()

    assert (list(lag.stalls), lag.largest) == ([], 0.0)


def test_samples_are_close_enough_to_see_every_stall_worth_telling():
    assert SAMPLE_EVERY <= 0.05
