"""No framework at all: ASGI's own send, with bytes rendered once and absolute deadlines."""

from question import Question
from rendered import paced

HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


async def app(scope, receive, send):
    """Any request is the one question."""
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    Question.model_validate_json(body)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    async for part in paced():
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
