"""/v1/files: the basics. A file can be uploaded, listed and deleted; what was uploaded is never given back.

The shapes are today's; the header `anthropic-beta: files-api-2025-04-14` asks for last year's.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from mockclaude import wire
from mockclaude.draw import Draw
from mockclaude.endpoints import endpoint, paging, shape, shelf, upload
from mockclaude.request import ask
from mockclaude.server import Server

OLD_BETA = "files-api-2025-04-14"
MOST_IDS = 100


class _Fields(BaseModel):
    expires_in_seconds: int | None = Field(None, ge=3600, le=7_776_000)


@endpoint.answers
async def create(request: Request, server: Server, draw: Draw) -> Response:
    """POST: upload one."""
    form = await _form(request)
    fields = shape.read(_Fields, form.fields)
    now, wall = server.clock.now(), server.clock.wall()
    file = server.files.add(form, fields.expires_in_seconds, draw, now, wall)
    return endpoint.document(_shown(file, request))


@endpoint.answers
async def listed(request: Request, server: Server, draw: Draw) -> Response:
    """GET: all files, newest first, or those in `ids[]`."""
    query, files = dict(request.query_params), server.files.newest()
    if _in_old_beta(request):
        part = paging.between(files, shape.read(paging.Between, query))
        return endpoint.document(paging.with_ids(part, [_shown(file, request) for file in part.items]))
    if ids := request.query_params.getlist("ids[]") or request.query_params.getlist("ids"):
        part = paging.Part(_chosen(files, ids, query), more=False)
    else:
        part = paging.behind(files, shape.read(paging.Behind, query))
    return endpoint.document(paging.with_cursor(part, [_shown(file, request) for file in part.items]))


@endpoint.answers
async def retrieve(request: Request, server: Server, draw: Draw) -> Response:
    """GET one: what is known of it, also once it has expired."""
    return endpoint.document(_shown(server.files.find(request.path_params["file_id"]), request))


@endpoint.answers
async def delete(request: Request, server: Server, draw: Draw) -> Response:
    """DELETE one."""
    file = server.files.remove(request.path_params["file_id"])
    return endpoint.document({"id": file.id, "type": "file_deleted"})


@endpoint.answers
async def content(request: Request, server: Server, draw: Draw) -> Response:
    """GET .../content: refused for whatever was uploaded."""
    raise shelf.download(server.files.find(request.path_params["file_id"]), server.clock.now())


async def _form(request: Request) -> upload.Form:
    """The form, read to its end: a client that still sends would not see a refusal."""
    reader = upload.Upload(request.headers.get("content-type", ""))
    async for part in request.stream():
        reader.feed(part)
    return reader.finish()


def _chosen(files: list[shelf.File], ids: list[str], query: dict[str, str]) -> list[shelf.File]:
    if "page" in query or "limit" in query:
        raise wire.ApiError(400, "`ids` cannot be combined with `page` or `limit`.")  # [C]
    if len(set(ids)) > MOST_IDS:
        raise wire.ApiError(400, f"ids: List should have at most {MOST_IDS} items after validation, not {len(ids)}")
    return [file for file in files if file.id in set(ids)]


def _in_old_beta(request: Request) -> bool:
    return OLD_BETA in ask.betas(request.headers)


def _shown(file: shelf.File, request: Request) -> dict[str, object]:
    """The file; last year's had no expiry."""
    shown = file.shown()
    if _in_old_beta(request):
        del shown["expires_at"]
    return shown
