"""`GET /metrics`: the figures of this process for Prometheus, in its text format and for anyone who asks."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from gateway_under_test.metrics import Metrics


def router(metrics: Metrics) -> APIRouter:
    """The one endpoint; it needs no key, as a scraper has none."""
    routes = APIRouter()
    # a scraper keeps its connection: kept open, it would hear of the same one of several workers for ever
    headers = {"connection": "close"} if metrics.worker else None

    @routes.get("/metrics", response_class=Response, responses={"200": {"content": {"text/plain": {}}}})
    async def scrape() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST, headers=headers)

    return routes
