"""The one path of a request, through the whole application on virtual time."""

import asyncio
import json
import re

import pytest

from mockclaude.request import ask


async def test_a_json_reply_comes_whole_when_its_last_token_is_due(mocked, steady):
    async with mocked(latency=steady) as claude:
        began = asyncio.get_running_loop().time()
        reply = await claude.asked()

        assert reply.status == 200
        assert asyncio.get_running_loop().time() - began == pytest.approx(1.0 + 10 / 10)
        assert reply.json["usage"]["output_tokens"] == 10
        assert reply.headers["content-length"] == str(len(reply.body))


async def test_a_stream_shows_its_head_at_once_and_its_first_delta_at_ttft(mocked, steady):
    async with mocked(latency=steady) as claude:
        began = asyncio.get_running_loop().time()
        reply = await claude.asked(stream=True)

        assert reply.parts[0][0] - began == pytest.approx(0.0)
        assert b"message_start" in reply.parts[0][1]
        assert [when - began for when in reply.delta_times()] == pytest.approx([1.0 + k / 10 for k in range(10)])
        assert reply.parts[-1][0] - began == pytest.approx(2.0)
        assert reply.body.endswith(b"}\n\n")


async def test_a_stream_has_claudes_headers(mocked, steady):
    async with mocked(latency=steady) as claude:
        reply = await claude.asked(stream=True)

        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reply.headers["cache-control"] == "no-cache"
        assert re.fullmatch(r"req_011C\w{20}", reply.headers["request-id"])


async def test_tokens_that_are_due_together_go_out_in_one_write(mocked):
    at_once = {"ttft": {"p50": 1, "p95": 1}, "tokens_per_second": 1e12, "tokens_per_delta": 1}
    async with mocked(latency=at_once) as claude:
        reply = await claude.asked(stream=True)

        assert len(reply.parts) <= 3
        assert reply.body.count(b"text_delta") == 10


async def test_a_third_request_waits_for_one_of_two_slots(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 2}) as claude:
        await asyncio.gather(*(claude.asked(text) for text in "abc"))

        records = await claude.journal()
        assert [record["queued"] for record in records] == pytest.approx([0.0, 0.0, 2.0])
        assert [record["ended"] for record in records] == pytest.approx([2.0, 2.0, 4.0])


async def test_a_full_queue_is_an_overload_without_retry_after(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 1, "queue": 1}) as claude:
        replies = [claude.ask(text) for text in "abc"]
        refused = await replies[2].ended()

        assert refused.status == 529
        assert refused.error == {"type": "overloaded_error", "message": "Overloaded"}
        assert refused.json["request_id"] == refused.headers["request-id"]
        assert refused.headers["x-should-retry"] == "true"
        assert "retry-after" not in refused.headers
        assert [(await reply.ended()).status for reply in replies[:2]] == [200, 200]


async def test_a_key_that_asks_too_often_is_told_the_true_wait(mocked, steady):
    async with mocked(latency=steady, limits={"requests_per_minute": 6, "burst": 1}) as claude:
        served = await claude.asked()
        refused = await claude.asked()

        assert served.headers["anthropic-ratelimit-requests-limit"] == "6"
        assert served.headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert refused.status == 429
        assert refused.headers["retry-after"] == "8"  # 10 s for one request, of which the first took 2
        assert "rate limit of 6 requests per minute" in refused.error["message"]

        await asyncio.sleep(8)
        assert (await claude.asked()).status == 200


async def test_another_key_is_not_limited_by_the_first(mocked, steady):
    async with mocked(latency=steady, limits={"requests_per_minute": 6, "burst": 1}) as claude:
        await claude.asked()

        assert (await claude.asked(headers={"x-api-key": "another"})).status == 200


async def test_without_limits_there_are_no_ratelimit_headers(mocked, steady):
    async with mocked(latency=steady) as claude:
        reply = await claude.asked()

        assert not [name for name in reply.headers if "ratelimit" in name]


@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({"max_tokens": None}, {}, 400),
        ({}, {"x-api-key": ""}, 401),
        ({"model": "claude-nope"}, {}, 404),
    ],
)
async def test_a_refusal_is_journaled_and_takes_no_slot(mocked, fields, headers, status):
    async with mocked() as claude:
        refused = await claude.asked(headers=headers, **fields)

        [record] = await claude.journal()
        assert refused.status == record["status"] == status
        assert record["outcome"] == "rejected"
        assert refused.headers["x-should-retry"] == "false"
        assert (await claude.call("GET", "/_mock/stats"))["arrived"] == 0


async def test_a_body_over_the_limit_is_read_but_not_kept(mocked):
    async with mocked() as claude:
        body = b" " * (ask.BODY_LIMIT + 10)
        refused = await claude.send("POST", "/v1/messages", body, {"x-api-key": "a"}).ended()

        assert refused.status == 413
        assert refused.json == {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}


async def test_a_fault_strikes_its_share_whatever_the_interleaving(mocked, steady):
    async def statuses(order):
        async with mocked(latency=steady, seed=3, faults=[{"name": "status", "code": 503, "share": 0.3}]) as claude:
            replies = [claude.ask(f"request {k}") for k in order]
            return {k: (await reply.ended()).status for k, reply in zip(order, replies, strict=True)}

    forward, backward = await statuses(range(100)), await statuses(range(99, -1, -1))

    assert forward == backward
    assert 15 < sum(status == 503 for status in forward.values()) < 45


async def test_an_attempt_a_fault_refused_is_a_fault_in_the_journal(mocked):
    async with mocked(faults=[{"name": "status", "code": 529}]) as claude:
        refused = await claude.asked()

        [record] = await claude.journal()
        assert (refused.status, record["status"], record["outcome"]) == (529, 529, "fault")


async def test_one_seed_gives_the_same_replies_and_latencies_whatever_the_interleaving(mocked):
    async def play(order, gap):
        async with mocked(seed=11, capacity={"slots": 3}) as claude:
            replies = []
            for k in order:
                replies.append(claude.ask(f"question {k % 7}", stream=True))
                await asyncio.sleep(gap)
            for reply in replies:
                await reply.ended()
            records = await claude.journal()
            spans = sorted(round(record["ended"] - record["first_byte"], 4) for record in records)
            return sorted(reply.body for reply in replies), spans

    bodies, spans = await play(range(20), gap=0.0)
    others, other_spans = await play([19 - k for k in range(20)], gap=0.3)

    assert bodies == others
    assert spans == pytest.approx(other_spans, abs=1e-3)


async def test_equal_requests_get_different_replies_and_a_reset_begins_again(mocked, steady):
    async with mocked(latency=steady) as claude:
        first, second = await claude.asked(), await claude.asked()
        await claude.call("POST", "/_mock/reset")
        again = await claude.asked()

        assert first.body != second.body
        assert first.body == again.body


async def test_the_caller_is_not_part_of_what_is_answered(mocked, steady):
    async with mocked(latency=steady) as claude:
        first = await claude.asked(metadata={"user_id": "a"})
        await claude.call("POST", "/_mock/reset")
        again = await claude.asked(metadata={"user_id": "b"})

        assert first.body == again.body


async def test_a_client_that_leaves_a_stream_gives_its_slot_back_at_once(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 1}) as claude:
        leaver = claude.ask("a", stream=True)
        waiter = claude.ask("b")
        await asyncio.sleep(1.25)
        await leaver.leave()
        await waiter.ended()

        left, served = await claude.journal()
        assert (left["outcome"], left["status"], left["output_tokens"], left["wasted_tokens"]) == ("left", 200, 3, 0)
        assert left["ended"] == pytest.approx(1.25)
        assert served["queued"] == pytest.approx(1.25)


async def test_finish_lets_the_work_of_a_client_that_left_run_to_its_end(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 1, "on_disconnect": "finish"}) as claude:
        leaver = claude.ask("a", stream=True)
        waiter = claude.ask("b")
        await asyncio.sleep(1.25)
        await leaver.leave()
        await waiter.ended()

        left, served = await claude.journal()
        assert (left["outcome"], left["output_tokens"], left["wasted_tokens"]) == ("left", 10, 7)
        assert left["ended"] == pytest.approx(2.0)
        assert served["queued"] == pytest.approx(2.0)


async def test_leaving_the_queue_frees_the_place(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 1, "queue": 1}) as claude:
        running, waiting = claude.ask("a"), claude.ask("b")
        await asyncio.sleep(0.5)
        await waiting.leave()
        next_one = claude.ask("c")
        await running.ended()
        await next_one.ended()

        left, *_ = await claude.journal()
        assert (left["outcome"], left["status"], left["queued"], left["output_tokens"]) == ("left", None, 0.5, 0)
        assert next_one.status == 200


async def test_finish_also_runs_what_was_left_in_the_queue(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 1, "on_disconnect": "finish"}) as claude:
        running, waiting = claude.ask("a"), claude.ask("b")
        await asyncio.sleep(0.5)
        await waiting.leave()
        await running.ended()
        await asyncio.sleep(3)

        _, left = await claude.journal()
        assert (left["outcome"], left["output_tokens"], left["wasted_tokens"]) == ("left", 10, 10)
        assert left["queued"] == pytest.approx(2.0)
        assert left["ended"] == pytest.approx(4.0)


async def test_a_server_that_cancels_requests_of_clients_that_left_leaks_no_slot(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 1}) as claude:
        running, waiting = claude.ask("a", stream=True), claude.ask("b")
        await asyncio.sleep(0.1)
        for exchange in (waiting, running):
            exchange.task.cancel()
        await asyncio.gather(running.task, waiting.task, return_exceptions=True)

        stats = await claude.call("GET", "/_mock/stats")
        assert (stats["running"], stats["queued"], stats["cancelled"], stats["open"]) == (0, 0, 2, 0)


async def test_a_socket_that_breaks_while_we_write_is_a_client_that_left(mocked, steady):
    async with mocked(latency=steady) as claude:
        exchange = claude.ask(stream=True)
        exchange._send = broken_pipe
        await exchange.ended()

        [record] = await claude.journal()
        assert record["outcome"] == "left"


async def broken_pipe(message):
    raise BrokenPipeError


async def test_an_unknown_path_is_not_found_in_claudes_envelope(mocked):
    async with mocked() as claude:
        reply = await claude.send("GET", "/v1/nope").ended()

        assert reply.status == 404
        assert reply.error == {"type": "not_found_error", "message": "Not found"}
        assert reply.json["request_id"] == reply.headers["request-id"]


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/"), ("GET", "/"), ("GET", "/_mock/health")])
async def test_what_clients_probe_first_is_there(mocked, method, path):
    async with mocked() as claude:
        assert (await claude.send(method, path).ended()).status == 200


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc"])
async def test_fastapis_own_pages_are_not_claudes(mocked, path):
    async with mocked() as claude:
        assert (await claude.send("GET", path).ended()).status == 404


async def test_a_wrong_method_has_the_envelope_too(mocked):
    async with mocked() as claude:
        reply = await claude.send("GET", "/v1/messages").ended()

        assert reply.status == 405
        assert reply.json["type"] == "error"


async def test_the_old_beta_query_is_accepted(mocked, steady):
    async with mocked(latency=steady) as claude:
        body = {"model": "claude-opus-5", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
        headers = {"x-api-key": "a", "anthropic-version": "2023-06-01"}
        reply = await claude.send("POST", "/v1/messages?beta=true", json.dumps(body).encode(), headers).ended()

        assert reply.status == 200


async def test_conservation_holds_through_a_mixed_afternoon(mocked):
    async with mocked(capacity={"slots": 4, "queue": 6}) as claude:
        asked = []
        for k in range(60):
            asked.append(claude.ask(f"{k}", stream=bool(k % 2)))
            await asyncio.sleep(0.02)
            if k % 5 == 4:
                await asked[k - 1].leave()
            stats = await claude.call("GET", "/_mock/stats")
            assert stats["arrived"] == sum(
                stats[name] for name in ("completed", "running", "queued", "turned_away", "cancelled")
            )
        for exchange in asked:
            await exchange.ended()

        stats = await claude.call("GET", "/_mock/stats")
        assert (stats["running"], stats["queued"], stats["open"]) == (0, 0, 0)
        assert len(await claude.journal()) == 60


async def test_the_wait_for_a_slot_begins_when_the_request_is_whole(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 1, "max_queue_wait": 0.2}) as claude:
        claude.ask("a")
        slow = claude.ask("b")
        read = slow._receive

        async def late():
            await asyncio.sleep(0.5 if not slow._asked else 0)
            return await read()

        slow._receive = late
        await slow.ended()

        [record] = await claude.journal()
        assert (record["status"], record["t"]) == (529, 0.0)
        assert record["queued"] == pytest.approx(0.2)


async def test_an_upload_during_which_the_rehearsal_is_closed_gets_no_answer(mocked, steady):
    async with mocked(latency=steady) as claude:
        incoming = asyncio.Queue()
        sent = []
        headers = [(b"x-api-key", b"k"), (b"anthropic-version", b"2023-06-01")]
        scope = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": headers, "query_string": b""}

        async def send(message):
            sent.append(message)

        await incoming.put({"type": "http.request", "body": b'{"model": ', "more_body": True})
        uploading = asyncio.ensure_future(claude.app(scope, incoming.get, send))
        await asyncio.sleep(1)
        await claude.call("POST", "/_mock/close")
        await incoming.put({"type": "http.request", "body": b"7}"})
        await uploading

        assert sent == []
        assert [record["outcome"] for record in await claude.journal()] == ["left"]
        assert (await claude.call("GET", "/_mock/stats"))["arrived"] == 0
