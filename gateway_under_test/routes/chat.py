"""`POST /chat`, `/chat/stream` and `/stream`: a message in, Claude's answer out, whole or as it is written."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Message, Receive, Scope, Send

from gateway_under_test import auth, errors, limits, logs, settings
from gateway_under_test.routes import described, leaving
from gateway_under_test.upstream import Piece, Prompt, Upstream, Usage

FORCED = ("X-Accel-Buffering", "Cache-Control")
"""Headers that keep a proxy from holding events back; sse-starlette sends them unasked."""
TOLD = """data: {"text": "Good"}

data: {"text": " morning"}

data: {"done": true, "usage": {"input": 11, "output": 4}}

data: [DONE]

"""


def _whole(value: object) -> object:
    """In JSON 5.0 is an integer too (JSON Schema, 4.2.3); neither text nor a truth value is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Tokens = Annotated[int, Field(ge=1, le=8096, strict=True), BeforeValidator(_whole)]


class Wishes(BaseModel):
    """What a caller may say beside the text."""

    system_prompt: str | None = Field(None, min_length=1)
    model: str | None = Field(None, max_length=100, description="The gateway's own model when it is left out")
    max_tokens: Tokens = 1024

    def prompt(self, text: str, default_model: str) -> Prompt:
        return Prompt(text, self.system_prompt, self.model or default_model, self.max_tokens)


class Ask(Wishes):
    """A message for Claude."""

    model_config = ConfigDict(json_schema_extra={"example": {"message": "Good morning!", "max_tokens": 100}})

    message: str = Field(min_length=1, max_length=10_000)


class QuickAsk(BaseModel):
    """The shortest form of a question."""

    model_config = ConfigDict(json_schema_extra={"example": {"prompt": "Good morning!"}})

    prompt: str = Field(min_length=1, max_length=10_000)


class Answer(BaseModel):
    """The whole answer, what it cost and who gave it; `cached` when it had been given before."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "text": "Good morning! How can I help?",
                "input_tokens": 11,
                "output_tokens": 9,
                "model": "claude-haiku-4-5",
                "cached": False,
            }
        }
    )

    text: str
    input_tokens: int
    output_tokens: int
    model: str
    cached: bool


class TextStream(EventSourceResponse):
    """Server-sent events made from Claude's pieces, which are let go however the response ends."""

    def __init__(
        self,
        events: AsyncIterator[bytes],
        pieces: AsyncGenerator[Piece, None],
        chosen: settings.Settings,
    ) -> None:
        super().__init__(
            events,
            ping=chosen.heartbeat or 0,
            ping_message_factory=lambda: ServerSentEvent(comment="heartbeat", sep="\n"),
            sep="\n",
            headers={"Cache-Control": "no-cache"},
        )
        if not chosen.sse_headers:
            for name in FORCED:
                del self.headers[name]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._pieces):
            try:
                await super().__call__(scope, receive, send)
            except asyncio.CancelledError:  # the server stops
                line: logs.RequestLine = scope["state"]["line"]
                if line.status_code is not None and not line.finished:
                    last = _error(errors.Shed("the gateway is stopping; try again"), line)
                    await send({"type": "http.response.body", "body": last, "more_body": False})
                raise

    async def _send_with_timeout(self, send: Send, message: Message) -> None:
        """None is asked for here, and sse-starlette's scope for each event costs as much as sending it."""
        await send(message)


def router(chosen: settings.Settings, upstream: Upstream, keys: auth.Keys) -> APIRouter:
    """The three endpoints, for callers with a key."""
    routes = APIRouter(
        tags=["chat"], dependencies=[Depends(keys.require), Depends(limits.guard)], responses=described.REFUSALS
    )

    @routes.post(
        "/chat",
        summary="Ask, and wait for the whole answer",
        response_description="The answer",
        openapi_extra=described.HEADERS,
    )
    async def chat(ask: Ask, request: Request) -> Answer:
        """The same question is answered from the cache for a while. Who leaves before the answer ends its making."""
        prompt = ask.prompt(ask.message, chosen.model)
        line = logs.begin(request, prompt.model)
        reply = await leaving.unless_gone(request, upstream.answer(prompt, line))
        return Answer(
            text=reply.text,
            input_tokens=reply.usage.input,
            output_tokens=reply.usage.output,
            model=reply.model,
            cached=reply.cached,
        )

    async def told(request: Request, prompt: Prompt) -> TextStream:
        line = logs.begin(request, prompt.model)
        pieces = upstream.stream(prompt, line)
        first = None
        if chosen.peek:  # before the status: what fails until here is an honest HTTP error
            first = await leaving.or_gone(request, anext(pieces))
        return TextStream(_events(first, pieces, line), pieces, chosen)

    @routes.post("/chat/stream", **_streamed("Ask, and read the answer as it is written"))
    async def chat_stream(ask: Ask, request: Request) -> TextStream:
        return await told(request, ask.prompt(ask.message, chosen.model))

    @routes.post("/stream", **_streamed("Ask in the shortest form, and read the answer as it is written"))
    async def stream(ask: QuickAsk, request: Request) -> TextStream:
        return await told(request, Wishes().prompt(ask.prompt, chosen.model))

    return routes


async def _events(
    first: Piece | None, pieces: AsyncGenerator[Piece, None], line: logs.RequestLine
) -> AsyncIterator[bytes]:
    if first is not None:
        yield _event(first)
    try:
        async for piece in pieces:
            yield _event(piece)
    except errors.GatewayError as error:
        line.outcome = error.type
        yield _error(error, line)
    else:
        yield b"data: [DONE]\n\n"


def _event(piece: Piece) -> bytes:
    if isinstance(piece, Usage):
        done = {"done": True, "usage": {"input": piece.input, "output": piece.output}}
        return f"data: {json.dumps(done)}\n\n".encode()
    return f'data: {{"text": {json.dumps(piece)}}}\n\n'.encode()


def _error(error: errors.GatewayError, line: logs.RequestLine) -> bytes:
    return f"event: error\ndata: {json.dumps(error.body(line.request_id))}\n\n".encode()


def _streamed(summary: str) -> dict[str, Any]:
    """How a stream reads in /docs."""
    return {
        "summary": summary,
        "description": (
            "Server-sent events: a `text` for each piece, then `done` with the tokens used, then `[DONE]`. A stream "
            "without `[DONE]` is not whole. A failure after the status is an event `error`, its data the same as the "
            "body of a refusal.\n\nWith `peek` (production) the status waits for the first text, so that an overload "
            "is an honest 503; until then nothing can be sent, a heartbeat neither. Without it the 200 comes at once, "
            "and whatever happens is an event. With `heartbeat` a comment comes at that interval, so that nobody on "
            "the way takes a silent stream for a dead one."
        ),
        "response_class": EventSourceResponse,
        "responses": {200: {"description": "The events", "content": {"text/event-stream": {"example": TOLD}}}},
        "openapi_extra": described.HEADERS,
    }
