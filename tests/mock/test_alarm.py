"""What wakes the pacer: each alarm by itself, on the loop it is for."""

import asyncio
import sys
import time

import pytest
import uvloop

from mockclaude.alarm import TICK, KernelAlarm, LoopAlarm, alarm

linux = pytest.mark.skipif(sys.platform != "linux", reason="a timerfd is Linux's")


async def test_the_loops_alarm_goes_off_when_it_was_last_set_to():
    loop, went_off = asyncio.get_running_loop(), []
    waking = alarm(loop, lambda: went_off.append(loop.time()))

    waking.set(2.0)
    waking.set(1.0)
    await asyncio.sleep(10)
    waking.set(11.0)
    waking.stop()
    await asyncio.sleep(10)

    assert isinstance(waking, LoopAlarm)
    assert went_off == [1.0]


def rung(*times):
    """When the kernel's alarm went off, set to these seconds from now one after the other; and from when."""

    async def ring():
        loop, went_off, left = asyncio.get_running_loop(), [], list(times)

        def callback():
            went_off.append(time.monotonic() - begun)
            if left:
                waking.set(begun + left.pop(0))

        waking, begun = alarm(loop, callback), time.monotonic()
        assert isinstance(waking, KernelAlarm)
        waking.set(begun + left.pop(0))
        await asyncio.sleep(0.2)
        waking.stop()
        return went_off

    return uvloop.run(ring())


@linux
def test_the_kernels_goes_off_once_each_time_it_is_set_and_never_before():
    went_off = rung(0.0203, 0.0507)

    assert len(went_off) == 2
    assert went_off[0] >= 0.0203 and went_off[1] >= 0.0507


@linux
@pytest.mark.parametrize("when", [1e19, float("inf")])
def test_what_is_due_when_no_clock_goes_any_more_is_waited_for(when):
    assert len(rung(0.01, when)) == 1


@linux
def test_what_is_due_within_a_tick_waits_for_its_end():
    first, second = rung(0.01, 0.0101)

    assert second - first >= TICK - 1e-4


@linux
def test_what_is_overdue_goes_off_at_once():
    assert len(rung(-1.0)) == 1
