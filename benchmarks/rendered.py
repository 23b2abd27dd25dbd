"""Each event's bytes made once, and when each is due: what the baselines that are no longer naive share."""

import asyncio
import json

from speech import GAP, TOKENS, TTFT, closing, delta, opening

HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


def render(event):
    """One server-sent event."""
    return f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


OPENING = b"".join(map(render, opening()))
DELTAS = [render(delta(k)) for k in range(TOKENS)]
CLOSING = b"".join(map(render, closing()))


async def paced():
    """The events, each at its own deadline, so that nothing adds up."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    yield OPENING
    for k, event in enumerate(DELTAS):
        wait = began + TTFT + k * GAP - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        yield event
    yield CLOSING
