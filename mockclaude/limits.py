"""How often one key may ask: a token bucket of requests per minute with continuous refill."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from annotated_types import Ge, Gt
from pydantic import Strict

from mockclaude import settings

WHOLE = 1 - 1e-9
"""A level this near to one request is one: refill in floating point must not refuse who waited exactly long enough."""
KEYS_BEFORE_SWEEP = 10_000


@dataclass(frozen=True)
class Rate:
    """Requests per minute and the burst a rested key may spend at once; without a rate nothing is limited."""

    requests_per_minute: float | None = None
    burst: float | None = None

    @property
    def depth(self) -> float:
        """The bucket's size: `burst`, or a minute's worth."""
        return self.burst or self.requests_per_minute or 0


class _Section(settings.Section):
    requests_per_minute: Annotated[float, Strict(), Gt(0)] | None = None
    burst: Annotated[float, Strict(), Ge(1)] | None = None


def parse(section: object, base: Rate | None = None, loc: settings.Loc = ("limits",)) -> Rate:
    """Lay a section over `base` (no limits, if none)."""
    base = base or Rate()
    change = settings.read(_Section, section, loc)
    rate = Rate(change.requests_per_minute or base.requests_per_minute, change.burst or base.burst)
    if rate.burst and not rate.requests_per_minute:
        problem = settings.Problem((*loc, "burst"), 'needs "requests_per_minute" beside it')
        raise settings.ConfigError([problem])
    if rate.requests_per_minute and rate.depth < 1:
        why = f"a bucket of {rate.depth:g} never holds one request; set burst to at least 1"
        raise settings.ConfigError([settings.Problem((*loc, "burst"), why)])
    return rate


class Quota(NamedTuple):
    """What a key has left: `wait` is 0 when the attempt may pass, else the seconds until one may."""

    limit: float
    remaining: float
    full_in: float
    wait: float

    def headers(self, wall: float) -> dict[str, str]:
        """Claude's rate-limit headers, and `retry-after` (the true wait, rounded up) when refused."""
        reset = datetime.fromtimestamp(math.ceil(wall + self.full_in), UTC)
        headers = {
            "anthropic-ratelimit-requests-limit": str(int(self.limit)),
            "anthropic-ratelimit-requests-remaining": str(int(self.remaining)),
            "anthropic-ratelimit-requests-reset": reset.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return headers | {"retry-after": str(math.ceil(self.wait))} if self.wait else headers


class Bucket:
    """One key's bucket. `level` requests were left at loop time `stamp`."""

    __slots__ = ("level", "stamp")

    def __init__(self, level: float, stamp: float) -> None:
        self.level = level
        self.stamp = stamp

    def take(self, rate: Rate, now: float) -> Quota:
        """Spend one request, or say how long until there is one."""
        self.refill(rate, now)
        per_minute = rate.requests_per_minute or 0
        wait = 0.0
        if self.level >= WHOLE:
            self.level -= 1
        else:
            wait = (1 - self.level) * 60 / per_minute
        return Quota(per_minute, max(self.level, 0), (rate.depth - self.level) * 60 / per_minute, wait)

    def refill(self, rate: Rate, now: float) -> None:
        """Bring the level up to `now`."""
        per_minute = rate.requests_per_minute or 0
        self.level = min(rate.depth, self.level + (now - self.stamp) * per_minute / 60)
        self.stamp = now


class Limits:
    """The buckets of all keys under one rate."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._buckets: dict[str, Bucket] = {}

    def take(self, key: str, now: float) -> Quota | None:
        """Charge `key` for one attempt; None when nothing is limited."""
        if self.rate.requests_per_minute is None:
            return None
        bucket = self._buckets.get(key)
        if bucket is None:
            self._sweep(now)
            bucket = self._buckets[key] = Bucket(self.rate.depth, now)
        return bucket.take(self.rate, now)

    def change(self, rate: Rate, now: float) -> None:
        """Put another rate in force: what was spent stays spent, a smaller bucket spills at once."""
        for bucket in self._buckets.values():
            bucket.refill(self.rate, now)
            bucket.level = min(bucket.level, rate.depth)
        if rate.requests_per_minute is None:
            self._buckets.clear()
        self.rate = rate

    def _sweep(self, now: float) -> None:
        """Forget rested keys, so that memory follows the keys in use: a full bucket is the same as none."""
        if len(self._buckets) < KEYS_BEFORE_SWEEP:
            return
        for bucket in self._buckets.values():
            bucket.refill(self.rate, now)
        self._buckets = {key: one for key, one in self._buckets.items() if one.level < self.rate.depth}
