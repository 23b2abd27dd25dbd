"""The gateway in front of a Claude made of values: no socket, no thread, and the loop's clock is virtual (looptime)."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway_under_test import create_app
from gateway_under_test.settings import Settings
from tests.gateway.lines import Lines

Step = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("system") is None:
            item.add_marker(pytest.mark.looptime)


class Claude(httpx2.AsyncBaseTransport):
    """Plays its script, one step for each attempt, then the last step for ever; notes what it received."""

    def __init__(self) -> None:
        self.script: list[Step] = [self.says("hello")]
        self.received: list[httpx2.Request] = []
        self.at: list[float] = []
        self.inflight = 0
        self.most_inflight = 0
        self.let_go = 0

    @property
    def ids(self) -> list[str]:
        return [request.headers["x-request-id"] for request in self.received]

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.received]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.received.append(request)
        self.at.append(asyncio.get_running_loop().time())
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.inflight += 1
        self.most_inflight = max(self.most_inflight, self.inflight)
        try:
            return await step(request)
        except asyncio.CancelledError:
            self.let_go += 1
            raise
        finally:
            self.inflight -= 1

    @staticmethod
    def says(text: str, after: float = 0.0, tokens: tuple[int, int] = (7, 3)) -> Step:
        async def step(request: httpx2.Request) -> httpx2.Response:
            await asyncio.sleep(after)
            return httpx2.Response(200, json=message(text, tokens))

        return step

    @staticmethod
    def answers(body: Any, status: int = 200) -> Step:
        async def step(request: httpx2.Request) -> httpx2.Response:
            return (
                httpx2.Response(status, json=body) if not isinstance(body, str) else httpx2.Response(status, text=body)
            )

        return step

    @staticmethod
    def fails(status: int, after: float = 0.0, **headers: str) -> Step:
        async def step(request: httpx2.Request) -> httpx2.Response:
            await asyncio.sleep(after)
            body = {"type": "error", "error": {"type": "some_error", "message": "RAW UPSTREAM TEXT"}}
            return httpx2.Response(status, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

        return step

    @staticmethod
    def raises(error: Exception) -> Step:
        async def step(request: httpx2.Request) -> httpx2.Response:
            raise error

        return step

    def streams(self, *parts: float | str | dict[str, Any] | Exception) -> Step:
        """Text as deltas, seconds as pauses, dicts as events of their own, an exception as a broken connection."""

        async def step(request: httpx2.Request) -> httpx2.Response:
            headers = {"content-type": "text/event-stream"}
            return httpx2.Response(200, headers=headers, stream=Stream(self, parts))

        return step

    @staticmethod
    def sends(status: int, headers: dict[str, str], *parts: bytes | float | Exception, closes_in: float = 0.0) -> Step:
        """Any answer at all: its bytes with pauses between them; an exception is a broken connection."""

        async def step(request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(status, headers=headers, stream=Bytes(parts, closes_in))

        return step

    def tells(self, text: str, every: float = 0.1) -> Step:
        """A whole stream: each word after a pause."""
        words = [part for word in text.split() for part in (every, word)]
        return self.streams(START, *words, USAGE, STOP)


class Stream(httpx2.AsyncByteStream):
    def __init__(self, claude: Claude, parts: tuple[Any, ...]) -> None:
        self._claude = claude
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for part in self._parts:
                if isinstance(part, Exception):
                    raise part
                if isinstance(part, (int, float)):
                    await asyncio.sleep(part)
                else:
                    yield event(delta(part) if isinstance(part, str) else part)
        except (asyncio.CancelledError, GeneratorExit):
            self._claude.let_go += 1
            raise


class Bytes(httpx2.AsyncByteStream):
    def __init__(self, parts: tuple[bytes | float | Exception, ...], closes_in: float) -> None:
        self._parts = parts
        self._closes_in = closes_in

    async def aclose(self) -> None:
        await asyncio.sleep(self._closes_in)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if isinstance(part, Exception):
                raise part
            if isinstance(part, bytes):
                yield part
            else:
                await asyncio.sleep(part)


def message(text: str, tokens: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": tokens[0], "output_tokens": tokens[1]},
    }


def delta(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def event(data: dict[str, Any]) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


START = {"type": "message_start", "message": message("", (7, 1))}
USAGE = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}
STOP = {"type": "message_stop"}


@dataclass
class Gateway:
    """The application, a caller with a good key, and what both leave behind."""

    app: Any
    caller: httpx2.AsyncClient
    lines: Lines = field(default_factory=Lines)

    async def chat(self, message: str = "hi", **more: Any) -> httpx2.Response:
        return await self.caller.post("/chat", json={"message": message, **more})

    async def stream(self, message: str = "hi", **more: Any) -> httpx2.Response:
        return await self.caller.post("/chat/stream", json={"message": message, **more})

    async def post(self, body: bytes | dict[str, Any], path: str = "/v1/messages", **headers: str) -> httpx2.Response:
        """A request in Claude's own protocol."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.caller.post(path, content=content, headers={"anthropic-version": "2023-06-01", **headers})

    async def asgi(
        self,
        path: str,
        *body: bytes | float,
        whole: bool = True,
        method: str = "POST",
        query: str = "",
        headers: dict[str, str] | None = None,
        leave_after: float | None = None,
        gone: bool = False,
    ) -> list[dict[str, Any]]:
        """One request without an HTTP client, so that its caller can leave in the middle; returns what was sent.

        `body` is bytes and pauses, by default a message for `/chat`; unless it is `whole`, its end never comes.
        """
        parts = body or (json.dumps({"message": "hi"}).encode(),)
        sent: list[dict[str, Any]] = []
        incoming = iter((*parts, b"") if whole else parts)
        said = {"x-api-key": "good", "content-type": "application/json", "x-request-id": "asgi-1", **(headers or {})}

        async def receive() -> dict[str, Any]:
            for part in incoming:
                if isinstance(part, bytes):
                    return {"type": "http.request", "body": part, "more_body": part != b""}
                await asyncio.sleep(part)
            await asyncio.sleep(1e9 if leave_after is None else leave_after)
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if gone:
                raise OSError("the caller is gone")
            sent.append({**message, "at": asyncio.get_running_loop().time()})

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in said.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await self.app(scope, receive, send)
        return sent


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def claude() -> Claude:
    return Claude()


@pytest.fixture
def gateway(claude: Claude) -> Callable[..., contextlib.AbstractAsyncContextManager[Gateway]]:
    """`async with gateway(preset="naive", attempts=2) as g`: a gateway with these settings, running."""

    @contextlib.asynccontextmanager
    async def running(**switches: Any) -> AsyncIterator[Gateway]:
        lines = Lines()
        chosen = Settings(
            anthropic_base_url="http://claude.test", anthropic_api_key="sk-ours", valid_api_keys=("good",), **switches
        )
        async with httpx2.AsyncClient(transport=claude) as upstream:
            app = create_app(chosen, http_client=upstream, log=lines, seed=1)
            transport = httpx2.ASGITransport(app=app)
            async with (
                app.router.lifespan_context(app),
                httpx2.AsyncClient(
                    transport=transport, base_url="http://gateway", headers={"x-api-key": "good"}, timeout=None
                ) as caller,
            ):
                yield Gateway(app, caller, lines)

    return running
