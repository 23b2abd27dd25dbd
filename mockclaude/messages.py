"""POST /v1/messages: the one path a request takes. Every line may refuse it; the last answers it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from email.utils import formatdate

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mockclaude import faults, quota, wire
from mockclaude.answer import Answer, Silence
from mockclaude.journal import Attempt
from mockclaude.request.intake import LIMIT, Intake
from mockclaude.server import Server
from mockclaude.settings import ConfigError

log = logging.getLogger("mockclaude")


async def create(request: Request) -> Response:
    """Answer one attempt, in JSON or as a stream."""
    server: Server = request.app.state.server
    client = request.scope.get("client")
    sent = headers_of(request)
    attempt = server.open(sent, client[1] if client else None)  # on arrival: a refusal is an attempt too
    try:
        letter = server.memory.received(await _body(request, sent, attempt))
    except ClientDisconnect:
        return Silence()
    if attempt.closed:  # the rehearsal was closed, or began anew, while the body came in
        return Silence()
    attempt.labels = server.memory.labels(letter, sent)
    draw = server.draw(letter.digest, bool(attempt.labels.stream))
    headers = identity(draw.request_id)
    try:
        asked = server.memory.parse(letter, sent, server.door)  # 400, 401, 404, 413
        attempt.input_tokens = asked.input_tokens
        headers |= server.charge(asked, attempt, sent)  # 429, and the ratelimit headers
        struck = server.struck(asked, draw, attempt, sent)
        if struck:
            faults.refuse(struck)  # the status a fault asks for: it costs quota, but no slot
        slot = server.offer(asked, draw, struck, attempt, sent)  # 529, or a place in the queue
    except faults.Injected as error:
        attempt.refuse(error.status, server.clock.now(), by_fault=True)
        return injected(error, headers, server.clock.wall())
    except wire.ApiError as error:
        attempt.refuse(error.status, server.clock.now())
        return refusal(error, headers)
    except ConfigError as error:
        attempt.refuse(400, server.clock.now())
        return refusal(wire.ApiError(400, str(error)), headers)
    except Exception:
        log.exception("attempt %d: the mock itself failed", attempt.n)
        attempt.refuse(500, server.clock.now())
        return refusal(wire.ApiError(500), headers)
    said = headers | (EVENTS if asked.stream else DOCUMENT)
    if struck:
        said |= faults.headers(struck)
    return Answer(slot, said, server.pacer, lambda error: refusal(error, headers))


EVENTS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
DOCUMENT = {"content-type": "application/json"}
OURS = {"anthropic-organization-id": wire.ORGANIZATION, "anthropic-workspace-id": wire.WORKSPACE}


def identity(request_id: str) -> dict[str, str]:
    """The headers that say which request this was, and whose."""
    return {"request-id": request_id, **OURS}


def refusal(error: wire.ApiError, headers: dict[str, str]) -> Response:
    """An error in Claude's envelope; `headers` has the request id."""
    said = headers | error.headers | {"x-should-retry": str(error.retryable).lower()}
    if error.status in (401, 413):  # judged before the caller is known
        said.pop("anthropic-workspace-id", None)
    body = error.body(headers["request-id"])
    return Response(body, error.status, headers=said, media_type="application/json")


def injected(error: faults.Injected, headers: dict[str, str], wall: float) -> Response:
    """The error a fault asked for, `wall` seconds after the Unix epoch."""
    if error.later is not None:
        error.headers["retry-after"] = formatdate(wall + error.later, usegmt=True)
    if error.dated:
        error.message = error.message.format(day=quota.next_month(wall))
    if error.html:
        return Response(error.page(), error.status, headers=error.headers, media_type="text/html")
    return refusal(error, headers)


def headers_of(request: Request) -> dict[str, str]:
    """The headers by their names in small letters, decoded once: a dozen places look into them."""
    raw: list[tuple[bytes, bytes]] = request.scope["headers"]
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(raw)}


async def body(request: Request, sent: Mapping[str, str], limit: int = LIMIT) -> Intake:
    """The body, read to its end, with the headers it was `sent` with; raises `ClientDisconnect`."""
    whole, receive = Intake(sent.get("content-encoding", ""), limit), request.receive
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        whole.take(message.get("body", b""))
        more = message.get("more_body", False)
    return whole


async def _body(request: Request, sent: Mapping[str, str], attempt: Attempt) -> Intake:
    """The body; whoever leaves before its end has left."""
    try:
        return await body(request, sent)
    except (ClientDisconnect, asyncio.CancelledError):
        server: Server = request.app.state.server
        attempt.close("left", server.clock.now())
        raise
