"""`GET /livez`: the process runs. `GET /readyz`: it takes requests, and not while it drains."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from gateway_under_test.upstream import Upstream


def router(upstream: Upstream) -> APIRouter:
    """The two probes; neither costs a token."""
    routes = APIRouter()

    @routes.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/readyz")
    async def readyz() -> JSONResponse:
        if upstream.draining:
            return JSONResponse({"status": "draining"}, 503)
        return JSONResponse({"status": "ready"})

    return routes
