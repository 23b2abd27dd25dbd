"""/_mock/* and /metrics: what a rehearsal reads from the mock, and how it changes it.

With an admin token they want it as a bearer token; with an admin port they answer there and nowhere else. Only the
health check is for everybody.
"""

from __future__ import annotations

import hmac
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter, Depends, Query
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mockclaude.server import Server
from mockclaude.settings import ConfigError, Problem, with_recordings

PAGE = 10_000


class Refused(Exception):
    """Not for this caller: `status` 401, or 404 where these paths do not exist."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def admit(request: Request) -> None:
    """Raise `Refused` unless the caller may."""
    settings = _server(request).settings
    here = request.scope.get("server")
    if settings.admin_port is not None and here is not None and here[1] != settings.admin_port:
        raise Refused(404, "Not found")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    shown = token.strip() if scheme.lower() == "bearer" else ""
    open_to_all = settings.admin_token is None or request.scope["path"] == "/_mock/health"
    if not open_to_all and not hmac.compare_digest(shown.encode(), (settings.admin_token or "").encode()):
        raise Refused(401, "this mock wants its admin token: authorization: Bearer TOKEN")


async def refuse(request: Request, error: Exception) -> Response:
    """Say no."""
    status = error.status if isinstance(error, Refused) else 401
    return JSONResponse({"error": {"type": "not_admitted", "message": str(error)}}, status_code=status)


router = APIRouter(dependencies=[Depends(admit)])


@router.get("/_mock/health")
async def health() -> JSONResponse:
    """Say that the mock is up."""
    return JSONResponse({"status": "ok"})


@router.post("/_mock/reset")
async def reset(request: Request) -> JSONResponse:
    """Set T0, and begin anew."""
    _server(request).reset()
    return JSONResponse(_time(_server(request)) | {"t": 0.0})


@router.get("/_mock/clock")
async def clock(request: Request) -> JSONResponse:
    """Seconds since T0, and the wall clock at that moment."""
    return JSONResponse(_time(_server(request)))


@router.get("/_mock/journal")
async def journal(
    request: Request,
    after: int = Query(0, ge=0, le=sys.maxsize),
    limit: int = Query(PAGE, ge=1, le=PAGE),
    outcome: str | None = None,
    status: int | None = None,
    model: str | None = None,
    key: str | None = None,
    request_id: str | None = None,
    fault: str | None = None,
) -> Response:
    """Records closed after a cursor, in the order of closing; only those that have what is asked for.

    The cursor moves past the others too, so that a reader can go on to the end.
    """
    server = _server(request)
    wanted = {
        "outcome": outcome,
        "status": status,
        "model": model,
        "key": key,
        "request_id": request_id,
        "fault": fault,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    page = server.journal.page(after, limit)
    kept = [record for record in page.records if all(getattr(record, name) == given[name] for name in given)]
    said = {
        "records": [record._asdict() for record in kept],
        "cursor": page.cursor,
        "lost": server.journal.lost,
        "open": len(server.journal.open_attempts),
    }
    return Response(orjson.dumps(said, default=list), media_type="application/json")


@router.post("/_mock/close")
async def close(request: Request) -> JSONResponse:
    """End whatever still runs, so that the journal has an end."""
    return JSONResponse({"closed": _server(request).close()})


@router.get("/_mock/stats")
async def stats(request: Request) -> JSONResponse:
    """Counts, levels, and how late the loop ran."""
    return JSONResponse(_server(request).stats())


@router.get("/_mock/config")
async def read_config(request: Request) -> JSONResponse:
    """What is in force now."""
    return JSONResponse(_server(request).config())


@router.put("/_mock/config")
async def write_config(request: Request) -> JSONResponse:
    """Replace the sections named in the body; a bad body changes nothing."""
    return await _change(request, lambda server, sections: server.configure(_mapping(sections)))


@router.patch("/_mock/config")
async def change_config(request: Request) -> JSONResponse:
    """Change only the keys named in the body (RFC 7396, JSON Merge Patch); null takes a key out."""
    return await _change(request, lambda server, changes: server.configure(server.merged(_mapping(changes))))


@router.post("/_mock/faults")
async def add_fault(request: Request) -> JSONResponse:
    """Begin one fault more, now."""
    return await _change(request, lambda server, fault: server.begin_fault(fault))


@router.delete("/_mock/faults")
async def clear_faults(request: Request, name: str | None = None) -> JSONResponse:
    """End all faults begun or configured, or those of one name; the timeline's end by themselves."""
    server = _server(request)
    server.end_faults(name)
    return JSONResponse(server.config())


async def _change(request: Request, change: Callable[[Server, Any], None]) -> JSONResponse:
    """Apply a change with what the body says; the configuration then, or a 400 with every problem."""
    try:
        change(_server(request), orjson.loads(await request.body()))
    except (orjson.JSONDecodeError, RecursionError) as error:
        return _refused(ConfigError([Problem((), f"not valid JSON: {error}")]))
    except ConfigError as error:
        return _refused(error)
    return JSONResponse(_server(request).config())


def _mapping(sections: object) -> Mapping[str, object]:
    if not isinstance(sections, dict):
        raise ConfigError([Problem((), "expected a JSON object of sections")])
    return with_recordings(sections, Path(), inside=True)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    return Response(_server(request).metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


def _time(server: Server) -> dict[str, object]:
    return {
        "t": round(server.clock.elapsed(), 6),
        "wall": server.clock.wall(),
        "instance": server.instance,
    }


async def bad_query(request: Request, error: Exception) -> Response:
    """A query that makes no sense, in the words of a bad configuration."""
    details = error.errors() if isinstance(error, RequestValidationError) else []
    problems = [
        Problem(
            tuple(detail["loc"]), f"{detail['msg'].replace('Input should be', 'expected')}, got {detail['input']!r}"
        )
        for detail in details
    ]
    return _refused(ConfigError(problems))


def _refused(error: ConfigError) -> JSONResponse:
    problems = [{"loc": list(problem.loc), "message": problem.message} for problem in error.problems]
    said = {"type": "invalid_configuration", "message": str(error), "problems": problems}
    return JSONResponse({"error": said}, status_code=400)
