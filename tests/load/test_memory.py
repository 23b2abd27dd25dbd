"""HTTP in memory does what a socket and uvicorn would do."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from loadtests.programs.memory import HIGH_WATER, Call, Cut, Served, Transport

Answer = Callable[[Scope, Receive, Send], Awaitable[None]]
pytestmark = pytest.mark.looptime


def head(status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [(b"x-a", b"1")]}


def body(data: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def ask(answer: Answer, data: bytes = b"") -> Call:
    return Served(answer).call("POST", "/p?q=1", [(b"X-B", b"2")], data)


async def everything(call: Call) -> bytes:
    found = b""
    while data := await call.read():
        found += data
    return found


async def slowly(scope: Scope, receive: Receive, send: Send) -> None:
    await send(head())
    for data in (b"a", b"b", b"c"):
        await asyncio.sleep(1)
        await send(body(data))
    await send(body(b"", more=False))


async def test_a_call_has_the_request_and_gets_the_answer():
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        request = await receive()
        await send(head(201))
        told = f"{scope['method']} {scope['path']} {scope['query_string']} {scope['headers']} {request['body']}"
        await send(body(told.encode(), more=False))

    call = ask(echo, b"hello")
    await call.head()

    assert (call.status, call.headers) == (201, [(b"x-a", b"1")])
    assert await everything(call) == b"POST /p b'q=1' [(b'x-b', b'2')] b'hello'"


async def test_a_stream_arrives_piece_by_piece_when_it_is_sent():
    loop = asyncio.get_running_loop()
    start = loop.time()
    call = ask(slowly)

    await call.head()
    arrivals = [(loop.time() - start, b"")]
    while data := await call.read():
        arrivals.append((loop.time() - start, data))

    assert arrivals == [(0, b""), (1, b"a"), (2, b"b"), (3, b"c")]


async def test_who_hangs_up_is_a_disconnect_to_the_application():
    told: list[tuple[float, str]] = []

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        message = await receive()
        told.append((asyncio.get_running_loop().time(), message["type"]))
        await send(head())  # into the void, as uvicorn lets it

    start = asyncio.get_running_loop().time()
    call = ask(waits)
    await asyncio.sleep(5)
    call.hang_up()
    await call.task

    assert told == [(start + 5, "http.disconnect")]


async def test_an_application_that_has_answered_sees_a_disconnect_too():
    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(head())
        await send(body(b"x", more=False))
        assert (await receive())["type"] == "http.disconnect"

    call = ask(answers)

    assert await everything(call) == b"x"
    await call.task


async def test_an_application_that_fails_before_its_answer_is_a_500(caplog: pytest.LogCaptureFixture):
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("no")

    call = ask(fails)
    await call.head()

    assert (call.status, await everything(call)) == (500, b"Internal Server Error")
    assert "POST /p: the application failed" in caplog.text


@pytest.mark.parametrize("before", [True, False], ids=["before the head", "in mid-body"])
async def test_an_application_that_just_ends_is_a_cut(before: bool):
    async def stops(scope: Scope, receive: Receive, send: Send) -> None:
        if not before:
            await send(head())
            await send(body(b"half"))

    call = ask(stops)

    if before:
        with pytest.raises(Cut):
            await call.head()
    else:
        await call.head()
        assert await call.read() == b"half"
        with pytest.raises(Cut):
            await call.read()


async def test_a_reader_that_does_not_read_holds_the_writer_up():
    sent: list[int] = []

    async def floods(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head())
        for number in range(10):
            await send(body(b"x" * HIGH_WATER))
            sent.append(number)
        await send(body(b"", more=False))

    call = ask(floods)
    await asyncio.sleep(10)
    before = len(sent)
    whole = await everything(call)

    assert before == 1
    assert (len(sent), len(whole)) == (10, 10 * HIGH_WATER)


async def test_a_reader_may_take_so_many_bytes_and_no_more():
    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head())
        await send(body(b"abcdefg", more=False))

    call = ask(answers)

    assert [await call.read(3), await call.read(3), await call.read(3), await call.read(3)] == [
        b"abc",
        b"def",
        b"g",
        b"",
    ]


async def test_open_calls_have_the_grace_time_to_end_and_are_then_cancelled():
    served = Served(slowly)
    calls = [served.call("GET", "/", [], b"")]
    await asyncio.sleep(2.5)
    calls.append(served.call("GET", "/", [], b""))

    await served.stop(grace=1)

    assert await everything(calls[0]) == b"abc"
    await calls[1].head()
    with pytest.raises(Cut):
        await everything(calls[1])


async def test_an_http_client_streams_through_memory():
    transport = Transport(Served(slowly))
    async with httpx2.AsyncClient(transport=transport) as http, http.stream("GET", "http://x/") as response:
        pieces = [piece async for piece in response.aiter_raw()]

    assert (response.status_code, response.headers["x-a"], pieces) == (200, "1", [b"a", b"b", b"c"])


async def test_an_http_client_sees_a_cut_as_a_broken_protocol():
    async def stops(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head())
        await send(body(b"half"))

    async with httpx2.AsyncClient(transport=Transport(Served(stops))) as http:
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.get("http://x/")


async def test_a_client_that_gives_up_hangs_up():
    left = asyncio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with httpx2.AsyncClient(transport=Transport(Served(waits)), timeout=None) as http:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await http.get("http://x/")
        await asyncio.wait_for(left.wait(), 1)


async def test_a_client_that_leaves_a_stream_hangs_up():
    left = asyncio.Event()

    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(head())
        await send(body(b"first"))
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    async with httpx2.AsyncClient(transport=Transport(Served(streams)), timeout=None) as http:
        async with http.stream("GET", "http://x/") as response:
            await anext(response.aiter_raw())
        await asyncio.wait_for(left.wait(), 1)
