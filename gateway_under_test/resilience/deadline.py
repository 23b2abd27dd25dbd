"""How much time a request has left, and whether an attempt can still end within it."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """The moment, in the loop's seconds, at which a request must be over; None: never."""

    at: float | None

    @classmethod
    def after(cls, seconds: float | None, now: float) -> Deadline:
        """The deadline `seconds` from `now`."""
        return cls(None if seconds is None else now + seconds)

    def remaining(self, now: float) -> float:
        """Seconds left, infinite without a deadline, negative when it has passed."""
        return math.inf if self.at is None else self.at - now

    def within(self, seconds: float | None, now: float) -> float | None:
        """The moment `seconds` from `now`, or the deadline if that comes first; None if neither is set."""
        if seconds is None:
            return self.at
        return min(now + seconds, math.inf if self.at is None else self.at)


class ServiceTime:
    """What an attempt usually takes: the median of the last successes, 0 before any."""

    def __init__(self, last: int = 50) -> None:
        self._seconds: deque[float] = deque(maxlen=last)

    def add(self, seconds: float) -> None:
        """Count a success that took `seconds`."""
        self._seconds.append(seconds)

    @property
    def expected(self) -> float:
        return statistics.median(self._seconds) if self._seconds else 0.0
