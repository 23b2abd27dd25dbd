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

Order = Literal["fifo", "lifo"]
Priority = Literal["low", "normal", "high"]
T = TypeVar("T", bound=Hashable)

LOW_SHARE = 0.6
"""The share of the places that low priority may fill."""


class Line(Generic[T]):
    """At most `limit` tickets in flight, and `waiting` in front of them (None: as many as the limit).

    `lifo` serves the newest first: under overload its caller is the likeliest still to be there.
    """

    def __init__(self, limit: int, order: Order = "fifo", waiting: int | None = None) -> None:
        self.limit = limit
        self.inflight = 0
        self._newest_first = order == "lifo"
        self._room = waiting
        self._waiting: OrderedDict[T, Priority] = OrderedDict()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def free(self) -> bool:
        """Whether a newcomer would be in flight at once."""
        return self.inflight < self.limit and not self._waiting

    def offer(self, ticket: T, priority: Priority = "normal") -> Literal["in", "wait", "full"]:
        """A newcomer: it is in flight, or waits, or there is no room even to wait.

        Low priority never waits, and is in flight only while others would find places too.
        """
        if self.free() and (priority != "low" or self.inflight < LOW_SHARE * self.limit):
            self.inflight += 1
            return "in"
        if priority == "low" or len(self._waiting) >= (self.limit if self._room is None else self._room):
            return "full"
        self._waiting[ticket] = priority
        return "wait"

    def displace(self, ticket: T) -> T | None:
        """One of high priority waits in the place of the newest of normal priority, which is returned, if any waits."""
        for loser, priority in reversed(self._waiting.items()):
            if priority == "normal":
                del self._waiting[loser]
                self._waiting[ticket] = "high"
                return loser
        return None

    def leave(self) -> T | None:
        """One in flight has ended; its place goes to the ticket returned, if any waits."""
        if self._waiting and self.inflight <= self.limit:
            return self._next()
        self.inflight -= 1
        return None

    def abandon(self, ticket: T) -> T | None:
        """A ticket that was told to wait gives up; if it had just got a place, that goes on as in `leave`."""
        if ticket in self._waiting:
            del self._waiting[ticket]
            return None
        return self.leave()

    def resize(self, limit: int) -> list[T]:
        """Another limit; the tickets returned waited and are now in flight. Fewer places: as they are left."""
        self.limit = limit
        entered = []
        while self._waiting and self.inflight < self.limit:
            self.inflight += 1
            entered.append(self._next())
        return entered

    def _next(self) -> T:
        return self._waiting.popitem(last=self._newest_first)[0]


class Wait:
    """Somebody in the line: told when it has a place, or has to go."""

    def __init__(self) -> None:
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.displaced = False

    def tell(self) -> None:
        if not self.told.done():  # cancelled in this moment: it gives its place back itself
            self.told.set_result(None)


class Limiter:
    """Makes callers wait as the line says, at most `max_wait` seconds; with `by_priority` low ones are shed first."""

    def __init__(
        self,
        limit: int,
        max_wait: float,
        order: Order = "fifo",
        waiting: int | None = None,
        by_priority: bool = False,
    ) -> None:
        self.line: Line[Wait] = Line(limit, order, waiting)
        self._max_wait = max_wait
        self._by_priority = by_priority

    @contextlib.asynccontextmanager
    async def slot(self, until: float | None, priority: Priority = "normal") -> AsyncIterator[None]:
        """A place in flight; raises Shed if there is none in time, or by `until` (the loop's seconds)."""
        await self._enter(until, priority if self._by_priority else "normal")
        try:
            yield
        finally:
            _wake(self.line.leave())

    def free(self) -> bool:
        """Whether a newcomer would be in flight at once."""
        return self.line.free()

    def resize(self, limit: int) -> None:
        """Another limit; who waits for a place that it brings gets it."""
        for wait in self.line.resize(limit):
            wait.tell()

    async def _enter(self, until: float | None, priority: Priority) -> None:
        wait = Wait()
        match self._offer(wait, priority):
            case "in":
                return
            case "full":
                raise errors.Shed(self._full(priority))
        latest = asyncio.get_running_loop().time() + self._max_wait
        try:
            async with asyncio.timeout_at(latest if until is None else min(latest, until)):
                await wait.told
        except BaseException as error:
            if not wait.displaced:
                _wake(self.line.abandon(wait))
            if isinstance(error, TimeoutError):
                raise errors.Shed(f"all {self.line.limit} places stayed busy; try again later") from None
            raise
        if wait.displaced:
            raise errors.Shed("made way for a request of high priority; try again later")

    def _offer(self, wait: Wait, priority: Priority) -> Literal["in", "wait", "full"]:
        answer = self.line.offer(wait, priority)
        if answer == "full" and priority == "high" and (loser := self.line.displace(wait)) is not None:
            loser.displaced = True
            loser.tell()
            return "wait"
        return answer

    def _full(self, priority: Priority) -> str:
        if priority == "low":
            return "requests of low priority are shed first, and places are short; try again later"
        return f"too many requests wait for one of {self.line.limit} places; try again later"


class Unlimited:
    """No limit: everybody is in flight at once."""

    line: None = None

    @contextlib.asynccontextmanager
    async def slot(self, until: float | None, priority: Priority = "normal") -> AsyncIterator[None]:
        """Always."""
        yield

    def free(self) -> bool:
        """Always."""
        return True

    def resize(self, limit: int) -> None:
        """Nothing to resize."""


def _wake(wait: Wait | None) -> None:
    if wait is not None:
        wait.tell()
