"""Several workers on one port: they share its load and its end, and one that dies is replaced."""

import asyncio
import contextlib
import os
import signal

import pytest

from mockclaude.testing import MockClaude
from tests.gateway.process import caller, serving, start

pytestmark = pytest.mark.system

NOBODY = "http://127.0.0.1:9"
TWO = ("--port", "0", "--workers", "2")


def running(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def until(condition, within=10.0):
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.05)


def of(lines, event):
    return [line for line in lines if line["event"] == event]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_ends_all_workers(number, code):
    async with serving(NOBODY, *TWO) as gateway:
        await gateway.says("listening")
        got, lines, err = await gateway.stop(number)

    pids = [line["pid"] for line in of(lines, "worker_started")]
    assert (got, err) == (code, "")
    assert sorted(line["pid"] for line in of(lines, "listening")) == sorted(pids)
    assert len({line["url"] for line in of(lines, "listening")}) == 1
    assert [pid for pid in pids if running(pid)] == []
    assert of(lines, "worker_died") == []


async def test_limits_are_divided_and_it_is_said_once():
    switches = {"GATEWAY_WORKERS": "2", "GATEWAY_CONCURRENCY__LIMIT": "9"}
    async with serving(NOBODY, "--port", "0", **switches) as gateway:
        _, lines, _ = await gateway.stop(signal.SIGTERM)

    [line] = of(lines, "limits")
    assert (line["workers"], line["shared"]) == (2, [])
    assert {"concurrency.limit", "bulkhead.limit", "rate_limit"} <= set(line["divided"])


async def test_a_worker_that_dies_is_replaced_and_that_is_logged():
    async with serving(NOBODY, *TWO) as gateway, caller(gateway.url) as client:
        await gateway.says("listening")
        victim = gateway.lines[-1]["pid"]
        os.kill(victim, signal.SIGKILL)
        died = await gateway.says("worker_died")
        meanwhile = (await client.get("/livez")).status_code
        new = (await gateway.says("listening"))["pid"]
        code, lines, err = await gateway.stop(signal.SIGTERM)

    assert (died["signal"], died["worker"]) == ("SIGKILL", next(x["worker"] for x in lines if x.get("pid") == victim))
    assert (meanwhile, new != victim, code, err) == (200, True, 0, "")


async def test_workers_end_when_their_supervisor_is_killed():
    async with serving(NOBODY, *TWO) as gateway:
        await gateway.says("listening")
        pids = [line["pid"] for line in of(gateway.lines, "worker_started")]
        gateway.process.kill()
        await until(lambda: not any(running(pid) for pid in pids))

    assert len(pids) == 2


async def test_what_no_worker_can_start_with_ends_them_all(tmp_path):
    gateway = await start(*TWO, ANTHROPIC_BASE_URL=NOBODY, VALID_API_KEYS_FILE=str(tmp_path / "none"))

    try:
        code, lines, err = await gateway.end(within=30)
    finally:
        await gateway.kill()

    assert code == 2
    assert {line.split(":")[1] for line in err.splitlines()} == {" VALID_API_KEYS_FILE"}
    assert {line["code"] for line in of(lines, "worker_died")} == {2}


async def test_streams_of_all_workers_finish_or_are_told():
    constant = {"distribution": "constant", "value": 0.1}
    latency = {"ttft": constant, "tokens_per_second": 4, "tokens_per_delta": 1}
    heard = {}

    async def listen(client, name, tokens):
        ask = {"message": name, "max_tokens": tokens}
        async with client.stream("POST", "/chat/stream", json=ask) as response:
            async for line in response.aiter_lines():
                heard.setdefault(name, []).append(line)

    with MockClaude(seed=1, latency=latency) as mock:
        async with serving(mock.url, *TWO, GATEWAY_DRAIN="2") as gateway, caller(gateway.url) as client:
            await gateway.says("listening")
            async with asyncio.TaskGroup() as callers:
                for n in range(10):
                    callers.create_task(listen(client, f"short {n}", 4))
                    callers.create_task(listen(client, f"long {n}", 500))
                await until(lambda: len(heard) == 20)
                gateway.process.send_signal(signal.SIGTERM)
            code, lines, err = await gateway.end()

    finished = {name for name, said in heard.items() if "data: [DONE]" in said}
    told = {name for name, said in heard.items() if "event: error" in said}
    assert (finished | told, finished & told) == (set(heard), set())
    assert {name for name in heard if name.startswith("long")} <= told
    assert finished  # a busy machine may cut a short one, too
    assert (code, err) == (0, "")
    assert sum(line["requests"] for line in of(lines, "cut")) >= 10
