"""The connections to Claude on real sockets: what leaves, what is known of it, and how they break."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import pytest

from gateway_under_test.transport import Transport

pytestmark = pytest.mark.system

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CUT = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nthe beginning"


class Claude:
    """A server that does `answer` with each of its connections; counts them and the requests on them."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.url = ""
        self.connections = 0
        self.requests = 0
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await reader.readuntil(b"\r\n\r\n")
                    self.requests += 1
                    await self.answer(reader, writer)
        finally:
            self.ended.set()
            writer.close()


@contextlib.asynccontextmanager
async def talking(answer: Answer) -> AsyncIterator[tuple[httpx2.AsyncClient, Claude]]:
    claude = Claude(answer)
    server = await asyncio.start_server(claude.serve, "127.0.0.1", 0)
    claude.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/messages"
    async with server, httpx2.AsyncClient(transport=Transport(), trust_env=False) as client:
        yield client, claude


def says(*parts: bytes, then_close: bool = False) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(parts)
        await writer.drain()
        if then_close:
            writer.close()

    return answer


class Sent:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


async def test_one_connection_serves_one_request_after_the_other():
    async with talking(says(OK)) as (client, claude):
        for _ in range(3):
            assert (await client.post(claude.url, content=b"")).content == b"{}"

    assert (claude.connections, claude.requests) == (1, 3)


async def test_an_idle_connection_that_claude_has_closed_is_not_used_again():
    async with talking(says(OK, then_close=True)) as (client, claude):
        for _ in range(3):
            assert (await client.post(claude.url)).status_code == 200
            await asyncio.sleep(0.05)

    assert claude.connections == 3


async def test_a_request_that_has_left_says_so_once_and_is_not_sent_again_when_it_is_lost():
    sent = Sent()
    answers = iter([says(OK), says(then_close=True)])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await next(answers)(reader, writer)

    async with talking(answer) as (client, claude):
        await client.get(claude.url)
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(claude.url, extensions={"sent": sent})

    assert (claude.requests, sent.times) == (2, 1)


async def test_a_request_without_a_connection_has_not_left():
    sent = Sent()

    async with httpx2.AsyncClient(transport=Transport(), trust_env=False) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://127.0.0.1:9/", extensions={"sent": sent})

    assert sent.times == 0


@pytest.mark.parametrize("pause", [0.0, 0.1], ids=["read at once", "read when it has broken"])
async def test_what_came_before_an_answer_broke_off_is_read(pause: float):
    heard = []

    async with talking(says(CUT, then_close=True)) as (client, claude), client.stream("POST", claude.url) as response:
        await asyncio.sleep(pause)
        with pytest.raises(httpx2.TransportError):
            async for part in response.aiter_raw():
                heard.append(part)

    assert b"".join(heard) == b"the beginning"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says(b"HTTP/1.1 2", then_close=True), httpx2.RemoteProtocolError),
        (says(b"rubbish\r\n\r\n"), httpx2.RemoteProtocolError),
        (says(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000 + b"\r\n\r\n"), httpx2.RemoteProtocolError),
    ],
    ids=["cut in its head", "no HTTP", "a header without end"],
)
async def test_what_is_no_answer_is_an_error_of_the_protocol(answer: Answer, error: type[Exception]):
    async with talking(answer) as (client, claude):
        with pytest.raises(error):
            await client.post(claude.url)


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (b"/a b", []),
        (b"/caf\xe9", []),
        (b"/\r\nx: y", []),
        (b"/", [(b"x", b"a\r\nb: c")]),
        (b"/", [(b"x", b"a\0b")]),
        (b"/", [(b"x y", b"a")]),
    ],
)
async def test_what_would_not_be_one_request_does_not_leave(target: bytes, headers: list[tuple[bytes, bytes]]):
    sent = Sent()
    request = httpx2.Request("GET", "http://127.0.0.1:9", headers=headers, extensions={"target": target, "sent": sent})

    async with httpx2.AsyncClient(transport=Transport(), trust_env=False) as client:
        with pytest.raises(httpx2.LocalProtocolError):
            await client.send(request)

    assert sent.times == 0


async def test_an_answer_that_comes_before_the_body_was_read_is_heard():
    async with talking(says(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")) as (client, claude):
        answer = await client.post(claude.url, content=bytes(20_000_000))

    assert answer.status_code == 413


async def test_an_upload_that_nobody_waits_for_any_more_ends():
    arrived = []

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)  # it reads nothing meanwhile
        arrived.append(await reader.readexactly(20_000_000))

    async with talking(late) as (client, claude):
        asking = asyncio.create_task(client.post(claude.url, content=bytes(20_000_000)))
        await asyncio.sleep(0.1)
        asking.cancel()
        await asyncio.wait([asking])
        async with asyncio.timeout(2):
            await claude.ended.wait()

    assert arrived == []
