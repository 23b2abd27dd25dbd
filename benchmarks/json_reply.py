"""A reply in JSON, and a count of tokens, as a FastAPI user would write them: a body model and a response model."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from question import Block, Prompt, Question
from speech import MESSAGE, TOKENS, USAGE

app = FastAPI()
TEXT = " harbour" * TOKENS


class Message(BaseModel):
    """The answer."""

    model: str
    id: str
    type: str
    role: str
    content: list[Block]
    stop_reason: str | None
    stop_sequence: str | None
    usage: dict[str, Any]


class Count(BaseModel):
    """How many tokens a prompt has."""

    input_tokens: int


@app.post("/v1/messages", response_model=Message)
async def create(question: Question):
    """The same message for everybody."""
    content = [{"type": "text", "text": TEXT}]
    return MESSAGE | {"content": content, "stop_reason": "end_turn", "usage": USAGE | {"output_tokens": TOKENS}}


@app.post("/v1/messages/count_tokens", response_model=Count)
async def count(prompt: Prompt):
    """An estimate."""
    return {"input_tokens": sum(len(str(turn.content)) for turn in prompt.messages) // 4}
