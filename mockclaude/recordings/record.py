"""The recorder: a proxy that passes everything through as it comes, and writes down what POST /v1/messages got.

Bytes are passed on the moment they arrive and are never changed; only `accept-encoding` is, since a compressed reply
could not be read here. What the recorder cannot write down is passed on all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import io
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import Message, Receive, Scope, Send

from mockclaude import settings, wire
from mockclaude.clock import Clock
from mockclaude.recordings import recording, redaction
from mockclaude.recordings.recording import Exchange
from mockclaude.request import ask

PATH = "/v1/messages"
LONGEST = 32 * 1024 * 1024
"""Bytes of a reply; a longer one is passed on, but not recorded."""
CONNECT_WITHIN = 10.0
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade".split()
)
Headers = list[tuple[bytes, bytes]]
Write = Callable[[bytes], object]


class Notes:
    """What is noted of one exchange while it passes. Times are seconds of the loop's clock."""

    def __init__(self, body: bytes, headers: Headers, began: float) -> None:
        self._body = body
        self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        self._began = began
        self._tape: recording.Tape | None = None
        self._said = bytearray()
        self._size = 0
        self._last = 0.0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ttfb = 0.0
        self.left = False

    def begin(self, status: int, headers: Headers, now: float) -> None:
        """The answer's head has come."""
        self.status = status
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
        self.ttfb = round(now - self._began, 6)
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            self._tape = recording.Tape()

    def hear(self, part: bytes, now: float) -> None:
        """A part of its body has come."""
        self._size += len(part)
        self._last = round(now - self._began, 6)
        if self._size > LONGEST:
            return
        if self._tape is None:
            self._said += part
        else:
            self._tape.hear(self._last, part)

    def exchange(self, wall: float, keep_text: bool) -> Exchange | None:
        """What there is to record, if it is anything that could be replayed or measured."""
        events = None if self._tape is None else tuple(self._tape.events)
        body = recording.parsed(bytes(self._said)) if events is None else None
        if self._unreadable or (self.left and not events and body is None):
            return None
        asked = ask.open_letter(self._body).data
        whole = Exchange(
            datetime.datetime.fromtimestamp(wall, datetime.UTC).isoformat(timespec="milliseconds"),
            recording.asked(asked),
            self.status,
            recording.kept(self.headers),
            self.ttfb,
            recording.outcome(self.status, events, body, self.left),
            events,
            body,
            self._last if events is None else None,
        )
        return whole if keep_text else redaction.redacted(whole, asked)

    @property
    def _unreadable(self) -> bool:
        """No answer came, or one that is none, or too long, or compressed."""
        answered = self.status != 0 and not 300 <= self.status < 400
        return not answered or self._size > LONGEST or "content-encoding" in self.headers

    @property
    def secrets(self) -> tuple[str, ...]:
        """The credentials of the request."""
        return tuple(filter(None, (ask.credential(self._headers), self._headers.get("x-api-key"))))


class Recorder:
    """An ASGI application in front of one upstream."""

    def __init__(self, upstream: str, write: Write, keep_text: bool = False) -> None:
        self.recorded = 0
        self._upstream = upstream
        self._write = write
        self._keep_text = keep_text
        self._clock = Clock()
        self._rng = random.Random()
        self._transport = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=None))

    async def close(self) -> None:
        """Let go of the connections to the upstream."""
        await self._transport.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, and its answer back."""
        request = Request(scope, receive)
        try:
            if (scope["method"], scope["path"]) == ("POST", PATH):
                await self._listen(request, await _whole(request), send)
            else:
                await self._pass(self._outward(request, _streamed(request)), None, send)
        except ClientDisconnect:
            return
        except httpx2.InvalidURL:
            await self._refuse(wire.ApiError(404), send)

    async def _listen(self, request: Request, body: bytes, send: Send) -> None:
        if len(body) > ask.BODY_LIMIT:
            await self._refuse(wire.ApiError(413), send)
            return
        notes = Notes(body, request.scope["headers"], self._clock.now())
        await self._attended(self._outward(request, body), notes, request.receive, send)

    async def _attended(self, outward: httpx2.Request, notes: Notes, receive: Receive, send: Send) -> None:
        """Pass on until the answer ends or its caller leaves, and note which."""
        passing = asyncio.ensure_future(self._pass(outward, notes, send))
        gone = asyncio.ensure_future(_departure(receive))
        try:
            await asyncio.wait((passing, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            notes.left = not passing.done()
            for task in (passing, gone):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError, httpx2.TransportError):
                await passing
            self._note(notes)
        if not passing.cancelled() and (error := passing.exception()):
            raise error  # the server closes the connection then, as the upstream did

    async def _pass(self, outward: httpx2.Request, notes: Notes | None, send: Send) -> None:
        try:
            answer = await self._transport.handle_async_request(outward)
        except httpx2.TransportError as error:
            await self._refuse(wire.ApiError(502, f"cannot reach the upstream: {error or type(error).__name__}"), send)
            return
        try:
            headers = _end_to_end(answer.headers.raw)
            if notes is not None:
                notes.begin(answer.status_code, headers, self._clock.now())
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async for part in _parts(answer):
                if notes is not None:
                    notes.hear(part, self._clock.now())
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await answer.aclose()

    def _outward(self, request: Request, body: bytes | AsyncIterator[bytes]) -> httpx2.Request:
        """The same request, to the upstream."""
        scope = request.scope
        query = scope["query_string"]
        url = self._upstream + (scope["raw_path"] + (b"?" + query if query else b"")).decode("latin-1")
        recorded = isinstance(body, bytes) and request.method == "POST"
        skipped = {b"host", b"accept-encoding"} if recorded else {b"host"}
        headers = [pair for pair in _end_to_end(scope["headers"]) if pair[0] not in skipped]
        if recorded:
            headers.append((b"accept-encoding", b"identity"))
        timeout: dict[str, Any] = {"connect": CONNECT_WITHIN, "read": None, "write": None, "pool": None}
        return httpx2.Request(request.method, url, headers=headers, content=body, extensions={"timeout": timeout})

    async def _refuse(self, error: wire.ApiError, send: Send) -> None:
        """An error of the recorder itself, in Claude's envelope."""
        request_id = wire.identifier("req_011C", 20, self._rng)
        headers = {"request-id": request_id, "x-should-retry": str(error.retryable).lower()}
        answer = Response(error.body(request_id), error.status, headers, media_type="application/json")
        await answer({"type": "http"}, _nothing, send)

    def _note(self, notes: Notes) -> None:
        """Write the exchange down; whatever is wrong with it, nobody but the file misses it."""
        try:
            exchange = notes.exchange(self._clock.wall(), self._keep_text)
            if exchange is not None:
                self._write(recording.line(exchange, notes.secrets))
                self.recorded += 1
        except (ValueError, TypeError, RecursionError, OSError) as error:
            print(f"mockclaude: one exchange was not recorded: {type(error).__name__}: {error}", file=sys.stderr)


def opened(path: Path) -> io.FileIO:
    """A recording to append to, line by line and unbuffered; raises `ConfigError` when the file is anything else."""
    try:
        if path.exists():
            text = settings.read_text(path)
            recording.load(text)
            if text and not text.endswith("\n"):
                raise settings.ConfigError([settings.Problem((), "its last line is not whole")])
        return io.FileIO(path, "a")
    except OSError as error:
        raise settings.ConfigError([settings.Problem((), os.strerror(error.errno or 0))]) from None


def create_app(recorder: Recorder) -> Router:
    """The recorder with a lifespan, which closes what it holds open."""

    @contextlib.asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        yield
        await recorder.close()

    return Router(default=recorder, lifespan=lifespan)


def _end_to_end(headers: Headers) -> Headers:
    """Headers that are not for this connection alone."""
    named = b",".join(value for name, value in headers if name.lower() == b"connection")
    dropped = HOP_BY_HOP.union(name.strip().lower() for name in named.split(b","))
    return [(name.lower(), value) for name, value in headers if name.lower() not in dropped]


async def _parts(answer: httpx2.Response) -> AsyncIterator[bytes]:
    stream = answer.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    async for part in stream:
        yield part


def _streamed(request: Request) -> bytes | AsyncIterator[bytes]:
    """The body as it comes, if there is one."""
    sent = {name for name, _ in request.scope["headers"]}
    return request.stream() if sent & {b"content-length", b"transfer-encoding"} else b""


async def _whole(request: Request) -> bytes:
    """The body, or as much as shows that it is too large."""
    kept = bytearray()
    async for part in request.stream():
        kept += part[: max(0, ask.BODY_LIMIT + 1 - len(kept))]
    return bytes(kept)


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
