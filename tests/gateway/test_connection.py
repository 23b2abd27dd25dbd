"""Connections that do not come to the point: they hold no place, and they end."""

import asyncio
import os
import resource
import signal
from pathlib import Path

import pytest

from tests.gateway.process import caller, serving

pytestmark = pytest.mark.system

REQUEST = b"POST /chat HTTP/1.1\r\nhost: x\r\nx-api-key: good\r\ncontent-type: application/json\r\n"
NOBODY = "http://127.0.0.1:9"


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def megabytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.fixture
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def half_open(gateway, many):
    """This many connections, none with a whole request; the gateway closes them after a while."""
    beginnings = [b"", b"POST /chat HT", REQUEST, REQUEST + b"content-length: 99\r\n\r\n{"]
    async with asyncio.TaskGroup() as connecting:
        made = [connecting.create_task(asyncio.open_connection(*gateway.address)) for _ in range(many)]
    pairs = [task.result() for task in made]
    for n, (_, writer) in enumerate(pairs):
        writer.write(beginnings[n % len(beginnings)])
    return pairs


async def ends_of(pairs):
    async with asyncio.timeout(20):
        ends = await asyncio.gather(*(reader.read() for reader, _ in pairs))
    for _, writer in pairs:
        writer.close()
    await asyncio.sleep(0.2)
    return [end[:12] for end in ends]


async def test_a_thousand_half_open_connections_hold_no_place_and_end(many_descriptors):
    one_place = {
        "GATEWAY_CONCURRENCY": '{"limit": 1, "max_wait": 0.0}',
        "GATEWAY_ATTEMPTS": "1",
        "GATEWAY_BREAKER": "none",
    }
    async with serving(NOBODY, GATEWAY_BODY_TIMEOUT="2", **one_place) as gateway, caller(gateway.url) as client:
        await client.post("/chat", json={"message": "hi"})
        before = descriptors(gateway.pid), megabytes(gateway.pid)
        pairs = await half_open(gateway, 1000)
        meanwhile = await client.post("/chat", json={"message": "hi"})
        within = descriptors(gateway.pid)
        ends = await ends_of(pairs)
        after = descriptors(gateway.pid), megabytes(gateway.pid)
        await ends_of(await half_open(gateway, 1000))
        again = megabytes(gateway.pid)
        code, lines, err = await gateway.stop(signal.SIGTERM)

    assert meanwhile.json()["error"]["type"] == "unreachable"  # it had the place: Claude was asked
    assert {*ends[0::4], *ends[1::4], *ends[2::4]} == {b""}
    assert b"HTTP/1.1 408" in ends[3::4]
    assert {*ends[3::4]} <= {
        b"",
        b"HTTP/1.1 408",
    }  # on a busy machine a connection's time is up before its head is here
    assert within > before[0] + 500  # the first may be closed before the last is accepted
    assert after[0] <= before[0] + 2
    assert after[1] < before[1] + 20  # what the allocator keeps ...
    assert again < after[1] + 3  # ... serves the next thousand
    assert (code, err, [line for line in lines if line["event"] in ("crash", "server")]) == (0, "", [])


async def test_without_the_switch_a_connection_may_wait(many_descriptors):
    async with serving(NOBODY, GATEWAY_BODY_TIMEOUT="none") as gateway:
        reader, writer = await asyncio.open_connection(*gateway.address)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await reader.read()
        writer.close()


async def trickle(gateway, beginning, part, every):
    """Send the beginning and then a part now and then, until the gateway has enough; what it said."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    said = asyncio.create_task(reader.read())
    writer.write(beginning)
    while not said.done():
        writer.write(part)
        await asyncio.wait((said,), timeout=every)
    writer.close()
    return await said


@pytest.mark.parametrize(
    ("beginning", "answer"),
    [(REQUEST, b""), (b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 999\r\n\r\n", b"HTTP/1.1 404")],
    ids=["a head", "the rest of a body"],
)
async def test_what_trickles_keeps_no_connection_open(beginning, answer):
    async with serving(NOBODY, GATEWAY_BODY_TIMEOUT="1") as gateway, asyncio.timeout(5):
        said = await trickle(gateway, beginning, b"x", every=0.2)

    assert said[:12] == answer


async def test_a_head_without_end_is_refused():
    async with serving(NOBODY) as gateway, asyncio.timeout(5):
        said = await trickle(gateway, REQUEST, b"x-more: " + b"x" * 8000 + b"\r\n", every=0.05)

    assert said[:12] == b"HTTP/1.1 431"


@pytest.mark.parametrize("late", [b"", b"the rest"], ids=["after an answer", "after the rest of a body, too"])
async def test_an_idle_connection_stays_open_for_the_next_request(late):
    first = b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(late)
    async with serving(NOBODY, GATEWAY_BODY_TIMEOUT="0.5") as gateway, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*gateway.address)
        writer.write(first)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.write(late)
        await asyncio.sleep(1.0)
        writer.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = await reader.read(12)
        writer.close()

    assert (head[:12], answer) == (b"HTTP/1.1 404", b"HTTP/1.1 200")
