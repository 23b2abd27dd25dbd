import asyncio

import pytest

from mockclaude.journal import Journal
from mockclaude.request import ask

HEADERS = {"x-api-key": "sk-test", "x-request-id": "r1", "x-stainless-retry-count": "2"}


@pytest.fixture
def journal():
    journal = Journal("mock-a")
    journal.restart(100.0)
    return journal


def arrive(journal, now=101.0, headers=HEADERS):
    return journal.open(headers, now, wall=1_000.0)


def closed(journal):
    return journal.page(0, 1000).records


def test_a_record_has_every_field_in_seconds_since_t0(journal):
    attempt = journal.open(HEADERS, 101.0, wall=1_000.0, peer=50_123)
    attempt.labels = ask.Labels("claude-haiku-4-5", True, "r1")
    attempt.status, attempt.queued, attempt.first_byte, attempt.input_tokens = 200, 0.25, 101.5, 7
    attempt.cached_input_tokens, attempt.written_input_tokens, attempt.read = 5, 1, True

    attempt.close("complete", 103.0, output_tokens=120)

    assert closed(journal)[0]._asdict() == {
        "n": 1,
        "instance": "mock-a",
        "t": 1.0,
        "wall": 1_000.0,
        "request_id": "r1",
        "key": "sk-test",
        "model": "claude-haiku-4-5",
        "stream": True,
        "retry_count": 2,
        "status": 200,
        "outcome": "complete",
        "queued": 0.25,
        "first_byte": 1.5,
        "ended": 3.0,
        "input_tokens": 7,
        "output_tokens": 120,
        "wasted_tokens": 0,
        "fault": None,
        "first_token": None,
        "cached_input_tokens": 5,
        "written_input_tokens": 1,
        "read": True,
        "peer": 50_123,
        "sent": attempt.sent,
        "stalled": 0.0,
    }


def test_a_record_is_closed_once(journal):
    attempt = arrive(journal)

    attempt.close("complete", 102.0)
    attempt.close("left", 103.0)

    assert [record.outcome for record in closed(journal)] == ["complete"]


@pytest.mark.parametrize(
    ("status", "by_fault", "outcome"),
    [
        (400, False, "rejected"),
        (404, False, "rejected"),
        (429, False, "turned_away"),
        (529, False, "turned_away"),
        (500, False, "fault"),
        (400, True, "fault"),
        (529, True, "fault"),
    ],
)
def test_a_refusal_is_an_attempt_too(journal, status, by_fault, outcome):
    arrive(journal).refuse(status, 101.5, by_fault)

    [record] = closed(journal)
    assert (record.status, record.outcome, record.first_byte, record.ended) == (status, outcome, 1.5, 1.5)


def test_the_cursor_follows_the_order_of_closing(journal):
    first, second, third = (arrive(journal) for _ in range(3))

    third.close("complete", 102.0)
    page = journal.page(0, 10)
    first.close("complete", 103.0)
    second.close("complete", 104.0)

    assert [record.n for record in page.records] == [3]
    assert [record.n for record in journal.page(page.cursor, 10).records] == [1, 2]


def test_a_page_has_a_limit_and_the_next_one_goes_on(journal):
    for _ in range(5):
        arrive(journal).close("complete", 102.0)

    page = journal.page(0, 2)

    assert [record.n for record in page.records] == [1, 2]
    assert page.cursor == 2
    assert [record.n for record in journal.page(page.cursor, 10).records] == [3, 4, 5]


def test_reading_past_the_end_gives_nothing(journal):
    arrive(journal).close("complete", 102.0)

    page = journal.page(1, 10)

    assert (page.records, page.cursor) == ([], 1)


def test_the_oldest_go_when_there_are_too_many_and_unread_ones_count_as_lost():
    small = Journal("mock-a", kept=3)
    for _ in range(5):
        arrive(small).close("complete", 102.0)

    page = small.page(0, 10)

    assert [record.n for record in page.records] == [3, 4, 5]
    assert page.cursor == 5
    assert small.lost == 2


def test_what_was_read_in_time_is_not_lost():
    small = Journal("mock-a", kept=3)
    cursor = 0
    for _ in range(10):
        arrive(small).close("complete", 102.0)
        cursor = small.page(cursor, 10).cursor

    assert small.lost == 0


def test_a_cursor_stays_good_over_a_reset(journal):
    for _ in range(3):
        arrive(journal).close("complete", 102.0)
    cursor = journal.page(0, 10).cursor

    journal.restart(200.0)
    arrive(journal).close("complete", 202.0)

    assert [record.n for record in journal.page(cursor, 10).records] == [1]
    assert [record.n for record in journal.page(0, 10).records] == [1]
    assert journal.lost == 0


def test_attempts_from_before_a_reset_are_not_recorded_after_it(journal):
    old = arrive(journal)
    journal.restart(200.0)
    new = arrive(journal, now=201.0)

    old.close("complete", 202.0)
    new.close("complete", 203.0)

    assert [(record.n, record.t) for record in closed(journal)] == [(1, 1.0)]


def test_open_attempts_are_known_until_they_close(journal):
    attempt = arrive(journal)
    assert journal.open_attempts == [attempt]

    attempt.close("left", 102.0)

    assert journal.open_attempts == []


def test_whoever_watches_sees_each_record_once():
    seen = []
    journal = Journal("mock-a", watch=seen.append)

    arrive(journal).close("left", 102.0)

    assert [record.outcome for record in seen] == ["left"]


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("sk-short", "sk-short"),
        ("k" * 40, "k" * 40),
        ("sk-ant-api03-" + "x" * 90 + "wxyz", "sk-ant-api03...wxyz"),
        ("", ""),
    ],
    ids=["short", "longest whole", "real", "none"],
)
def test_a_real_key_does_not_leak(journal, key, shown):
    arrive(journal, headers={"x-api-key": key}).close("complete", 102.0)

    assert closed(journal)[0].key == shown


@pytest.mark.parametrize(("text", "count"), [("3", 3), ("", 0), ("-1", 0), ("many", 0), ("²", 0), ("9" * 50, 0)])
def test_a_retry_count_that_is_none_counts_as_the_first_try(journal, text, count):
    arrive(journal, headers={"x-stainless-retry-count": text}).close("complete", 102.0)

    assert closed(journal)[0].retry_count == count


def test_a_name_of_megabytes_is_not_kept(journal):
    attempt = arrive(journal)
    attempt.labels = ask.Labels("m" * 1_000_000, None, "r" * 1_000_000)
    attempt.refuse(404, 102.0)

    [record] = closed(journal)
    assert (record.model, record.request_id) == ("m" * 256, "r" * 256)


async def test_a_record_says_what_the_prompt_cache_knew_and_which_connection_it_came_from(mocked, steady):
    system = [{"type": "text", "text": "b" * 20_000, "cache_control": {"type": "ephemeral"}}]

    async with mocked(latency=steady) as claude:
        for _ in range(2):
            await claude.asked("Why is the sky blue?", system=system)
        first, second = await claude.journal()

    assert (first["cached_input_tokens"], second["cached_input_tokens"]) == (0, 5715)
    assert (first["written_input_tokens"], second["written_input_tokens"]) == (5715, 0)
    assert first["input_tokens"] == second["input_tokens"] > 5715
    assert first["peer"] == second["peer"] == 1


async def test_the_prompt_of_who_left_in_the_queue_was_never_read(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 1, "queue": 5}) as claude:
        served = claude.ask("first")
        await asyncio.sleep(0.1)
        waiting = claude.ask("second")
        await asyncio.sleep(0.1)
        await waiting.leave()
        await served.ended()
        found = await claude.journal()

    assert {record["outcome"]: record["read"] for record in found} == {"left": False, "complete": True}
