"""POST /v1/messages: the one path a request takes. Every line may refuse it; the last answers it."""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mockclaude import faults, wire
from mockclaude.journal import Attempt
from mockclaude.server import Server
from mockclaude.stream import Answer, Silence

ORGANIZATION = "6d6f636b-636c-4175-8465-000000000001"
"""`anthropic-organization-id`: "mockclaude" in ASCII, in the shape of a UUID."""

log = logging.getLogger("mockclaude")


async def create(request: Request) -> Response:
    """Answer one attempt, in JSON or as a stream."""
    server: Server = request.app.state.server
    attempt = server.open(request.headers)  # on arrival: a refusal is an attempt too
    try:
        letter = wire.open_letter(await _body(request, attempt))
    except ClientDisconnect:
        return Silence()
    draw = server.draw(letter.digest)
    headers = {"request-id": draw.request_id, "anthropic-organization-id": ORGANIZATION}
    try:
        attempt.labels = wire.labels(letter, request.headers)
        ask = wire.parse(letter, request.headers)  # 400, 401, 404, 413
        attempt.input_tokens = ask.input_tokens
        headers |= server.charge(ask)  # 429, and the ratelimit headers
        struck = server.struck(draw)
        faults.refuse(struck)  # the status a fault asks for: it costs quota, but no slot
        slot = server.offer(ask, draw, struck, attempt)  # 529, or a place in the queue
    except wire.ApiError as error:
        attempt.refuse(error.status, server.clock.now(), by_fault=isinstance(error, faults.Injected))
        return refusal(error, headers)
    except Exception:
        log.exception("attempt %d: the mock itself failed", attempt.n)
        attempt.refuse(500, server.clock.now())
        return refusal(wire.ApiError(500), headers)
    return Answer(slot, headers | _content(ask.stream), server.clock)


def refusal(error: wire.ApiError, headers: dict[str, str]) -> Response:
    """An error in Claude's envelope; `headers` has the request id."""
    said = headers | error.headers | {"x-should-retry": str(error.retryable).lower()}
    body = error.body(headers["request-id"])
    return Response(body, error.status, headers=said, media_type="application/json")


def _content(stream: bool) -> dict[str, str]:
    if stream:
        return {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    return {"content-type": "application/json"}


async def _body(request: Request, attempt: Attempt) -> bytes:
    """The body, or as much as shows that it is too large.

    The rest is still read, unkept: a client that is cut off while it sends never sees the 413.
    """
    kept = bytearray()
    try:
        async for part in request.stream():
            kept += part[: max(0, wire.BODY_LIMIT + 1 - len(kept))]
    except (ClientDisconnect, asyncio.CancelledError):
        server: Server = request.app.state.server
        attempt.close("left", server.clock.now())
        raise
    return bytes(kept)
