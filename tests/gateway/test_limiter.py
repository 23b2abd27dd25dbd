"""The limiter: callers wait for their places as the line says, and give them back."""

import asyncio
import contextlib
import random

import pytest

from gateway_under_test import errors
from gateway_under_test.resilience import limiter
from gateway_under_test.resilience.limiter import Limiter


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


async def holding(places, seconds, log, name, priority="normal"):
    try:
        async with places.slot(None, priority):
            log.append(name)
            await asyncio.sleep(seconds)
    except errors.Shed as shed:
        log.append(f"{name} shed: {shed.message.split(';')[0]}")


async def in_turn(*tasks):
    """Start them in this order, then let them end."""
    started = []
    for task in tasks:
        started.append(asyncio.create_task(task))
        await asyncio.sleep(0.001)
    await asyncio.gather(*started)


async def test_the_newest_is_served_first_in_a_lifo():
    places, log = Limiter(limit=1, max_wait=60.0, order="lifo", waiting=9), []

    await in_turn(*(holding(places, 1.0, log, name) for name in "abcd"))

    assert log == ["a", "d", "c", "b"]


async def test_a_bulkhead_without_a_line_sheds_at_once():
    places, log = Limiter(limit=1, max_wait=60.0, waiting=0), []

    await in_turn(*(holding(places, 1.0, log, name) for name in "ab"))

    assert log == ["a", "b shed: too many requests wait for one of 1 places"]


@pytest.mark.parametrize("by_priority", [True, False])
async def test_priority_counts_only_where_it_is_asked_for(by_priority):
    places, log = Limiter(limit=1, max_wait=60.0, by_priority=by_priority), []
    callers = [("a", "normal"), ("b", "normal"), ("low", "low"), ("high", "high")]

    await in_turn(*(holding(places, 1.0, log, name, priority) for name, priority in callers))

    short, full = "requests of low priority are shed first, and places are short", "too many requests wait for one"
    if by_priority:
        assert log == ["a", f"low shed: {short}", "b shed: made way for a request of high priority", "high"]
    else:
        assert log == ["a", f"low shed: {full} of 1 places", f"high shed: {full} of 1 places", "b"]
    assert (places.line.inflight, places.line.waiting) == (0, 0)


async def test_who_is_displaced_and_cancelled_in_the_same_moment_gives_no_place_back_twice():
    places, log = Limiter(limit=1, max_wait=60.0, by_priority=True), []
    holder = asyncio.create_task(holding(places, 5.0, log, "a"))
    await asyncio.sleep(0)
    loser = asyncio.create_task(holding(places, 1.0, log, "b"))
    await asyncio.sleep(0)

    loser.cancel()
    high = asyncio.create_task(holding(places, 1.0, log, "high", "high"))
    await asyncio.gather(holder, loser, high, return_exceptions=True)

    assert log == ["a", "high"]
    assert (places.line.inflight, places.line.waiting) == (0, 0)


async def test_a_displaced_one_cancelled_before_it_knows_gives_no_place_back():
    places, log = Limiter(limit=1, max_wait=60.0, by_priority=True), []
    holder = asyncio.create_task(holding(places, 5.0, log, "a"))
    await asyncio.sleep(0)
    loser = asyncio.create_task(holding(places, 1.0, log, "b"))
    await asyncio.sleep(0)

    high = asyncio.create_task(holding(places, 1.0, log, "high", "high"))
    high.add_done_callback(lambda _: None)
    asyncio.get_running_loop().call_soon(loser.cancel)
    await asyncio.gather(holder, loser, high, return_exceptions=True)

    assert (log[-1], places.line.inflight, places.line.waiting) == ("high", 0, 0)


async def test_a_place_left_to_one_who_was_cancelled_in_that_moment_goes_on_to_the_next():
    places, log = Limiter(limit=2, max_wait=60.0), []

    async def leaving():
        async with places.slot(None):
            await asyncio.sleep(1.0)
            dead.cancel()

    first, second = asyncio.create_task(leaving()), asyncio.create_task(holding(places, 9.0, log, "b"))
    await asyncio.sleep(0)
    dead, alive = (asyncio.create_task(holding(places, 1.0, log, name)) for name in "cd")
    await asyncio.gather(second, dead, alive, return_exceptions=True)

    assert await first is None
    assert (log, places.line.inflight, places.line.waiting) == (["b", "d"], 0, 0)


async def test_more_places_wake_those_who_wait_for_them():
    places, log = Limiter(limit=1, max_wait=60.0, waiting=9), []
    callers = [asyncio.create_task(holding(places, 1.0, log, name)) for name in "abc"]
    await asyncio.sleep(0.5)
    before = (list(log), places.free())

    places.resize(4)
    await asyncio.sleep(0)

    assert (before, log, places.free()) == ((["a"], False), ["a", "b", "c"], True)
    await asyncio.gather(*callers)


async def test_fewer_places_send_nobody_away_but_let_nobody_in():
    places, log = Limiter(limit=2, max_wait=60.0), []
    callers = [asyncio.create_task(holding(places, seconds, log, seconds)) for seconds in (1.0, 2.0, 3.0)]
    await asyncio.sleep(0.5)

    places.resize(1)
    await asyncio.sleep(1.0)

    assert (log, places.line.inflight, places.line.waiting) == ([1.0, 2.0], 1, 1)
    await asyncio.gather(*callers)


async def test_without_a_limit_a_place_is_always_free():
    places = limiter.Unlimited()
    places.resize(1)

    async with places.slot(None, "low"), places.slot(0.0, "low"):
        assert (places.free(), places.line) == (True, None)


@pytest.mark.parametrize("order", ["fifo", "lifo"])
@pytest.mark.parametrize("seed", range(5))
async def test_callers_who_come_leave_and_are_cancelled_at_random_leak_no_place(seed, order):
    rng, places = random.Random(seed), Limiter(limit=4, max_wait=0.5, order=order, by_priority=True)
    inside = worst = 0

    async def caller():
        nonlocal inside, worst
        with contextlib.suppress(errors.Shed):
            async with places.slot(None, rng.choice(["low", "normal", "high"])):
                inside += 1
                worst = max(worst, inside)
                try:
                    await asyncio.sleep(rng.choice([0.0, 0.1, 0.5, 1.0]))
                finally:
                    inside -= 1

    tasks = []
    for _ in range(500):
        tasks.append(asyncio.create_task(caller()))
        await asyncio.sleep(rng.choice([0.0, 0.0, 0.1]))
        if rng.random() < 0.3:
            rng.choice(tasks).cancel()
        if rng.random() < 0.1:
            places.resize(rng.randint(1, 6))
    await asyncio.gather(*tasks, return_exceptions=True)

    assert (inside, places.line.inflight, places.line.waiting) == (0, 0, 0)
    assert 4 <= worst <= 6
