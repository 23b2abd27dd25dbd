"""How Claude is called, with real threads and real sockets: a blocking client, a thread pool, a client per request."""

import asyncio
import contextlib
import socket
import socketserver
import threading
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from gateway_under_test import create_app
from gateway_under_test.settings import Settings
from mockclaude.testing import MockClaude
from tests.gateway.lines import Lines

pytestmark = pytest.mark.system
SLOW = {"ttft": {"distribution": "constant", "value": 0.3}, "tokens_per_second": 1000, "prefill": False}


@contextlib.asynccontextmanager
async def gateway(mock: Any, **switches: Any) -> AsyncIterator[tuple[httpx2.AsyncClient, Lines]]:
    lines = Lines()
    chosen = Settings(anthropic_base_url=mock.url, anthropic_api_key="sk", valid_api_keys=("good",), **switches)
    app = create_app(chosen, log=lines)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app),
            base_url="http://gateway",
            headers={"x-api-key": "good"},
            timeout=None,
        ) as caller,
    ):
        yield caller, lines


@contextlib.contextmanager
def refusing() -> Iterator[tuple[str, list[Any]]]:
    """A Claude in a thread of its own that answers 529 on connections it keeps open; and those it was asked for."""
    opened: list[Any] = []

    class Refuse(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            opened.append(self.client_address)
            while self.rfile.readline():
                length = 0
                while (line := self.rfile.readline().strip()) != b"":
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                self.rfile.read(length)
                self.wfile.write(b"HTTP/1.1 529 Overloaded\r\ncontent-length: 2\r\n\r\n{}")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refuse) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", opened
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def full_backlog() -> Iterator[str]:
    """A listener whose line is full, so that another handshake is not answered."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def ask(caller: httpx2.AsyncClient, message: str, path: str = "/chat") -> httpx2.Response:
    return await caller.post(path, json={"message": message, "max_tokens": 4})


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
@pytest.mark.parametrize("calls", ["async", "sync", "threadpool"])
async def test_a_blocking_call_holds_everybody_up_and_no_other_does(calls: str, path: str):
    held_up = 0.0

    async def bystander() -> None:
        nonlocal held_up
        while True:
            before = asyncio.get_running_loop().time()
            await asyncio.sleep(0.01)
            held_up = max(held_up, asyncio.get_running_loop().time() - before)

    with MockClaude(latency={**SLOW, "ttft": {"distribution": "constant", "value": 1.0}}) as mock:
        async with gateway(mock, calls=calls, cache=None) as (caller, lines):
            other = asyncio.create_task(bystander())
            answers = await asyncio.gather(*(ask(caller, f"{n}", path) for n in range(3)))
            await asyncio.sleep(0.05)  # its turn, if it was held up until now
            other.cancel()

    assert [answer.status_code for answer in answers] == [200] * 3
    assert (held_up > 0.8) == (calls == "sync")
    assert [line["sends"] for line in lines.attempts] == [1] * 3


async def test_the_thread_pool_has_forty_threads():
    with MockClaude(latency=SLOW) as mock:
        async with gateway(mock, preset="naive", calls="threadpool") as (caller, _):
            await asyncio.gather(*(ask(caller, f"{n}") for n in range(60)))
        running = [(record["t"], record["ended"]) for record in mock.journal()]

    most = max(sum(start <= at < end for start, end in running) for at, _ in running)
    assert 30 <= most <= 40


@pytest.mark.parametrize("calls", ["async", "sync"])
@pytest.mark.parametrize(("client", "connections"), [("shared", 1), ("per_request", 4)])
async def test_a_client_per_request_opens_a_connection_for_each(client: str, connections: int, calls: str):
    with refusing() as (url, opened):
        async with gateway(SimpleNamespace(url=url), preset="naive", attempts=1, client=client, calls=calls) as (
            caller,
            _,
        ):
            for n in range(4):
                assert (await ask(caller, f"{n}")).status_code == 503

    assert len(opened) == connections


@pytest.mark.parametrize("calls", ["async", "sync", "threadpool"])
async def test_a_claude_that_does_not_answer_in_time_is_a_timeout(calls: str):
    with MockClaude(faults=[{"name": "hang", "seconds": 5}]) as mock:
        async with gateway(mock, calls=calls, attempt_timeout=0.3, attempts=1) as (caller, lines):
            answer = await ask(caller, "hello")

    assert (answer.status_code, answer.json()["error"]["type"]) == (504, "timeout")
    assert lines.outcomes == ["timeout"]


@pytest.mark.parametrize("calls", ["async", "sync", "threadpool"])
async def test_no_connection_is_no_attempt_that_claude_saw(calls: str):
    async with gateway(SimpleNamespace(url="http://127.0.0.1:9"), calls=calls, attempts=1) as (caller, lines):
        answer = await ask(caller, "hello")

    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "unreachable")
    assert [line["sends"] for line in lines.attempts] == [0]


@pytest.mark.parametrize(("seconds", "outcome"), [(0.3, "unreachable"), (None, "timeout")])
async def test_a_connection_that_does_not_come_about_is_given_up(seconds: float | None, outcome: str):
    """A full backlog: the handshake of one more connection is not answered."""
    with full_backlog() as url:
        async with gateway(SimpleNamespace(url=url), connect_timeout=seconds, attempt_timeout=1.0, attempts=1) as (
            caller,
            _,
        ):
            answer = await ask(caller, "hello")

    assert answer.json()["error"]["type"] == outcome


@pytest.mark.parametrize(("client", "leaves"), [("shared", 0.15), ("per_request", 0.6)])
async def test_the_journal_and_the_lines_agree_id_by_id_though_connections_break(client: str, leaves: float):
    """Those that break when they have been answered, in the middle or before a byte; and callers who leave. Making ten
    clients takes a while, before which there is nothing to leave."""
    broken = [
        {"name": "cut", "how": "rst", "share": 0.2},
        {"name": "cut", "how": "fin", "share": 0.2},
        {"name": "cut", "after": 0, "how": "rst", "share": 0.2},
        {"name": "hang", "seconds": 0.1, "share": 0.2},
        {"name": "truncate", "share": 0.2},
        {"name": "status", "code": 529, "share": 0.2},
    ]

    async def asked(caller: httpx2.AsyncClient, n: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(leaves if n % 4 == 0 else 30):
                await ask(caller, f"{n}", "/chat/stream" if n % 2 else "/chat")

    with MockClaude(seed=1, latency=SLOW, faults=broken) as mock:
        async with gateway(mock, client=client, breaker=None, backoff={"base": 0.01, "cap": 0.02}) as (
            caller,
            lines,
        ):
            for turn in range(3):
                await asyncio.gather(*(asked(caller, 10 * turn + n) for n in range(10)))
        journal = mock.journal()

    told = [line["request_id"] for line in lines.attempts for _ in range(line["sends"])]
    assert sorted(told) == sorted(record["request_id"] for record in journal)
    assert len(journal) > 30
    assert {"complete", "overloaded", "upstream_error"} <= {line["outcome"] for line in lines.attempts}
