"""sse-starlette done well: bytes rendered once, absolute deadlines."""

from fastapi import FastAPI
from question import Question
from rendered import paced
from sse_starlette import EventSourceResponse

app = FastAPI()


@app.post("/v1/messages")
async def create(question: Question):
    """Say it; a ping would be the only other thing to wake up for."""
    return EventSourceResponse(paced(), ping=3600)
