"""POST /v1/messages/count_tokens: how many tokens a prompt is, by the estimate that its usage goes by."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from mockclaude import messages
from mockclaude.draw import Draw
from mockclaude.endpoints import endpoint
from mockclaude.request import ask
from mockclaude.server import Server

BETAS = ("token-counting", "context-management")


@endpoint.enveloped
async def count(request: Request, server: Server, draw: Draw) -> Response:
    """`{"input_tokens": n}`; on the beta also what the prompt was before its context is edited, which is not done."""
    sent = messages.headers_of(request)
    letter = server.memory.received(await messages.body(request, sent))
    size = server.memory.counted(letter, sent, server.door)
    said: dict[str, object] = {"input_tokens": size}
    if any(name.startswith(BETAS) for name in ask.betas(sent)) and letter.data.get("context_management") is not None:
        said["context_management"] = {"original_input_tokens": size}
    return endpoint.document(said)
