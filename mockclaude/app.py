"""The application: one mock, its routes, and Claude's envelope for whatever is not found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mockclaude import admin, messages, wire
from mockclaude.server import Server
from mockclaude.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make one mock; raises `ConfigError`. All its state is in `app.state.server`, and it starts with the lifespan."""
    server = Server(settings or Settings())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        server.start()
        yield
        server.stop()

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.server = server
    app.router.add_route("/v1/messages", messages.create, methods=["POST"])
    app.router.add_route("/", _home, methods=["GET", "HEAD"])
    app.include_router(admin.router)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(RequestValidationError, admin.bad_query)
    return app


async def _home(request: Request) -> Response:
    """Claude Code asks `HEAD /` before anything else."""
    return JSONResponse({"mockclaude": "a fake Anthropic Messages API"})


async def _not_found(request: Request, error: Exception) -> Response:
    """An unknown path or method, said as Claude says it."""
    server: Server = request.app.state.server
    status = error.status_code if isinstance(error, HTTPException) else 404
    draw = server.draw(f"{request.method} {request.url.path}".encode())
    known = wire.ApiError(status if status in wire.ERRORS else 404)
    return messages.refusal(known, {"request-id": draw.request_id})
