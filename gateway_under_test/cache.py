"""The response cache: an answer is kept for a while, and what is asked while the same is being asked waits for that.

The answers of a process are kept in its memory; with Redis, all workers share theirs too. Waiting for each other
(single-flight) stays within a process: as many workers ask once each. Redis down or slow is as if there were none.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gateway_under_test import errors, store

Row = store.Row
Ask = Callable[[], Awaitable[Row]]


class Shared(Protocol):
    """What keeps answers for all workers; raises store.Down."""

    async def get(self, key: str) -> Row | None: ...
    async def put(self, key: str, row: Row, ttl: float) -> None: ...


class Cache(Protocol):
    """Where an answer may be had without asking Claude."""

    async def get(self, key: str, ask: Ask, until: float = math.inf) -> tuple[Row, bool]:
        """The answer to the question `key`, and whether somebody else had asked; raises what `ask` raises.

        `until` is the moment, in the loop's seconds, after which it is of no use; `ask` sees to that itself.
        """


def key_of(model: str, system: str | None, text: str, max_tokens: int, version: str | None) -> str:
    """The name of a question: two are the same only if all of it is."""
    question = json.dumps([model, system, text, max_tokens, version])
    return hashlib.sha256(question.encode()).hexdigest()


class NoCache:
    """Every question is asked."""

    async def get(self, key: str, ask: Ask, until: float = math.inf) -> tuple[Row, bool]:
        """Ask."""
        return await ask(), False


class Kept:
    """Rows by key, each until its time; the one not used for longest makes room."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: OrderedDict[str, tuple[float, Row]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: str, now: float) -> Row | None:
        """The row, unless its time is over."""
        until, row = self._rows.get(key, (now, {}))
        if until <= now:
            self._rows.pop(key, None)
            return None
        self._rows.move_to_end(key)
        return row

    def put(self, key: str, row: Row, until: float) -> None:
        """Keep the row `until` then."""
        self._rows[key] = until, row
        self._rows.move_to_end(key)
        if len(self._rows) > self._size:
            self._rows.popitem(last=False)


@dataclass
class Flight:
    """A question that is being asked, and how many wait for its answer."""

    asking: asyncio.Task[tuple[Row, bool]]
    waiting: int = 0


class Answers:
    """Answers kept for `ttl` seconds from when they came, at most `size` of them in memory.

    The question is asked in a task of its own, with the deadline and in the name of who asked first. Others wait until
    their own deadline; who has more time than the first had asks again. Who waits may leave at any time, and the last
    to leave takes the task along. Any other error is told to all who wait, and is not kept.
    """

    def __init__(self, ttl: float, size: int, shared: Shared | None = None) -> None:
        self._ttl = ttl
        self._kept = Kept(size)
        self._shared = shared
        self._flights: dict[str, Flight] = {}

    async def get(self, key: str, ask: Ask, until: float = math.inf) -> tuple[Row, bool]:
        """The answer, and whether it was kept or somebody else's; raises what `ask` raises, and Timeout."""
        loop = asyncio.get_running_loop()
        while True:
            row = self._kept.get(key, loop.time())
            if row is not None:
                return row, True
            flight = self._flights.get(key)
            if flight is None:
                return await self._wait(key, self._start(key, ask), math.inf)
            try:
                row, _ = await self._wait(key, flight, until)
            except errors.Timeout:
                if loop.time() >= until:
                    raise
                continue  # who asked had less time than we have
            return row, True

    def _start(self, key: str, ask: Ask) -> Flight:
        flight = self._flights[key] = Flight(asyncio.create_task(self._ask(key, ask)))
        flight.asking.add_done_callback(lambda asking: self._landed(key, flight))
        return flight

    async def _wait(self, key: str, flight: Flight, until: float) -> tuple[Row, bool]:
        patience = None if math.isinf(until) else max(0.0, until - asyncio.get_running_loop().time())
        flight.waiting += 1
        try:
            if not (await asyncio.wait((flight.asking,), timeout=patience))[0]:
                raise errors.Timeout("Claude did not answer in time")
        except (asyncio.CancelledError, errors.Timeout):
            if flight.waiting == 1 and flight.asking.cancel():
                self._landed(key, flight)  # who comes now asks anew
                await asyncio.wait((flight.asking,))  # until its attempt has said how it ended
            raise
        finally:
            flight.waiting -= 1
        return flight.asking.result()

    async def _ask(self, key: str, ask: Ask) -> tuple[Row, bool]:
        if self._shared is not None:
            with contextlib.suppress(store.Down):
                row = await self._shared.get(_shared(key))
                if row is not None:
                    return row, True
        row = await ask()
        self._kept.put(key, row, asyncio.get_running_loop().time() + self._ttl)
        if self._shared is not None:
            with contextlib.suppress(store.Down):
                await self._shared.put(_shared(key), row, self._ttl)
        return row, False

    def _landed(self, key: str, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.asking.done() and not flight.asking.cancelled():
            flight.asking.exception()  # told to all who waited; if all have left, to nobody


def _shared(key: str) -> str:
    return f"answer:{key}"
