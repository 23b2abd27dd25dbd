"""The sender: a reply's way to the socket, paced by absolute deadlines, and the end of it when the client leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterator, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mockclaude import connection, faults, reply, wire
from mockclaude.journal import Attempt
from mockclaude.pacer import GRAIN, Pacer
from mockclaude.reply import Chunk
from mockclaude.slot import Slot

log = logging.getLogger("mockclaude")

STREAMED = (b"content-type", b"text/event-stream; charset=utf-8")
JOINED = 32 * 1024
"""Bytes that go out in one write, if so many are due; a single chunk may have more."""


class Left(Exception):
    """The client has gone, or the slot was taken away."""


class Silence(Response):
    """No answer: the client has gone, or the rehearsal is over."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection without a word: the web server would say 500 in its place."""
        connection.cut(scope, "fin")


class Stream:
    """A reply on its way: whenever the pacer looks, what is due of its run goes out.

    With a line it is written there, once the head is out and while the other side reads. Else, and at the end, it is
    kept in `due`, the `Answer` is woken to send it, and nothing more becomes due until it is asked to go on: so one
    path serves every web server, and a reader who stops holds back the reply and not the memory.
    """

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
        at = work - self._begun + GRAIN
        if self._next.at <= at:
            due = self._take(at, now)
            if due is not None and self.line is not None and not self.over and self.line.write(due.data):
                self._attempt.says(due.text, now)
            elif due is not None or self.over:
                self.due = due
                self.wake()
                return None
        return self._begun + self._next.at

    def _take(self, at: float, now: float) -> Chunk | None:
        """What is due after `at` seconds of work, as one chunk; None where it only ends."""
        due = None
        while True:
            if self.ending is None:
                due = self._next if due is None else due.joined(self._next)
                self._chunks += 1
                if self._attempt.first_token is None and faults.DELTA in due.data:
                    self._attempt.first_token = now
            if not self._advance() or self._next.at > at or (due is not None and len(due.data) >= JOINED):
                return due

    def _advance(self) -> bool:
        """Come to the next chunk, or to the moment at which it ends otherwise; false when all is over."""
        if self.ending is not None:
            self.over = True
            return False
        try:
            self._next = next(self._run)
        except StopIteration:
            self.over = True
        except (faults.Injected, reply.Broken) as error:
            self.ending = error.with_traceback(None)  # it would hold the stream that holds it
            self._next = Chunk(error.at, b"")
        return not self.over

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
            raise self._error
        if self.left:
            raise Left


class Answer(Response):
    """A response that paces itself. When it has ended or the client has left, slot and attempt are done with."""

    def __init__(
        self,
        slot: Slot,
        headers: Mapping[str, str],
        pacer: Pacer,
        refuse: Callable[[wire.ApiError], Response],
    ) -> None:
        self._slot = slot
        self._refuse = refuse
        self._raw = connection.encoded(headers)
        self._request_id = headers["request-id"]
        self._pacer = pacer
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; whatever happens, the slot is given back."""
        line = connection.line(scope)
        stream = Stream(self._slot.attempt)
        self._slot.on_drop = stream.leave
        unnoticed = _notice(stream.leave, line, receive)
        try:
            with contextlib.suppress(OSError):
                await self._granted(stream)
                if self._slot.refused is not None:
                    await self._refuse(self._slot.refused)(scope, receive, send)
                elif self._slot.reply is not None:
                    await self._send(self._slot.reply, stream, line, scope, send)
        except Left:
            await Silence()(scope, receive, send)
        except Exception:  # nobody left: the journal must not say so
            log.exception("attempt %d: the mock itself failed", self._slot.attempt.n)
            self._slot.attempt.status = self._slot.attempt.status or 500
            self._slot.fail()
            raise
        finally:
            unnoticed()
            self._pacer.forget(stream)
            self._slot.leave()
            self._slot.on_drop = connection.nobody

    async def _granted(self, stream: Stream) -> None:
        """Wait for the slot, or for the place in the queue to be lost."""
        if not self._slot.granted.done():
            self._slot.granted.add_done_callback(lambda _: stream.wake())
            await stream.woken()
        if stream.left:
            raise Left

    async def _send(
        self, planned: reply.Reply, stream: Stream, line: connection.Line | None, scope: Scope, send: Send
    ) -> None:
        stream.begin(planned.run, self._slot.begun)
        while not stream.over:
            self._pacer.go(stream)
            await stream.woken()
            due, stream.due = stream.due, None
            if due is not None:
                await self._write(due, send, last=stream.whole, sized=stream.single)
                stream.line = line
        if stream.ending is None:
            self._slot.complete()
            return
        if isinstance(stream.ending, faults.Injected):
            said = stream.ending.event(self._request_id, random.Random(self._request_id))
            await self._write(Chunk(stream.ending.at, said), send, last=True, sized=True)
        elif stream.ending.how == "end":
            await self._write(Chunk(stream.ending.at, b""), send, last=True, sized=True)
        else:
            connection.cut(scope, stream.ending.how)
        self._slot.fail()

    async def _write(self, due: Chunk, send: Send, *, last: bool, sized: bool) -> None:
        """Send it as ASGI has it; how long that takes is how long the client did not read."""
        attempt, now = self._slot.attempt, self._pacer.clock.now()
        attempt.says(due.text, now)
        try:
            if attempt.first_byte is None:
                attempt.status = 200
                attempt.first_byte = now
                head = self._head(len(due.data) if sized else None)
                await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": due.data, "more_body": not last})
        finally:
            attempt.stalled += self._pacer.clock.now() - now

    def _head(self, length: int | None) -> list[tuple[bytes, bytes]]:
        """A document has a length; a stream is chunked by the server, also one that goes out at once."""
        if length is None or STREAMED in self._raw:
            return self._raw
        return [*self._raw, (b"content-length", str(length).encode())]


def _notice(leave: Callable[[], None], line: connection.Line | None, receive: Receive) -> Callable[[], object]:
    """Have `leave` called when the client leaves: its line says so or, without one, `receive`. How to end that."""
    if line is None:
        gone = asyncio.get_running_loop().create_task(_departure(receive))
        gone.add_done_callback(lambda _: leave())
        return gone.cancel
    line.lost = leave
    if line.closed:
        leave()
    return line.unnoticed


async def _departure(receive: Receive) -> None:
    """Return when the client has left; its request has been read, so nothing else can come."""
    while (await receive())["type"] != "http.disconnect":
        pass
