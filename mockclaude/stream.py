"""The sender: waits for the slot, paces chunks by absolute deadlines, and notices a client that leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mockclaude import connection, faults, reply, wire
from mockclaude.clock import Clock
from mockclaude.slot import Slot

log = logging.getLogger("mockclaude")

GRAIN = 1e-6
"""Seconds. What is due within this is due: no loop's clock is finer, and one that is coarser would be polled."""

STREAMED = (b"content-type", b"text/event-stream; charset=utf-8")


class Left(Exception):
    """The client has gone, or the slot was taken away."""


class Silence(Response):
    """No answer: the client has gone, or the rehearsal is over."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection without a word: the web server would say 500 in its place."""
        connection.cut(scope, "fin")


class Answer(Response):
    """A response that paces itself. When it has ended or the client has left, slot and attempt are done with.

    Deadlines are absolute (so many seconds of work after the slot was granted), so the pace does not drift; chunks that
    are due together go out in one write.
    """

    def __init__(
        self,
        slot: Slot,
        headers: Mapping[str, str],
        clock: Clock,
        refuse: Callable[[wire.ApiError], Response],
    ) -> None:
        self._slot = slot
        self._refuse = refuse
        self._raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._request_id = headers["request-id"]
        self._clock = clock
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; whatever happens, the slot is given back."""
        gone = asyncio.get_running_loop().create_task(_departure(receive))
        self._slot.on_drop = gone.cancel
        try:
            with contextlib.suppress(OSError):
                planned = await self._planned(gone)
                if self._slot.refused is not None:
                    await self._refuse(self._slot.refused)(scope, receive, send)
                elif planned is not None:
                    await self._send(planned, gone, scope, send)
        except Left:
            await Silence()(scope, receive, send)
        except Exception:  # nobody left: the journal must not say so
            log.exception("attempt %d: the mock itself failed", self._slot.attempt.n)
            self._slot.attempt.status = self._slot.attempt.status or 500
            self._slot.fail()
            raise
        finally:
            gone.cancel()
            self._slot.leave()

    async def _planned(self, gone: asyncio.Task[None]) -> reply.Reply | None:
        """Wait for the slot; what was planned when it was granted, or None when the place in the queue was lost."""
        if not self._slot.granted.done():
            await asyncio.wait((self._slot.granted, gone), return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            raise Left
        return self._slot.reply

    async def _send(self, planned: reply.Reply, gone: asyncio.Task[None], scope: Scope, send: Send) -> None:
        try:
            await self._pace(planned, gone, send)
            self._slot.complete()
        except faults.Injected as error:
            await self._until(error.at, gone)
            said = error.event(self._request_id, random.Random(self._request_id))
            await self._write([reply.Chunk(error.at, said)], send, last=True)
            self._slot.fail()
        except reply.Broken as error:
            await self._until(error.at, gone)
            if error.how == "end":
                await self._write([reply.Chunk(error.at, b"")], send, last=True)
            else:
                connection.cut(scope, error.how)
            self._slot.fail()

    async def _pace(self, planned: reply.Reply, gone: asyncio.Task[None], send: Send) -> None:
        due: list[reply.Chunk] = []
        attempt = self._slot.attempt
        try:
            for chunk in planned.run:
                if self._slot.remaining(chunk.at) > GRAIN:
                    await self._write(due, send)
                    due.clear()
                    await self._until(chunk.at, gone)
                due.append(chunk)
                if attempt.first_token is None and faults.DELTA in chunk.data:
                    attempt.first_token = self._clock.now()
        except (faults.Injected, reply.Broken):
            await self._write(due, send)
            raise
        if gone.done():
            raise Left
        await self._write(due, send, last=True)

    async def _until(self, at: float, gone: asyncio.Task[None]) -> None:
        while (delay := self._slot.remaining(at)) > GRAIN:
            await asyncio.wait((gone,), timeout=self._slot.look_again(delay))
            if gone.done():
                raise Left

    async def _write(self, due: list[reply.Chunk], send: Send, last: bool = False) -> None:
        if not due:
            return
        attempt, now = self._slot.attempt, self._clock.now()
        attempt.says(sum(chunk.text for chunk in due), now)
        body = b"".join([chunk.data for chunk in due])
        if attempt.first_byte is None:
            attempt.status = 200
            attempt.first_byte = now
            await send({"type": "http.response.start", "status": 200, "headers": self._head(len(body), last)})
        await send({"type": "http.response.body", "body": body, "more_body": not last})

    def _head(self, length: int, last: bool) -> list[tuple[bytes, bytes]]:
        """A document has a length; a stream is chunked by the server, also one that goes out at once."""
        if not last or STREAMED in self._raw:
            return self._raw
        return [*self._raw, (b"content-length", str(length).encode())]


async def _departure(receive: Receive) -> None:
    """Return when the client has left; its request has been read, so nothing else can come."""
    while (await receive())["type"] != "http.disconnect":
        pass
