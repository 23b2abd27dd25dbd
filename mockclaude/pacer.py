"""One clock for all streams: a heap of deadlines, one timer for the first of them, and a look at whoever is due.

Why not a sleep for each token, as everybody writes it? A stream that sleeps between tokens adds up what every timer
rounds: asked for 90 tokens a second it makes 86. One that sleeps until absolute deadlines keeps its rate, but waking a
task costs as much again as the write it is woken for. Here nobody is woken: a stream is a plain object that says when
it is next due, and is looked at then. Its deadlines are absolute, so what comes late, because the process did, makes
nothing after it late; and whatever of a stream has become due together goes out together.

What is shared can fail for all, so nobody's failure leaves `_look`. Who leaves is struck off where it stands in the
heap and swept out later: taking it out at once would mean looking for it.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import Protocol

from mockclaude.clock import Clock

GRAIN = 1e-6
"""Seconds. What is due within this is due: no loop's clock is finer."""
STEP = 2 * GRAIN
"""Seconds from one look to the next at the soonest: who is due but for a rounding must not be looked at for ever."""
SLACK = 0.0005
"""Seconds. A timer that fires too early belongs to a loop that rounds to milliseconds (uvloop): it is asked for so much
more, lest it be asked again and again within one."""
FORGOTTEN = 64
"""How many who left may stand in the heap beyond as many as have not."""


class Paced(Protocol):
    """What is looked at. `turn` is the pacer's own: 0 while it stands nowhere."""

    turn: int

    def look(self, now: float) -> float | None:
        """Do what is due; when to look again, in loop time, or None: when it has been asked for."""

    def fail(self, error: Exception) -> None:
        """`look` raised this."""


class Pacer:
    """Looks at each of many when it is due."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._heap: list[tuple[float, int, Paced]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._alarm = 0.0
        self._slack = 0.0
        self._turns = 0
        self._gone = 0

    def go(self, paced: Paced) -> None:
        """Look at it now, and then whenever it says."""
        self._look(paced, self.clock.now())
        self._arm()

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
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, paced: Paced, now: float) -> None:
        paced.turn = 0
        try:
            again = paced.look(now)
        except Exception as error:
            paced.fail(error)
            return
        if again is not None:
            self._turns += 1
            paced.turn = self._turns
            heapq.heappush(self._heap, (max(again, now + STEP), self._turns, paced))

    def _fire(self) -> None:
        self._timer = None
        now = self.clock.now()
        early = True
        while self._heap and self._heap[0][0] <= now + GRAIN:
            _, turn, paced = heapq.heappop(self._heap)
            if turn == paced.turn:
                self._look(paced, self.clock.now())
            else:
                self._gone -= 1
            early = False
        if early and self._heap:
            self._slack = SLACK
        self._arm()

    def _arm(self) -> None:
        if not self._heap:
            return
        when = self._heap[0][0] + self._slack
        if self._timer is not None:
            if self._alarm <= when:
                return
            self._timer.cancel()
        self._timer, self._alarm = asyncio.get_running_loop().call_at(when, self._fire), when
