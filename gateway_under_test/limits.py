"""How much one caller may ask for, and what part of each limit falls to one of several workers.

A caller is a tenant (its key's digest) or an address. The address is the peer's: `X-Forwarded-For` is whatever the
caller writes, so it is not believed, and behind a proxy all callers are one. The count is slowapi's, in a fixed window
that begins with its first request: up to twice the rate can pass around its edge. Its clock is the wall clock.

With Redis all workers count together. slowapi waits for Redis synchronously, so that is done in a thread, for `WITHIN`
at most; while Redis is down each worker counts its own part, and asks for Redis again after 1, 2, 4 ... 32 s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
from limits.storage import MemoryStorage
from redis.backoff import NoBackoff
from redis.retry import Retry
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from starlette.requests import Request

from gateway_under_test import counts, errors, logs, settings

DIVIDED = ("concurrency.limit", "concurrency.adaptive.floor", "bulkhead.limit", "retry_budget.burst")
"""Counted in each process; the rate limit too, unless Redis counts it."""
PER_WORKER = ("breaker", "pace", "hedge", "health_every")
"""What each worker learns or does by itself."""
WITHIN = 0.1  # seconds that Redis may take to connect, and to answer
THREADS = 40


def divided(chosen: settings.Settings, workers: int) -> settings.Settings:
    """The part of one of `workers`: all of them together allow no more than `chosen` does, but at least one each."""
    if workers == 1:
        return chosen

    def part(whole: int) -> int:
        return max(1, whole // workers)

    parts: dict[str, Any] = {}
    if limit := chosen.concurrency:
        adaptive = limit.adaptive and limit.adaptive.model_copy(update={"floor": part(limit.adaptive.floor)})
        parts["concurrency"] = limit.model_copy(update={"limit": part(limit.limit), "adaptive": adaptive})
    if bulkhead := chosen.bulkhead:
        parts["bulkhead"] = bulkhead.model_copy(update={"limit": part(bulkhead.limit)})
    if budget := chosen.retry_budget:
        burst = min(budget.burst, max(1.0, budget.burst / workers))  # less than one pays for no retry at all
        parts["retry_budget"] = budget.model_copy(update={"burst": burst})
    if chosen.rate_limit and not chosen.redis_url:
        parts["rate_limit"] = _slower(chosen.rate_limit, workers)
    return chosen.model_copy(update=parts)


def said(chosen: settings.Settings) -> dict[str, object]:
    """What several workers divide, share and have each for themselves, by the names of the switches that are on."""
    several, redis = chosen.workers > 1, chosen.redis_url is not None
    ours = [name for name in (*DIVIDED, *(() if redis else ("rate_limit",))) if _is_on(chosen, name)]
    common = [name for name in ("rate_limit", "cache") if _is_on(chosen, name)] + ["tasks"] if redis else []
    alone = [name for name in ("cache", *PER_WORKER) if _is_on(chosen, name)] + ["tasks", "metrics"]
    return {
        "workers": chosen.workers,
        "divided": ours if several else [],
        "shared": common,
        "per_worker": [name for name in alone if name not in common] if several else [],
    }


class Limits:
    """The count of each caller's requests; nothing is counted when `rate_limit` is off."""

    def __init__(self, chosen: settings.Settings, log: logs.Log, *, within: float = WITHIN) -> None:
        self._chosen = chosen
        self._log = log
        self._limiter: Limiter | None = None
        self._check: Callable[..., None] = _counted
        if chosen.rate_limit is not None:
            self._limiter = _slowapi(chosen, chosen.rate_limit, within)
            self._check = self._limiter.limit(chosen.rate_limit)(_counted)
        self._threads: anyio.CapacityLimiter | None = None
        self._redis_down = False

    def state(self) -> dict[str, object]:
        """For `/readyz`: how limits are shared out, and who counts the callers."""
        counted = "memory" if self._chosen.redis_url is None else "redis"
        if self._redis_down:
            counted = "memory, for Redis is down"
        return {**said(self._chosen), "counted_in": counted if self._limiter else None}

    async def count(self, request: Request) -> None:
        """Raise Throttled if this caller has asked too often."""
        if self._limiter is None or self._chosen.redis_url is None:
            self._hit(request)
            return
        self._threads = self._threads or anyio.CapacityLimiter(THREADS)
        try:
            await anyio.to_thread.run_sync(self._hit, request, limiter=self._threads)
        finally:
            self._note_storage()

    def _hit(self, request: Request) -> None:
        request.state.view_rate_limit = None  # slowapi reads it, even where it has swallowed an error
        try:
            self._check(request=request)
        except RateLimitExceeded as error:
            text = f"more requests than {error.detail} from this {self._chosen.rate_limit_by}; try again later"
            raise errors.Throttled(text, retry_after=self._reopens_in(request)) from None

    def _reopens_in(self, request: Request) -> float:
        assert self._limiter is not None
        item, names = request.state.view_rate_limit
        try:
            return float(self._limiter.limiter.get_window_stats(item, *names).reset_time) - time.time()
        except Exception:  # Redis went at this very moment
            return float(item.get_expiry())

    def _note_storage(self) -> None:
        down = self._limiter is not None and isinstance(self._limiter.limiter.storage, MemoryStorage)
        if down != self._redis_down:
            self._redis_down = down
            self._log.warning("rate_limit_storage", counted_in=self.state()["counted_in"])


async def guard(request: Request) -> None:
    """A dependency of every route that costs something, behind the one that checks the key; raises Throttled."""
    limits: Limits = request.app.state.limits
    await limits.count(request)


def _slowapi(chosen: settings.Settings, rate: str, within: float) -> Limiter:
    storage = f"{counts.Counts.STORAGE_SCHEME[0]}://"
    options: Any = {}
    alone: list[Any] = []
    if url := chosen.redis_url:
        storage = f"redis+{url}" if url.startswith("unix:") else url
        # what fails is not tried again: the answer would come too late for the request
        options = {"socket_timeout": within, "socket_connect_timeout": within, "retry": Retry(NoBackoff(), 0)}
        alone = [_slower(rate, chosen.workers)]
    return Limiter(
        key_func=_address if chosen.rate_limit_by == "address" else _tenant,
        key_style="endpoint",
        storage_uri=storage,
        storage_options=options,
        in_memory_fallback=alone,
        swallow_errors=True,  # two threads may find Redis dead at once: the second one's request passes uncounted
    )


def _slower(rate: str, workers: int) -> str:
    requests, _, period = rate.partition("/")
    return f"{max(1, int(requests) // workers)}/{period}"


def _counted(request: Request) -> None:
    """What slowapi decorates."""


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _tenant(request: Request) -> str:
    line: logs.RequestLine = request.state.line
    return line.tenant or _address(request)


def _is_on(chosen: settings.Settings, name: str) -> bool:
    value: object = chosen
    for part in name.split("."):
        value = getattr(value, part, None)
    return value is not None
