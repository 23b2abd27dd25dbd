"""HTTP between two programs of one process: ASGI in memory, streaming, for runs on virtual time.

What a socket and uvicorn would do happens here too: a caller that hangs up is a disconnect to the application, an
application that dies in mid-answer is a cut to the caller, and a reader that does not read holds the writer up.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable

import httpx2
from starlette.types import ASGIApp, Message

Headers = Iterable[tuple[bytes, bytes]]
HIGH_WATER = 64 * 1024

log = logging.getLogger("loadtests")


class Cut(Exception):
    """The connection ended before the answer did."""


class Served:
    """An ASGI application that runs, lifespan included, on the running loop."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open: dict[Call, None] = {}

    def call(self, method: str, path: str, headers: Headers, body: bytes) -> "Call":
        """Begin an exchange; its `head` and `read` follow it, its `hang_up` ends it."""
        call = Call(self._app, method, path, headers, body)
        self._open[call] = None
        call.task.add_done_callback(lambda _: self._open.pop(call))
        return call

    async def stop(self, grace: float) -> None:
        """Open calls may end by themselves for `grace` seconds; then they are cancelled, as uvicorn does it."""
        tasks = [call.task for call in self._open]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in [task for task in tasks if task in late]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Call:
    """One exchange, as its caller holds it."""

    def __init__(self, app: ASGIApp, method: str, path: str, headers: Headers, body: bytes) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._body: bytes | None = body
        self._arrived = bytearray()
        self._changed = asyncio.Event()
        self._drained = asyncio.Event()
        self._gone = asyncio.Event()
        self._started = self._complete = self._cut = False
        self.task = asyncio.create_task(self._run(app, self._scope(method, path, headers)))

    async def head(self) -> None:
        """Wait for status and headers. Raises Cut."""
        while not self._started:
            if self._cut:
                raise Cut("the server closed before it answered")
            await self._change()

    async def read(self, most: int | None = None) -> bytes:
        """What has arrived, or so many bytes of it, as soon as anything has; b"" at the end. Raises Cut."""
        while not self._arrived:
            if self._complete:
                return b""
            if self._cut:
                raise Cut("the answer broke off")
            await self._change()
        data = bytes(self._arrived[:most])
        del self._arrived[: len(data)]
        self._drained.set()
        return data

    def hang_up(self) -> None:
        """The caller has gone (or is satisfied: after the end this changes nothing)."""
        self._gone.set()
        self._drained.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _run(self, app: ASGIApp, scope: dict[str, object]) -> None:
        try:
            await app(scope, self._receive, self._send)
        except Exception:
            log.exception("%s %s: the application failed", scope["method"], scope["path"])
            if not self._started:
                await self._send({"type": "http.response.start", "status": 500, "headers": []})
                await self._send({"type": "http.response.body", "body": b"Internal Server Error"})
        finally:
            self._cut = not self._complete
            self._gone.set()
            self._changed.set()

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._gone.is_set():
            return
        if message["type"] == "http.response.start":
            self._started, self.status = True, message["status"]
            self.headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", [])]
            self._changed.set()
            return
        self._arrived += message.get("body", b"")
        self._complete = not message.get("more_body", False)
        if self._complete:
            self._gone.set()
        self._changed.set()
        while len(self._arrived) > HIGH_WATER and not self._gone.is_set():
            self._drained.clear()
            await self._drained.wait()

    def _scope(self, method: str, path: str, headers: Headers) -> dict[str, object]:
        route, _, query = path.partition("?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": route,
            "raw_path": route.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in headers],
            "client": ("127.0.0.1", 0),  # no port: there is no connection that could be counted
            "server": ("127.0.0.1", 80),
            "state": {},
        }


class Transport(httpx2.AsyncBaseTransport):
    """An http client's way to a served application."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        path = request.url.raw_path.decode()
        call = self._served.call(request.method, path, request.headers.raw, body)
        try:
            await call.head()
        except Cut as error:
            raise httpx2.RemoteProtocolError(str(error), request=request) from None
        except BaseException:
            call.hang_up()
            raise
        return httpx2.Response(call.status, headers=call.headers, stream=_Body(call, request))


class _Body(httpx2.AsyncByteStream):
    def __init__(self, call: Call, request: httpx2.Request) -> None:
        self._call, self._request = call, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while data := await self._call.read():
                yield data
        except Cut as error:
            raise httpx2.RemoteProtocolError(str(error), request=self._request) from None

    async def aclose(self) -> None:
        self._call.hang_up()


@contextlib.asynccontextmanager
async def served(app: ASGIApp, lifespan: contextlib.AbstractAsyncContextManager[object]) -> AsyncIterator[Served]:
    """`app` with its lifespan around it; what is still open when the block ends is cancelled."""
    async with lifespan:
        program = Served(app)
        try:
            yield program
        finally:
            await program.stop(grace=0)
