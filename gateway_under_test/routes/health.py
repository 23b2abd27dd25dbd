"""`GET /livez`: the process runs. `GET /readyz`: it takes requests. `GET /health`: and Claude answers them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Literal, Protocol

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from gateway_under_test import health, logs, settings
from gateway_under_test.upstream import Prompt, Upstream

MODEL = "claude-haiku-4-5"

Redis = Literal["ok", "degraded", "off"]


class Shared(Protocol):
    """What the processes share; it never raises."""

    async def alive(self) -> bool: ...


class Alive(BaseModel):
    """The process runs."""

    status: Literal["alive"] = "alive"


class Kept(BaseModel):
    """How several workers keep the limits: each its part, all one, each its own; and who counts callers' requests."""

    workers: int
    divided: list[str]
    shared: list[str]
    per_worker: list[str]
    counted_in: str | None


class Readiness(BaseModel):
    """Whether requests are taken, and what is not as it should be."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "status": "ready",
                "draining": False,
                "breakers": {"claude-haiku-4-5": "closed"},
                "redis": "ok",
                "limits": {
                    "workers": 2,
                    "divided": ["concurrency.limit", "bulkhead.limit", "retry_budget.burst"],
                    "shared": ["rate_limit", "cache", "tasks"],
                    "per_worker": ["breaker", "pace", "hedge", "health_every", "metrics"],
                    "counted_in": "redis",
                },
            }
        }
    )

    status: Literal["ready", "draining", "breaker open"]
    draining: bool
    breakers: dict[str, str]
    redis: Redis
    limits: Kept


class Health(BaseModel):
    """What came of the last call to Claude, and how many seconds ago."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"status": "healthy", "claude": "complete", "checked_s_ago": 12.3}}
    )

    status: Literal["healthy", "busy", "degraded"]
    claude: str
    checked_s_ago: float


def router(
    chosen: settings.Settings, upstream: Upstream, shared: Shared | None, kept: Callable[[], dict[str, object]]
) -> APIRouter:
    """The three probes; they take no key, and none of them costs more than one token in `health_every` seconds."""
    routes = APIRouter(tags=["health"])
    deep = health.DeepCheck(lambda line: _call(upstream, line), chosen.health_every)

    @routes.get("/livez", summary="Does the process run?", response_description="It does")
    async def livez() -> Alive:
        """For the supervisor who restarts it. Says nothing of Claude: a restart would not mend that."""
        return Alive()

    @routes.get("/readyz", summary="Does it take requests?", **_probed(Readiness, "It does", "It does not"))
    async def readyz(response: Response) -> Readiness:
        """For the load balancer. 503 while it drains, and while a circuit breaker is open and no fallback model left.

        `redis` is `degraded` when it is configured but does not answer: then each process limits and caches by itself.
        """
        breakers = upstream.state()["breakers"]
        assert isinstance(breakers, dict)
        redis: Redis = "off" if shared is None else "ok" if await shared.alive() else "degraded"
        status = health.readiness(upstream.draining, breakers, chosen.fallback_model)
        response.status_code = 200 if status == "ready" else 503
        return Readiness(
            status=status,
            draining=upstream.draining,
            breakers=breakers,
            redis=redis,
            limits=Kept.model_validate(kept()),
        )

    @routes.get("/health", summary="Does Claude answer?", **_probed(Health, "It does, or we are busy", "It does not"))
    async def healthy(request: Request, response: Response) -> Health:
        """For people and dashboards: a call to Claude of one token, its verdict kept for `health_every` seconds.

        `busy` is a 200: the gateway had no place to ask from, as callers come first. Do not let it decide about
        restarts or about traffic: an outage of Claude would take every instance away.
        """
        line = logs.begin(request, MODEL)
        line.priority = "low"
        verdict = await deep.verdict(line)
        response.status_code = 503 if verdict.status == "degraded" else 200
        ago = asyncio.get_running_loop().time() - verdict.at
        return Health(status=verdict.status, claude=verdict.outcome, checked_s_ago=round(ago, 3))

    return routes


async def _call(upstream: Upstream, line: logs.RequestLine) -> None:
    """The smallest question; never through the cache, which would answer for Claude."""
    async with contextlib.aclosing(upstream.ask(Prompt("ping", None, MODEL, 1), line)) as pieces:
        async for _ in pieces:
            pass


def _probed(model: type[BaseModel], well: str, unwell: str) -> dict[str, Any]:
    return {"response_description": well, "responses": {503: {"model": model, "description": unwell}}}
