"""One clock for all streams: a heap of deadlines, one timer for the first of them, and a look at whoever is due.

Why not a sleep for each token, as everybody writes it? A stream that sleeps between tokens adds up what every timer
rounds: asked for 90 tokens a second it makes 86. One that sleeps until absolute deadlines keeps its rate, but waking a
task costs as much again as the write it is woken for. Here nobody is woken: a stream is a plain object that says when
it is next due, and is looked at then. Its deadlines are absolute, so what comes late, because the process did, makes
nothing after it late; and whatever of a stream has become due together goes out together.

Deadlines are on the clock of work (`mockclaude.capacity`), on which they never move: when all runs slower since more
run, that clock does, and the heap need not know.

What is shared can fail for all, so nobody's failure leaves `_look`. Who leaves is struck off where it stands in the
heap and swept out later: taking it out at once would mean looking for it.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from typing import Protocol

from mockclaude.alarm import Alarm, alarm
from mockclaude.clock import Clock

GRAIN = 1e-6
"""Seconds. What is due within this is due: no loop's clock is finer."""
STEP = 2 * GRAIN
"""Seconds from one look to the next at the soonest: who is due but for a rounding must not be looked at for ever."""
FORGOTTEN = 64
"""How many who left may stand in the heap beyond as many as have not."""


class Work(Protocol):
    """The clock that deadlines are on."""

    def work(self, now: float) -> float:
        """What it shows at loop time `now`."""

    def wait(self, work: float, now: float) -> float:
        """Seconds of loop time before looking whether it shows `work`."""


class Paced(Protocol):
    """What is looked at. `turn` is the pacer's own: 0 while it stands nowhere."""

    turn: int

    def look(self, now: float, work: float) -> float | None:
        """Do what is due; when the next is, on the clock of work, or None: when it has been asked for."""

    def fail(self, error: Exception) -> None:
        """`look` raised this."""


class Pacer:
    """Looks at each of many when it is due. Whoever is looked at leaves the pacer alone meanwhile."""

    def __init__(self, clock: Clock, work: Work) -> None:
        self.clock = clock
        self._work = work
        self._heap: list[tuple[float, int, Paced]] = []
        self._alarm: Alarm | None = None
        self._set_to = math.inf
        self._turns = 0
        self._gone = 0

    def go(self, paced: Paced) -> None:
        """Look at it now, and then whenever it says."""
        self._turns += 1
        paced.turn = self._turns
        heapq.heappush(self._heap, (-math.inf, paced.turn, paced))
        self._look()

    def forget(self, paced: Paced) -> None:
        """Do not look at it any more."""
        if paced.turn:
            paced.turn = 0
            self._gone += 1
            if 2 * self._gone > len(self._heap) + FORGOTTEN:
                self._heap = [entry for entry in self._heap if entry[1] == entry[2].turn]
                heapq.heapify(self._heap)
                self._gone = 0

    def stop(self) -> None:
        """Look at nobody any more."""
        self._heap.clear()
        self._set_to = math.inf
        if self._alarm is not None:
            self._alarm.stop()
            self._alarm = None

    def _wake(self) -> None:
        """The alarm went off."""
        self._set_to = math.inf
        self._look()

    def _look(self) -> None:
        """Look at all who are due."""
        heap, read = self._heap, self.clock.now
        work = self._work.work(read())
        while heap and heap[0][0] <= work + GRAIN:
            _, turn, paced = heap[0]
            again = None
            if turn != paced.turn:
                self._gone -= 1
            else:
                try:
                    again = paced.look(read(), work)
                except Exception as error:
                    paced.fail(error)
                if again is None:
                    paced.turn = 0
            if again is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (again if again > work + GRAIN else work + STEP, turn, paced))
        self._arm()

    def _arm(self) -> None:
        if not self._heap:
            return
        now = self.clock.now()
        when = now + self._work.wait(self._heap[0][0], now)
        if when < self._set_to:
            if self._alarm is None:
                self._alarm = alarm(asyncio.get_running_loop(), self._wake)
            self._alarm.set(when)
            self._set_to = when
