"""SIGTERM in the middle of streams, in front of the real mock: each finishes or says that it is cut."""

import asyncio
import json
import signal
from dataclasses import dataclass, field

import pytest

from mockclaude.testing import MockClaude
from tests.gateway.process import caller, serving

pytestmark = pytest.mark.system

SHORT = {"model": "claude-haiku-4-5", "max_tokens": 6}
LONG = {"model": "claude-sonnet-4-5", "max_tokens": 1000}
TTFT = {"distribution": "constant", "value": 0.1}
LATENCY = {
    "haiku": {"ttft": TTFT, "tokens_per_second": 10, "tokens_per_delta": 1},
    "sonnet": {"ttft": TTFT, "tokens_per_second": 2, "tokens_per_delta": 1},
}


@dataclass
class Heard:
    """What one caller heard of a stream."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return "data: [DONE]" in self.lines or "event: message_stop" in self.lines

    @property
    def error(self) -> str | None:
        """The type of the error that was told last."""
        told = [json.loads(self.lines[n + 1][6:]) for n, line in enumerate(self.lines) if line == "event: error"]
        return told[-1]["error"]["type"] if told else None


async def listen(client, path, heard, message="hi", **asked):
    """Ask for a stream and hear it to its end; raises when it is cut without one."""
    words = {"message": message} if path == "/chat/stream" else {"messages": [{"role": "user", "content": message}]}
    version = {"anthropic-version": "2023-06-01"}
    async with client.stream("POST", path, json={**words, **asked, "stream": True}, headers=version) as response:
        heard.status = response.status_code
        async for line in response.aiter_lines():
            heard.lines.append(line)
            heard.begun.set()


@pytest.fixture
def mock():
    with MockClaude(seed=1, latency=LATENCY) as mock:
        yield mock


@pytest.mark.parametrize("path", ["/chat/stream", "/v1/messages"])
async def test_of_fifty_streams_each_finishes_or_is_told(mock, path):
    short, long = [Heard() for _ in range(25)], [Heard() for _ in range(25)]

    async with serving(mock.url, GATEWAY_DRAIN="2") as gateway, caller(gateway.url) as client, asyncio.timeout(30):
        async with asyncio.TaskGroup() as callers:
            for n, (one, other) in enumerate(zip(short, long, strict=True)):
                callers.create_task(listen(client, path, other, f"long {n}", **LONG))
                callers.create_task(listen(client, path, one, f"short {n}", **SHORT))
            for heard in (*short, *long):
                await heard.begun.wait()
            gateway.process.send_signal(signal.SIGTERM)
            signalled = asyncio.get_running_loop().time()
        code, lines, err = await gateway.end()
        took = asyncio.get_running_loop().time() - signalled

    requests = [line["outcome"] for line in lines if line["event"] == "request"]
    assert {heard.status for heard in (*short, *long)} == {200}
    # a busy machine may make a short one long, but none of them is cut without a word
    assert all(heard.finished != (heard.error is not None) for heard in short)
    assert any(heard.finished for heard in short)
    assert [(heard.finished, heard.error) for heard in long] == [
        (False, "shed" if path == "/chat/stream" else "overloaded_error")
    ] * 25
    assert (code, err) == (0, "")
    assert 2.0 < took < 9.0
    assert (requests.count("complete") + requests.count("aborted"), requests.count("aborted") >= 25) == (50, True)
    assert [line["requests"] >= 25 for line in lines if line["event"] == "cut"] == [True]


async def test_the_drain_lasts_as_long_as_it_is_set(mock):
    heard = Heard()
    async with serving(mock.url, GATEWAY_DRAIN="1.5") as gateway, caller(gateway.url) as client:
        task = asyncio.create_task(listen(client, "/chat/stream", heard, **LONG))
        await heard.begun.wait()
        signalled = asyncio.get_running_loop().time()
        await gateway.stop(signal.SIGTERM)
        await task
        took = asyncio.get_running_loop().time() - signalled

    assert heard.error == "shed"
    assert 1.5 < took < 6.0


async def test_the_naive_drain_is_none_but_each_stream_is_still_told(mock):
    heard = {path: [Heard() for _ in range(5)] for path in ("/chat/stream", "/v1/messages")}

    async with serving(mock.url, GATEWAY_PRESET="naive") as gateway, caller(gateway.url) as client:
        async with asyncio.TaskGroup() as callers:
            for path, each in heard.items():
                for n, one in enumerate(each):
                    callers.create_task(listen(client, path, one, f"naive {n}", **LONG))
                    await one.begun.wait()
            gateway.process.send_signal(signal.SIGTERM)
        code, lines, err = await gateway.end()

    assert (code, err) == (0, "")
    assert {one.error for one in heard["/chat/stream"]} == {"shed"}
    assert {one.error for one in heard["/v1/messages"]} == {"overloaded_error"}
    [draining] = [line for line in lines if line["event"] == "draining"]
    [cut] = [line for line in lines if line["event"] == "cut"]
    assert (draining["seconds"], draining["requests"], cut["requests"]) == (0.0, 10, 10)


@pytest.mark.parametrize("length", [17, 99], ids=["a whole question", "half a body"])
async def test_who_has_no_answer_yet_is_told_that_we_are_full(mock, length):
    mock.configure(latency={"ttft": {"distribution": "constant", "value": 30.0}})
    head = f"host: x\r\nx-api-key: good\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"

    async with serving(mock.url, GATEWAY_DRAIN="0.5") as gateway, caller(gateway.url) as client:
        reader, writer = await asyncio.open_connection(*gateway.address)
        writer.write(f'POST /chat HTTP/1.1\r\n{head}{{"message": "hi"}}'.encode())
        for _ in range(3):  # what was sent before has then been read
            await client.get("/livez")
        await gateway.stop(signal.SIGTERM)
        said = await reader.read()
        writer.close()

    told, _, body = said.partition(b"\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 503") and b"\r\nretry-after: 1" in told and b"\r\nconnection: close" in told
    assert json.loads(body)["error"]["type"] == "shed"


async def test_while_it_drains_nobody_new_is_let_in(mock):
    heard = Heard()
    async with serving(mock.url) as gateway, caller(gateway.url) as client:
        idle, writer = await asyncio.open_connection(*gateway.address)
        task = asyncio.create_task(listen(client, "/chat/stream", heard, **LONG))
        await heard.begun.wait()
        gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            said = await idle.read()  # until it is closed
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*gateway.address)
        still_open = not task.done()
        gateway.process.kill()
        await asyncio.gather(task, return_exceptions=True)

    assert (said, still_open) == (b"", True)
