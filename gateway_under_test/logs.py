"""What the gateway tells about itself: JSON lines on stdout, one for each request and one for each attempt."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TextIO, cast

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_under_test import errors, redaction
from gateway_under_test.metrics import Metrics

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
CLAUDES = "/v1/"  # the paths below which we speak as Claude does
SAMPLE_EVERY = 0.05
LAG_WORTH_A_LINE = 0.25
PRIORITIES = ("low", "normal", "high")


class Log(Protocol):
    """The part of structlog's logger that the gateway uses."""

    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...
    def exception(self, event: str, **fields: object) -> object: ...


def make(file: TextIO | None = None, secrets: Iterable[str] = ()) -> Log:
    """A logger of its own that writes JSON lines to `file` (stdout); structlog's global state stays untouched.

    Of `secrets`, of what a caller shows and of what looks like a key nothing is written (see `redaction`).
    """
    ours = tuple(secrets)
    logger = structlog.wrap_logger(
        structlog.WriteLogger(file or sys.stdout),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            lambda logger, method, fields: redaction.redact(fields, ours),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        context_class=dict,
    )
    return cast(Log, logger)


@dataclass
class RequestLine:
    """What the log will say about one request, and what its caller asked of us; filled in by whoever learns it first.

    `deadline` are the seconds after which the caller is gone (`x-request-deadline`). `queued` and `upstream` are
    seconds spent in lines and with Claude, of a stream until its first piece; attempts beside each other add up.
    `begun` counts the attempt numbers given out, `attempts` those that ended.
    """

    request_id: str
    method: str
    path: str
    started: float
    route: str = ""
    deadline: float | None = None
    priority: str = "normal"
    tenant: str | None = None
    validated_at: float | None = None
    queued: float = 0.0
    upstream: float = 0.0
    cached: bool = False
    version: str | None = None
    begun: int = 0
    status_code: int | None = None
    outcome: str | None = None
    attempts: int = 0
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    finished: bool = False

    @property
    def ended(self) -> str:
        """The outcome, once it is over: without an error it is complete, or its caller left."""
        return self.outcome or ("complete" if self.finished else "left")


class Tracing(Protocol):
    """Who has a span for each request."""

    def request(self, line: RequestLine) -> None: ...


class RequestLog:
    """Pure ASGI: gives each request its id and its stages, and tells of it however it ends.

    Below `CLAUDES` there is no `server-timing`: what Claude's caller gets are Claude's headers and the request's id.
    Pure, because starlette's BaseHTTPMiddleware hides the caller's disconnect from a stream.
    """

    def __init__(
        self,
        app: ASGIApp,
        log: Log,
        new_id: Callable[[], str],
        metrics: Metrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._app = app
        self._log = log
        self._new_id = new_id
        self._metrics = metrics or Metrics()
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        redaction.remember(headers)
        line = self._line(scope, headers)
        scope.setdefault("state", {})["line"] = line
        if self._tracing:
            self._tracing.request(line)
        try:
            await self._run(line, scope, receive, _noting(line, send))
        finally:
            line.route = getattr(scope.get("route"), "path", "")
            self._tell(line)

    def _line(self, scope: Scope, headers: Mapping[str, str]) -> RequestLine:
        given = headers.get("x-request-id", "")
        priority = headers.get("x-priority", "")
        return RequestLine(
            request_id=given if REQUEST_ID.fullmatch(given) else self._new_id(),
            method=scope["method"],
            path=scope["path"],
            started=asyncio.get_running_loop().time(),
            deadline=errors.seconds(headers.get("x-request-deadline")) or None,
            priority=priority if priority in PRIORITIES else "normal",
        )

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

    def _tell(self, line: RequestLine) -> None:
        seconds = asyncio.get_running_loop().time() - line.started
        queued = line.queued if line.attempts or line.queued else None
        self._metrics.requested(line.route, line.method, line.status_code, line.ended, seconds, queued)
        some = {
            "route": line.route,
            "tenant": line.tenant,
            "cached": line.cached,
            "version": line.version,
            "queued_ms": _milliseconds(line.queued),
        }
        self._log.info(
            "request",
            request_id=line.request_id,
            method=line.method,
            path=line.path,
            status_code=line.status_code,
            outcome=line.ended,
            duration_ms=_milliseconds(seconds),
            attempts=line.attempts,
            model=line.model,
            input_tokens=line.input_tokens,
            output_tokens=line.output_tokens,
            **{name: value for name, value in some.items() if value},
        )


def begin(request: Request, model: str | None = None) -> RequestLine:
    """The line of a request whose handler begins now: it was valid, and `model` is what it asks for."""
    line: RequestLine = request.state.line
    line.route = request.scope["route"].path
    line.validated_at = asyncio.get_running_loop().time()
    line.model = model
    return line


def answer(error: errors.GatewayError, line: RequestLine) -> JSONResponse:
    """The response that tells `error`, noted in the request's line; below `CLAUDES` in Claude's envelope."""
    line.outcome = line.outcome or error.type
    if line.path.startswith(CLAUDES):
        told = error.claude_body(line.request_id)
        return JSONResponse(told, error.as_claude()[0], error.claude_headers(line.request_id))
    return JSONResponse(error.body(line.request_id), error.status, error.headers())


def stages(line: RequestLine, now: float) -> str:
    """Where the time until the response began was spent, as `server-timing` says it, in milliseconds."""
    begun = now if line.validated_at is None else line.validated_at
    serialise = max(0.0, now - begun - line.queued - line.upstream)
    spent = {"validate": begun - line.started, "queue": line.queued, "upstream": line.upstream, "serialise": serialise}
    return ", ".join(f"{stage};dur={_milliseconds(seconds)}" for stage, seconds in spent.items())


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
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = line.request_id
            if not line.path.startswith(CLAUDES):
                headers.append("server-timing", stages(line, asyncio.get_running_loop().time()))
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            line.finished = True

    return noting


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
