"""The gateway without one of the things that make it fast, to show what each is worth: `without_gateway.py WHAT FD`."""

import contextlib
import json
import sys

import httpx2
from sse_starlette import EventSourceResponse
from swap import swap

from gateway_under_test import claude, listener, server, settings
from gateway_under_test.events import Events
from gateway_under_test.patience import Patience
from gateway_under_test.relay import Head
from gateway_under_test.routes import chat, messages


async def models(self, prompt, attempt):
    """Claude's events as the SDK gives them, a model of each: the text, then the tokens."""
    with claude._carrying(attempt):
        events = await self._shared.messages.create(**self._parameters(prompt, attempt), stream=True)
    async with contextlib.aclosing(events.response):
        async for event in events:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                yield event.delta.text
            elif event.type == "message_start":
                attempt.read(event.message.usage.to_dict())
            elif event.type == "message_delta":
                attempt.output_tokens = event.usage.output_tokens
    yield claude.Usage(attempt.input_tokens, attempt.output_tokens)


def put_away(self, kind, error, trace, ended=Patience.__exit__):
    """A timer for each piece, where ours has one for all, as `asyncio.timeout` has."""
    ended(self, kind, error, trace)
    self.close()
    self._timer = None


class ThroughSse(EventSourceResponse):
    """Bytes passed on through sse-starlette, where ours sends them itself."""

    def __init__(self, parts, line, *, sse_headers):
        super().__init__(bytes_of(parts), ping=0)


async def bytes_of(parts):
    """All of them, from the first."""
    async with contextlib.aclosing(parts):
        async for part in parts:
            yield part.body if isinstance(part, Head) else part


async def written_again(response, parts=claude._parts):
    """Each event read and written again, where ours passes on what comes."""
    unread = Events()
    async for part in parts(response):
        for name, data in unread.read(part):
            yield b"event: %b\ndata: %b\n\n" % (name, json.dumps(json.loads(data)).encode())


def leave_out(what):
    """One of them."""
    match what:
        case "aiohttp":
            swap(claude, "Transport", lambda: httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=None)))
        case "raw events":
            swap(claude.Claude, "stream", models)
        case "patience":
            swap(Patience, "__exit__", put_away)
        case "own send":
            del chat.TextStream._send_with_timeout
        case "bytes":
            swap(claude, "_parts", written_again)
        case "sse-starlette":
            swap(messages, "Relayed", ThroughSse)
        case _:
            sys.exit(f"{what}: expected aiohttp, raw events, patience, own send, bytes or sse-starlette")


def main():
    """Until it is told to stop."""
    what, descriptor = sys.argv[1:]
    leave_out(what)
    server.serve(settings.Settings.load(), listener.adopt(int(descriptor)))


if __name__ == "__main__":
    main()
