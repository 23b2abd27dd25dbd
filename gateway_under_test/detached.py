"""The mistake of the zombie generation: what was begun goes on though nobody listens any more.

A production gateway ends it when its caller leaves (`cancel_upstream`); this is what happens without.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


class Detached:
    """Answers that run to their end in tasks of their own."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, pieces: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The pieces as they come; closing this generator does not close `pieces`."""
        heard: asyncio.Queue[T | BaseException | None] = asyncio.Queue()
        task = asyncio.create_task(_pump(pieces, heard))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        while (piece := await heard.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    async def close(self) -> None:
        """End what still runs."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


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
