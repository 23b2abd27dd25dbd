"""The application: routes, lifespan, and the one place where an error becomes a response."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx2
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sse_starlette.sse import AppStatus
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse

from gateway_under_test import body, errors, limits, logs, settings, tracing
from gateway_under_test.parts import Parts
from gateway_under_test.routes import analyze, batch, chat, health, leaving, messages, route, summarize
from gateway_under_test.routes import metrics as figures

NAMED = 100
"""Characters of a caller's own that are told back."""


def create_app(
    chosen: settings.Settings | None = None,
    *,
    http_client: httpx2.AsyncClient | None = None,
    log: logs.Log | None = None,
    tracer: tracing.Tracing | None = None,
    seed: int | None = None,
) -> FastAPI:
    """The gateway as an ASGI application; without settings it reads the environment (raises SettingsError).

    Time is that of the event loop it runs on. An injected `http_client` is the caller's to close. `seed` makes the
    jitter and new request ids repeatable.
    """
    strange = chosen is None
    chosen = chosen or settings.Settings.load()
    chosen = limits.divided(chosen, chosen.workers)
    log = log or logs.make(secrets=secrets_of(chosen))
    if strange:
        settings.warn_of_strangers(log)
    parts = Parts.of(chosen, log, tracer, http_client, seed)
    # sse-starlette would cut every stream at SIGTERM; the server's grace period decides instead
    AppStatus.enable_automatic_graceful_drain = False

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with parts.running():
            yield

    app = FastAPI(
        title="Gateway under test", lifespan=lifespan, redirect_slashes=False, telemetry=parts.tracer.telemetry
    )
    app.state.limits = limits.Limits(chosen, log)
    app.state.parts, app.state.upstream, app.state.zombies = parts, parts.upstream, parts.zombies
    for each in (chat, batch, route, messages):
        app.include_router(each.router(chosen, parts.upstream, parts.keys))
    app.include_router(summarize.router(chosen, parts.upstream, parts.keys, parts.prompts))
    app.include_router(analyze.router(chosen, parts.upstream, parts.keys, parts.prompts, parts.tasks))
    app.include_router(health.router(chosen, parts.upstream, parts.redis, app.state.limits.state))
    app.include_router(figures.router(parts.metrics))
    app.add_middleware(body.Intake, chosen=chosen)
    app.add_middleware(
        logs.RequestLog, log=log, new_id=parts.upstream.new_id, metrics=parts.metrics, tracing=parts.tracer
    )
    if chosen.cors_origins:  # outermost, so that a page can read our refusals too
        app.add_middleware(
            CORSMiddleware,
            allow_origins=chosen.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "request-id", "retry-after", "server-timing"],
        )
    for kind in (errors.GatewayError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, tell)
    app.add_exception_handler(leaving.Gone, leaving.silence)
    return app


async def tell(request: Request, error: Exception) -> JSONResponse:
    """Every error that a route or the framework raises, in our envelope."""
    match error:
        case errors.GatewayError():
            told = error
        case RequestValidationError():
            told = _invalid(error, request.headers.get("content-type"))
        case HTTPException(status_code=404):
            told = errors.Rejected("Not found", status=404)
        case HTTPException(status_code=400):
            told = errors.Rejected(body.unreadable(error), status=400)
        case HTTPException():
            told = errors.Rejected(error.detail, status=error.status_code)
        case _:
            raise error
    response = logs.answer(told, request.state.line)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)  # `allow` of a 405 (RFC 9110, section 15.5.6)
    return response


def secrets_of(chosen: settings.Settings) -> list[str]:
    """What no log may show."""
    return [key.get_secret_value() for key in (chosen.anthropic_api_key, *chosen.valid_api_keys) if key]


def _invalid(error: RequestValidationError, content_type: str | None) -> errors.Rejected:
    """The first thing wrong with a request, and where it is."""
    problem = error.errors()[0]
    if isinstance(problem["input"], bytes):  # FastAPI reads a body as JSON only if it is said to be
        said = "is missing" if content_type is None else f"got {content_type[:NAMED]}"
        return errors.Rejected(f"content-type: {said}, expected application/json", status=415)
    where = ".".join(str(part)[:NAMED] for part in problem["loc"])
    detail = f" ({problem['ctx']['error']})" if problem["type"] == "json_invalid" else ""
    return errors.Rejected(f"{where}: {problem['msg']}{detail}", status=422)
