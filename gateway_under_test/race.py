"""Two answers to one question, of which the one that speaks first is heard: how a hedge is run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TypeVar

T = TypeVar("T")
Spoken = tuple[T | None, AsyncGenerator[T, None]]
"""The first piece, if there is one, and the others."""


@contextlib.asynccontextmanager
async def first_to_speak(
    first: AsyncGenerator[T, None],
    after: float,
    second: Callable[[], AsyncGenerator[T, None] | None],
    settled: Callable[[bool], None],
) -> AsyncIterator[Spoken[T]]:
    """What is heard of `first`, or of what `second` makes if nothing was heard for `after` seconds; closed at the end.

    As soon as one speaks the other is closed, and if there were two, `settled` hears whether the second won. An error
    is raised when nobody is left who may still speak.
    """
    async with contextlib.AsyncExitStack() as open_ones:
        runners = {asyncio.ensure_future(_first_piece(first)): first}
        open_ones.push_async_callback(_end, runners)
        await asyncio.wait(runners, timeout=after)
        if not any(task.done() for task in runners) and (other := second()) is not None:
            runners[asyncio.ensure_future(_first_piece(other))] = other
        alone = len(runners) == 1
        pieces, piece = await _winner(runners)
        if not alone:
            settled(pieces is not first)
        async with contextlib.aclosing(pieces):
            yield piece, pieces


Runners = dict["asyncio.Task[T | None]", AsyncGenerator[T, None]]


async def _winner(runners: Runners[T]) -> tuple[AsyncGenerator[T, None], T | None]:
    """Who speaks first, and what it says; everyone else has ended then."""
    while True:
        done, _ = await asyncio.wait(runners, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            pieces = runners.pop(task)
            if runners and task.exception() is not None:
                continue
            await _end(runners)
            return pieces, task.result()


async def _end(runners: Runners[T]) -> None:
    """Stop those who have not spoken yet."""
    while runners:
        task, pieces = runners.popitem()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pieces.aclose()


async def _first_piece(pieces: AsyncGenerator[T, None]) -> T | None:
    return await anext(pieces, None)
