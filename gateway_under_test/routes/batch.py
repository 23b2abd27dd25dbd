"""`POST /batch` and `POST /fanout`: many prompts in one request, errors as values among the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from gateway_under_test import auth, errors, limits, logs, settings
from gateway_under_test.routes import chat, described, leaving
from gateway_under_test.upstream import Prompt, Reply, Upstream

Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Outcome = Reply | errors.GatewayError


class Batch(chat.Wishes):
    """Prompts that have nothing to do with each other, and what they have in common."""

    model_config = ConfigDict(json_schema_extra={"example": {"prompts": ["Why is the sky blue?", "And grass?"]}})

    prompts: list[Text] = Field(min_length=1, max_length=100)


class Fanout(chat.Wishes):
    """Prompts by name: several views of one thing."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"prompts": {"tone": "Is this rude? ...", "topic": "What is this about? ..."}}}
    )

    prompts: dict[Name, Text] = Field(min_length=1, max_length=20)


class Answered(BaseModel):
    """The answer to one prompt."""

    text: str
    input_tokens: int
    output_tokens: int


class Failed(BaseModel):
    """What stands in the place of an answer."""

    error: described.Told


class Sums(BaseModel):
    """The tokens of all answers, and how many prompts have none."""

    input_tokens: int
    output_tokens: int
    failed: int


ANSWERED: JsonDict = {"text": "It scatters blue light most.", "input_tokens": 12, "output_tokens": 8}
FAILED: JsonDict = {"error": {"type": "overloaded", "message": "Claude is overloaded; try again later"}}
SUMS: JsonDict = {"input_tokens": 12, "output_tokens": 8, "failed": 1}


class Results(Sums):
    """In the order of the prompts."""

    model_config = ConfigDict(json_schema_extra={"example": {"results": [ANSWERED, FAILED], **SUMS}})

    results: list[Answered | Failed]


class Views(Sums):
    """By the names of the prompts."""

    model_config = ConfigDict(json_schema_extra={"example": {"results": {"tone": ANSWERED, "topic": FAILED}, **SUMS}})

    results: dict[str, Answered | Failed]


def router(chosen: settings.Settings, upstream: Upstream, keys: auth.Keys) -> APIRouter:
    """The two endpoints, for callers with a key."""
    routes = APIRouter(
        tags=["many"], dependencies=[Depends(keys.require), Depends(limits.guard)], responses=described.REFUSALS
    )

    async def outcomes(
        request: Request, ask: chat.Wishes, texts: Iterable[str], at_once: int | None
    ) -> Sequence[Outcome]:
        line = logs.begin(request, ask.model or chosen.model)
        prompts = [ask.prompt(text, chosen.model) for text in texts]
        return await leaving.unless_gone(request, _all(upstream, prompts, line, at_once))

    @routes.post(
        "/batch",
        summary="Ask many things, some at a time",
        response_description="A result for each prompt",
        openapi_extra=described.HEADERS,
    )
    async def batch(ask: Batch, request: Request) -> Results:
        """So many at once as the gateway allows (`batch_concurrency`), the others in line behind them.

        Always a 200: the results stand in the order of the prompts, and one that failed is an `error` among them. The
        deadline is that of the whole request: what has not had its turn by then is a `timeout`.
        """
        came = await outcomes(request, ask, ask.prompts, chosen.batch_concurrency)
        return Results(results=[_result(each) for each in came], **_sums(came))

    @routes.post(
        "/fanout",
        summary="Ask a few things at once",
        response_description="A result for each prompt, at least one of them an answer",
        openapi_extra=described.HEADERS,
    )
    async def fanout(ask: Fanout, request: Request) -> Views:
        """All at once: it takes as long as the slowest.

        A 200 when at least one was answered, and what failed is an `error` among the results. When none was, the
        answer is the error of the first, with its status.
        """
        came = await outcomes(request, ask, ask.prompts.values(), None)
        if all(isinstance(each, errors.GatewayError) for each in came):
            raise next(each for each in came if isinstance(each, errors.GatewayError))
        return Views(results={name: _result(each) for name, each in zip(ask.prompts, came, strict=True)}, **_sums(came))

    return routes


async def _all(
    upstream: Upstream, prompts: Sequence[Prompt], line: logs.RequestLine, at_once: int | None
) -> Sequence[Outcome]:
    """An outcome for each prompt, in their order; `at_once` None is all of them."""
    places = asyncio.Semaphore(at_once or len(prompts))

    async def asked(prompt: Prompt) -> Outcome:
        async with places:
            try:
                return await upstream.answer(prompt, line)
            except errors.GatewayError as error:
                return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asked(prompt)) for prompt in prompts]
    return [task.result() for task in tasks]


def _result(came: Outcome) -> Answered | Failed:
    if isinstance(came, errors.GatewayError):
        return Failed(error=described.Told(type=came.type, message=came.message))
    return Answered(text=came.text, input_tokens=came.usage.input, output_tokens=came.usage.output)


def _sums(came: Sequence[Outcome]) -> dict[str, int]:
    replies = [each for each in came if isinstance(each, Reply)]
    return {
        "input_tokens": sum(reply.usage.input for reply in replies),
        "output_tokens": sum(reply.usage.output for reply in replies),
        "failed": len(came) - len(replies),
    }
