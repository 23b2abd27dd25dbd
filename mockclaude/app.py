"""The application: one mock, its routes, and Claude's envelope for whatever is not found."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from mockclaude import admin, connection, messages, wire
from mockclaude.endpoints import batches, counting, endpoint, files, models
from mockclaude.server import Server
from mockclaude.settings import Settings

log = logging.getLogger("mockclaude")

EDGE = [("server", "cloudflare"), ("cf-cache-status", "DYNAMIC"), ("x-robots-tag", "none")]
"""Headers that Claude's edge puts on every response: the web server's to send, so that no request pays for them."""

BUSY: Mapping[tuple[str, str], endpoint.Endpoint] = {
    ("POST", "/v1/messages"): messages.create,
    ("POST", "/v1/messages/count_tokens"): counting.count,
}
BESIDES: Mapping[tuple[str, str], endpoint.Endpoint] = {
    ("GET", "/v1/models"): models.listed,
    ("GET", "/v1/models/{model_id}"): models.retrieve,
    ("POST", "/v1/messages/batches"): batches.create,
    ("GET", "/v1/messages/batches"): batches.listed,
    ("GET", "/v1/messages/batches/{batch_id}"): batches.retrieve,
    ("DELETE", "/v1/messages/batches/{batch_id}"): batches.delete,
    ("POST", "/v1/messages/batches/{batch_id}/cancel"): batches.cancel,
    ("GET", "/v1/messages/batches/{batch_id}/results"): batches.results,
    ("POST", "/v1/files"): files.create,
    ("GET", "/v1/files"): files.listed,
    ("GET", "/v1/files/{file_id}"): files.retrieve,
    ("DELETE", "/v1/files/{file_id}"): files.delete,
    ("GET", "/v1/files/{file_id}/content"): files.content,
}
"""The other endpoints of Claude's."""


class App(FastAPI):
    """FastAPI, with the connection of each request within a fault's reach, and a short way to the busy endpoints.

    FastAPI's own layers between a request and its endpoint cost more than Claude's validation does. An endpoint in
    `direct` needs none of them but an answer for what failed; with middleware added all go the long way.
    """

    def __init__(self, direct: Mapping[tuple[str, str], endpoint.Endpoint], **options: Any) -> None:
        super().__init__(**options)
        self._direct = dict(direct)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request."""
        bare = not self.user_middleware
        connection.remember(scope, send, bare=bare)
        answer = self._direct.get((scope["method"], scope["path"])) if bare and scope["type"] == "http" else None
        if answer is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        request, watched = Request(scope, receive), _Watched(send)
        try:
            response = await answer(request)
            await response(scope, receive, watched)
        except Exception as error:
            if not watched.begun:
                await (await _failed(request, error))(scope, receive, send)
            raise  # for the web server to see


class _Watched:
    """ASGI's `send`, and whether an answer has begun."""

    __slots__ = ("_send", "begun")

    def __init__(self, send: Send) -> None:
        self.begun = False
        self._send = send

    def __call__(self, message: Message) -> Awaitable[None]:
        """Send it."""
        self.begun = True
        return self._send(message)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make one mock; raises `ConfigError`. All its state is in `app.state.server`, and it starts with the lifespan."""
    server = Server(settings or Settings())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        server.start()
        yield
        server.stop()

    app = App(BUSY, lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.server = server
    for (method, path), answer in {**BUSY, **BESIDES}.items():
        app.router.add_route(path, answer, methods=[method])
    app.router.add_route("/", _home, methods=["GET", "HEAD"])
    app.include_router(admin.router)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(RequestValidationError, admin.bad_query)
    app.add_exception_handler(admin.Refused, admin.refuse)
    app.add_exception_handler(Exception, _failed)
    return app


async def _home(request: Request) -> Response:
    """Claude Code asks `HEAD /` before anything else."""
    return JSONResponse({"mockclaude": "a fake Anthropic Messages API"})


async def _failed(request: Request, error: Exception) -> Response:
    """The mock's own mistake, where nobody nearer caught it: on stderr, whatever the web server logs, and a 500."""
    log.error("%s %s: the mock itself failed", request.method, request.scope["path"], exc_info=error)
    return messages.refusal(wire.ApiError(500), {"request-id": endpoint.fate(request).request_id})


async def _not_found(request: Request, error: Exception) -> Response:
    """An unknown path or method, said as Claude says it."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    known = wire.ApiError(status if status in wire.ERRORS else 404)
    headers = {"request-id": endpoint.fate(request).request_id, "anthropic-organization-id": wire.ORGANIZATION}
    return messages.refusal(known, headers)
