"""`POST /summarize`: a text in, its summary out, in a version of the prompt that the caller may choose."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_under_test import auth, limits, logs, prompts, settings
from gateway_under_test.routes import chat, described, leaving
from gateway_under_test.upstream import Prompt, Upstream

NO_SUCH_VERSION: dict[int | str, dict[str, Any]] = {
    404: {"model": described.Envelope, "description": "There is no such version of the prompt"}
}


class Text(BaseModel):
    """A text, and how to ask about it; callers with one `subject` get one version, however versions are shared out."""

    model_config = ConfigDict(json_schema_extra={"example": {"text": "It was the best of times, ..."}})

    text: str = Field(min_length=1, max_length=100_000)
    version: str = Field(prompts.LATEST, min_length=1, max_length=64)
    subject: str | None = Field(None, min_length=1, max_length=128)
    model: str | None = Field(None, min_length=1, max_length=100)
    max_tokens: chat.Tokens = 1024

    def prompt(self, name: str, registry: prompts.Prompts, line: logs.RequestLine, default_model: str) -> Prompt:
        """What Claude is asked, in a version that is noted in the request's line; raises Rejected."""
        chosen = registry.make(name, self.version, self.subject or line.request_id, self.text)
        line.version = chosen.version
        model = self.model or default_model
        return Prompt(chosen.text, chosen.system, model, self.max_tokens, f"{name}/{chosen.version}")


class Summary(BaseModel):
    """The summary, what it was made with, and what that cost: once, when it was made, if it is `cached`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "summary": "Times were good and bad.",
                "version": "v2",
                "model": "claude-haiku-4-5",
                "input_tokens": 81,
                "output_tokens": 9,
                "cached": False,
            }
        }
    )

    summary: str
    version: str
    model: str
    input_tokens: int
    output_tokens: int
    cached: bool


def router(chosen: settings.Settings, upstream: Upstream, keys: auth.Keys, registry: prompts.Prompts) -> APIRouter:
    """The endpoint, for callers with a key."""
    routes = APIRouter(
        tags=["texts"], dependencies=[Depends(keys.require), Depends(limits.guard)], responses=described.REFUSALS
    )

    @routes.post(
        "/summarize",
        summary="Summarize a text",
        response_description="The summary, with its tokens",
        responses=NO_SUCH_VERSION,
        openapi_extra=described.HEADERS,
    )
    async def summarize(text: Text, request: Request) -> Summary:
        """With a prompt from the registry: `latest`, which its operator sets, or a `version` by name."""
        line = logs.begin(request, text.model or chosen.model)
        prompt = text.prompt("summarize", registry, line, chosen.model)
        reply = await leaving.unless_gone(request, upstream.answer(prompt, line))
        return Summary(
            summary=reply.text,
            version=str(line.version),
            model=reply.model,
            input_tokens=reply.usage.input,
            output_tokens=reply.usage.output,
            cached=reply.cached,
        )

    return routes
