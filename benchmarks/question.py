"""The body of POST /v1/messages as pydantic models, as a FastAPI user would write them."""

from typing import Any, Literal

from pydantic import BaseModel


class Block(BaseModel):
    """One content block of a message."""

    type: str
    text: str | None = None


class Turn(BaseModel):
    """One message."""

    role: Literal["user", "assistant"]
    content: str | list[Block]


class Tool(BaseModel):
    """What the model may call."""

    name: str
    description: str | None = None
    input_schema: dict[str, Any]


class Prompt(BaseModel):
    """The body of a request to count tokens."""

    model: str
    messages: list[Turn]
    system: str | list[Block] | None = None
    tools: list[Tool] | None = None


class Question(Prompt):
    """The body of a request for a message."""

    max_tokens: int
    stream: bool = False
    temperature: float | None = None
    stop_sequences: list[str] | None = None
    metadata: dict[str, Any] | None = None


async def asked(receive):
    """The one a request asks, of an app that has no framework to read it."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return Question.model_validate_json(body)
