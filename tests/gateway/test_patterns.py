"""The patterns at work together: each switch changes what Claude receives, or when."""

import asyncio

import pytest


async def test_attempts_is_the_number_of_tries(gateway, claude):
    claude.script = [claude.fails(529)]

    async with gateway(preset="naive", attempts=4) as g:
        await g.chat()

    assert len(claude.received) == 4
    assert [line["attempt"] for line in g.lines.attempts] == [1, 2, 3, 4]


async def test_without_jitter_the_backoff_doubles_up_to_its_cap(gateway, claude):
    claude.script = [claude.fails(529)]

    async with gateway(preset="naive", attempts=4, backoff={"base": 1.0, "cap": 3.0}) as g:
        await g.chat()

    assert gaps(claude) == pytest.approx([1.0, 2.0, 3.0])


async def test_full_jitter_spreads_the_retries_of_many_callers(gateway, claude):
    claude.script = [claude.fails(529)]

    async with gateway(preset="naive", attempts=2, backoff={"base": 1.0, "jitter": "full"}) as g:
        await asyncio.gather(*(g.chat() for _ in range(20)))

    retries = claude.at[20:]
    assert len({round(at, 3) for at in retries}) > 10
    assert max(retries) <= claude.at[0] + 1.0


async def test_retry_after_is_waited_for_in_production(gateway, claude):
    claude.script = [claude.fails(429, retry_after="5"), claude.says("at last")]

    async with gateway() as g:
        await g.chat()

    assert 5.0 <= gaps(claude)[0] <= 5.25  # and its jitter: others were told the same second


async def test_retry_after_is_ignored_by_the_naive(gateway, claude):
    claude.script = [claude.fails(429, retry_after="5"), claude.says("too soon")]

    async with gateway(preset="naive") as g:
        await g.chat()

    assert gaps(claude) == pytest.approx([0.5])


async def test_a_retry_after_beyond_the_deadline_ends_the_request_at_once(gateway, claude):
    claude.script = [claude.fails(429, retry_after="5")]

    async with gateway(deadline=4.0) as g:
        response = await g.chat()

    assert (response.status_code, response.headers["retry-after"]) == (429, "5")
    assert len(claude.received) == 1
    assert asyncio.get_running_loop().time() < 1.0


async def test_a_budget_of_five_allows_five_retries_in_an_outage(gateway, claude):
    claude.script = [claude.fails(529)]

    async with gateway(preset="naive", attempts=4, retry_budget={"ratio": 0.1, "burst": 5}) as g:
        for _ in range(10):
            await g.chat()

    assert len(claude.received) == 10 + 5


async def test_ten_successes_earn_one_retry(gateway, claude):
    outage, success = claude.fails(529), claude.says("fine")
    claude.script = [outage, outage, *[success] * 10, outage]

    async with gateway(preset="naive", attempts=2, retry_budget={"ratio": 0.1, "burst": 1}) as g:
        for _ in range(11):
            await g.chat()
        await g.chat()  # pays with what ten successes earned
        await g.chat()  # cannot pay

    assert [line["attempt"] for line in g.lines.attempts] == [1, 2] + [1] * 10 + [1, 2, 1]


async def test_without_a_budget_every_request_is_retried(gateway, claude):
    claude.script = [claude.fails(529)]

    async with gateway(preset="naive", attempts=2) as g:
        for _ in range(10):
            await g.chat()

    assert len(claude.received) == 20


async def test_the_limit_bounds_the_attempts_in_flight(gateway, claude):
    claude.script = [claude.says("slow", after=1.0)]

    async with gateway(cache=None, concurrency={"limit": 2, "max_wait": 60}) as g:
        responses = await asyncio.gather(*(g.chat() for _ in range(4)))

    assert claude.most_inflight == 2
    assert {response.status_code for response in responses} == {200}


async def test_without_a_limit_all_go_at_once(gateway, claude):
    claude.script = [claude.says("slow", after=1.0)]

    async with gateway(preset="naive") as g:
        await asyncio.gather(*(g.chat() for _ in range(200)))

    assert claude.most_inflight == 200


async def test_who_waits_too_long_for_a_place_is_shed(gateway, claude):
    claude.script = [claude.says("slow", after=1.0)]

    async with gateway(cache=None, concurrency={"limit": 1, "max_wait": 0.5}) as g:
        first, second = await asyncio.gather(g.chat(), g.chat())

    assert (first.status_code, second.status_code) == (200, 503)
    assert second.json()["error"]["type"] == "shed"
    assert int(second.headers["retry-after"]) >= 1
    assert len(claude.received) == len(g.lines.attempts) == 1


async def test_a_full_line_sheds_at_once(gateway, claude):
    claude.script = [claude.says("slow", after=1.0)]
    times = []

    async with gateway(cache=None, concurrency={"limit": 2, "max_wait": 60}) as g:

        async def caller():
            response = await g.chat()
            times.append((response.status_code, asyncio.get_running_loop().time()))

        await asyncio.gather(*(caller() for _ in range(6)))

    assert [status for status, _ in times[:2]] == [503, 503]
    assert times[1][1] < 0.5


async def test_a_stream_keeps_its_place_until_it_ends(gateway, claude):
    claude.script = [claude.tells("one two three", every=1.0)]

    async with gateway(concurrency={"limit": 1, "max_wait": 60}) as g:
        await asyncio.gather(g.stream(), g.stream())

    assert gaps(claude) == pytest.approx([3.0])


async def test_a_caller_who_leaves_gives_its_place_back(gateway, claude):
    claude.script = [claude.tells("one two three", every=1.0)]

    async with gateway(concurrency={"limit": 1, "max_wait": 0.1}) as g:
        await g.asgi("/chat/stream", leave_after=1.5)
        response = await g.stream()

    assert response.status_code == 200


async def test_a_place_is_free_during_the_backoff(gateway, claude):
    claude.script = [claude.fails(529), claude.says("second caller"), claude.says("retry")]

    async with gateway(preset="naive", backoff={"base": 5.0}, concurrency={"limit": 1, "max_wait": 0.5}) as g:
        first, second = await asyncio.gather(g.chat(), g.chat())

    assert (first.json()["text"], second.json()["text"]) == ("retry", "second caller")


async def test_an_attempt_that_takes_too_long_is_let_go_and_retried(gateway, claude):
    claude.script = [claude.says("late", after=9.0), claude.says("quick")]

    async with gateway(preset="naive", attempt_timeout=3.0) as g:
        response = await g.chat()

    assert (response.json()["text"], claude.let_go) == ("quick", 1)
    assert g.lines.outcomes == ["timeout", "complete"]
    assert gaps(claude) == pytest.approx([3.5])


async def test_without_an_attempt_timeout_an_answer_may_take_minutes(gateway, claude):
    claude.script = [claude.says("late", after=700.0)]

    async with gateway(preset="naive") as g:
        response = await g.chat()

    assert response.json()["text"] == "late"


async def test_the_deadline_cuts_an_attempt_short(gateway, claude):
    claude.script = [claude.says("late", after=9.0)]

    async with gateway(deadline=4.0, attempt_timeout=30.0) as g:
        response = await g.chat()

    assert (response.status_code, response.json()["error"]["type"]) == (504, "timeout")
    assert asyncio.get_running_loop().time() == pytest.approx(4.0, abs=0.1)
    assert len(claude.received) == 1


async def test_the_deadline_counts_the_wait_for_a_place(gateway, claude):
    claude.script = [claude.says("slow", after=9.0)]

    async with gateway(preset="naive", deadline=4.0, concurrency={"limit": 1, "max_wait": 60}) as g:
        first, second = await asyncio.gather(g.chat(), g.chat())

    assert (first.status_code, second.status_code) == (504, 503)
    assert len(claude.received) == 1


async def test_a_retry_that_cannot_end_in_time_is_not_started(gateway, claude):
    claude.script = [claude.says("normal", after=2.0)] * 3 + [claude.fails(529, after=2.5)]

    async with gateway(deadline=4.0, cache=None) as g:
        for _ in range(3):
            await g.chat()
        response = await g.chat()

    assert (response.status_code, response.json()["error"]["type"]) == (503, "overloaded")
    assert len(claude.received) == 4
    assert g.lines.of("request")[-1]["duration_ms"] == 2500.0  # answered at once, not after the backoff


async def test_a_first_attempt_that_cannot_end_in_time_is_not_started(gateway, claude):
    claude.script = [claude.says("normal", after=3.0)]

    async with gateway(preset="naive", deadline=4.0, concurrency={"limit": 1, "max_wait": 60}) as g:
        await g.chat()
        _, second = await asyncio.gather(g.chat(), g.chat())

    assert (second.status_code, second.json()["error"]["type"]) == (504, "timeout")
    assert "not started" in second.json()["error"]["message"]
    assert len(claude.received) == 2


async def test_a_request_of_ours_that_is_wrong_is_asked_once(gateway, claude):
    claude.script = [claude.fails(400)]

    async with gateway(attempts=4) as g:
        await g.chat()

    assert len(claude.received) == 1


def gaps(claude):
    return [later - earlier for earlier, later in zip(claude.at, claude.at[1:], strict=False)]
