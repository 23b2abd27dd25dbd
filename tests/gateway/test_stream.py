"""POST /chat/stream and /stream: events as Claude writes, honest statuses before the first text, then error events."""

import asyncio
import json

import httpx2
import pytest


def overloaded(kind="overloaded_error"):
    return {"type": "error", "error": {"type": kind, "message": "RAW UPSTREAM TEXT"}}


def data(response):
    return [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]


async def test_text_comes_as_it_is_written_then_usage_then_done(gateway, claude):
    claude.script = [claude.tells("good morning")]

    async with gateway() as g:
        response = await g.stream()

    assert response.status_code == 200
    assert [json.loads(each) for each in data(response)[:-1]] == [
        {"text": "good"},
        {"text": "morning"},
        {"done": True, "usage": {"input": 7, "output": 3}},
    ]
    assert data(response)[-1] == "[DONE]"


async def test_the_quick_form_tells_the_same(gateway, claude):
    claude.script = [claude.tells("good morning")]

    async with gateway() as g:
        long = await g.stream("why?")
        quick = await g.caller.post("/stream", json={"prompt": "why?"})

    assert (quick.status_code, quick.text) == (200, long.text)
    first, second = claude.bodies()
    del first["metadata"], second["metadata"]
    assert first == second


@pytest.mark.parametrize(
    "body", [{}, {"prompt": ""}, {"prompt": "x" * 10_001}, {"prompt": 5}, {"message": "hi"}], ids=str
)
async def test_a_bad_quick_form_is_rejected(gateway, claude, body):
    async with gateway() as g:
        response = await g.caller.post("/stream", json=body)

    assert (response.status_code, claude.received) == (422, [])
    assert "prompt" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("on", "held_back"), [(True, {b"x-accel-buffering": b"no", b"cache-control": b"no-cache"}), (False, {})]
)
async def test_headers_keep_a_proxy_from_holding_the_events_back(gateway, claude, on, held_back):
    claude.script = [claude.tells("hi")]

    async with gateway(sse_headers=on) as g:
        began, *sent = await g.asgi("/chat/stream")

    headers = dict(began["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert {name: headers[name] for name in (b"x-accel-buffering", b"cache-control") if name in headers} == held_back
    assert b"\r" not in b"".join(message["body"] for message in sent)


async def test_the_first_text_leaves_before_the_second_is_written(gateway, claude):
    claude.script = [claude.tells("one two three", every=1.0)]
    arrivals = []

    async with gateway() as g:
        arrivals = await g.asgi("/chat/stream")

    texts = [message for message in arrivals if b'"text"' in message.get("body", b"")]
    assert len(texts) == 3


@pytest.mark.parametrize(
    ("kind", "status", "type_"),
    [
        ("overloaded_error", 503, "overloaded"),
        ("rate_limit_error", 429, "throttled"),
        ("authentication_error", 500, "configuration"),
        ("invalid_request_error", 400, "rejected"),
        ("request_too_large", 413, "rejected"),
        ("api_error", 502, "upstream_error"),
        ("never_heard_of", 502, "upstream_error"),
    ],
)
async def test_an_error_event_before_the_first_text_is_a_status(gateway, claude, kind, status, type_):
    from_start = claude.streams({"type": "message_start", "message": {"usage": {"input_tokens": 1}}}, overloaded(kind))
    claude.script = [from_start]

    async with gateway(attempts=1) as g:
        response = await g.stream()

    assert (response.status_code, response.json()["error"]["type"]) == (status, type_)
    assert "RAW UPSTREAM TEXT" not in response.text


async def test_an_overload_inside_a_200_is_retried(gateway, claude):
    claude.script = [claude.streams(overloaded()), claude.tells("at last")]

    async with gateway() as g:
        response = await g.stream()

    assert (response.status_code, len(claude.received)) == (200, 2)
    assert g.lines.outcomes == ["overloaded", "complete"]
    assert [line["status_code"] for line in g.lines.attempts] == [200, 200]


async def test_an_error_after_the_first_text_is_an_error_event_and_never_a_retry(gateway, claude):
    claude.script = [claude.streams("half", overloaded())]

    async with gateway() as g:
        response = await g.stream()

    assert response.status_code == 200
    assert "event: error\n" in response.text
    error = json.loads(data(response)[-1])["error"]
    assert (error["type"], error["request_id"]) == ("overloaded", claude.ids[0])
    assert len(claude.received) == 1
    assert g.lines.of("request")[0]["outcome"] == "overloaded"


@pytest.mark.parametrize("end", [[], [httpx2.ReadError("reset")]], ids=["clean cut", "reset"])
async def test_a_stream_without_its_end_is_an_upstream_error(gateway, claude, end):
    claude.script = [claude.streams("half", *end)]

    async with gateway() as g:
        response = await g.stream()

    assert json.loads(data(response)[-1])["error"]["type"] == "upstream_error"
    assert "[DONE]" not in response.text
    assert g.lines.outcomes == ["upstream_error"]


async def test_a_stream_cut_before_its_first_text_is_retried(gateway, claude):
    claude.script = [claude.streams(), claude.tells("at last")]

    async with gateway() as g:
        response = await g.stream()

    assert (response.status_code, g.lines.outcomes) == (200, ["upstream_error", "complete"])


async def test_a_stream_without_text_is_an_upstream_error_and_not_retried(gateway, claude):
    claude.script = [claude.tells("")]

    async with gateway() as g:
        response = await g.stream()

    assert (response.status_code, response.json()["error"]["type"]) == (502, "upstream_error")
    assert len(claude.received) == 1


async def test_a_malformed_event_is_an_upstream_error(gateway, claude):
    claude.script = [claude.streams("half", {"type": "content_block_delta", "delta": None})]

    async with gateway() as g:
        response = await g.stream()

    assert json.loads(data(response)[-1])["error"]["type"] == "upstream_error"


async def test_a_caller_who_leaves_lets_claude_go(gateway, claude):
    claude.script = [claude.tells("one two three four five", every=1.0)]

    async with gateway() as g:
        await g.asgi("/chat/stream", leave_after=2.5)

    assert claude.let_go == 1
    assert g.lines.outcomes == ["left"]
    assert g.lines.of("request")[0]["outcome"] == "left"


async def test_the_attempt_timeout_bounds_the_first_text_only(gateway, claude):
    claude.script = [claude.tells("one two three four", every=1.0)]

    async with gateway(attempt_timeout=1.5) as g:
        response = await g.stream()

    assert data(response)[-1] == "[DONE]"


async def test_a_first_text_that_is_late_is_a_timeout(gateway, claude):
    claude.script = [claude.tells("late", every=2.0)]

    async with gateway(attempt_timeout=1.5, attempts=1) as g:
        response = await g.stream()

    assert (response.status_code, response.json()["error"]["type"]) == (504, "timeout")
    assert claude.let_go == 1


async def test_the_deadline_bounds_the_first_text(gateway, claude):
    claude.script = [claude.tells("late", every=2.0)]

    async with gateway(deadline=1.5) as g:
        response = await g.stream()

    assert (response.status_code, response.json()["error"]["type"]) == (504, "timeout")


async def test_a_stream_may_go_on_beyond_the_deadline_once_it_speaks(gateway, claude):
    claude.script = [claude.tells("one two three four", every=1.0)]

    async with gateway(deadline=2.5) as g:
        response = await g.stream()

    assert [json.loads(each).get("text") for each in data(response)[:4]] == ["one", "two", "three", "four"]


async def test_the_time_of_a_stream_bounds_all_of_it(gateway, claude):
    claude.script = [claude.tells("one two three four", every=1.0)]

    async with gateway(stream_timeout=2.5) as g:
        response = await g.stream()

    assert [json.loads(each).get("text") for each in data(response)[:-1]] == ["one", "two"]
    assert json.loads(data(response)[-1])["error"]["type"] == "timeout"
    assert claude.let_go == 1


async def test_a_silence_within_a_stream_ends_it(gateway, claude):
    claude.script = [claude.streams("one", 1.0, "two", 9.0, "three")]

    async with gateway(idle_timeout=5.0) as g:
        response = await g.stream()

    assert [json.loads(each).get("text") for each in data(response)[:-1]] == ["one", "two"]
    assert json.loads(data(response)[-1])["error"]["type"] == "timeout"


async def test_a_stream_whose_end_nobody_requires_passes_for_whole(gateway, claude):
    claude.script = [claude.streams("half")]

    async with gateway(require_stop=False) as g:
        response = await g.stream()

    assert data(response)[-1] == "[DONE]"


# Before the first text


async def test_with_a_peek_the_status_waits_for_the_first_text(gateway, claude):
    claude.script = [claude.tells("late", every=5.0)]

    async with gateway(peek=True, heartbeat=2.0) as g:
        sent = await g.asgi("/chat/stream")

    assert [message["at"] for message in sent[:2]] == pytest.approx([5.0, 5.0])


async def test_without_a_peek_the_status_is_sent_at_once(gateway, claude):
    claude.script = [claude.tells("late", every=5.0)]

    async with gateway(peek=False) as g:
        sent = await g.asgi("/chat/stream")

    assert [message["at"] for message in sent[:2]] == pytest.approx([0.0, 5.0])


async def test_without_a_peek_even_an_early_failure_is_an_error_event(gateway, claude):
    claude.script = [claude.fails(529)]

    async with gateway(peek=False, attempts=1) as g:
        response = await g.stream()

    assert response.status_code == 200
    assert response.text.startswith("event: error\n")
    assert [json.loads(each)["error"]["type"] for each in data(response)] == ["overloaded"]
    assert g.lines.of("request")[0]["outcome"] == "overloaded"


@pytest.mark.parametrize(("heartbeat", "beats"), [(2.0, [2.0, 4.0, 6.0, 8.0]), (None, [])], ids=["on", "off"])
async def test_a_silent_stream_has_a_heartbeat(gateway, claude, heartbeat, beats):
    claude.script = [claude.streams(5.0, "one", 4.5, "two", {"type": "message_stop"})]

    async with gateway(peek=False, heartbeat=heartbeat, idle_timeout=None) as g:
        sent = await g.asgi("/chat/stream")

    assert [message["at"] for message in sent if message.get("body") == b": heartbeat\n\n"] == pytest.approx(beats)
    assert [message["at"] for message in sent if b"text" in message.get("body", b"")] == pytest.approx([5.0, 9.5])


async def test_a_heartbeat_ends_with_its_stream(gateway, claude):
    claude.script = [claude.tells("hi")]

    async with gateway(heartbeat=2.0) as g:
        sent = await g.asgi("/chat/stream")
        await asyncio.sleep(10.0)

    assert sent[-1]["more_body"] is False


async def test_a_burst_of_events_lets_others_run_between_them(gateway, claude):
    claude.script = [claude.streams(*["word"] * 300, {"type": "message_stop"})]
    turns = 0

    async def bystander():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with gateway() as g:
        other = asyncio.create_task(bystander())
        await g.stream()
        other.cancel()

    assert turns >= 300 // 16
