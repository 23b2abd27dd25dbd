"""The patterns as the settings chose them: one of each, or one for each model or route, and what they stand at."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TypeVar, cast

from gateway_under_test import errors, logs, switches
from gateway_under_test.resilience.adaptive import Gradient
from gateway_under_test.resilience.breaker import Breaker, NoBreaker, Ticket
from gateway_under_test.resilience.budget import Budget, Unlimited
from gateway_under_test.resilience.deadline import ServiceTime
from gateway_under_test.resilience.hedge import Hedge
from gateway_under_test.resilience.limiter import Limiter, Priority
from gateway_under_test.resilience.limiter import Unlimited as NoLimiter
from gateway_under_test.resilience.pacer import Pacer, Unpaced
from gateway_under_test.resilience.retry import Retry

V = TypeVar("V")

MOST = 50
"""Models, or routes, that have a pattern of their own."""
UNDATED_CAP = 3600.0
"""Seconds for which a spend cap without a date keeps the breaker open."""


class Place:
    """An attempt's, once all have let it in: `taken` when it is sent. How it went is told the breaker here."""

    def __init__(self, breaker: Breaker | NoBreaker, ticket: Ticket) -> None:
        self.taken = False
        self._breaker = breaker
        self._ticket = ticket

    def speaks(self) -> None:
        """Claude answers: that is what a breaker wants to know, and the rest of a stream may take minutes."""
        self._breaker.success(self._ticket, asyncio.get_running_loop().time())

    def failed(self, error: errors.GatewayError) -> None:
        """The attempt ended so. With a refusal Claude is well: it is we who ask too much, or wrongly."""
        now = asyncio.get_running_loop().time()
        match error:
            case errors.SpendCap():
                self._breaker.hold(now + (UNDATED_CAP if error.retry_after is None else error.retry_after))
            case errors.Overloaded() | errors.Unreachable() | errors.Timeout() | errors.UpstreamError():
                self._breaker.failure(self._ticket, now)
            case _:
                self._breaker.success(self._ticket, now)


class Patterns:
    """Made once for a gateway; `state` is what it stands at now."""

    def __init__(self, chosen: switches.Switched) -> None:
        self._chosen = chosen
        self.retry = Retry(attempts=chosen.attempts, on=chosen.retry_on, **chosen.backoff.model_dump())
        earned, hedge = chosen.retry_budget, chosen.hedge
        self.budget = Budget(earned.ratio, earned.burst) if earned else Unlimited()
        self.hedge = Hedge(hedge.after, hedge.share) if hedge else None
        self.limiter = self._limiter(chosen.concurrency)
        self._gradient = self._adaptive(chosen.concurrency)
        self._bulkheads: dict[str, Limiter | NoLimiter] = {}
        self._breakers: dict[str, Breaker | NoBreaker] = {}
        self._pacers: dict[str, Pacer | Unpaced] = {}
        self._service: dict[tuple[str, bool], ServiceTime] = {}

    @contextlib.asynccontextmanager
    async def admitted(self, request: logs.RequestLine, model: str, until: float | None) -> AsyncIterator[Place]:
        """Past everyone who may say no; each says it at once, or after the wait that it allows.

        Raises CircuitOpen, Throttled (we would run into Claude's limit), Shed.
        """
        began = asyncio.get_running_loop().time()
        priority = cast(Priority, request.priority)
        with self._breaker(model) as place, self._turn(model, until, place) as wait:
            await asyncio.sleep(wait)
            async with self._bulkhead(request.route).slot(until, priority), self.limiter.slot(until, priority):
                request.queued += asyncio.get_running_loop().time() - began
                yield place

    def service(self, kind: str, streamed: bool) -> ServiceTime:
        """How long such answers take: to the first token if streamed."""
        return self._service.setdefault((kind, streamed), ServiceTime())

    def learn(self, model: str, headers: Mapping[str, str], sent_at: float) -> None:
        """What an answer's headers say of Claude's rate limit."""
        limit, remaining = (headers.get(f"anthropic-ratelimit-requests-{name}", "") for name in ("limit", "remaining"))
        if limit.isdecimal() and remaining.isdecimal():
            self._pacer(model).learn(int(limit), int(remaining), sent_at)

    def adapt(self, ttft: float, dropped: bool = False) -> None:
        """A first token came after `ttft` seconds, or an attempt was refused for want of capacity."""
        if self._gradient is not None and self.limiter.line is not None:
            self.limiter.resize(self._gradient.update(ttft, self.limiter.line.inflight, dropped))

    def may_hedge(self) -> bool:
        """Whether a second attempt may stand beside a first: it never waits, and is paid for."""
        return self.hedge is not None and self.limiter.free() and self.hedge.may()

    def state(self) -> dict[str, object]:
        """For people and for metrics."""
        now = asyncio.get_running_loop().time()
        line = self.limiter.line
        return {
            "budget": self.budget.left,
            "breakers": {model: breaker.state(now) for model, breaker in self._breakers.items()},
            "limit": line and line.limit,
            "inflight": line and line.inflight,
            "waiting": line and line.waiting,
        }

    @contextlib.contextmanager
    def _breaker(self, model: str) -> Iterator[Place]:
        loop = asyncio.get_running_loop()
        breaker = _of(self._breakers, model, self._new_breaker)
        ticket = breaker.admit(loop.time())
        if ticket is None:
            wait = breaker.retry_in(loop.time())
            raise errors.CircuitOpen(f"Claude fails too often; it is asked again in {wait:.0f} s", retry_after=wait)
        try:
            yield Place(breaker, ticket)
        finally:
            breaker.forget(ticket, loop.time())  # unless it was told how the attempt went

    @contextlib.contextmanager
    def _turn(self, model: str, until: float | None, place: Place) -> Iterator[float]:
        """Seconds until the attempt's turn within Claude's rate limit; a turn that is not used goes to the next."""
        pacer = self._pacer(model)
        now = asyncio.get_running_loop().time()
        wait = pacer.turn(now)
        if wait is None:
            raise errors.Throttled("Claude's rate limit leaves no room soon; try again", retry_after=pacer.due(now))
        try:
            if wait > 0 and until is not None and now + wait > until:
                raise errors.Throttled("Claude's rate limit leaves no room in time; try again later", retry_after=wait)
            yield wait
        finally:
            if not place.taken:
                pacer.give_back()

    def refused(self, model: str, retry_after: float | None) -> None:
        """Claude answered 429."""
        if retry_after is not None:
            self._pacer(model).refused(retry_after, asyncio.get_running_loop().time())

    def _pacer(self, model: str) -> Pacer | Unpaced:
        chosen = self._chosen.pace
        new = (lambda: Pacer(chosen.max_wait)) if chosen else Unpaced
        return _of(self._pacers, model, new)

    def _bulkhead(self, route: str) -> Limiter | NoLimiter:
        chosen = self._chosen.bulkhead
        new = (lambda: Limiter(chosen.limit, 0.0, waiting=0)) if chosen else NoLimiter
        return _of(self._bulkheads, route, new)

    def _new_breaker(self) -> Breaker | NoBreaker:
        chosen = self._chosen.breaker
        return Breaker(chosen.failures, chosen.window, chosen.cooldown) if chosen else NoBreaker()

    def _limiter(self, chosen: switches.Concurrency | None) -> Limiter | NoLimiter:
        if chosen is None:
            return NoLimiter()
        return Limiter(chosen.limit, chosen.max_wait, chosen.order, by_priority=self._chosen.shed_by_priority)

    def _adaptive(self, chosen: switches.Concurrency | None) -> Gradient | None:
        if chosen is None or chosen.adaptive is None:
            return None
        floor = min(chosen.adaptive.floor, chosen.limit)
        return Gradient(chosen.limit, floor, chosen.limit, chosen.adaptive.tolerance)


def _of(known: dict[str, V], name: str, new: Callable[[], V]) -> V:
    """The pattern of this name; the one not used for longest makes room, for callers may invent models."""
    known[name] = known.pop(name) if name in known else new()
    if len(known) > MOST:
        del known[next(iter(known))]
    return known[name]
