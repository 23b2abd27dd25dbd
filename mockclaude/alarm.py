"""What wakes the pacer: a timer of the loop's or, where those know whole milliseconds only, one of the kernel's.

uvloop's timers go off up to two milliseconds late: its clock is rounded down to a millisecond, the wait for the next
timer up, and the wait begins within one. A timerfd (timerfd_create(2)) goes off within a twentieth.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

FARTHEST = 1e9
"""Seconds. The kernel's clock has an end, and thirty years are for ever."""
TICK = 0.001
"""Seconds. The kernel's alarm goes off no sooner than this after it last did: what becomes due meanwhile goes out
together, and the price of waking up is paid once for all of it."""
NONBLOCK, CLOEXEC, ABSOLUTE = os.O_NONBLOCK, getattr(os, "O_CLOEXEC", 0), 1


class Alarm(Protocol):
    """Calls back once for each time it is set."""

    def set(self, when: float) -> None:
        """Go off at loop time `when` or soon after, and not when it was set to before."""

    def stop(self) -> None:
        """Never go off again."""


class LoopAlarm:
    """The loop's own timer: exact on a loop whose time is virtual."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        self._loop = loop
        self._callback = callback
        self._timer: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        """Go off then."""
        self.stop()
        self._timer = self._loop.call_at(when, self._callback)

    def stop(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class KernelAlarm:
    """A timerfd that the loop watches. Raises `OSError` where there is none."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.timerfd_create(time.CLOCK_MONOTONIC, NONBLOCK | CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._settime = libc.timerfd_settime
        self._setting = _Setting()
        self._value = self._setting.value
        self._address = ctypes.byref(self._setting)
        self._loop = loop
        self._callback = callback
        self._went_off = 0.0
        self._is_set = False
        loop.add_reader(self._descriptor, self._go_off)

    def set(self, when: float) -> None:
        """Go off then; setting it forgets, in the kernel too, that it has gone off."""
        fraction, seconds = math.modf(min(max(when, self._went_off + TICK), FARTHEST))
        self._value.seconds = int(seconds)
        self._value.nanoseconds = int(fraction * 1e9)
        if self._settime(self._descriptor, ABSOLUTE, self._address, None):
            raise OSError(ctypes.get_errno(), f"timerfd_settime({when})")
        self._is_set = True

    def stop(self) -> None:
        """Give the descriptor back."""
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _go_off(self) -> None:
        self._went_off = time.monotonic()
        self._is_set = False
        self._callback()
        if not self._is_set:
            os.read(self._descriptor, 8)


def alarm(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> Alarm:
    """The most exact that there is."""
    if rounds(loop) and sys.platform == "linux":
        with contextlib.suppress(OSError):  # no descriptor left: streams go on, as exact as the loop is
            return KernelAlarm(loop, callback)
    return LoopAlarm(loop, callback)


def rounds(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop's own time and timers know whole milliseconds only, of the clock that Python calls monotonic."""
    return type(loop).__module__ == "uvloop"
