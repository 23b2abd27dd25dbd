"""The application: routes, lifespan, and the one place where an error becomes a response."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import httpx2
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sse_starlette.sse import AppStatus
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from gateway_under_test import errors, logs, settings
from gateway_under_test.routes import chat, health, messages
from gateway_under_test.upstream import Upstream


def create_app(
    chosen: settings.Settings | None = None,
    *,
    http_client: httpx2.AsyncClient | None = None,
    log: logs.Log | None = None,
    seed: int | None = None,
) -> FastAPI:
    """The gateway as an ASGI application; without settings it reads the environment (raises SettingsError).

    Time is that of the event loop it runs on. An injected `http_client` is the caller's to close. `seed` makes the
    jitter and new request ids repeatable.
    """
    log = log or logs.make()
    if chosen is None:
        warn_of_strangers(log)
        chosen = settings.Settings.load()
    upstream = Upstream(chosen, log, http_client=http_client, seed=seed)
    # sse-starlette would cut every stream at SIGTERM; the server's grace period decides instead
    AppStatus.enable_automatic_graceful_drain = False

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watcher = asyncio.create_task(logs.watch_loop(log))
        try:
            async with upstream.connected():
                yield
        finally:
            watcher.cancel()

    app = FastAPI(title="Gateway under test", lifespan=lifespan, redirect_slashes=False)
    app.state.upstream = upstream
    app.include_router(chat.router(chosen, upstream))
    app.include_router(messages.router(chosen, upstream))
    app.include_router(health.router(upstream))
    app.add_middleware(logs.RequestLog, log=log, new_id=upstream.new_id)
    for kind in (errors.GatewayError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, tell)
    return app


async def tell(request: Request, error: Exception) -> JSONResponse:
    """Every error that a route or the framework raises, in our envelope."""
    match error:
        case errors.GatewayError():
            told = error
        case RequestValidationError():
            told = errors.Rejected(_first_problem(error), status=422)
        case HTTPException(status_code=404):
            told = errors.Rejected("Not found", status=404)
        case HTTPException():
            told = errors.Rejected(error.detail, status=error.status_code)
        case _:
            raise error
    return logs.answer(told, request.state.line)


def warn_of_strangers(log: logs.Log) -> None:
    """A name in the environment that looks like one of our settings but is not is worth a warning."""
    for name, nearest in settings.unknown(os.environ).items():
        log.warning("unknown_setting", name=name, did_you_mean=nearest)


def _first_problem(error: RequestValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
