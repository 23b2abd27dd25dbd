"""Whether we can serve: readiness from what we know already, and the deep check that asks Claude.

A deep check is traffic. Made for every probe of every load balancer it takes places and quota from callers, most of all
when these are short, and then reports the shortage that it makes. So its verdict is kept for a while, and however many
ask at once, one of them asks Claude.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from gateway_under_test import errors, logs

PATIENCE = 5.0
"""Seconds for the deep check's call."""


class Verdict(NamedTuple):
    """What came of a deep check, and when (the loop's time) it ended."""

    status: str
    outcome: str
    at: float


class DeepCheck:
    """At most one call in `every` seconds; None: one for each who asks."""

    def __init__(self, call: Callable[[logs.RequestLine], Awaitable[object]], every: float | None) -> None:
        self._call = call
        self._every = every
        self._one = asyncio.Lock()
        self._last: Verdict | None = None

    async def verdict(self, line: logs.RequestLine) -> Verdict:
        """The last verdict if it is fresh; else a new one, whose call goes into `line`.

        Who leaves while it is made does not end it: else coming and leaving would cost a call each time.
        """
        if self._every is None:
            return await self._made(line)
        async with self._one:
            now = asyncio.get_running_loop().time()
            if self._last is None or now - self._last.at >= self._every:
                self._last = await self._made(line)
            return self._last

    async def _made(self, line: logs.RequestLine) -> Verdict:
        failure: errors.GatewayError | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                await self._call(line)
        except TimeoutError:
            failure = errors.Timeout("Claude did not answer in time")
        except errors.GatewayError as error:
            failure = error
        return Verdict(judged(failure), failure.type if failure else "complete", asyncio.get_running_loop().time())


def judged(failure: errors.GatewayError | None) -> str:
    """`healthy`, `degraded`, or `busy`: we had no place to ask from, which says nothing about Claude."""
    if failure is None:
        return "healthy"
    busy = isinstance(failure, errors.Shed) and not isinstance(failure, errors.CircuitOpen)
    return "busy" if busy else "degraded"


def readiness(draining: bool, breakers: Mapping[str, str], fallback: str | None) -> str:
    """`ready`, `draining`, or `breaker open`: a model is left alone and there is none to ask instead."""
    if draining:
        return "draining"
    open_ = [model for model, state in breakers.items() if state == "open"]
    instead = fallback is not None and fallback not in open_
    return "breaker open" if open_ and not instead else "ready"
