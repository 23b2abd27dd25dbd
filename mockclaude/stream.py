"""The sender: waits for the slot, paces chunks by absolute deadlines, and notices a client that leaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mockclaude import reply
from mockclaude.clock import Clock
from mockclaude.journal import Attempt

GRAIN = 1e-6
"""Seconds. What is due within this is due: no loop's clock is finer, and one that is coarser would be polled."""


class Slot(Protocol):
    """What an answer must know of the slot it holds; the server's own kind has more."""

    attempt: Attempt
    granted: asyncio.Future[None]
    began: float
    reply: reply.Reply | None
    on_drop: Callable[[], object]

    def complete(self) -> None:
        """The last byte has gone out."""

    def leave(self) -> None:
        """The client has gone; without effect once the reply has ended."""


class Left(Exception):
    """The client has gone, or the slot was taken away."""


class Silence(Response):
    """The answer to nobody: the client has gone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send nothing."""


class Answer(Response):
    """A response that paces itself. When it has ended or the client has left, slot and attempt are done with.

    Deadlines are absolute (began + chunk.at), so the pace does not drift; chunks that are due together go out in one
    write.
    """

    def __init__(self, slot: Slot, headers: Mapping[str, str], clock: Clock) -> None:
        self._slot = slot
        self._raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._clock = clock
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; whatever happens, the slot is given back."""
        gone = asyncio.get_running_loop().create_task(_departure(receive))
        self._slot.on_drop = gone.cancel
        try:
            with contextlib.suppress(Left, OSError):
                await self._send(await self._planned(gone), gone, send)
                self._slot.complete()
        finally:
            gone.cancel()
            self._slot.leave()

    async def _planned(self, gone: asyncio.Task[None]) -> reply.Reply:
        """Wait for the slot; what was planned when it was granted."""
        if not self._slot.granted.done():
            await asyncio.wait((self._slot.granted, gone), return_when=asyncio.FIRST_COMPLETED)
        if gone.done() or self._slot.reply is None:
            raise Left
        return self._slot.reply

    async def _send(self, planned: reply.Reply, gone: asyncio.Task[None], send: Send) -> None:
        due: list[bytes] = []
        for chunk in planned.run:
            deadline = self._slot.began + chunk.at
            if deadline - self._clock.now() > GRAIN:
                await self._write(due, send)
                due.clear()
                await self._until(deadline, gone)
            due.append(chunk.data)
        if gone.done():
            raise Left
        await self._write(due, send, last=True)

    async def _until(self, deadline: float, gone: asyncio.Task[None]) -> None:
        while (delay := deadline - self._clock.now()) > GRAIN:
            await asyncio.wait((gone,), timeout=delay)
            if gone.done():
                raise Left

    async def _write(self, due: list[bytes], send: Send, last: bool = False) -> None:
        if not due:
            return
        attempt = self._slot.attempt
        if attempt.first_byte is None:
            attempt.status = 200
            attempt.first_byte = self._clock.now()
            await send({"type": "http.response.start", "status": 200, "headers": self._head(due, last)})
        await send({"type": "http.response.body", "body": b"".join(due), "more_body": not last})

    def _head(self, due: list[bytes], last: bool) -> list[tuple[bytes, bytes]]:
        """A body that is known whole has a length; a stream is chunked by the server."""
        if not last:
            return self._raw
        return [*self._raw, (b"content-length", str(sum(map(len, due))).encode())]


async def _departure(receive: Receive) -> None:
    """Return when the client has left; its request has been read, so nothing else can come."""
    while (await receive())["type"] != "http.disconnect":
        pass
