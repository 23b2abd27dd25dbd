"""The process: real sockets and signals, and what Claude sees when an attempt is given up."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

pytestmark = pytest.mark.system


@dataclass
class SilentClaude:
    """Takes requests and never answers; notes their ids, and when their connections end."""

    port: int = 0
    ids: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    expected: int = 1

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.ids += [line.split(": ")[1] for line in head.splitlines() if line.lower().startswith("x-request-id")]
        if len(self.ids) >= self.expected:
            self.arrived.set()
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        self.hung_up.set()
        writer.close()


class TalkingClaude(SilentClaude):
    """Streams one word at once and another a little later."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        writer.write(event("content_block_delta", index=0, delta={"type": "text_delta", "text": "one"}))
        await asyncio.sleep(0.75)
        writer.write(event("content_block_delta", index=0, delta={"type": "text_delta", "text": "two"}))
        writer.write(event("message_stop"))
        writer.close()


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


@dataclass
class Process:
    process: asyncio.subprocess.Process
    url: str = ""

    async def ready(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if json.loads(line)["event"] == "listening":
                self.url = json.loads(line)["url"]
                return

    async def stop(self, number: int) -> tuple[int, list[dict[str, Any]], str]:
        """Send the signal; the exit code, the log's lines and what went to stderr."""
        self.process.send_signal(number)
        async with asyncio.timeout(10):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


@pytest.fixture
async def claude() -> AsyncIterator[SilentClaude]:
    silent = SilentClaude()
    server = await asyncio.start_server(silent.handle, "127.0.0.1", 0)
    silent.port = server.sockets[0].getsockname()[1]
    yield silent
    server.close()


async def start(*arguments: str, pass_fds: tuple[int, ...] = (), **environ: str) -> Process:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "ANTHROPIC_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway_under_test", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=pass_fds,
        env={**clean, "ANTHROPIC_API_KEY": "sk-ours", "VALID_API_KEYS": "good", **environ},
    )
    return Process(process)


@contextlib.asynccontextmanager
async def serving(claude: SilentClaude, *arguments: str, **more: Any) -> AsyncIterator[Process]:
    gateway = await start(*(arguments or ("--port", "0")), ANTHROPIC_BASE_URL=f"http://127.0.0.1:{claude.port}", **more)
    try:
        async with asyncio.timeout(30):
            await gateway.ready()
        yield gateway
    finally:
        with contextlib.suppress(ProcessLookupError):
            gateway.process.kill()
        await gateway.process.wait()


def caller(url: str) -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=None)
    return httpx2.AsyncClient(base_url=url, headers={"x-api-key": "good"}, timeout=30, trust_env=False, limits=limits)


async def test_sigterm_with_open_requests_ends_in_time_and_logs_each_attempt(claude):
    claude.expected = 40
    async with serving(claude) as gateway, caller(gateway.url) as client:
        paths = ["/chat", "/chat/stream"] * 20
        requests = [asyncio.create_task(client.post(path, json={"message": "hi"})) for path in paths]
        async with asyncio.timeout(20):
            await claude.arrived.wait()

        signalled = asyncio.get_running_loop().time()
        code, lines, err = await gateway.stop(signal.SIGTERM)
        took = asyncio.get_running_loop().time() - signalled
        responses = await asyncio.gather(*requests)

    attempts = [line for line in lines if line["event"] == "attempt"]
    assert (code, took < 3.0) == (0, True)
    assert sorted(line["request_id"] for line in attempts) == sorted(claude.ids)
    assert {(line["outcome"], line["sent"]) for line in attempts} == {("aborted", True)}
    assert {(response.status_code, response.json()["error"]["type"]) for response in responses} == {(503, "shed")}
    assert err == ""  # what uvicorn has to say of the requests it cuts is a line of our log
    assert [line["message"] for line in lines if line["event"] == "server"] == [
        "Cancel 40 running task(s), timeout graceful shutdown exceeded"
    ]


async def test_a_stream_that_can_end_within_the_grace_period_does():
    claude = TalkingClaude()
    server = await asyncio.start_server(claude.handle, "127.0.0.1", 0)
    claude.port = server.sockets[0].getsockname()[1]

    async with serving(claude) as gateway, caller(gateway.url) as client:
        async with client.stream("POST", "/chat/stream", json={"message": "hi"}) as response:
            lines = response.aiter_lines()
            first = await anext(lines)
            gateway.process.send_signal(signal.SIGTERM)
            rest = [line async for line in lines]
        code = await gateway.process.wait()
    server.close()

    assert (code, first) == (0, 'data: {"text": "one"}')
    assert 'data: {"text": "two"}' in rest and "data: [DONE]" in rest


class EndlessClaude(SilentClaude):
    """Begins a stream and never ends it."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        writer.write(event("ping"))
        await super().handle(reader, writer)


@pytest.mark.parametrize("begun", [False, True])
async def test_sigterm_tells_who_speaks_claudes_protocol_in_it(begun):
    claude = EndlessClaude() if begun else SilentClaude()
    server = await asyncio.start_server(claude.handle, "127.0.0.1", 0)
    claude.port = server.sockets[0].getsockname()[1]

    async with serving(claude) as gateway, caller(gateway.url) as client:
        asked = asyncio.create_task(client.post("/v1/messages", content=b'{"stream":true}'))
        async with asyncio.timeout(10):
            await claude.arrived.wait()
        await asyncio.sleep(0.2)
        code, lines, err = await gateway.stop(signal.SIGTERM)
        response = await asked
    server.close()

    said = response.text.removeprefix(event("ping").decode()).removeprefix("event: error\ndata: ") if begun else None
    error = json.loads(said or response.text)
    assert (code, err, response.status_code) == (0, "", 200 if begun else 529)
    assert (error["type"], error["error"]["type"]) == ("error", "overloaded_error")
    assert [line["outcome"] for line in lines if line["event"] in ("attempt", "request")] == ["aborted"] * 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_ends_an_idle_gateway(claude, number, code):
    async with serving(claude) as gateway:
        got, _, err = await gateway.stop(number)

    assert (got, err) == (code, "")


async def test_an_attempt_given_up_is_hung_up_at_once(claude):
    limits = {"GATEWAY_PRESET": "naive", "GATEWAY_ATTEMPT_TIMEOUT": "0.3", "GATEWAY_ATTEMPTS": "1"}
    async with serving(claude, **limits) as gateway, caller(gateway.url) as client:
        response = await client.post("/chat", json={"message": "hi"})
        async with asyncio.timeout(1.0):
            await claude.hung_up.wait()
        _, lines, _ = await gateway.stop(signal.SIGTERM)

    assert response.status_code == 504
    assert [(line["outcome"], line["sent"]) for line in lines if line["event"] == "attempt"] == [("timeout", True)]


async def test_a_claude_that_is_not_there_is_unreachable_and_nothing_was_sent(claude):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        claude.port = nobody.getsockname()[1]
    async with serving(claude, GATEWAY_ATTEMPTS="1") as gateway, caller(gateway.url) as client:
        response = await client.post("/chat", json={"message": "hi"})
        _, lines, _ = await gateway.stop(signal.SIGTERM)

    assert (response.status_code, response.json()["error"]["type"]) == (503, "unreachable")
    assert [line["sent"] for line in lines if line["event"] == "attempt"] == [False]


async def test_an_inherited_socket_is_served(claude):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        async with serving(claude, "--fd", str(fd), pass_fds=(fd,)) as gateway:
            async with caller(f"http://127.0.0.1:{port}") as client:
                response = await client.get("/readyz")
            await gateway.stop(signal.SIGTERM)

    assert response.json() == {"status": "ready"}


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        ((), {"ANTHROPIC_API_KEY": ""}, "ANTHROPIC_API_KEY: is not set"),
        ((), {"VALID_API_KEYS": " , "}, "VALID_API_KEYS: is not set"),
        ((), {"GATEWAY_ATTEMPTS": "many"}, 'attempts: got "many", expected integer'),
        (("--port", "BUSY"), {}, "cannot listen on 127.0.0.1:"),
    ],
    ids=["no key for Claude", "no keys for callers", "a bad setting", "a busy port"],
)
async def test_a_gateway_that_cannot_run_says_why_in_one_line(arguments, environ, words):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        gateway = await start(*(port if each == "BUSY" else each for each in arguments), **environ)
        _, err = await gateway.process.communicate()

    assert gateway.process.returncode == 2
    assert words in err.decode()
    assert len(err.decode().splitlines()) == 1


async def test_check_needs_neither_the_web_framework_nor_the_sdk():
    code = (
        "import sys; from gateway_under_test import cli; code = cli.main(['--check', '-']);"
        "sys.exit(code or len({'fastapi', 'anthropic', 'uvicorn', 'httpx2'} & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE)

    await process.communicate(b'{"preset": "naive"}')

    assert process.returncode == 0
