"""The mistake of the zombie generation: what was begun goes on though nobody listens any more, and costs what it costs.

A production gateway ends it when its caller leaves (`cancel_upstream`); this is what happens without.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Zombies:
    """Work that runs to its end in tasks of its own, or until the application ends."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def work(self, work: Awaitable[T]) -> Awaitable[T]:
        """The same work, but whoever waits for the result and gives up does not end it."""
        return asyncio.shield(self._keep(work))

    async def stream(self, pieces: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The pieces as they come; closing this generator does not close `pieces`."""
        heard: asyncio.Queue[T | BaseException | None] = asyncio.Queue()
        self._keep(_pump(pieces, heard))
        while (piece := await heard.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def _keep(self, work: Awaitable[T]) -> asyncio.Future[T]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop itself does not hold on to it (asyncio.create_task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _pump(pieces: AsyncGenerator[T, None], heard: asyncio.Queue[T | BaseException | None]) -> None:
    try:
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                heard.put_nowait(piece)
        heard.put_nowait(None)
    except Exception as error:  # it is the caller's to hear, if there still is one
        heard.put_nowait(error)
    except asyncio.CancelledError:
        heard.put_nowait(asyncio.CancelledError())
        raise
