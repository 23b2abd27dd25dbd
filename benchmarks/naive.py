"""What most people write: FastAPI with pydantic, sse-starlette, a dict and json.dumps an event, and a sleep between."""

import asyncio
import json

from fastapi import FastAPI
from question import Question
from speech import GAP, TOKENS, TTFT, closing, delta, opening
from sse_starlette import EventSourceResponse

app = FastAPI()


@app.post("/v1/messages")
async def create(question: Question):
    """Say it, a token at a time."""
    return EventSourceResponse(say())


async def say():
    """The gap is slept: what the timers round up adds up."""
    for event in opening():
        yield {"event": event["type"], "data": json.dumps(event)}
    await asyncio.sleep(TTFT)
    for k in range(TOKENS):
        if k:
            await asyncio.sleep(GAP)
        event = delta(k)
        yield {"event": event["type"], "data": json.dumps(event)}
    for event in closing():
        yield {"event": event["type"], "data": json.dumps(event)}
