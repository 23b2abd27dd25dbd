"""One timer watches a stream's steps, each within its own time."""

import asyncio
import contextlib

import pytest

from gateway_under_test.patience import Patience


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_step_that_takes_too_long_is_a_timeout_at_its_moment():
    patience = Patience(now() + 2.0)

    with pytest.raises(TimeoutError), patience:
        await asyncio.sleep(9.0)

    assert now() == pytest.approx(2.0)
    assert asyncio.current_task().cancelling() == 0


async def test_each_step_has_its_own_moment_and_only_steps_count():
    wrong = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: wrong.append(context))
    patience = Patience(now() + 1.0)

    for _ in range(5):
        with patience:
            await asyncio.sleep(0.9)
        await asyncio.sleep(5.0)  # whoever reads takes his time
        patience.until = now() + 1.0

    with pytest.raises(TimeoutError), patience:
        await asyncio.sleep(1.1)

    assert wrong == []


async def test_a_moment_may_come_nearer():
    patience = Patience(now() + 60.0)
    with patience:
        await asyncio.sleep(0.1)
    patience.until = now() + 1.0

    with pytest.raises(TimeoutError), patience:
        await asyncio.sleep(9.0)

    assert now() == pytest.approx(1.1)


async def test_without_a_moment_it_waits():
    with Patience(None):
        await asyncio.sleep(1e6)


async def test_steps_may_run_in_tasks_of_their_own():
    patience = Patience(now() + 1.0)

    async def step(seconds: float) -> None:
        with patience:
            await asyncio.sleep(seconds)

    await asyncio.create_task(step(0.5))
    with pytest.raises(TimeoutError):
        await asyncio.create_task(step(2.0))

    assert now() == pytest.approx(1.0)


async def test_who_is_cancelled_by_somebody_else_is_cancelled():
    patience = Patience(now() + 1.0)

    async def step() -> None:
        with patience:
            await asyncio.sleep(9.0)

    running = asyncio.create_task(step())
    asyncio.get_running_loop().call_later(1.0, running.cancel)
    await asyncio.wait([running])

    assert running.cancelled()


async def test_a_step_that_ends_in_spite_of_it_leaves_nothing_behind():
    with Patience(now() + 1.0), contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(9.0)

    assert asyncio.current_task().cancelling() == 0


async def test_closed_it_has_no_timer_left():
    patience = Patience(now() + 60.0)
    with patience:
        await asyncio.sleep(0.1)

    patience.close()
    await asyncio.sleep(100.0)

    assert asyncio.current_task().cancelling() == 0
