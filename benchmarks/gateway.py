"""What most people write: FastAPI, the SDK's messages.stream as it comes, and sse-starlette with a dict an event."""

import json
import os
from typing import Any

import anthropic
from fastapi import FastAPI
from pydantic import BaseModel
from sse_starlette import EventSourceResponse

app = FastAPI()
claude = anthropic.AsyncAnthropic(base_url=os.environ["ANTHROPIC_BASE_URL"], api_key="sk-bench", max_retries=0)
OWN = {"text", "input_json", "citation", "thinking", "signature"}  # the SDK's, beside Claude's
BARE = {"message", "content_block", "snapshot"}  # what it adds to the last ones


class Ask(BaseModel):
    """A message for Claude."""

    message: str
    max_tokens: int = 1024


@app.post("/chat/stream")
async def chat(ask: Ask):
    """The text, piece by piece."""
    return EventSourceResponse(text(ask), sep="\n")


@app.post("/v1/messages")
async def messages(body: dict[str, Any]):
    """Claude's own events."""
    return EventSourceResponse(events(body), sep="\n")


async def text(ask):
    """What `/chat/stream` of the gateway under test says."""
    question = [{"role": "user", "content": ask.message}]
    async with claude.messages.stream(model="claude-haiku-4-5", max_tokens=ask.max_tokens, messages=question) as stream:
        async for event in stream:
            if event.type == "text":
                yield {"data": json.dumps({"text": event.text})}
        usage = (await stream.get_final_message()).usage
    done = {"done": True, "usage": {"input": usage.input_tokens, "output": usage.output_tokens}}
    yield {"data": json.dumps(done)}
    yield {"data": "[DONE]"}


async def events(body):
    """Every event is read into a model and written again."""
    body.pop("stream", None)
    async with claude.messages.stream(**body) as stream:
        async for event in stream:
            if event.type not in OWN:
                left_out = BARE if event.type.endswith("_stop") else set()
                told = event.model_dump(mode="json", exclude_none=True, exclude=left_out)
                yield {"event": event.type, "data": json.dumps(told)}
