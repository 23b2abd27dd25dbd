"""What the gateway tells about itself: JSON lines on stdout, one for each request and one for each attempt."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TextIO, cast

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_under_test import errors

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
CLAUDES = "/v1/"  # the paths below which we speak as Claude does
SAMPLE_EVERY = 0.05
LAG_WORTH_A_LINE = 0.25


class Log(Protocol):
    """The part of structlog's logger that the gateway uses."""

    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...
    def exception(self, event: str, **fields: object) -> object: ...


def make(file: TextIO | None = None) -> Log:
    """A logger of its own that writes JSON lines to `file` (stdout); structlog's global state stays untouched."""
    logger = structlog.wrap_logger(
        structlog.WriteLogger(file or sys.stdout),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        context_class=dict,
    )
    return cast(Log, logger)


@dataclass
class RequestLine:
    """What the log will say about one request; filled in by whoever learns it first."""

    request_id: str
    method: str
    path: str
    started: float
    status_code: int | None = None
    outcome: str | None = None
    attempts: int = 0
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    finished: bool = False


class RequestLog:
    """Pure ASGI: gives each request its id, and writes its line however it ends.

    Pure, because starlette's BaseHTTPMiddleware hides the caller's disconnect from a stream.
    """

    def __init__(self, app: ASGIApp, log: Log, new_id: Callable[[], str]) -> None:
        self._app = app
        self._log = log
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else self._new_id()
        line = RequestLine(request_id, scope["method"], scope["path"], loop.time())
        scope.setdefault("state", {})["line"] = line
        try:
            await self._run(line, scope, receive, _noting(line, send))
        finally:
            self._write(line, loop.time() - line.started)

    async def _run(self, line: RequestLine, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # only the server cancels a whole request, when it stops; who has no answer yet is told
            line.outcome = "aborted"
            if line.status_code is None:
                stopping = errors.Shed("the gateway is stopping; try again")
                await answer(stopping, line)(scope, receive, send)
            raise
        except Exception:
            self._log.exception("crash", request_id=line.request_id, path=line.path)
            line.outcome = errors.Configuration.type
            if line.status_code is not None:
                raise
            await answer(errors.Configuration("the gateway failed; its log says why"), line)(scope, receive, send)

    def _write(self, line: RequestLine, seconds: float) -> None:
        self._log.info(
            "request",
            request_id=line.request_id,
            method=line.method,
            path=line.path,
            status_code=line.status_code,
            outcome=line.outcome or ("complete" if line.finished else "left"),
            duration_ms=round(seconds * 1000, 1),
            attempts=line.attempts,
            model=line.model,
            input_tokens=line.input_tokens,
            output_tokens=line.output_tokens,
        )


def answer(error: errors.GatewayError, line: RequestLine) -> JSONResponse:
    """The response that tells `error`, noted in the request's line; below `CLAUDES` in Claude's envelope."""
    line.outcome = line.outcome or error.type
    if line.path.startswith(CLAUDES):
        told = error.claude_body(line.request_id)
        return JSONResponse(told, error.as_claude()[0], error.claude_headers(line.request_id))
    return JSONResponse(error.body(line.request_id), error.status, error.headers())


async def watch_loop(log: Log) -> None:
    """Say so whenever the event loop was late: then every figure of this process is late too."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + SAMPLE_EVERY
        await asyncio.sleep(SAMPLE_EVERY)
        lag = loop.time() - due
        if lag > LAG_WORTH_A_LINE:
            log.warning("loop_lag", seconds=round(lag, 3))


def _noting(line: RequestLine, send: Send) -> Send:
    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            line.status_code = message["status"]
            MutableHeaders(scope=message)["x-request-id"] = line.request_id
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            line.finished = True

    return noting
