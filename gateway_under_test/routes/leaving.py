"""A caller who leaves before the answer: how that is noticed, what becomes of the work, and what is said to nobody.

The server tells it with `http.disconnect`, to whoever reads on after the request's body. A response that streams reads
it by itself; an answer that is still being made does not, so here somebody watches beside the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway_under_test.zombies import Zombies

T = TypeVar("T")


class Gone(Exception):
    """The caller has left: there is nobody to answer."""


class Silence(Response):
    """The answer to nobody."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send nothing."""


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """What `work` gives, or Gone; then the work is ended, unless the application keeps zombies."""
    zombies: Zombies | None = request.app.state.zombies
    return await or_gone(request, work if zombies is None else zombies.work(work))


async def or_gone(request: Request, work: Awaitable[T]) -> T:
    """What `work` gives; if the caller leaves before that, ends it and raises Gone.

    For use after the request's body was read: its `receive` is read on. The work runs in a task of its own.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(departure(request.receive))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Gone
    finally:
        await ended(working, gone)


async def departure(receive: Receive) -> None:
    """Until the caller has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel them, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def silence(request: Request, error: Exception) -> Response:
    """The handler of Gone."""
    return Silence()
