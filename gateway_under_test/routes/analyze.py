"""`POST /analyze` and `GET /analyze/{task_id}`: a text in, an id back at once, the analysis under that id later."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from gateway_under_test import auth, errors, limits, logs, prompts, settings, store
from gateway_under_test.routes import described, summarize
from gateway_under_test.tasks import Tasks
from gateway_under_test.upstream import Upstream

EXAMPLE = "9b1c6f0e2d7a4f53a8e1c0b4d6f2a713"
ALONE = "with several workers, tasks need REDIS_URL: without it each worker knows only its own"
LOOK_UP = "task"
FOLLOWED_BY: dict[int | str, dict[str, Any]] = {
    202: {"links": {LOOK_UP: {"operationId": LOOK_UP, "parameters": {"task_id": "$response.body#/task_id"}}}}
}


class Analysis(BaseModel):
    """The analysis, what it was made with, and what that cost: once, when it was made, if it is `cached`."""

    analysis: str
    version: str
    model: str
    input_tokens: int
    output_tokens: int
    cached: bool


class Accepted(BaseModel):
    """The task is ours now."""

    model_config = ConfigDict(json_schema_extra={"example": {"task_id": EXAMPLE, "status": "processing"}})

    task_id: str
    status: Literal["processing"] = "processing"


class Task(BaseModel):
    """Where a task stands; a `result` if it is complete, an `error` if it failed. From then on it stays as it is."""

    task_id: str
    status: Literal["processing", "complete", "failed"]
    result: Analysis | None = None
    error: described.Told | None = None


def router(
    chosen: settings.Settings, upstream: Upstream, keys: auth.Keys, registry: prompts.Prompts, tasks: Tasks
) -> APIRouter:
    """The two endpoints, for callers with a key; whoever has a task's id may ask for it."""
    routes = APIRouter(
        tags=["texts"], dependencies=[Depends(keys.require), Depends(limits.guard)], responses=described.REFUSALS
    )

    @routes.post(
        "/analyze",
        status_code=202,
        summary="Analyse a text in the background",
        response_description="The task's id",
        responses=summarize.NO_SUCH_VERSION | FOLLOWED_BY,
        openapi_extra=described.HEADERS,
    )
    async def analyze(text: summarize.Text, request: Request) -> Accepted:
        """What is accepted ends: the analysis or an error is kept under the id for a while (GATEWAY_TASK_TTL)."""
        line = logs.begin(request, text.model or chosen.model)
        if chosen.workers > 1 and not chosen.redis_url:
            raise errors.Configuration(ALONE)
        prompt = text.prompt("analyze", registry, line, chosen.model)
        version = str(line.version)

        async def work(line: logs.RequestLine) -> store.Row:
            line.model, line.version = prompt.model, version
            reply = await upstream.answer(prompt, line)
            return Analysis(
                analysis=reply.text,
                version=version,
                model=reply.model,
                input_tokens=reply.usage.input,
                output_tokens=reply.usage.output,
                cached=reply.cached,
            ).model_dump()

        return Accepted(task_id=await tasks.start(work, line))

    @routes.get(
        "/analyze/{task_id}",
        operation_id=LOOK_UP,
        summary="Look up a task",
        response_description="Where it stands",
        response_model_exclude_none=True,
        responses={404: {"model": described.Envelope, "description": "There is no such task"}},
    )
    async def task(task_id: str, request: Request) -> Task:
        """A task whose worker is gone has failed; it is never processing for ever."""
        logs.begin(request)
        found = await tasks.get(task_id)
        if found is None:
            raise errors.Rejected("there is no such task; it may have ended too long ago", status=404)
        return Task.model_validate(found)

    return routes
