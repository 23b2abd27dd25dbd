"""A whole mock in memory: no socket, no thread, and the loop's clock is virtual (looptime)."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from mockclaude.app import create_app
from mockclaude.request.ask import Ask, open_letter, parse
from mockclaude.settings import Settings

HAIKU = "claude-haiku-4-5"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and asyncio.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.looptime)


class Exchange:
    """One HTTP exchange with the mock, seen from the client: parts of the body with the time each came."""

    def __init__(self, app: FastAPI, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.parts: list[tuple[float, bytes]] = []
        self.whole = False
        self._body = body
        self._asked = False
        self._gone = asyncio.Event()
        path, _, query = path.partition("?")
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self._app = app
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await self._app(self._scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.parts.append((asyncio.get_running_loop().time(), message["body"]))
            self.whole = not message.get("more_body", False)

    async def ended(self) -> "Exchange":
        await self.task
        return self

    async def leave(self) -> None:
        """The client goes; returns when the mock has seen it."""
        self._gone.set()
        await self.task

    @property
    def body(self) -> bytes:
        return b"".join(part for _, part in self.parts)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    def delta_times(self) -> list[float]:
        return [when for when, part in self.parts for _ in range(part.count(b"text_delta"))]


class Client:
    """What a caller of the mock can do."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.state = app.state.server

    def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Exchange:
        return Exchange(self.app, method, path, body, headers or {})

    async def call(self, method: str, path: str, body: object = None) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        exchange = await self.send(method, path, data).ended()
        return exchange.json

    def ask(self, text: str = "hi", headers: dict[str, str] | None = None, **fields: Any) -> Exchange:
        """Begin one attempt with everything Claude wants; `fields` change the body, None leaves one out."""
        message = {"role": "user", "content": text}
        body = {"model": HAIKU, "max_tokens": 10, "messages": [message]} | fields
        body = {name: value for name, value in body.items() if value is not None}
        sent = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"} | (headers or {})
        return self.send("POST", "/v1/messages", json.dumps(body).encode(), sent)

    async def asked(self, text: str = "hi", headers: dict[str, str] | None = None, **fields: Any) -> Exchange:
        return await self.ask(text, headers, **fields).ended()

    async def journal(self, query: str = "") -> list[dict[str, Any]]:
        page = await self.call("GET", f"/_mock/journal{query}")
        records: list[dict[str, Any]] = page["records"]
        return records


@contextlib.asynccontextmanager
async def _mocked(settings: Settings | None = None, **config: Any) -> AsyncIterator[Client]:
    app = create_app(settings or Settings(config))
    async with app.router.lifespan_context(app):
        yield Client(app)


@pytest.fixture
def mocked() -> Callable[..., AbstractAsyncContextManager[Client]]:
    """`async with mocked(capacity=...) as claude`: a mock whose speed is the test's to say."""
    return _mocked


@pytest.fixture
def steady() -> dict[str, Any]:
    """A latency without chance: the first token after 1 s, then ten a second, a delta each; prompts cost nothing."""
    ttft = {"p50": 1.0, "p95": 1.0}
    return {"ttft": ttft, "tokens_per_second": 10, "tokens_per_delta": 1, "prefill": False}


@pytest.fixture
def asked() -> Callable[..., Ask]:
    """A request found good, without a server: `asked("hi", tools=[...])`."""

    def made(text: str = "hi", headers: dict[str, str] | None = None, **fields: Any) -> Ask:
        body = {"model": HAIKU, "max_tokens": 100, "messages": [{"role": "user", "content": text}]} | fields
        sent = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"} | (headers or {})
        return parse(open_letter(json.dumps(body).encode()), sent)

    return made
