"""The rate of one caller, and the part of each limit that falls to one of several workers."""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import time

import pytest
from starlette.requests import Request

from gateway_under_test import errors, limits
from gateway_under_test.logs import RequestLine
from gateway_under_test.settings import Settings
from tests.gateway.conftest import Lines
from tests.gateway.process import caller, serving

NOBODY = "http://127.0.0.1:9"
ASK = {"message": "hi"}


def chosen(**switches):
    return Settings(anthropic_api_key="sk-ours", valid_api_keys=("good",), **switches)


def flat(settings):
    """Each setting by its dotted name."""

    def walk(prefix, value):
        if isinstance(value, dict):
            for name, each in value.items():
                yield from walk(f"{prefix}{name}.", each)
        else:
            yield prefix.rstrip("."), value

    return dict(walk("", settings.model_dump()))


# Several workers


@pytest.mark.parametrize("redis_url", [None, "redis://127.0.0.1:1"])
def test_what_is_said_to_be_divided_is_what_is_divided(redis_url):
    whole = chosen(workers=4, redis_url=redis_url)

    parts = flat(limits.divided(whole, 4))
    told = limits.said(whole)

    changed = {name for name, value in flat(whole).items() if parts[name] != value}
    assert set(told["divided"]) == changed
    assert ("rate_limit" in told["divided"], "rate_limit" in told["shared"]) == (not redis_url, bool(redis_url))
    assert set(told["divided"]).isdisjoint(told["shared"])
    assert set(told["shared"]).isdisjoint(told["per_worker"])
    assert "tasks" in told["shared" if redis_url else "per_worker"]


@pytest.mark.parametrize(
    ("workers", "limit", "floor", "bulkhead", "burst", "rate"),
    [
        (1, 100, 10, 80, 10.0, "10000/minute"),
        (3, 33, 3, 26, 10 / 3, "3333/minute"),
        (4, 25, 2, 20, 2.5, "2500/minute"),
        (200, 1, 1, 1, 1.0, "50/minute"),
    ],
)
def test_each_worker_has_its_part_and_at_least_one(workers, limit, floor, bulkhead, burst, rate):
    part = limits.divided(chosen(), workers)

    assert (part.concurrency.limit, part.concurrency.adaptive.floor, part.bulkhead.limit) == (limit, floor, bulkhead)
    assert (part.retry_budget.burst, part.retry_budget.ratio) == (pytest.approx(burst), 0.1)
    assert part.rate_limit == rate


@pytest.mark.parametrize("workers", [1, 4])
def test_what_is_off_stays_off(workers):
    assert limits.divided(chosen(preset="naive"), workers) == chosen(preset="naive")


def test_a_budget_of_nothing_stays_nothing():
    part = limits.divided(chosen(retry_budget={"ratio": 0.1, "burst": 0.0}), 4)

    assert part.retry_budget.burst == 0.0


async def test_a_gateway_that_is_one_of_several_keeps_to_its_part(gateway, claude):
    claude.script = [claude.says("slow", after=2.0)]

    async with gateway(workers=4, concurrency={"limit": 8, "max_wait": 0.0}, cache=None) as g:
        answers = await asyncio.gather(*(g.caller.post("/chat", json={"message": f"{n}"}) for n in range(4)))
        told = g.app.state.limits.state()

    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503]
    assert (told["workers"], "concurrency.limit" in told["divided"]) == (4, True)


# One caller


@pytest.mark.parametrize(("path", "kind"), [("/chat", "throttled"), ("/v1/messages", "rate_limit_error")])
async def test_a_caller_who_asks_too_often_is_told_when_to_come_again(gateway, claude, path, kind):
    async with gateway(rate_limit="3/minute") as g:
        answers = [await g.caller.post(path, json={**ASK, "stream": False}) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[3].json()["error"]["type"] == kind
    assert 1 <= int(answers[3].headers["retry-after"]) <= 60
    assert [line["outcome"] for line in g.lines.of("request")] == ["complete"] * 3 + ["throttled"] * 2
    assert len(claude.received) <= 3


async def test_all_endpoints_count_together_but_probes_do_not(gateway, claude):
    async with gateway(rate_limit="2/minute") as g:
        probes = [await g.caller.get(path) for path in ("/livez", "/readyz") * 3]
        answers = [await g.caller.post(path, json=ASK) for path in ("/chat", "/v1/messages", "/chat/stream")]

    assert {probe.status_code for probe in probes} == {200}
    assert [answer.status_code for answer in answers] == [200, 200, 429]


async def test_without_the_switch_nobody_is_counted(gateway, claude):
    async with gateway(rate_limit=None) as g:
        answers = [await g.caller.post("/chat", json=ASK) for _ in range(30)]
        told = g.app.state.limits.state()

    assert {answer.status_code for answer in answers} == {200}
    assert told["counted_in"] is None


async def test_the_wait_is_over_when_it_was_said_to_be(gateway, claude):
    async with gateway(rate_limit="1/second") as g:
        answers = [(await g.caller.post("/chat", json=ASK)).status_code for _ in range(2)]
        time.sleep(1.1)  # slowapi's clock is the wall's
        answers.append((await g.caller.post("/chat", json=ASK)).status_code)

    assert answers == [200, 429, 200]


async def statuses(client, count, **headers):
    return [(await client.post("/chat", json=ASK, headers=headers)).status_code for _ in range(count)]


@pytest.mark.system
async def test_keys_are_counted_apart_wherever_they_come_from():
    switches = {"GATEWAY_RATE_LIMIT": "2/minute", "GATEWAY_RATE_LIMIT_BY": "key", "GATEWAY_ATTEMPTS": "1"}
    async with serving(NOBODY, **switches) as gateway, caller(gateway.url) as client:
        got = [await statuses(client, 3), await statuses(client, 3, **{"x-api-key": "better"})]
        _, lines, _ = await gateway.stop(signal.SIGTERM)

    assert got == [[503, 503, 429]] * 2  # nobody is Claude here; what counts is who was let through
    assert "good" not in json.dumps(lines) and "better" not in json.dumps(lines)


@pytest.mark.system
async def test_an_address_is_the_peers_whatever_the_caller_says():
    switches = {"GATEWAY_RATE_LIMIT": "2/minute", "GATEWAY_RATE_LIMIT_BY": "address", "GATEWAY_ATTEMPTS": "1"}
    async with serving(NOBODY, FORWARDED_ALLOW_IPS="*", **switches) as gateway, caller(gateway.url) as client:
        spoofed = [await statuses(client, 1, **{"x-forwarded-for": f"10.0.0.{n}"}) for n in range(3)]
        other_key = await statuses(client, 1, **{"x-api-key": "better"})

    assert (spoofed, other_key) == ([[503], [503], [429]], [429])


# Redis


def counted_in(lines):
    return [line["counted_in"] for line in lines if line["event"] == "rate_limit_storage"]


@contextlib.asynccontextmanager
async def redis_server(directory):
    assert shutil.which("redis-server"), "Redis is not installed: type `make setup-network`"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                await asyncio.sleep(0.05)
        yield f"redis://127.0.0.1:{port}", process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()


@pytest.mark.system
async def test_with_redis_gateways_count_together_and_without_it_each_its_part(tmp_path):
    switches = {"GATEWAY_RATE_LIMIT": "4/hour", "GATEWAY_WORKERS": "2", "GATEWAY_ATTEMPTS": "1"}
    async with redis_server(tmp_path) as (url, redis), contextlib.AsyncExitStack() as running:
        both = []
        for _ in range(2):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                fd = listener.fileno()
                one = serving(NOBODY, "--fd", str(fd), "--worker", pass_fds=(fd,), REDIS_URL=url, **switches)
                both.append(await running.enter_async_context(one))
        clients = [await running.enter_async_context(caller(gateway.url)) for gateway in both]
        together = [*await statuses(clients[0], 3), *await statuses(clients[1], 2)]
        redis.send_signal(signal.SIGSTOP)  # not down, but silent
        began = asyncio.get_running_loop().time()
        apart = [*await statuses(clients[0], 3), *await statuses(clients[1], 3)]
        took = asyncio.get_running_loop().time() - began
        _, lines, _ = await both[0].stop(signal.SIGTERM)

    assert together == [503] * 4 + [429]
    assert apart == [503, 503, 429] * 2
    assert took < 8.0
    assert counted_in(lines) == ["memory, for Redis is down"]


def request_of(tenant):
    line = RequestLine("1", "POST", "/chat", 0.0, tenant=tenant)
    return Request({"type": "http", "path": "/chat", "method": "POST", "headers": [], "state": {"line": line}})


@contextlib.asynccontextmanager
async def through_this_loop(url):
    """A way to Redis that is open only while this event loop runs."""
    host, port = url.removeprefix("redis://").split(":")

    async def pass_on(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def handle(reader, writer):
        theirs, ours = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pass_on(reader, ours), pass_on(theirs, writer))

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.system
async def test_redis_is_waited_for_beside_the_event_loop(tmp_path):
    async with redis_server(tmp_path) as (url, _), through_this_loop(url) as way:
        ours, theirs = [
            limits.Limits(chosen(redis_url=at, rate_limit="1/hour"), Lines(), within=2.0) for at in (way, url)
        ]
        await ours.count(request_of("key-1"))
        with pytest.raises(errors.Throttled):
            await theirs.count(request_of("key-1"))
        await theirs.count(request_of("key-2"))


@pytest.mark.system
async def test_redis_counts_again_when_it_is_back(tmp_path):
    async with (
        redis_server(tmp_path) as (url, redis),
        serving(NOBODY, REDIS_URL=url, GATEWAY_ATTEMPTS="1") as gateway,
        caller(gateway.url) as client,
    ):
        redis.send_signal(signal.SIGSTOP)
        await statuses(client, 1)
        redis.send_signal(signal.SIGCONT)
        async with asyncio.timeout(8):
            while counted_in(gateway.lines)[-1:] != ["redis"]:
                await statuses(client, 1)
                await asyncio.sleep(0.1)

    assert counted_in(gateway.lines) == ["memory, for Redis is down", "redis"]
