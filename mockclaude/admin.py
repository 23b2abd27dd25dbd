"""/_mock/* and /metrics: what a rehearsal reads from the mock, and how it changes it."""

from __future__ import annotations

from json import JSONDecodeError

from fastapi import APIRouter, Query
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mockclaude.server import Server
from mockclaude.settings import ConfigError, Problem

router = APIRouter()
PAGE = 10_000


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
    request: Request, after: int = Query(0, ge=0), limit: int = Query(PAGE, ge=1, le=PAGE)
) -> JSONResponse:
    """Records closed after a cursor, in the order of closing."""
    server = _server(request)
    page = server.journal.page(after, limit)
    return JSONResponse(
        {
            "records": [record._asdict() for record in page.records],
            "cursor": page.cursor,
            "lost": server.journal.lost,
            "open": len(server.journal.open_attempts),
        }
    )


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
    try:
        sections = await request.json()
        if not isinstance(sections, dict):
            raise ConfigError([Problem((), "expected a JSON object of sections")])
        _server(request).configure(sections)
    except (JSONDecodeError, UnicodeDecodeError) as error:
        return _refused(ConfigError([Problem((), f"not valid JSON: {error}")]))
    except ConfigError as error:
        return _refused(error)
    return JSONResponse(_server(request).config())


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
