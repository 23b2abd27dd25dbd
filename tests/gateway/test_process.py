"""The process: real sockets and signals, and what Claude sees when an attempt is given up."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.gateway.process import caller, serving, start

pytestmark = pytest.mark.system


@dataclass
class SilentClaude:
    """Takes requests and never answers; notes their ids, and when their connections end."""

    port: int = 0
    ids: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    expected: int = 1

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

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


@pytest.fixture
async def claude() -> AsyncIterator[SilentClaude]:
    silent = SilentClaude()
    server = await asyncio.start_server(silent.handle, "127.0.0.1", 0)
    silent.port = server.sockets[0].getsockname()[1]
    yield silent
    server.close()


async def test_sigterm_with_open_requests_ends_in_time_and_logs_each_attempt(claude):
    claude.expected = 40
    async with serving(claude.url, GATEWAY_DRAIN="1") as gateway, caller(gateway.url) as client:
        asks = [(path, {"message": f"{n}"}) for n in range(20) for path in ("/chat", "/chat/stream")]
        requests = [asyncio.create_task(client.post(path, json=ask)) for path, ask in asks]
        async with asyncio.timeout(20):
            await claude.arrived.wait()

        signalled = asyncio.get_running_loop().time()
        code, lines, err = await gateway.stop(signal.SIGTERM)
        took = asyncio.get_running_loop().time() - signalled
        responses = await asyncio.gather(*requests)

    attempts = [line for line in lines if line["event"] == "attempt"]
    assert (code, took < 8.0) == (0, True)
    assert sorted(line["request_id"] for line in attempts) == sorted(claude.ids)
    assert {(line["outcome"], line["sent"]) for line in attempts} == {("aborted", True)}
    assert {(response.status_code, response.json()["error"]["type"]) for response in responses} == {(503, "shed")}
    assert err == ""  # what there is to say of the requests that are cut is a line of our log
    assert [line["requests"] for line in lines if line["event"] in ("draining", "cut")] == [40, 40]
    assert [line for line in lines if line["event"] == "server"] == []


@pytest.fixture
async def talking() -> AsyncIterator[TalkingClaude]:
    claude = TalkingClaude()
    server = await asyncio.start_server(claude.handle, "127.0.0.1", 0)
    claude.port = server.sockets[0].getsockname()[1]
    yield claude
    server.close()


@pytest.mark.parametrize(("parser", "chunked"), [("httptools", True), ("h11", False)])
async def test_a_proxy_that_speaks_http_1_0_gets_chunks_of_one_parser_and_an_end_of_the_other(talking, parser, chunked):
    asked = b"POST /chat/stream HTTP/1.0\r\nx-api-key: good\r\ncontent-type: application/json\r\n"
    async with serving(talking.url, GATEWAY_HTTP_PARSER=parser) as gateway, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*gateway.address)
        writer.write(asked + b'content-length: 17\r\n\r\n{"message": "hi"}')
        answer = await reader.read()
        writer.close()

    head, _, body = answer.partition(b"\r\n\r\n")
    assert (b"transfer-encoding: chunked" in head.lower()) is chunked
    assert body.endswith(b"0\r\n\r\n" if chunked else b"data: [DONE]\n\n")


async def test_a_stream_that_can_end_within_the_drain_does(talking):
    async with serving(talking.url) as gateway, caller(gateway.url) as client:
        async with client.stream("POST", "/chat/stream", json={"message": "hi"}) as response:
            lines = response.aiter_lines()
            first = await anext(lines)
            gateway.process.send_signal(signal.SIGTERM)
            rest = [line async for line in lines]
        code = await gateway.process.wait()

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

    async with serving(claude.url, GATEWAY_DRAIN="0.5") as gateway, caller(gateway.url) as client:
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
    async with serving(claude.url) as gateway:
        got, _, err = await gateway.stop(number)

    assert (got, err) == (code, "")


async def test_an_attempt_given_up_is_hung_up_at_once(claude):
    limits = {"GATEWAY_PRESET": "naive", "GATEWAY_ATTEMPT_TIMEOUT": "0.3", "GATEWAY_ATTEMPTS": "1"}
    async with serving(claude.url, **limits) as gateway, caller(gateway.url) as client:
        response = await client.post("/chat", json={"message": "hi"})
        async with asyncio.timeout(1.0):
            await claude.hung_up.wait()
        _, lines, _ = await gateway.stop(signal.SIGTERM)

    assert response.status_code == 504
    assert [(line["outcome"], line["sent"]) for line in lines if line["event"] == "attempt"] == [("timeout", True)]


async def test_a_claude_that_is_not_there_is_unreachable_and_nothing_was_sent(claude):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        claude.port = nobody.getsockname()[1]
    async with serving(claude.url, GATEWAY_ATTEMPTS="1") as gateway, caller(gateway.url) as client:
        response = await client.post("/chat", json={"message": "hi"})
        _, lines, _ = await gateway.stop(signal.SIGTERM)

    assert (response.status_code, response.json()["error"]["type"]) == (503, "unreachable")
    assert [line["sent"] for line in lines if line["event"] == "attempt"] == [False]


async def test_an_inherited_socket_is_served(claude):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        async with serving(claude.url, "--fd", str(fd), pass_fds=(fd,)) as gateway:
            async with caller(f"http://127.0.0.1:{port}") as client:
                response = await client.get("/readyz")
            await gateway.stop(signal.SIGTERM)

    assert response.json()["status"] == "ready"


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        ((), {"ANTHROPIC_API_KEY": ""}, "ANTHROPIC_API_KEY: is not set"),
        ((), {"VALID_API_KEYS": " , "}, "VALID_API_KEYS: is not set"),
        ((), {"GATEWAY_ATTEMPTS": "many"}, 'attempts: got "many", expected integer'),
        ((), {"GATEWAY_DRAIN": "-1"}, "drain: got -1, expected greater than or equal to 0"),
        ((), {"GATEWAY_WORKERS": "0"}, "workers: got 0, expected greater than or equal to 1"),
        ((), {"GATEWAY_RATE_LIMIT": "many"}, 'rate_limit: got "many", expected'),
        ((), {"VALID_API_KEYS_FILE": "/nowhere/keys"}, "VALID_API_KEYS_FILE: "),
        (("--port", "BUSY"), {}, "cannot listen on 127.0.0.1:"),
        (("--port", "70000"), {}, 'argument --port: got "70000", expected a whole number from 0 to 65535'),
        (("--port", "http"), {}, 'argument --port: got "http", expected a whole number from 0 to 65535'),
        (("--workers", "0"), {}, 'argument --workers: got "0", expected a whole number from 1'),
        (("--workers", "-2"), {}, "argument --workers: "),
        (("--host", "no.such.host.invalid", "--port", "0"), {}, "cannot listen on no.such.host.invalid:0: "),
        (("--host", "x" * 70, "--port", "0"), {}, "cannot listen on xxx"),
        (("--host", "192.0.2.1", "--port", "0"), {}, "cannot listen on 192.0.2.1:0: "),
        (("--fd", "99"), {}, "cannot listen on fd 99: Bad file descriptor; expected a listening socket"),
        (("--fd", "0"), {}, "cannot listen on fd 0: "),
        (("--prot", "1"), {}, "unrecognized arguments: --prot 1"),
        (("serve",), {}, "unrecognized arguments: serve"),
    ],
    ids=lambda value: " ".join(map(str, value))[:40] if isinstance(value, (tuple, dict)) else "",
)
async def test_a_gateway_that_cannot_run_says_why_in_one_line(arguments, environ, words):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        gateway = await start(*(port if each == "BUSY" else each for each in arguments), **environ)
        try:
            code, lines, err = await gateway.end(within=30)
        finally:
            await gateway.kill()

    assert (code, lines) == (2, [])
    assert words in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "", "[]", '{"drain": -1}'], ids=lambda text: text[:8])
async def test_check_tells_what_is_wrong_as_json(text):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway_under_test", "--check", "-"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    out, err = await process.communicate(text.encode())

    assert (process.returncode, err) == (2, b"")
    assert [set(problem) for problem in json.loads(out)] == [{"loc", "message"}]


async def test_check_needs_neither_the_web_framework_nor_the_sdk():
    code = (
        "import sys; from gateway_under_test import cli; code = cli.main(['--check', '-']);"
        "sys.exit(code or len({'fastapi', 'anthropic', 'uvicorn', 'httpx2'} & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE)

    await process.communicate(b'{"preset": "naive"}')

    assert process.returncode == 0
