"""The pacer: attempts wait here for the rate limit's refill instead of running into a 429.

Claude's limit is a bucket that refills evenly (docs: Rate limits), and each answer says what was left in it:
`anthropic-ratelimit-requests-limit` (per minute) and `-remaining`. So n attempts at once with B left and r per second
take turns, the last after (n - B) / r seconds.

`remaining` was counted when Claude took the attempt, and is read when its answer begins: other attempts have been sent
meanwhile, and the bucket has refilled. So the shell says when the attempt was sent, and a header counts for that
moment: what was sent later is subtracted, the refill since then added. Our own count goes on beside it, and the lower
of the two is believed: an early header of a burst, which knows nothing of the rest of it, hands nothing out twice, and
what other programs take with the same key lowers the count at once.
"""

from __future__ import annotations

import math
from collections import deque

MINUTE = 60.0


class Pacer:
    """Turns to send, none longer than `max_wait` seconds away; before anything is learnt, everybody's is now."""

    def __init__(self, max_wait: float) -> None:
        self._max_wait = max_wait
        self._limit = self._left = math.inf  # `_left` below 0: so many turns are given that the refill must bring
        self._at = -math.inf  # the moment of `_left`; nobody's turn is before it
        self._sent: deque[float] = deque()  # the turns given in the last minute

    def learn(self, limit: int, remaining: int, now: float) -> None:
        """The headers of an answer; `now` is when its attempt was sent, or when they came if that is not known."""
        if limit <= 0:
            return
        since = max(now, self._at)
        sent_later = sum(1 for at in self._sent if at > now)
        told = self._refilled(remaining, since - now, limit) - sent_later
        self._left = min(told, self._refilled(self._left, since - self._at, limit))
        self._limit, self._at = limit, since

    def turn(self, now: float) -> float | None:
        """Seconds until this attempt's turn, which is now its own; None: too long, and nothing is reserved."""
        wait = self.due(now)
        if wait > self._max_wait:
            return None
        start = max(now, self._at)
        self._left, self._at = self._refilled(self._left, start - self._at, self._limit) - 1, start
        self._note(now + wait, now)
        return wait

    def due(self, now: float) -> float:
        """Seconds until the next turn, however long that is."""
        start = max(now, self._at)
        left = self._refilled(self._left, start - self._at, self._limit) - 1
        return start - now + (-left * MINUTE / self._limit if left < -1e-9 else 0.0)

    def give_back(self) -> None:
        """A turn was not used: the next to come has it."""
        self._left = min(self._limit, self._left + 1)
        if self._sent:
            self._sent.pop()

    def refused(self, retry_after: float, now: float) -> None:
        """A 429 came: nobody before then, and then one by one."""
        opens = now + retry_after
        if opens > self._at:
            if self._limit < math.inf:
                self._left = min(1.0, self._refilled(self._left, opens - self._at, self._limit))
            self._at = opens

    def remaining(self, now: float) -> float | None:
        """How many could be sent now; None before anything is learnt."""
        if self._limit == math.inf:
            return None
        return 0.0 if now < self._at else max(0.0, self._refilled(self._left, now - self._at, self._limit))

    def _refilled(self, left: float, seconds: float, limit: float) -> float:
        return limit if limit == math.inf else min(limit, left + seconds * limit / MINUTE)

    def _note(self, at: float, now: float) -> None:
        self._sent.append(at)
        while self._sent[0] < now - MINUTE:  # a full refill ago: no header can be about the time before it
            self._sent.popleft()


class Unpaced:
    """No pacer: everybody's turn is now."""

    def learn(self, limit: int, remaining: int, now: float) -> None:
        """Nothing to learn."""

    def turn(self, now: float) -> float:
        """Now."""
        return 0.0

    def due(self, now: float) -> float:
        """Now."""
        return 0.0

    def give_back(self) -> None:
        """Nothing was reserved."""

    def refused(self, retry_after: float, now: float) -> None:
        """Nobody is kept back."""

    def remaining(self, now: float) -> float | None:
        """Not known."""
        return None
