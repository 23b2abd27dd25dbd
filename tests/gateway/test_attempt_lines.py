"""Every attempt that Claude received has exactly one line, and nothing else has one."""

import asyncio
import contextlib

import httpx2
import pytest

FIELDS = {
    *("event", "request_id", "attempt", "model", "status_code", "outcome", "sent", "sends"),
    *("duration_ms", "input_tokens", "output_tokens"),
}


async def test_a_success_has_one_line_with_every_field(gateway, claude):
    claude.script = [claude.says("hello", after=1.5, tokens=(7, 3))]

    async with gateway() as g:
        await g.chat()

    [line] = g.lines.attempts
    assert set(line) == FIELDS
    assert (line["request_id"], line["attempt"], line["status_code"]) == (claude.ids[0], 1, 200)
    assert (line["outcome"], line["sent"], line["duration_ms"]) == ("complete", True, 1500.0)
    assert (line["input_tokens"], line["output_tokens"]) == (7, 3)


async def test_the_request_line_sums_up(gateway, claude):
    claude.script = [claude.fails(529), claude.says("hello")]

    async with gateway(preset="naive", backoff={"base": 1.0}) as g:
        await g.chat()

    [line] = g.lines.of("request")
    assert (line["method"], line["path"], line["status_code"]) == ("POST", "/chat", 200)
    assert (line["attempts"], line["outcome"], line["duration_ms"]) == (2, "complete", 1000.0)
    assert (line["input_tokens"], line["output_tokens"], line["request_id"]) == (7, 3, claude.ids[0])


@pytest.mark.parametrize(
    "ending",
    [
        lambda claude: claude.says("fine", after=1.0),
        lambda claude: claude.fails(529),
        lambda claude: claude.fails(400),
        lambda claude: claude.says("late", after=99.0),
        lambda claude: claude.says(""),
        lambda claude: claude.raises(httpx2.ReadError("reset")),
        lambda claude: claude.answers("<html>"),
    ],
    ids=["success", "overloaded", "rejected", "timeout", "empty", "reset", "html"],
)
@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
async def test_lines_and_what_claude_received_agree_id_by_id(gateway, claude, path, ending):
    claude.script = [ending(claude)]

    async with gateway(preset="naive", attempt_timeout=3.0) as g:
        await asyncio.gather(*(g.caller.post(path, json={"message": "hi"}) for _ in range(5)))

    assert sorted(g.lines.sent_ids) == sorted(claude.ids)
    assert sum(line["attempts"] for line in g.lines.of("request")) == len(claude.ids)


async def test_a_connection_that_was_never_made_says_so(gateway, claude):
    claude.script = [claude.raises(httpx2.ConnectError("refused")), claude.says("now")]

    async with gateway() as g:
        await g.chat()

    assert [(line["outcome"], line["sent"]) for line in g.lines.attempts] == [
        ("unreachable", False),
        ("complete", True),
    ]


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.5])
async def test_a_stream_whose_caller_left_has_one_line(gateway, claude, seconds):
    claude.script = [claude.tells("one two three", every=1.0)]

    async with gateway() as g:
        await g.asgi("/chat/stream", leave_after=seconds)

    assert g.lines.sent_ids == claude.ids == ["asgi-1"]
    assert g.lines.outcomes == ["left"]


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
@pytest.mark.parametrize("seconds", [0.5, 1.5])
async def test_a_request_cut_by_the_shutdown_has_one_line(gateway, claude, path, seconds):
    slow = claude.says("late", after=9.0) if path == "/chat" else claude.tells("one two three", every=1.0)
    claude.script = [slow]

    async with gateway() as g:
        request = asyncio.create_task(g.asgi(path))
        await asyncio.sleep(seconds)
        g.app.state.upstream.drain()
        request.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await request

    assert g.lines.sent_ids == claude.ids == ["asgi-1"]
    assert g.lines.outcomes == ["aborted"]
    assert [line["outcome"] for line in g.lines.of("request")] == ["aborted"]


async def test_a_request_cut_in_its_backoff_has_no_further_line(gateway, claude):
    claude.script = [claude.fails(529)]

    async with gateway(preset="naive", backoff={"base": 5.0}) as g:
        request = asyncio.create_task(g.asgi("/chat"))
        await asyncio.sleep(1.0)
        request.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await request

    assert g.lines.outcomes == ["overloaded"]
    assert g.lines.of("request")[0]["attempts"] == 1


async def test_a_request_cut_in_the_line_has_no_attempt(gateway, claude):
    claude.script = [claude.says("slow", after=9.0)]

    async with gateway(preset="naive", cancel_upstream=True, concurrency={"limit": 1, "max_wait": 60}) as g:
        holder = asyncio.create_task(g.chat())
        await asyncio.sleep(0.1)
        request = asyncio.create_task(g.asgi("/chat"))
        await asyncio.sleep(1.0)
        request.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await request
        await holder

    assert len(claude.ids) == len(g.lines.attempts) == 1


async def test_who_is_cut_before_an_answer_is_told_to_come_back(gateway, claude):
    claude.script = [claude.says("late", after=9.0)]
    sent = []

    async with gateway() as g:
        request = asyncio.create_task(g.asgi("/chat"))
        request.add_done_callback(sent.append)
        await asyncio.sleep(0.5)
        request.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await request

    assert g.lines.of("request")[0]["status_code"] == 503


async def test_an_attempt_still_open_when_the_application_ends_is_waited_for(gateway, claude):
    claude.script = [claude.says("late", after=0.3)]

    async with gateway() as g:
        request = asyncio.create_task(g.asgi("/chat"))
        await asyncio.sleep(0.1)
    await request

    assert g.lines.outcomes == ["complete"]


async def test_a_stream_that_could_not_even_start_lets_claude_go_at_once(gateway, claude):
    claude.script = [claude.tells("one two three", every=1.0)]

    async with gateway() as g:
        with pytest.raises(OSError):
            await g.asgi("/chat/stream", gone=True)
        lines = list(g.lines.attempts)

    assert [line["outcome"] for line in lines] == ["left"]
