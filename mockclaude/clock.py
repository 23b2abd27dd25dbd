"""The only reader of time: the event loop's own clock, T0, and how late the loop itself runs."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from mockclaude import alarm

SAMPLE_EVERY = 0.05
STALLED = 0.25
STALLS_KEPT = 1000


class Clock:
    """Loop time, and seconds since T0: the zero of a run, set by a reset.

    Only the running loop's time decides anything, so the same code runs on a loop whose time is virtual. Wall time
    exists to be printed.
    """

    def __init__(self) -> None:
        self.zero = 0.0
        self.now: Callable[[], float] = self._first
        """The loop's time, in seconds from an arbitrary origin. It is read several times a token, hence no method."""

    def follow(self) -> None:
        """Tell the running loop's time from here on; without this, that of the first loop that asks."""
        loop = asyncio.get_running_loop()
        self.now = time.monotonic if alarm.rounds(loop) else loop.time

    def _first(self) -> float:
        self.follow()
        return self.now()

    def elapsed(self) -> float:
        """Seconds since T0."""
        return self.now() - self.zero

    def restart(self) -> None:
        """Make this moment T0."""
        self.zero = self.now()

    def wall(self) -> float:
        """Seconds since the Unix epoch, for headers, logs and the journal's `wall`."""
        return time.time()


class Stall(NamedTuple):
    """The loop did not run for `seconds` past the time `t` (since T0) at which it was due."""

    t: float
    seconds: float


class LagMeter:
    """Samples the event loop's lateness: a mock that stalls must say so, or its figures would be believed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self.stalls: deque[Stall] = deque(maxlen=STALLS_KEPT)
        self.largest = 0.0

    def start(self) -> None:
        """Begin to sample, on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._sample())

    def stop(self) -> None:
        """Stop sampling."""
        if self._task is not None:
            self._task.cancel()

    def clear(self) -> None:
        """Forget what was measured so far."""
        self.stalls.clear()
        self.largest = 0.0

    def note(self, due: float, woke: float) -> None:
        """Record that a wake-up due at loop time `due` came at `woke`."""
        lag = woke - due
        self.largest = max(self.largest, lag)
        if lag > STALLED:
            self.stalls.append(Stall(round(max(0.0, due - self._clock.zero), 6), round(lag, 6)))

    async def _sample(self) -> None:
        while True:
            due = self._clock.now() + SAMPLE_EVERY
            await asyncio.sleep(SAMPLE_EVERY)
            self.note(due, self._clock.now())
