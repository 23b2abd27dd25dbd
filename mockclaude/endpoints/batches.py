"""/v1/messages/batches: many messages at once, answered some time later.

Dates are told by the wall clock, decisions are the loop's. A reset of the mock cancels and forgets all batches, so that
each run begins clean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictStr
from starlette.requests import Request
from starlette.responses import Response

from mockclaude import wire
from mockclaude.draw import Draw
from mockclaude.endpoints import endpoint, paging, shape
from mockclaude.endpoints.batch import Batch, Item
from mockclaude.server import Server

BODY_LIMIT = 256 * 1024 * 1024
LONGEST = 100_000
AUTHORITY = ("x-api-key", "authorization", "anthropic-version", "anthropic-beta")
POLL_AFTER = {"retry-after": "10"}
"""What Claude advises those who ask for a batch that has not ended [B]."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    custom_id: Annotated[StrictStr, Field(max_length=64, pattern="^[a-zA-Z0-9_-]{1,64}$")]
    params: dict[str, object]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    requests: list[_Request] = Field(min_length=1, max_length=LONGEST)


@endpoint.answers
async def create(request: Request, server: Server, draw: Draw) -> Response:
    """POST: begin to process. Only the outer shape is judged now; a bad request becomes an `errored` result."""
    data = shape.decoded(await endpoint.body(request, BODY_LIMIT))
    requests = shape.read(_Body, data).requests
    _unique(requests)
    authority = {name: request.headers[name] for name in AUTHORITY if name in request.headers}
    now, wall = server.clock.now(), server.clock.wall()
    batch = Batch(draw, authority, _items(requests), now, wall)
    server.batches.create(batch)
    return endpoint.document(batch.shown(now, _base_url(request)))


@endpoint.answers
async def listed(request: Request, server: Server, draw: Draw) -> Response:
    """GET: all batches, newest first."""
    part = paging.between(server.batches.newest(), shape.read(paging.Between, dict(request.query_params)))
    now, base_url = server.clock.now(), _base_url(request)
    return endpoint.document(paging.with_ids(part, [batch.shown(now, base_url) for batch in part.items]))


@endpoint.answers
async def retrieve(request: Request, server: Server, draw: Draw) -> Response:
    """GET one."""
    batch = _named(request, server)
    shown = batch.shown(server.clock.now(), _base_url(request))
    return endpoint.document(shown, POLL_AFTER if batch.ended is None else None)


@endpoint.answers
async def cancel(request: Request, server: Server, draw: Draw) -> Response:
    """POST .../cancel: end it soon; what had not finished is `canceled`."""
    batch = _named(request, server)
    server.batches.cancel(batch)
    return endpoint.document(batch.shown(server.clock.now(), _base_url(request)))


@endpoint.answers
async def delete(request: Request, server: Server, draw: Draw) -> Response:
    """DELETE one that has ended."""
    batch = _named(request, server)
    server.batches.delete(batch)
    return endpoint.document({"id": batch.id, "type": "message_batch_deleted"})


@endpoint.answers
async def results(request: Request, server: Server, draw: Draw) -> Response:
    """GET .../results: a line of JSON for each request."""
    lines = _named(request, server).results(server.clock.now())
    return Response(b"".join(lines), media_type="application/x-jsonl")


def _named(request: Request, server: Server) -> Batch:
    return server.batches.find(request.path_params["batch_id"])


def _unique(requests: Sequence[_Request]) -> None:
    seen: set[str] = set()
    for one in requests:
        if one.custom_id in seen:
            said = f"custom_id's must be unique within a batch. Duplicate custom_id found: {one.custom_id}"
            raise wire.ApiError(400, f"requests: {said}")
        seen.add(one.custom_id)


def _items(requests: Sequence[_Request]) -> list[Item]:
    """The requests as bytes: a hundred thousand of them take less room than as objects."""
    return [Item(one.custom_id, shape.encoded(one.params)) for one in requests]


def _base_url(request: Request) -> str:
    """Where the caller found us."""
    host, port = request.scope.get("server") or ("127.0.0.1", None)
    here: Mapping[str, str] = request.headers
    return f"{request.scope['scheme']}://{here.get('host') or (f'{host}:{port}' if port else host)}"
