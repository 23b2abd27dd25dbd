"""`POST /v1/messages` and its kin: Claude's own protocol, passed through byte for byte in both directions.

The protocol is that of https://code.claude.com/docs/en/llm-gateway-protocol: headers, query and body fields are open
lists, the credential comes in either header, nothing is buffered, and Claude's errors go back as they came.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway_under_test import auth, errors, limits, logs, relay, settings
from gateway_under_test.routes import leaving
from gateway_under_test.upstream import Upstream

MODELS_WITHIN = 3.0
"""Seconds that Claude Code waits for the list of models."""


def router(chosen: settings.Settings, upstream: Upstream, keys: auth.Keys) -> APIRouter:
    """The four endpoints, for callers with a key in either header."""
    routes = APIRouter(
        prefix="/v1", tags=["Claude's own"], dependencies=[Depends(keys.require_as_claude), Depends(limits.guard)]
    )

    def passed_on(request: Request, body: bytes | None) -> Response:
        letter, line = _letter(request, body), logs.begin(request)
        line.model = letter.model
        return Relayed(upstream.pass_on(letter, line), line, sse_headers=chosen.sse_headers)

    @routes.post("/messages", **_described("Create a message", "Claude's message, whole or as server-sent events"))
    async def messages(request: Request) -> Response:
        return passed_on(request, await request.body())

    @routes.post("/messages/count_tokens", **_described("Count the tokens of a message", "`{input_tokens}`"))
    async def count_tokens(request: Request) -> Response:
        return passed_on(request, await request.body())

    @routes.get("/models", **_described("List the models", "A page of models", body=False))
    async def models(request: Request) -> Response:
        return passed_on(request, None)

    @routes.get("/models/{model_id}", **_described("Get a model", "The model", body=False))
    async def model(request: Request, model_id: str) -> Response:
        return passed_on(request, None)

    return routes


class Relayed(Response):
    """Claude's answer as it comes. A caller who leaves ends it, whether or not it has begun."""

    def __init__(self, parts: AsyncGenerator[relay.Part, None], line: logs.RequestLine, *, sse_headers: bool) -> None:
        self.background = None
        self._parts = parts
        self._line = line
        self._sse_headers = sse_headers
        self._head: relay.Head | None = None
        self._last = b""
        self._over = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on until it ends or nobody is there any more."""
        passing = asyncio.ensure_future(self._pass(scope, receive, send))
        gone = asyncio.ensure_future(leaving.departure(receive))
        try:
            await asyncio.wait((passing, gone), return_when=asyncio.FIRST_COMPLETED)
            if self._over:  # who has everything leaves too
                await asyncio.wait((passing,))
        except asyncio.CancelledError:  # the server stops
            await leaving.ended(passing, gone)
            await self._break_off(errors.Shed("the gateway is stopping; try again"), send)
            raise
        await leaving.ended(passing, gone)
        if not passing.cancelled():
            with contextlib.suppress(OSError):  # sent to a caller who has gone
                passing.result()

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._parts):
            try:
                async for part in self._parts:
                    await self._tell(part, send)
            except errors.GatewayError as error:
                self._line.outcome = error.type
                if self._head is not None:
                    await self._break_off(error, send)
                elif error.answer is not None:
                    await self._tell(error.answer, send)
                    await self._tell(b"", send)
                else:
                    await logs.answer(error, self._line)(scope, receive, send)

    async def _tell(self, part: relay.Part, send: Send) -> None:
        if isinstance(part, relay.Head):
            self._head = part
            await send({"type": "http.response.start", "status": part.status, "headers": self._told(part)})
            if not part.body:
                return
            part = part.body
        self._last, self._over = part, not part
        await send({"type": "http.response.body", "body": part, "more_body": not self._over})

    def _told(self, head: relay.Head) -> relay.Headers:
        """Claude's; for a stream, if so switched, those too that keep a proxy in front of us from buffering it."""
        headers = list(head.headers)
        if head.streams and self._sse_headers:
            names = {name for name, _ in headers}
            wanted = ((b"x-accel-buffering", b"no"), (b"cache-control", b"no-cache"))
            headers += [pair for pair in wanted if pair[0] not in names]
        return headers

    async def _break_off(self, error: errors.GatewayError, send: Send) -> None:
        """Claude's answer was cut, and so is ours, by returning without an end. What we cut says why, if it can."""
        by_us = isinstance(error, (errors.Timeout, errors.Shed))
        if by_us and self._head is not None and self._head.streams and self._last.endswith(b"\n\n"):
            body = json.dumps(error.claude_body(self._line.request_id))
            await self._tell(f"event: error\ndata: {body}\n\n".encode(), send)
            await self._tell(b"", send)


def _letter(request: Request, body: bytes | None) -> relay.Letter:
    """The request as it came."""
    scope = request.scope
    query = scope["query_string"]
    return relay.Letter(
        kind=scope["route"].path,
        method=request.method,
        target=scope["raw_path"] + (b"?" + query if query else b""),
        headers=relay.end_to_end(scope["headers"], relay.NOT_SENT_ON),
        body=body,
        patience=MODELS_WITHIN if body is None else None,
    )


def _described(summary: str, answer: str, *, body: bool = True) -> dict[str, Any]:
    """How the endpoint reads in /docs, where nothing can be derived from bytes."""
    described: dict[str, Any] = {
        "summary": summary,
        "response_class": Response,
        "responses": {
            "200": {"description": f"{answer}, as Claude sent it", "content": {"application/json": {}}},
            "4XX": {"description": "Claude's error envelope", "content": {"application/json": {}}},
            "5XX": {"description": "Claude's error envelope", "content": {"application/json": {}}},
        },
    }
    if body:
        content = {"application/json": {"schema": {"type": "object", "additionalProperties": True}}}
        described["openapi_extra"] = {"requestBody": {"required": True, "content": content}}
    return described
