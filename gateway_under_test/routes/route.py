"""`POST /route`: a small model says in one word how hard the question is, then the model for that answers it."""

from __future__ import annotations

import re

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_under_test import auth, limits, logs, settings
from gateway_under_test.routes import chat, described, leaving
from gateway_under_test.upstream import Prompt, Reply, Upstream

CLASSIFIER = "claude-haiku-4-5"
CLASSIFY = (
    "You sort questions by how hard they are to answer well. Do not answer the question. Say one word: simple (a fact, "
    "a greeting, a rewording), medium (an explanation, a summary, some lines of code) or complex (several steps of "
    "reasoning, a design, a proof)."
)
WORD_TOKENS = 8
"""Enough for one word."""
MODELS = {"simple": "claude-haiku-4-5", "medium": "claude-sonnet-4-6", "complex": "claude-opus-4-6"}
UNCLEAR = "medium"
FIRST_WORD = re.compile(r"\W*(\w{1,40})")


class Question(BaseModel):
    """A message for whichever model suits it."""

    model_config = ConfigDict(json_schema_extra={"example": {"message": "What is the capital of France?"}})

    message: str = Field(min_length=1, max_length=10_000)
    system_prompt: str | None = Field(None, min_length=1)
    max_tokens: chat.Tokens = 1024


class Routed(BaseModel):
    """The answer, and the tokens of both calls; `classified` is the word that came, `route` what was made of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "text": "Paris.",
                "route": "simple",
                "classified": "simple",
                "model": "claude-haiku-4-5",
                "input_tokens": 104,
                "output_tokens": 7,
            }
        }
    )

    text: str
    route: str
    classified: str
    model: str
    input_tokens: int
    output_tokens: int


def router(chosen: settings.Settings, upstream: Upstream, keys: auth.Keys) -> APIRouter:
    """The endpoint, for callers with a key."""
    routes = APIRouter(
        tags=["chat"], dependencies=[Depends(keys.require), Depends(limits.guard)], responses=described.REFUSALS
    )

    async def both(question: Question, line: logs.RequestLine) -> tuple[Reply, Reply]:
        said = await upstream.answer(Prompt(question.message, CLASSIFY, CLASSIFIER, WORD_TOKENS), line)
        line.model = MODELS[route_of(word_of(said.text))]
        prompt = Prompt(question.message, question.system_prompt, line.model, question.max_tokens)
        return said, await upstream.answer(prompt, line)

    @routes.post(
        "/route",
        summary="Ask the model that suits the question",
        response_description="The answer, and how it was chosen who gives it",
        openapi_extra=described.HEADERS,
    )
    async def route(question: Question, request: Request) -> Routed:
        """Claude Haiku says in one word how hard the question is: simple questions go to Haiku, medium ones to Sonnet,
        complex ones to Opus. Any other word is taken for `medium`.
        """
        asked = both(question, logs.begin(request, CLASSIFIER))
        said, reply = await leaving.unless_gone(request, asked)
        word = word_of(said.text)
        return Routed(
            text=reply.text,
            route=route_of(word),
            classified=word,
            model=reply.model,
            input_tokens=said.usage.input + reply.usage.input,
            output_tokens=said.usage.output + reply.usage.output,
        )

    return routes


def word_of(text: str) -> str:
    """The first word of what the classifier said, in lower case; empty if there is none."""
    first = FIRST_WORD.match(text)
    return first[1].lower() if first else ""


def route_of(word: str) -> str:
    """Where the classifier's word leads; every word leads somewhere."""
    return word if word in MODELS else UNCLEAR
