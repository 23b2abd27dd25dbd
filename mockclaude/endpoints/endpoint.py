"""What the endpoints beside POST /v1/messages share: who may ask, Claude's headers, and its envelope for a refusal.

None of them takes a slot, counts against a limit or enters the journal: they are not attempts at a message.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mockclaude import connection, messages, wire
from mockclaude.answer import Silence
from mockclaude.draw import Draw
from mockclaude.request import ask
from mockclaude.server import Server

Handler = Callable[[Request, Server, Draw], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]

log = logging.getLogger("mockclaude")


def answers(handle: Handler) -> Endpoint:
    """An endpoint that admits callers as POST /v1/messages does; what `handle` raises becomes the envelope."""

    @functools.wraps(handle)
    async def admitting(request: Request, server: Server, draw: Draw) -> Response:
        await _admit(request)
        return await handle(request, server, draw)

    return enveloped(admitting)


def enveloped(handle: Handler) -> Endpoint:
    """An endpoint that admits callers itself."""

    @functools.wraps(handle)
    async def endpoint(request: Request) -> Response:
        server: Server = request.app.state.server
        draw = fate(request)
        headers = messages.identity(draw.request_id)
        try:
            response = await handle(request, server, draw)
        except wire.ApiError as error:
            return messages.refusal(error, headers)
        except ClientDisconnect:
            return Silence()
        except Exception:
            log.exception("%s %s: the mock itself failed", request.method, request.scope["path"])
            return messages.refusal(wire.ApiError(500), headers)
        response.raw_headers += connection.encoded(headers)
        return response

    return endpoint


async def _admit(request: Request) -> None:
    """Raise a 401 or 400 for a caller who may not ask, once the body has been read, unkept."""
    try:
        ask.admitted(messages.headers_of(request), request.app.state.server.door)
    except wire.ApiError:
        async for _ in request.stream():
            pass
        raise


def fate(request: Request) -> Draw:
    """The ids and the chance of one request: the same in every run for the n-th one to a path."""
    server: Server = request.app.state.server
    return server.draw(f"{request.method} {request.scope['path']}".encode("utf-8", "replace"))


def document(value: object, headers: dict[str, str] | None = None) -> Response:
    """JSON as Claude writes it."""
    return Response(wire.dumps(value), headers=headers, media_type="application/json")


async def body(request: Request, limit: int) -> bytes | bytearray:
    """The body, decoded; raises a 400 or, beyond `limit` bytes, a 413, once all of it has come."""
    return (await messages.body(request, messages.headers_of(request), limit)).body()
