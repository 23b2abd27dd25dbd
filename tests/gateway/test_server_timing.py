"""Where a request's time went: `server-timing` on every answer of ours."""

import asyncio
import re

import httpx2
import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from gateway_under_test import logs
from gateway_under_test.logs import RequestLine


def spent(response):
    """Seconds by stage."""
    told = response.headers["server-timing"]
    assert re.fullmatch(r"validate;dur=[\d.]+, queue;dur=[\d.]+, upstream;dur=[\d.]+, serialise;dur=[\d.]+", told)
    return {stage: float(value) / 1000 for stage, value in re.findall(r"(\w+);dur=([\d.]+)", told)}


@pytest.mark.parametrize(
    ("line", "now", "told"),
    [
        (
            RequestLine("r", "POST", "/chat", 1.0, validated_at=1.0004, queued=0.012, upstream=0.8301),
            1.8427,
            "validate;dur=0.4, queue;dur=12.0, upstream;dur=830.1, serialise;dur=0.2",
        ),
        (
            RequestLine("r", "POST", "/chat", 1.0),
            1.5,
            "validate;dur=500.0, queue;dur=0.0, upstream;dur=0.0, serialise;dur=0.0",
        ),
        (
            RequestLine("r", "POST", "/batch", 1.0, validated_at=1.0, upstream=9.0),
            4.0,
            "validate;dur=0.0, queue;dur=0.0, upstream;dur=9000.0, serialise;dur=0.0",
        ),
    ],
    ids=["all stages", "refused while it was validated", "attempts beside each other"],
)
def test_the_stages_are_told_in_milliseconds(line, now, told):
    assert logs.stages(line, now) == told


async def test_claudes_time_is_upstream(gateway, claude):
    claude.script = [claude.says("hello", after=1.5)]

    async with gateway() as g:
        response = await g.chat()

    assert spent(response)["upstream"] == pytest.approx(1.5, abs=0.01)


async def test_the_wait_for_a_place_is_queue(gateway, claude):
    claude.script = [claude.says("hello", after=2.0)]

    async with gateway(preset="naive", concurrency={"limit": 1, "max_wait": 60}) as g:
        responses = await asyncio.gather(g.chat("one"), g.chat("two"))

    assert sorted(spent(response)["queue"] for response in responses) == pytest.approx([0.0, 2.0], abs=0.01)


async def test_failed_attempts_are_upstream_and_the_waits_between_them_are_queue(gateway, claude):
    claude.script = [claude.fails(529, after=1.0), claude.says("hello", after=0.5)]

    async with gateway(preset="naive", backoff={"base": 2.0, "jitter": "none"}) as g:
        response = await g.chat()

    assert spent(response) == pytest.approx(
        {"validate": 0.0, "queue": 2.0, "upstream": 1.5, "serialise": 0.0}, abs=0.01
    )


async def test_waiting_for_the_answer_to_anothers_question_is_queue(gateway, claude):
    claude.script = [claude.says("hello", after=2.0)]

    async with gateway(preset="naive", cache={"ttl": 60.0, "size": 10}) as g:
        responses = await asyncio.gather(g.chat("same"), g.chat("same"))

    assert sorted(spent(response)["upstream"] for response in responses) == pytest.approx([0.0, 2.0], abs=0.01)
    assert sorted(spent(response)["queue"] for response in responses) == pytest.approx([0.0, 2.0], abs=0.01)


async def test_a_stream_tells_what_was_spent_until_its_first_piece(gateway, claude):
    claude.script = [claude.tells("one two three", every=1.0)]

    async with gateway() as g:
        response = await g.stream()

    assert spent(response)["upstream"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("path", ["/chat", "/nope", "/livez"])
async def test_every_answer_of_ours_tells(gateway, claude, path):
    claude.script = [claude.fails(400)]

    async with gateway() as g:
        response = await g.caller.post(path, json={"message": "hi"})

    assert set(spent(response)) == {"validate", "queue", "upstream", "serialise"}


async def test_below_v1_there_are_only_claudes_headers(gateway, claude):
    claude.script = [claude.sends(200, {"server-timing": "theirs;dur=1"}, b"{}")]

    async with gateway() as g:
        passed = await g.post({"model": "m-1"})
        refused = await g.post({"model": "m-1"}, path="/v1/nope")

    assert passed.headers.get_list("server-timing") == ["theirs;dur=1"]
    assert "server-timing" not in refused.headers


async def test_what_comes_before_the_handler_is_validate_and_what_comes_after_claude_is_serialise():
    inner = FastAPI()

    @inner.post("/slow")
    async def slow(request: Request) -> StreamingResponse:
        await request.body()
        line = logs.begin(request, "m-1")
        line.upstream += 1.0
        await asyncio.sleep(1.0 + 0.25)
        assert (line.model, line.route) == ("m-1", "/slow")
        return StreamingResponse(iter(["done"]), headers={"server-timing": "edge;dur=7"})

    async def body():
        await asyncio.sleep(0.5)
        yield b"{}"

    app = logs.RequestLog(inner, log=Quiet(), new_id=lambda: "made-1")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://gateway") as caller:
        response = await caller.post("/slow", content=body())

    theirs, ours = response.headers.get_list("server-timing")
    assert theirs == "edge;dur=7"
    assert ours == "validate;dur=500.0, queue;dur=0.0, upstream;dur=1000.0, serialise;dur=250.0"


class Quiet:
    """A log for nobody."""

    def info(self, event, **fields):
        pass

    warning = exception = info
