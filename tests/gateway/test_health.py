"""The three probes: the process runs, it takes requests, Claude answers them."""

import asyncio
import io
import json

import httpx2
import pytest
from fastapi import FastAPI

from gateway_under_test import errors, health, limits, logs
from gateway_under_test.routes.health import router
from gateway_under_test.settings import Settings

EVERY = 30.0


async def get(g, path):
    """A probe, which has no key."""
    g.caller.headers.pop("x-api-key", None)
    return await g.caller.get(path)


# /livez and /readyz


async def test_a_process_that_drains_lives_but_is_not_ready(gateway, claude):
    async with gateway() as g:
        alive, ready = await get(g, "/livez"), await get(g, "/readyz")
        g.app.state.upstream.drain()
        still_alive, draining = await get(g, "/livez"), await get(g, "/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert still_alive.status_code == 200
    kept = {"workers": 1, "divided": [], "shared": [], "per_worker": [], "counted_in": "memory"}
    rest = {"breakers": {}, "redis": "off", "limits": kept}
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "draining": False, **rest})
    assert (draining.status_code, draining.json()) == (503, {"status": "draining", "draining": True, **rest})
    assert claude.received == []


@pytest.mark.parametrize(
    ("fallback", "status", "says"),
    [(None, 503, "breaker open"), ("claude-opus-4-6", 200, "ready")],
    ids=["no fallback", "fallback"],
)
async def test_an_open_breaker_is_not_ready_unless_another_model_is_left(gateway, claude, fallback, status, says):
    async def step(request):
        ours = json.loads(request.content)["model"] == "claude-haiku-4-5"
        return await (claude.fails(529) if ours else claude.says("instead"))(request)

    claude.script = [step]

    async with gateway(
        attempts=1, breaker={"failures": 0.5, "window": 2, "cooldown": 10.0}, fallback_model=fallback
    ) as g:
        for each in ("a", "b", "c", "d"):
            await g.chat(each)
        response = await get(g, "/readyz")
        await asyncio.sleep(11.0)
        later = await get(g, "/readyz")

    assert (response.status_code, response.json()["status"]) == (status, says)
    assert response.json()["breakers"]["claude-haiku-4-5"] == "open"
    assert (later.status_code, later.json()["status"]) == (200, "ready")


@pytest.mark.parametrize(
    ("draining", "breakers", "fallback", "status"),
    [
        (False, {}, None, "ready"),
        (False, {"a": "closed", "b": "half_open"}, None, "ready"),
        (False, {"a": "open"}, None, "breaker open"),
        (False, {"a": "open"}, "b", "ready"),
        (False, {"a": "open", "b": "half_open"}, "b", "ready"),
        (False, {"a": "open", "b": "open"}, "b", "breaker open"),
        (False, {"a": "open"}, "a", "breaker open"),
        (True, {}, None, "draining"),
        (True, {"a": "open"}, None, "draining"),
    ],
)
def test_who_is_ready(draining, breakers, fallback, status):
    assert health.readiness(draining, breakers, fallback) == status


@pytest.mark.parametrize(
    ("alive", "workers", "redis", "divided"),
    [
        (None, 1, "off", False),
        (None, 2, "off", True),
        (True, 1, "ok", False),
        (True, 2, "ok", False),
        (False, 1, "degraded", False),
        (False, 2, "degraded", False),
    ],
)
async def test_readiness_says_how_the_limits_are_kept(alive, workers, redis, divided):
    class Upstream:
        draining = False

        def state(self):
            return {"breakers": {}}

    class Shared:
        async def alive(self):
            return alive

    app = FastAPI()
    chosen = Settings(workers=workers, redis_url=None if alive is None else "redis://127.0.0.1:1")
    kept = limits.Limits(chosen, logs.make(io.StringIO())).state
    app.include_router(router(chosen, Upstream(), None if alive is None else Shared(), kept))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://gateway") as caller:
        response = await caller.get("/readyz")

    assert response.status_code == 200
    told = response.json()["limits"]
    assert (response.json()["redis"], told["workers"]) == (redis, workers)
    assert ("rate_limit" in told["divided"], "rate_limit" in told["shared"]) == (divided, alive is not None)
    assert ("concurrency.limit" in told["divided"]) == (workers == 2)


# /health


async def test_a_deep_check_is_the_smallest_call(gateway, claude):
    async with gateway() as g:
        response = await get(g, "/health")

    assert (response.status_code, response.json()) == (
        200,
        {"status": "healthy", "claude": "complete", "checked_s_ago": 0.0},
    )
    [body] = claude.bodies()
    assert (body["model"], body["max_tokens"]) == ("claude-haiku-4-5", 1)


@pytest.mark.parametrize(("every", "calls"), [(EVERY, 2), (None, 12)], ids=["kept", "naive"])
async def test_however_many_ask_there_is_one_call_in_each_interval(gateway, claude, every, calls):
    claude.script = [claude.says("ok", after=1.0)]

    async with gateway(health_every=every) as g:
        together = await asyncio.gather(*[get(g, "/health") for _ in range(5)])
        await asyncio.sleep(EVERY - 0.1)
        kept = await get(g, "/health")
        await asyncio.sleep(0.1)
        fresh = await asyncio.gather(*[get(g, "/health") for _ in range(6)])

    assert {response.status_code for response in (*together, kept, *fresh)} == {200}
    assert len(claude.received) == calls
    assert kept.json()["checked_s_ago"] == (EVERY - 0.1 if every else 0.0)
    assert {response.json()["checked_s_ago"] for response in fresh} == {0.0}


@pytest.mark.parametrize("every", [EVERY, None], ids=["kept", "naive"])
@pytest.mark.parametrize(
    ("status", "claude_is"), [(529, "overloaded"), (429, "throttled"), (500, "upstream_error"), (401, "configuration")]
)
async def test_a_claude_that_fails_is_degraded(gateway, claude, every, status, claude_is):
    claude.script = [claude.fails(status)]

    async with gateway(attempts=1, health_every=every) as g:
        first, second = await get(g, "/health"), await get(g, "/health")

    for response in (first, second):
        assert (response.status_code, response.json()["status"], response.json()["claude"]) == (
            503,
            "degraded",
            claude_is,
        )
    assert len(claude.received) == (1 if every else 2)


async def test_a_claude_that_recovers_is_healthy_after_the_interval(gateway, claude):
    claude.script = [claude.fails(500), claude.says("ok")]

    async with gateway(attempts=1) as g:
        before = await get(g, "/health")
        await asyncio.sleep(EVERY)
        after = await get(g, "/health")

    assert (before.status_code, after.status_code) == (503, 200)


async def test_a_deep_check_has_little_patience(gateway, claude):
    claude.script = [claude.says("late", after=99.0)]

    async with gateway() as g:
        response = await get(g, "/health")

    assert (response.status_code, response.json()["claude"]) == (503, "timeout")
    assert asyncio.get_running_loop().time() == pytest.approx(health.PATIENCE)
    assert claude.let_go == 1


async def test_coming_and_leaving_costs_no_further_call(gateway, claude):
    claude.script = [claude.says("ok", after=2.0)]

    async with gateway() as g:
        await asyncio.gather(*[g.asgi("/health", method="GET", leave_after=each) for each in (0.1, 0.5, 1.0, 3.0)])
        await get(g, "/health")

    assert len(claude.received) == 1


async def test_an_answer_from_the_cache_is_no_sign_of_life(gateway, claude):
    claude.script = [claude.says("ok"), claude.fails(400)]

    async with gateway(health_every=1.0, cache={"ttl": 300.0, "size": 10}) as g:
        await get(g, "/health")
        await asyncio.sleep(1.0)
        response = await get(g, "/health")

    assert response.status_code == 503


async def test_a_deep_check_gives_way_to_callers(gateway, claude):
    claude.script = [claude.says("slow", after=2.0)]

    async with gateway(concurrency={"limit": 1, "max_wait": 3.0}) as g:
        first = asyncio.ensure_future(g.chat("first"))
        await asyncio.sleep(0.5)
        check = asyncio.ensure_future(g.caller.get("/health"))
        await asyncio.sleep(0.5)
        second = await g.chat("second")
        response = await check

    assert (await first).status_code == second.status_code == 200
    assert [body["max_tokens"] for body in claude.bodies()[:2]] == [1024, 1024]
    assert (response.status_code, response.json()["status"]) == (200, "busy")


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (None, "healthy"),
        (errors.Shed("full"), "busy"),
        (errors.CircuitOpen("left alone"), "degraded"),
        (errors.Overloaded("full"), "degraded"),
        (errors.Timeout("late"), "degraded"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_a_failed_check_says(failure, status):
    assert health.judged(failure) == status
