"""`POST /chat` and `POST /chat/stream`: a message in, Claude's answer out, whole or as it is written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from gateway_under_test import auth, errors, logs, settings
from gateway_under_test.upstream import Piece, Prompt, Upstream, Usage


class Ask(BaseModel):
    """What a caller may ask."""

    message: str = Field(min_length=1, max_length=10_000)
    system_prompt: str | None = None
    model: str | None = None
    max_tokens: int = Field(1024, ge=1, le=8096)

    def prompt(self, default_model: str) -> Prompt:
        return Prompt(self.message, self.system_prompt, self.model or default_model, self.max_tokens)


class Answer(BaseModel):
    """The whole answer and what it cost."""

    text: str
    input_tokens: int
    output_tokens: int


class TextStream(EventSourceResponse):
    """Server-sent events made from Claude's pieces, which are let go however the response ends."""

    def __init__(self, first: Piece, pieces: AsyncGenerator[Piece, None], line: logs.RequestLine) -> None:
        # ping=0: heartbeats are a pattern of their own, not a hidden extra
        super().__init__(_events(first, pieces, line), ping=0, sep="\n", headers={"Cache-Control": "no-cache"})
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._pieces):
            await super().__call__(scope, receive, send)


def router(chosen: settings.Settings, upstream: Upstream) -> APIRouter:
    """The two endpoints, for callers with a key."""
    keys = [key.get_secret_value() for key in chosen.valid_api_keys]

    async def require_key(x_api_key: Annotated[str | None, Header()] = None) -> None:
        auth.check(x_api_key, keys)

    routes = APIRouter(dependencies=[Depends(require_key)])

    @routes.post("/chat")
    async def chat(ask: Ask, request: Request) -> Answer:
        line = _line(request, ask.model or chosen.model)
        async with contextlib.aclosing(upstream.ask(ask.prompt(chosen.model), line)) as pieces:
            answer = [piece async for piece in pieces]
        text = "".join(piece for piece in answer if isinstance(piece, str))
        usage = next(piece for piece in answer if isinstance(piece, Usage))
        return Answer(text=text, input_tokens=usage.input, output_tokens=usage.output)

    @routes.post("/chat/stream", response_class=EventSourceResponse)
    async def chat_stream(ask: Ask, request: Request) -> EventSourceResponse:
        line = _line(request, ask.model or chosen.model)
        pieces = upstream.stream(ask.prompt(chosen.model), line)
        first = await anext(pieces)  # before the status: what fails until here is an honest HTTP error
        return TextStream(first, pieces, line)

    return routes


async def _events(
    first: Piece, pieces: AsyncGenerator[Piece, None], line: logs.RequestLine
) -> AsyncIterator[ServerSentEvent]:
    yield _event(first)
    try:
        async for piece in pieces:
            yield _event(piece)
    except errors.GatewayError as error:
        line.outcome = error.type
        yield ServerSentEvent(json.dumps(error.body(line.request_id)), event="error", sep="\n")
    else:
        yield ServerSentEvent("[DONE]", sep="\n")


def _event(piece: Piece) -> ServerSentEvent:
    data: dict[str, object] = {"text": piece}
    if isinstance(piece, Usage):
        data = {"done": True, "usage": {"input": piece.input, "output": piece.output}}
    return ServerSentEvent(json.dumps(data), sep="\n")


def _line(request: Request, model: str) -> logs.RequestLine:
    line: logs.RequestLine = request.state.line
    line.model = model
    return line
