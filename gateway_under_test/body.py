"""A request's body on its way in: not too large, and not for ever.

Reading it holds no place in any line: a caller who sends a byte a second costs a connection, and that not for long.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_under_test import errors, logs, settings

CLAUDES_LIMIT = 32 * 1024 * 1024
"""Bytes of a body that Claude takes (docs: API errors, request_too_large)."""
SLOWEST = 100_000
"""Bytes a second that keep a large upload going: 32 MiB over a slow line take longer than a short question."""


class Unread(Exception):
    """The rest of the body is of no use: it is refused, or its caller has left. Whoever reads it may just end."""


@dataclass(frozen=True)
class Bounds:
    """What a body may be; None: anything. `deadline` is the request's own: what arrives after it comes too late."""

    limit: int | None
    timeout: float | None
    deadline: float | None = None

    def refusal(self, size: int) -> errors.Rejected | None:
        """What is said of `size` bytes, declared or counted."""
        if self.limit is None or size <= self.limit:
            return None
        if self.limit == CLAUDES_LIMIT:
            return errors.Rejected("Request exceeds the maximum size", status=413)
        return errors.Rejected(f"the body is larger than {self.limit} bytes", status=413)

    def until(self, started: float, size: int) -> float | None:
        """When the rest must be there, `size` bytes being there already."""
        patience = None if self.timeout is None else self.timeout + size / SLOWEST
        known = [seconds for seconds in (patience, self.deadline) if seconds is not None]
        return started + min(known) if known else None


class Intake:
    """Pure ASGI: a body out of bounds is refused (413, 408) whatever the application made of it, and who left is told
    nothing."""

    def __init__(self, app: ASGIApp, chosen: settings.Settings) -> None:
        self._app = app
        self._ours = Bounds(chosen.body_limit, chosen.body_timeout, chosen.deadline)
        self._claudes = Bounds(CLAUDES_LIMIT, chosen.body_timeout, chosen.deadline)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        line: logs.RequestLine = scope["state"]["line"]
        bounds = self._claudes if line.path.startswith(logs.CLAUDES) else self._ours
        upload = _Upload(bounds, line.started, receive, send)
        upload.refused = bounds.refusal(_declared(scope))
        if upload.refused is None:
            with contextlib.suppress(Unread):
                await self._app(scope, upload.receive, upload.send)
        if upload.refused is not None or upload.left:
            line.outcome = None  # what the application said has not been sent
        if upload.refused is not None:
            response = logs.answer(upload.refused, line)
            if upload.refused.status == 408:
                response.headers["connection"] = "close"  # the rest need not come
            await response(scope, receive, send)


class _Upload:
    """One body, and the answer that is held back once the body is out of bounds."""

    def __init__(self, bounds: Bounds, started: float, receive: Receive, send: Send) -> None:
        self.refused: errors.Rejected | None = None
        self.left = False
        self._bounds = bounds
        self._started = started
        self._receive = receive
        self._send = send
        self._size = 0
        self._over = False  # there is nothing left to guard: all of it is there, or the answer has begun

    async def receive(self) -> Message:
        if self.refused is not None or self.left:
            raise Unread
        until = None if self._over else self._bounds.until(self._started, self._size)
        try:
            async with asyncio.timeout_at(until):
                message = await self._receive()
        except TimeoutError:
            if self._over:  # the answer has begun in the meantime
                return await self._receive()
            self.refused = errors.Rejected("the request body did not arrive in time", status=408)
            raise Unread from None
        self._note(message)
        return message

    def _note(self, message: Message) -> None:
        if self._over:
            return
        if message["type"] == "http.disconnect":
            self.left = True
            raise Unread
        self._size += len(message.get("body", b""))
        self.refused = self._bounds.refusal(self._size)
        if self.refused is not None:
            raise Unread  # the server reads on, so that the caller hears of it
        self._over = not message.get("more_body", False)

    async def send(self, message: Message) -> None:
        if self.refused is None and not self.left:
            self._over = True
            await self._send(message)


def _declared(scope: Scope) -> int:
    said = Headers(scope=scope).get("content-length", "")
    return int(said) if said.isdecimal() and len(said) < 20 else 0


def unreadable(error: HTTPException) -> str:
    """What is wrong with a body of which the framework says no more than that it cannot be parsed."""
    match error.__cause__:
        case RecursionError():
            return "body: its JSON is nested too deep"
        case UnicodeDecodeError() as cause:
            return f"body.{cause.start}: got a byte that is not UTF-8"
        case ValueError() as cause:
            return f"body: {cause}"
        case _:
            return error.detail
