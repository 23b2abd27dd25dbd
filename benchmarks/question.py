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


class Question(BaseModel):
    """The body of a request."""

    model: str
    max_tokens: int
    messages: list[Turn]
    system: str | list[Block] | None = None
    stream: bool = False
    temperature: float | None = None
    stop_sequences: list[str] | None = None
    tools: list[Tool] | None = None
    metadata: dict[str, Any] | None = None
