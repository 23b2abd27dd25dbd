"""StreamingResponse done well: bytes rendered once, absolute deadlines."""

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from question import Question
from rendered import paced

app = FastAPI()


@app.post("/v1/messages")
async def create(question: Question):
    """Say it."""
    return StreamingResponse(paced(), media_type="text/event-stream")
