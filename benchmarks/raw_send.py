"""No framework at all: ASGI's own send, with bytes rendered once and absolute deadlines."""

from question import asked
from rendered import HEADERS, paced


async def app(scope, receive, send):
    """Any request is the one question."""
    if scope["type"] != "http":
        return
    await asked(receive)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    async for part in paced():
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
