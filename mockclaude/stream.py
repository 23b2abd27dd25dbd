"""The sender: whenever the pacer looks at a stream, what is due of its reply goes out.

Why not `await send(...)` for each token, as everybody writes it? That is a task that sleeps and is woken, and three
layers of a web server that put a token into an HTTP chunk: twice the price of the kernel's part, which nobody can save.
Here nobody waits. A stream is a plain object; looked at, it takes what is due of its lazy run of chunks, joins it, and
writes it to its connection at once.

That is allowed only between the head of an answer and its end, which are the web server's, only where the server gave
the connection away (`mockclaude.listener`), and only while the other side reads. Else, and at the end, what is due is
kept in `due`, the answer (`mockclaude.answer`) is woken to send it as ASGI has it, and nothing more becomes due until
it asks to go on. So one path serves every web server, with the same bytes, and a reader who stops holds back the reply
and not the memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from mockclaude import connection, faults, reply
from mockclaude.journal import Attempt
from mockclaude.pacer import GRAIN
from mockclaude.reply import Chunk

JOINED = 32 * 1024
"""Bytes that go out in one write, if so many are due; a single chunk may have more."""


class Left(Exception):
    """The client has gone, or the slot was taken away."""


class Stream:
    """A reply on its way."""

    __slots__ = (
        "_attempt",
        "_begun",
        "_chunks",
        "_error",
        "_next",
        "_run",
        "_waiter",
        "due",
        "ending",
        "left",
        "line",
        "over",
        "turn",
    )

    def __init__(self, attempt: Attempt) -> None:
        self.turn = 0
        self.line: connection.Line | None = None
        self.due: Chunk | None = None
        self.over = False
        self.left = False
        self.ending: reply.Broken | faults.Injected | None = None
        self._attempt = attempt
        self._run: Iterator[Chunk] = iter(())
        self._begun = 0.0
        self._next = Chunk(0.0, b"")
        self._chunks = 0
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def begin(self, run: Iterator[Chunk], begun: float) -> None:
        """Send this, due from `begun` on (on the clock of work), as soon as the pacer looks."""
        self._run = run
        self._begun = begun
        self._advance()

    def look(self, now: float, work: float) -> float | None:
        """Write what is due, or leave it to be sent; when the next is due."""
        if self.left or self.over:
            return None
        begun, due = self._begun, self._next
        at = work - begun + GRAIN
        if due.at > at:
            return begun + due.at
        if self.ending is None:
            self._advance()
            if self._next.at <= at:
                due = self._join(due, at)
            self._chunks += 1
            if self._attempt.first_token is None and faults.DELTA in due.data:
                self._attempt.first_token = now
            if not self.over and self.line is not None and self.line.write(due.data):
                self._attempt.says(due.text, now)
                return begun + self._next.at
            self.due = due
        else:
            self.over = True
        self.wake()
        return None

    def _join(self, due: Chunk, at: float) -> Chunk:
        """Whatever else is due after `at` seconds of work, as one chunk with it."""
        while not self.over and self._next.at <= at and len(due.data) < JOINED:
            if self.ending is not None:
                self.over = True
                break
            due = due.joined(self._next)
            self._chunks += 1
            self._advance()
        return due

    def _advance(self) -> None:
        """Come to the next chunk, or to the moment at which it ends otherwise."""
        try:
            self._next = next(self._run)
        except StopIteration:
            self.over = True
        except (faults.Injected, reply.Broken) as error:
            self.ending = error.with_traceback(None)  # it would hold the stream that holds it
            self._next = Chunk(error.at, b"")

    @property
    def whole(self) -> bool:
        """Whether all of it has become due, and nothing broke it off."""
        return self.over and self.ending is None

    @property
    def single(self) -> bool:
        """Whether all of it was one chunk, whatever else has become due at once on a busy machine."""
        return self.whole and self._chunks == 1

    def fail(self, error: Exception) -> None:
        """Looking failed: that is the mock's own mistake, and the answer's end."""
        self._error = error
        self.wake()

    def leave(self) -> None:
        """The client has gone, or the slot was taken away."""
        self.left = True
        self.wake()

    def wake(self) -> None:
        """There is something for the answer to do."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def woken(self) -> None:
        """Return when there is something to do; raises `Left`, or what looking raised."""
        if not (self.due or self.over or self.left or self._error):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error  # it holds this frame, which would hold it
        if self.left:
            raise Left
