"""An answer: from the slot that was claimed for it to its last byte, or to the moment at which its client leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mockclaude import connection, faults, reply, wire
from mockclaude.pacer import Pacer
from mockclaude.reply import Chunk
from mockclaude.slot import Slot
from mockclaude.stream import Left, Stream

log = logging.getLogger("mockclaude")

STREAMED = (b"content-type", b"text/event-stream; charset=utf-8")


class Silence(Response):
    """No answer: the client has gone, or the rehearsal is over."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection without a word: the web server would say 500 in its place."""
        connection.cut(scope, "fin")


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
