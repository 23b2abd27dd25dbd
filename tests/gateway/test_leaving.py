"""A caller who leaves before the answer: the work ends, or goes on as a zombie; either way nothing is said."""

import asyncio
import json

import pytest
from fastapi import FastAPI, Request

from gateway_under_test.routes import leaving
from gateway_under_test.zombies import Zombies

WHOLE = {
    "/chat": {"message": "hi"},
    "/batch": {"prompts": ["one", "two"]},
    "/fanout": {"prompts": {"first": "one", "second": "two"}},
    "/route": {"message": "hi"},
}
CALLS = {"/chat": 1, "/batch": 2, "/fanout": 2, "/route": 2}


@pytest.mark.parametrize("path", WHOLE)
async def test_a_caller_who_leaves_ends_the_work(gateway, claude, path):
    claude.script = [claude.says("late", after=99.0)]

    async with gateway(concurrency={"limit": 2, "max_wait": 0.0}) as g:
        sent = await g.asgi(path, json.dumps(WHOLE[path]).encode(), leave_after=3.0)
        left_at = asyncio.get_running_loop().time()
        claude.script = [claude.says("free again")]
        responses = await asyncio.gather(g.chat("a"), g.chat("b"))

    assert (sent, left_at) == ([], pytest.approx(3.0))
    assert claude.let_go == len([line for line in g.lines.attempts if line["outcome"] == "left"]) > 0
    [line] = [line for line in g.lines.of("request") if line["path"] == path and line["status_code"] is None]
    assert (line["outcome"], line["duration_ms"]) == ("left", pytest.approx(3000))
    assert [response.status_code for response in responses] == [200, 200]


@pytest.mark.parametrize("path", WHOLE)
async def test_a_zombie_does_all_its_work_for_nobody(gateway, claude, path):
    claude.script = [claude.says("late", after=9.0)]

    async with gateway(preset="naive", batch_concurrency=1) as g:
        sent = await g.asgi(path, json.dumps(WHOLE[path]).encode(), leave_after=3.0)
        left_at = asyncio.get_running_loop().time()
        await asyncio.sleep(20.0)

    assert (sent, left_at, claude.let_go) == ([], pytest.approx(3.0), 0)
    assert [line["outcome"] for line in g.lines.of("request")] == ["left"]
    assert g.lines.outcomes == ["complete"] * CALLS[path]


async def test_a_zombie_that_fails_tells_nobody(gateway, claude):
    claude.script = [claude.fails(400, after=9.0)]

    async with gateway(preset="naive", attempts=1) as g:
        await g.asgi("/chat", leave_after=3.0)
        await asyncio.sleep(20.0)

    assert g.lines.outcomes == ["rejected"]


async def test_zombies_end_with_the_application(gateway, claude):
    claude.script = [claude.says("late", after=99.0)]

    async with gateway(preset="naive") as g:
        await g.asgi("/batch", json.dumps(WHOLE["/batch"]).encode(), leave_after=3.0)

    assert asyncio.get_running_loop().time() < 5.0
    assert claude.let_go == 2


async def test_a_caller_who_leaves_before_the_first_text_ends_the_stream(gateway, claude):
    claude.script = [claude.tells("late", every=99.0)]

    async with gateway() as g:
        sent = await g.asgi("/chat/stream", leave_after=3.0)

    assert (sent, claude.let_go) == ([], 1)
    assert asyncio.get_running_loop().time() == pytest.approx(3.0)
    assert [line["outcome"] for line in g.lines.all] == ["left", "left"]


@pytest.mark.parametrize("peek", [True, False])
async def test_a_stream_too_can_be_a_zombie(gateway, claude, peek):
    claude.script = [claude.tells("late enough", every=9.0)]

    async with gateway(preset="naive", peek=peek) as g:
        await g.asgi("/chat/stream", leave_after=3.0)
        await asyncio.sleep(30.0)

    assert claude.let_go == 0
    assert [(line["event"], line["outcome"]) for line in g.lines.all] == [("request", "left"), ("attempt", "complete")]


async def test_a_caller_who_leaves_during_the_backoff_is_not_tried_for(gateway, claude):
    claude.script = [claude.fails(529)]

    async with gateway(backoff={"base": 5.0, "jitter": "none"}, fallback_model=None) as g:
        await g.asgi("/chat", leave_after=1.0)

    assert len(claude.received) == 1


def request(*messages, zombies=None):
    """A request whose server says `messages`, each after the pause before it, then nothing more."""
    coming = iter(messages)

    async def receive():
        for each in coming:
            if isinstance(each, str):
                return {"type": each}
            await asyncio.sleep(each)
        await asyncio.sleep(1e9)

    app = FastAPI()
    app.state.zombies = zombies
    return Request({"type": "http", "app": app}, receive)


async def after(seconds, gives):
    await asyncio.sleep(seconds)
    if isinstance(gives, Exception):
        raise gives
    return gives


async def test_what_comes_in_time_is_given():
    assert await leaving.unless_gone(request(2.0, "http.disconnect"), after(1.0, "it")) == "it"


async def test_what_fails_in_time_is_raised():
    with pytest.raises(KeyError):
        await leaving.unless_gone(request(2.0, "http.disconnect"), after(1.0, KeyError()))


async def test_only_a_disconnect_is_a_departure():
    said = request("http.request", 0.1, "http.request")

    assert await leaving.unless_gone(said, after(1.0, "it")) == "it"


async def test_who_leaves_at_the_moment_of_the_answer_may_have_it():
    assert await leaving.unless_gone(request(1.0, "http.disconnect"), after(1.0, "it")) == "it"


@pytest.mark.parametrize("kept", [False, True])
async def test_the_work_ends_with_the_caller_unless_zombies_are_kept(kept):
    done = []

    async def work():
        await asyncio.sleep(2.0)
        done.append("it")

    async with Zombies() as zombies:
        with pytest.raises(leaving.Gone):
            await leaving.unless_gone(request(1.0, "http.disconnect", zombies=zombies if kept else None), work())
        left_at = asyncio.get_running_loop().time()
        await asyncio.sleep(5.0)

    assert left_at == pytest.approx(1.0)
    assert done == (["it"] if kept else [])


async def test_kept_work_ends_with_who_keeps_it():
    ended = []

    async def work():
        try:
            await asyncio.sleep(9.0)
        except asyncio.CancelledError:
            ended.append(asyncio.get_running_loop().time())
            raise

    with pytest.raises(leaving.Gone):
        async with Zombies() as zombies:
            await leaving.unless_gone(request(1.0, "http.disconnect", zombies=zombies), work())

    assert ended == [pytest.approx(1.0)]


async def test_work_that_is_ended_may_clean_up_first():
    cleaned = []

    async def work():
        try:
            await asyncio.sleep(9.0)
        finally:
            await asyncio.sleep(0.5)
            cleaned.append(asyncio.get_running_loop().time())

    with pytest.raises(leaving.Gone):
        await leaving.unless_gone(request(1.0, "http.disconnect"), work())

    assert cleaned == [pytest.approx(1.5)]


async def test_a_server_that_stops_ends_the_work():
    ended = []

    async def work():
        try:
            await asyncio.sleep(9.0)
        except asyncio.CancelledError:
            ended.append(True)
            raise

    waiting = asyncio.create_task(leaving.unless_gone(request(), work()))
    await asyncio.sleep(1.0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert ended == [True]
