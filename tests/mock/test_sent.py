"""What the journal says of the text that went out, against what the client got: each write, its time, its bytes."""

import asyncio
import json
import sys

import pytest

from mockclaude.journal import Journal
from mockclaude.sent import Sent

WORDS = 'Zwölf "Ströme"\nfließen, 日本の川も: ' * 4
SPOKEN = [{"fixed": WORDS}]


def got(exchange, began):
    """The text that the client could read, as `(seconds, bytes)` for each part that brought some."""
    unread, found = b"", []
    for when, part in exchange.parts:
        *events, unread = (unread + part).split(b"\n\n")
        size = sum(map(text_of, events))
        if size:
            found.append([pytest.approx(when - began, abs=1e-4), size])
    return found


def text_of(event):
    try:
        body = json.loads(event.partition(b"data: ")[2])
    except ValueError:
        return 0
    return len(body.get("delta", {}).get("text", "").encode()) if body["type"] == "content_block_delta" else 0


@pytest.mark.parametrize(
    "fault",
    [
        "",
        "stall;after=2;seconds=3",
        "drip;factor=2",
        "slow_first_byte;seconds=1",
        "cut;after=4",
        "cut;after=4;how=rst",
        "truncate;after=4",
        "error_event;after=3",
        "split_packets;seconds=0.01",
        "comments",
        "malformed_event;after=2",
        "truncated_json;after=2",
        "duplicate_event;after=2",
        "missing_event;after=2",
        "missing_event;event=content_block_stop",
        "giant_event;after=2;size=3000",
    ],
)
async def test_the_journal_knows_when_the_text_of_a_stream_went_out(mocked, steady, fault):
    async with mocked(latency=steady | {"tokens_per_delta": 7}, responders=SPOKEN) as claude:
        began = asyncio.get_running_loop().time()
        reply = await claude.asked(stream=True, max_tokens=200, headers={"x-mockclaude-fault": fault})

        [record] = await claude.journal()
        assert record["sent"] == got(reply, began)
        assert record["sent"]


async def test_a_recorded_reply_tells_of_its_text_too(mocked):
    whole = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": WORDS}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 40},
    }
    line = {
        "recorded_at": "2026-11-12T10:00:00Z",
        "request": {"model": "claude-haiku-4-5", "stream": False},
        "status": 200,
        "headers": {},
        "ttfb": 1.0,
        "ended": "complete",
        "at": 2.0,
        "body": whole,
    }
    async with mocked(responders=[{"recorded": {"text": json.dumps(line)}}]) as claude:
        began = asyncio.get_running_loop().time()
        reply = await claude.asked(stream=True)

        [record] = await claude.journal()
        assert record["sent"] == got(reply, began)
        assert sum(size for _, size in record["sent"]) == len(WORDS.encode())


async def test_what_waits_in_the_queue_counts_from_its_arrival_too(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 1}) as claude:
        await asyncio.gather(claude.asked("a", stream=True), claude.asked("b", stream=True))

        first, second = await claude.journal()
        assert [first["sent"][0][0], second["sent"][0][0]] == pytest.approx([1.0, 3.0])


async def test_deltas_that_are_due_together_are_one_write(mocked):
    at_once = {"ttft": {"p50": 1, "p95": 1}, "tokens_per_second": 1e12, "tokens_per_delta": 1}
    async with mocked(latency=at_once, responders=SPOKEN) as claude:
        await claude.asked(stream=True, max_tokens=4096)

        [record] = await claude.journal()
        assert sum(size for _, size in record["sent"]) == len(WORDS.encode())
        assert len(record["sent"]) <= 2


async def test_a_client_that_left_was_sent_only_what_was_written_by_then(mocked, steady):
    async with mocked(latency=steady) as claude:
        reply = claude.ask(stream=True)
        await asyncio.sleep(1.35)
        await reply.leave()

        [record] = await claude.journal()
        assert [at for at, _ in record["sent"]] == pytest.approx([1.0, 1.1, 1.2, 1.3])


async def test_json_and_refusals_and_tools_have_no_text_on_the_way(mocked):
    tool = {"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}
    async with mocked() as claude:
        await claude.asked()
        await claude.asked(stream=True, headers={"x-mockclaude-fault": "status;code=529"})
        await claude.asked(stream=True, tools=[tool], tool_choice={"type": "any"})

        assert [record["sent"] for record in await claude.journal()] == [[], [], []]


def test_the_memory_of_all_writes_together_has_a_bound_and_the_oldest_go_first():
    journal = Journal("mock-a", kept_sent=5)
    for _ in range(3):
        attempt = journal.open({}, 0.0, wall=0.0)
        attempt.says(12, 0.25)
        attempt.says(13, 0.5)
        attempt.close("complete", 1.0)

    records = journal.page(0, 10).records

    assert [list(record.sent) for record in records] == [[], [(0.25, 12), (0.5, 13)], [(0.25, 12), (0.5, 13)]]


def test_with_its_record_a_memory_of_writes_goes_too():
    journal = Journal("mock-a", kept=2)
    sent = []
    for _ in range(5):
        attempt = journal.open({}, 0.0, wall=0.0)
        attempt.says(12, 0.25)
        attempt.close("complete", 1.0)
        sent.append(attempt.sent)
    sent.append(Sent())

    *dropped, kept, _, held_by_nobody = map(sys.getrefcount, sent)

    assert dropped == [held_by_nobody] * 3
    assert kept > held_by_nobody


def test_a_part_without_text_is_not_noted():
    attempt = Journal("mock-a").open({}, 0.0, wall=0.0)

    attempt.says(0, 0.25)

    assert not attempt.sent


def test_what_is_forgotten_is_empty():
    sent = Sent()
    sent.note(0.12342, 7)
    assert (len(sent), list(sent)) == (1, [(0.1234, 7)])

    sent.forget()

    assert (len(sent), list(sent)) == (0, [])
