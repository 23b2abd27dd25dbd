"""Each switch does what it says: the same caller and the same Claude, and another setting."""

import asyncio
import json

import httpx2
import pytest

from gateway_under_test.switches import Switched

SPEND_CAP = {
    "type": "error",
    "error": {
        "type": "rate_limit_error",
        "message": "You have reached your API usage limits: ... You will regain access on 2026-12-01 at 00:00 UTC.",
        "details": {"error_code": "enforced_spend_limit_reached"},
    },
}
MODEL = "claude-sonnet-4-6"


def now():
    return asyncio.get_running_loop().time()


def gaps(claude):
    return [later - earlier for earlier, later in zip(claude.at, claude.at[1:], strict=False)]


def caps(date="Mon, 30 Nov 2026 23:58:00 GMT"):
    async def step(request):
        return httpx2.Response(429, json=SPEND_CAP, headers={"date": date} if date else {})

    return step


# Retries


@pytest.mark.parametrize(("retry_on", "attempts"), [("every_status", 4), ("transient", 1)])
async def test_what_cannot_succeed_is_tried_again_by_the_naive_only(gateway, claude, retry_on, attempts):
    claude.script = [claude.fails(400)]

    async with gateway(preset="naive", attempts=4, retry_on=retry_on) as g:
        response = await g.chat()

    assert (response.status_code, len(claude.received)) == (400, attempts)


async def test_equal_jitter_keeps_half_of_the_backoff(gateway, claude):
    claude.script = [claude.fails(529)]

    async with gateway(preset="naive", attempts=2, backoff={"base": 1.0, "jitter": "equal"}) as g:
        await asyncio.gather(*(g.chat() for _ in range(20)))

    waits = [at - claude.at[0] for at in claude.at[20:]]
    assert 0.5 <= min(waits) < 0.65 and 0.85 < max(waits) <= 1.0


@pytest.mark.parametrize(("jitter", "peak"), [("none", 40), ("full", 10)])
async def test_callers_told_the_same_second_come_back_together_unless_it_is_jittered(gateway, claude, jitter, peak):
    claude.script = [claude.fails(429, retry_after="5")] * 40 + [claude.says("hi")]

    async with gateway(preset="naive", backoff={"base": 4.0, "jitter": jitter, "honour_retry_after": True}) as g:
        await asyncio.gather(*(g.chat() for _ in range(40)))

    retries = sorted(claude.at[40:])
    assert min(retries) >= 5.0
    assert max(sum(at <= each < at + 0.1 for each in retries) for at in retries) <= peak
    assert (jitter == "none") == (retries[0] == retries[-1])


@pytest.mark.parametrize(("sdk_retries", "sends"), [(2, 6), (0, 2)])
async def test_the_sdks_retries_multiply_ours_and_are_counted(gateway, claude, sdk_retries, sends):
    claude.script = [claude.fails(529)]

    async with gateway(preset="naive", attempts=2, sdk_retries=sdk_retries) as g:
        await g.chat()

    assert len(claude.received) == sends
    assert sum(line["sends"] for line in g.lines.attempts) == sends
    assert g.lines.of("request")[0]["attempts"] == sends


# Time


@pytest.mark.parametrize(("heeded", "seconds"), [(True, 2.0), (False, 9.0)])
async def test_the_callers_own_deadline_bounds_an_answer(gateway, claude, heeded, seconds):
    claude.script = [claude.says("late", after=9.0)]

    async with gateway(caller_deadline=heeded) as g:
        response = await g.caller.post("/chat", json={"message": "hi"}, headers={"x-request-deadline": "2"})
        ended = now()

    assert response.status_code == (504 if heeded else 200)
    assert ended == pytest.approx(seconds, abs=0.1)


async def test_the_callers_deadline_bounds_every_attempt_and_is_sent_on(gateway, claude):
    claude.script = [claude.fails(529, after=1.0), claude.says("hi")]

    async with gateway(backoff={"base": 0.0}) as g:
        await g.caller.post("/chat", json={"message": "hi"}, headers={"x-request-deadline": "4"})

    told = [float(request.headers["x-request-deadline"]) for request in claude.received]
    assert told == pytest.approx([4.0, 3.0], abs=0.01)


async def test_the_callers_deadline_bounds_a_stream_too(gateway, claude):
    claude.script = [claude.tells("one two three four", every=1.0)]

    async with gateway() as g:
        response = await g.caller.post("/chat/stream", json={"message": "hi"}, headers={"x-request-deadline": "2.5"})

    assert '"two"' in response.text and '"three"' not in response.text
    assert '"type": "timeout"' in response.text


@pytest.mark.parametrize(("idle", "ended"), [(3.0, "timeout"), (None, "done")])
async def test_a_stream_that_falls_silent_is_given_up(gateway, claude, idle, ended):
    claude.script = [claude.streams("one", 8.0, "two", {"type": "message_stop"})]

    async with gateway(idle_timeout=idle) as g:
        response = await g.stream()

    assert '"one"' in response.text
    assert ended in response.text
    assert (claude.let_go == 1) == (idle is not None)


# Leaving Claude alone


async def test_a_breaker_leaves_a_failing_claude_alone_and_tries_it_once_after_its_cooldown(gateway, claude):
    claude.script = [claude.fails(529)] * 5 + [claude.says("well again")]

    async with gateway(preset="naive", attempts=1, breaker={"failures": 0.5, "window": 10, "cooldown": 10.0}) as g:
        early = [(await g.chat()).status_code for _ in range(8)]
        shed = await g.chat()
        await asyncio.sleep(10.1)
        late = await g.chat()

    assert early == [503] * 8
    assert shed.json()["error"]["type"] == "shed"
    assert shed.headers["retry-after"] == "10"
    assert (late.status_code, len(claude.received)) == (200, 6)


async def test_without_a_breaker_every_request_is_tried(gateway, claude):
    claude.script = [claude.fails(529)]

    async with gateway(preset="naive", attempts=1) as g:
        for _ in range(30):
            await g.chat()

    assert len(claude.received) == 30


async def test_a_breaker_is_of_one_model(gateway, claude):
    async def step(request):
        return await (claude.fails(529) if b"sonnet" in request.content else claude.says("hi"))(request)

    claude.script = [step]

    async with gateway(preset="naive", attempts=1, breaker={"window": 10, "cooldown": 10.0}) as g:
        sonnet = [(await g.chat(model=MODEL)).status_code for _ in range(6)]
        haiku = await g.chat()

    assert (sonnet[-1], haiku.status_code) == (503, 200)
    assert len(claude.received) == 6


async def test_a_probe_that_was_never_sent_tells_the_breaker_nothing(gateway, claude):
    claude.script = [claude.fails(529)] * 5 + [claude.says("slow", after=20.0)]

    async with gateway(
        preset="naive", attempts=1, breaker={"window": 10, "cooldown": 10.0}, concurrency={"limit": 1, "max_wait": 0.1}
    ) as g:
        for _ in range(5):
            await g.chat()
        holder = asyncio.create_task(g.chat(model=MODEL))  # another model's breaker is closed, and takes the place
        await asyncio.sleep(10.1)
        shed = await g.chat()
        state = g.app.state.upstream.state()["breakers"]["claude-haiku-4-5"]
        await holder

    assert shed.json()["error"]["message"].startswith("all 1 places")
    assert state == "half_open"


async def test_a_stream_that_speaks_closes_the_breaker_though_it_goes_on(gateway, claude):
    claude.script = [claude.fails(529)] * 5 + [claude.tells("a long answer", every=30.0)]

    async with gateway(preset="naive", attempts=1, breaker={"window": 10, "cooldown": 10.0}) as g:
        for _ in range(5):
            await g.chat()
        await asyncio.sleep(10.1)
        stream = asyncio.create_task(g.stream())
        await asyncio.sleep(31)
        claude.script = [claude.says("hi")]
        beside = await g.chat()
        await stream

    assert beside.status_code == 200


async def test_a_turn_that_was_shed_goes_to_the_next(gateway, claude):
    async def limited(request):
        answer = await claude.says("hi", after=3.0)(request)
        left = {"anthropic-ratelimit-requests-limit": "60", "anthropic-ratelimit-requests-remaining": "3"}
        answer.headers.update(left)
        return answer

    claude.script = [limited]

    async with gateway(attempts=1, cache=None, concurrency={"limit": 1, "max_wait": 0.0}, hedge=None) as g:
        await g.chat()
        holder = asyncio.create_task(g.chat())
        await asyncio.sleep(0.1)
        shed = [(await g.chat()).json()["error"]["type"] for _ in range(20)]
        await holder

    assert shed == ["shed"] * 20


@pytest.mark.parametrize(("breaker", "asked"), [({"window": 10}, 1), (None, 3)])
async def test_a_spend_cap_keeps_the_breaker_open_until_its_date(gateway, claude, breaker, asked):
    claude.script = [caps()]

    async with gateway(preset="naive", retry_on="transient", breaker=breaker) as g:
        first = await g.chat()
        await asyncio.sleep(60)
        await g.chat()
        await asyncio.sleep(55)
        await g.chat()
        before = len(claude.received)
        claude.script = [claude.says("a new month")]
        await asyncio.sleep(10)
        last = await g.chat()

    assert (first.status_code, first.json()["error"]["type"]) == (429, "throttled")
    assert (before, last.status_code) == (asked, 200)
    if breaker:
        assert first.headers["retry-after"] == "120"


@pytest.mark.parametrize(("fallback", "answered"), [("claude-haiku-4-5", 200), (None, 503)])
async def test_another_model_answers_when_the_first_is_overloaded(gateway, claude, fallback, answered):
    async def step(request):
        return await (claude.fails(529) if b"sonnet" in request.content else claude.says("hi"))(request)

    claude.script = [step]

    async with gateway(fallback_model=fallback, breaker=None, backoff={"base": 0.0}) as g:
        response = await g.chat(model=MODEL)

    assert response.status_code == answered
    asked = [body["model"] for body in claude.bodies()]
    assert asked == ([MODEL, fallback] if fallback else [MODEL] * 3)
    if fallback:
        assert g.lines.of("request")[0]["model"] == fallback


async def test_an_open_breaker_falls_back_at_once_and_for_nothing(gateway, claude):
    async def step(request):
        return await (claude.fails(529) if b"sonnet" in request.content else claude.says("hi"))(request)

    claude.script = [step]

    async with gateway(breaker={"window": 10, "cooldown": 10.0}, retry_budget={"ratio": 0.0, "burst": 5}) as g:
        codes = [(await g.chat(f"number {n}", model=MODEL)).status_code for n in range(9)]

    assert codes == [200] * 9
    assert [body["model"] for body in claude.bodies()].count(MODEL) == 5


# Places


async def test_a_bulkhead_leaves_places_for_other_routes(gateway, claude):
    claude.script = [claude.says("slow", after=5.0), claude.says("slow", after=5.0), claude.tells("hi")]

    async with gateway(concurrency={"limit": 10, "max_wait": 0}, bulkhead={"limit": 2}) as g:
        slow = [asyncio.create_task(g.chat(f"number {n}")) for n in range(3)]
        await asyncio.sleep(0.1)
        quick = await g.stream()
        codes = [(await task).status_code for task in slow]

    assert (sorted(codes), quick.status_code) == ([200, 200, 503], 200)


@pytest.mark.parametrize(("order", "last"), [("fifo", "third"), ("lifo", "second")])
async def test_who_waits_is_let_in_in_this_order(gateway, claude, order, last):
    claude.script = [claude.says("slow", after=1.0)]

    async with gateway(preset="naive", concurrency={"limit": 1, "max_wait": 60, "order": order}) as g:
        first = asyncio.create_task(g.chat("first"))
        await asyncio.sleep(0.1)
        # the line holds as many as there are places: with one place, nobody else would wait
        second = asyncio.create_task(g.chat("second"))
        await asyncio.gather(first, second)

    async with gateway(preset="naive", concurrency={"limit": 2, "max_wait": 60, "order": order}) as g:
        claude.received.clear()
        waiting = []
        for name in ("a", "b", "second", "third"):
            waiting.append(asyncio.create_task(g.chat(name)))
            await asyncio.sleep(0.2 if name == "a" else 0.05)
        await asyncio.gather(*waiting)

    assert claude.bodies()[-1]["messages"][0]["content"] == last


async def test_the_limit_follows_the_time_to_first_token(gateway, claude):
    claude.script = [claude.tells("hi", every=0.2)]
    adaptive = {"limit": 40, "max_wait": 0.0, "adaptive": {"floor": 5, "tolerance": 1.5}}

    async with gateway(concurrency=adaptive, bulkhead=None, cache=None) as g:
        before = g.app.state.upstream.state()["limit"]
        for _ in range(60):
            await g.stream()
        claude.script = [claude.tells("hi", every=3.0)]
        for _ in range(10):
            await asyncio.gather(*(g.stream() for _ in range(30)))
        after = g.app.state.upstream.state()["limit"]

    assert (before, 5 <= after < 30) == (40, True)


async def test_low_priority_is_shed_first(gateway, claude):
    claude.script = [claude.says("slow", after=5.0)]
    limits = {"concurrency": {"limit": 10, "max_wait": 0}}

    async def codes(**switches):
        async with gateway(preset="naive", cache=None, **limits, **switches) as g:
            low = {"x-priority": "low"}
            asked = [g.caller.post("/chat", json={"message": "hi"}, headers=low) for _ in range(10)]
            answers = await asyncio.gather(*asked, *(g.chat() for _ in range(4)))
        return [answer.status_code for answer in answers]

    fair, by_priority = await codes(shed_by_priority=False), await codes(shed_by_priority=True)

    assert fair == [200] * 10 + [503] * 4
    assert by_priority == [200] * 6 + [503] * 4 + [200] * 4


@pytest.mark.parametrize(("pace", "refused"), [({"max_wait": 60.0}, 0), (None, 8)])
async def test_a_client_that_reads_the_rate_limit_headers_does_not_run_into_it(gateway, claude, pace, refused):
    tokens, at = 4.0, 0.0  # a bucket of 60 a minute that holds four

    async def limited(request):
        nonlocal tokens, at
        tokens, at = min(4.0, tokens + (now() - at)), now()
        if tokens < 1 - 1e-6:
            return httpx2.Response(429, json={"error": {"type": "rate_limit_error"}}, headers={"retry-after": "1"})
        tokens -= 1
        left = {"anthropic-ratelimit-requests-limit": "60", "anthropic-ratelimit-requests-remaining": str(int(tokens))}
        answer = await claude.says("hi")(request)
        answer.headers.update(left)
        return answer

    claude.script = [limited]

    async with gateway(preset="naive", attempts=1, pace=pace) as g:
        first = await g.chat()
        answers = await asyncio.gather(*(g.chat() for _ in range(11)))

    assert first.status_code == 200
    assert sum(answer.status_code == 429 for answer in answers) == refused


async def test_who_would_wait_too_long_for_the_rate_limit_is_told_when_to_come_back(gateway, claude):
    async def limited(request):
        answer = await claude.says("hi")(request)
        left = {"anthropic-ratelimit-requests-limit": "6", "anthropic-ratelimit-requests-remaining": "0"}
        answer.headers.update(left)
        return answer

    claude.script = [limited]

    async with gateway(pace={"max_wait": 5.0}, attempts=1) as g:
        await g.chat()
        second = await g.chat("another")

    assert (second.status_code, second.json()["error"]["type"], len(claude.received)) == (429, "throttled", 1)
    assert second.headers["retry-after"] == "10"


# A second chance, a first look


async def test_a_hedge_answers_when_the_first_token_is_late(gateway, claude):
    claude.script = [claude.tells("late", every=20.0), claude.tells("quick", every=0.5)]

    async with gateway(hedge={"after": 2.0, "share": 1.0}, attempt_timeout=60.0) as g:
        response = await g.stream()
        ended = now()

    assert '"quick"' in response.text and '"late"' not in response.text
    assert (len(claude.received), claude.let_go, ended) == (2, 1, pytest.approx(2.5, abs=0.1))
    assert sorted(line["attempt"] for line in g.lines.attempts) == [1, 2]


async def test_without_a_hedge_a_late_first_token_is_waited_for(gateway, claude):
    claude.script = [claude.tells("late", every=20.0), claude.tells("quick", every=0.5)]

    async with gateway(hedge=None, attempt_timeout=60.0) as g:
        response = await g.stream()

    assert '"late"' in response.text
    assert len(claude.received) == 1


async def test_the_first_may_still_win_against_its_hedge(gateway, claude):
    claude.script = [claude.tells("first", every=3.0), claude.tells("second", every=20.0)]

    async with gateway(hedge={"after": 2.0, "share": 1.0}) as g:
        response = await g.stream()

    assert '"first"' in response.text
    assert (len(claude.received), claude.let_go) == (2, 1)


async def test_a_hedge_that_fails_leaves_the_first_its_chance(gateway, claude):
    claude.script = [claude.tells("first", every=5.0), claude.fails(529)]

    async with gateway(hedge={"after": 2.0, "share": 1.0}) as g:
        response = await g.stream()

    assert '"first"' in response.text


async def test_hedges_are_a_share_of_the_requests(gateway, claude):
    claude.script = [claude.tells("late", every=3.0)]

    async with gateway(hedge={"after": 1.0, "share": 0.05}, bulkhead=None) as g:
        await asyncio.gather(*(g.stream() for _ in range(60)))

    assert 60 < len(claude.received) <= 60 + 60 * 0.05 + 1


@pytest.mark.parametrize(("cache", "asked"), [({"ttl": 300.0, "size": 10}, 1), (None, 3)])
async def test_the_same_question_is_asked_once(gateway, claude, cache, asked):
    claude.script = [claude.says("hi", after=1.0, tokens=(7, 3))]

    async with gateway(cache=cache) as g:
        together = await asyncio.gather(g.chat("same"), g.chat("same"))
        later = await g.chat("same")

    assert {answer.json()["text"] for answer in (*together, later)} == {"hi"}
    assert {answer.json()["input_tokens"] for answer in (*together, later)} == {7}
    assert len(claude.received) == asked


@pytest.mark.parametrize("on", [True, False])
async def test_the_system_prompt_is_marked_for_claudes_cache(gateway, claude, on):
    async with gateway(prompt_cache=on) as g:
        await g.chat(system_prompt="be brief")

    system = claude.bodies()[0]["system"]
    marked = [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]
    assert system == (marked if on else "be brief")


# Endings


@pytest.mark.parametrize("path", ["/chat/stream", "/v1/messages"])
@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_caller_who_leaves_ends_the_attempt_unless_it_is_a_zombie(gateway, claude, path, cancelled):
    claude.script = [claude.tells("one two three four", every=1.0)]
    body = json.dumps({"message": "hi"} if path == "/chat/stream" else {"model": MODEL, "stream": True}).encode()

    async with gateway(cancel_upstream=cancelled) as g:
        await g.asgi(path, body, leave_after=1.5)
        await asyncio.sleep(5)
        outcomes = g.lines.outcomes

    assert (claude.let_go, outcomes) == ((1, ["left"]) if cancelled else (0, ["complete"]))


@pytest.mark.parametrize("required", [True, False])
async def test_a_stream_that_merely_stops_is_an_error_if_its_end_is_required(gateway, claude, required):
    claude.script = [claude.streams("one", "two")]

    async with gateway(require_stop=required) as g:
        response = await g.stream()

    assert ('"type": "upstream_error"' in response.text) == required
    assert ("[DONE]" in response.text) != required


async def test_after_the_drain_no_attempt_begins(gateway, claude):
    claude.script = [claude.fails(529), claude.says("late")]

    async with gateway(preset="naive", drain=1.0, backoff={"base": 2.0}) as g:
        request = asyncio.create_task(g.asgi("/chat"))
        await asyncio.sleep(0.5)
        g.app.state.upstream.drain()
        await request

    assert claude.ids == ["asgi-1"]
    assert [line["outcome"] for line in g.lines.of("request")] == ["shed"]


def test_every_switch_is_tested():
    """A switch without its name in the tests is one that nobody has tried."""
    from pathlib import Path

    tests = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    spelt = {name: (f"{name}=", f'"{name}"', f"GATEWAY_{name.upper()}") for name in Switched.model_fields}
    assert [name for name, forms in spelt.items() if not any(form in tests for form in forms)] == []
