"""The concurrency limit: so many attempts in flight, a short line in front of them, and nobody else.

`Line` decides who is in and who waits; it holds no clock and no future. `Limiter` enforces it. `Line.limit` is only a
number: what sets it (a setting, a control loop) is somebody else's business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable
from typing import Generic, Literal, TypeVar

from gateway_under_test import errors

T = TypeVar("T", bound=Hashable)


class Line(Generic[T]):
    """At most `limit` tickets in flight and as many waiting, first come first served."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inflight = 0
        self._waiting: OrderedDict[T, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def offer(self, ticket: T) -> Literal["in", "wait", "full"]:
        """A newcomer: it is in flight, or waits, or there is no room even to wait."""
        if self.inflight < self.limit and not self._waiting:
            self.inflight += 1
            return "in"
        if len(self._waiting) >= self.limit:
            return "full"
        self._waiting[ticket] = None
        return "wait"

    def leave(self) -> T | None:
        """One in flight has ended; its place goes to the ticket returned, if any waits."""
        if self._waiting and self.inflight <= self.limit:
            return self._waiting.popitem(last=False)[0]
        self.inflight -= 1
        return None

    def abandon(self, ticket: T) -> T | None:
        """A ticket that was told to wait gives up; if it had just got a place, that goes on as in `leave`."""
        if ticket in self._waiting:
            del self._waiting[ticket]
            return None
        return self.leave()


class Limiter:
    """Makes callers wait as the line says, at most `max_wait` seconds."""

    def __init__(self, limit: int, max_wait: float) -> None:
        self.line: Line[asyncio.Future[None]] = Line(limit)
        self._max_wait = max_wait

    @contextlib.asynccontextmanager
    async def slot(self, until: float | None) -> AsyncIterator[None]:
        """A place in flight; raises Shed if there is none in time, or by `until` (the loop's seconds)."""
        await self._enter(until)
        try:
            yield
        finally:
            _wake(self.line.leave())

    async def _enter(self, until: float | None) -> None:
        loop = asyncio.get_running_loop()
        ticket = loop.create_future()
        match self.line.offer(ticket):
            case "in":
                return
            case "full":
                raise errors.Shed(f"too many requests wait for one of {self.line.limit} places; try again later")
        latest = loop.time() + self._max_wait
        try:
            async with asyncio.timeout_at(latest if until is None else min(latest, until)):
                await ticket
        except TimeoutError:
            _wake(self.line.abandon(ticket))
            raise errors.Shed(f"all {self.line.limit} places stayed busy; try again later") from None
        except BaseException:
            _wake(self.line.abandon(ticket))
            raise


class Unlimited:
    """No limit: everybody is in flight at once."""

    @contextlib.asynccontextmanager
    async def slot(self, until: float | None) -> AsyncIterator[None]:
        """Always."""
        yield


def _wake(ticket: asyncio.Future[None] | None) -> None:
    if ticket is not None and not ticket.done():
        ticket.set_result(None)
