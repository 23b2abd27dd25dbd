"""On the running mock, by the wall clock: what one run can decide without statistics."""

import asyncio
import json
import math
import time

import pytest

from mockclaude.testing import MockClaude

LATENCY = {"ttft": {"p50": 0.05, "p95": 0.05}, "tokens_per_second": 500, "prefill": False}
BODY = {"model": "claude-haiku-4-5", "max_tokens": 25, "messages": [{"role": "user", "content": "hi"}]}
HEAD = "POST /v1/messages HTTP/1.1\r\nhost: mock\r\nx-api-key: {key}\r\nanthropic-version: 2023-06-01\r\n"


async def post(mock, key="k", patience=10.0):
    """One request on a connection of its own; its status, or None when the caller left."""
    host, port = mock.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps(BODY).encode()
    writer.write((HEAD.format(key=key) + f"content-length: {len(body)}\r\n\r\n").encode() + body)
    try:
        line = await asyncio.wait_for(reader.readline(), patience)
        return int(line.split()[1])
    except TimeoutError:
        return None
    finally:
        writer.close()


async def staggered(mock, count, gap, **options):
    """`count` requests, `gap` seconds apart; the statuses."""
    asked = []
    for _ in range(count):
        asked.append(asyncio.ensure_future(post(mock, **options)))
        await asyncio.sleep(gap)
    return await asyncio.gather(*asked)


async def test_littles_law_is_an_identity_of_the_run():
    with MockClaude(latency=LATENCY, capacity={"slots": 3, "queue": "unbounded"}) as mock:
        mock.reset()
        statuses = await staggered(mock, 60, 0.02)
        records = mock.journal()

    spans = [(record["t"], record["ended"]) for record in records]
    length = max(end for _, end in spans) - min(start for start, _ in spans)
    moments = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    present, area, before = 0, 0.0, moments[0][0]
    for moment, change in moments:
        area += present * (moment - before)
        present, before = present + change, moment
    rate = len(spans) / length
    sojourn = sum(end - start for start, end in spans) / len(spans)
    assert statuses == [200] * 60
    assert area / length == pytest.approx(rate * sojourn, rel=1e-6)
    assert max(record["queued"] for record in records) > 0.1


async def test_every_attempt_is_accounted_for_at_every_moment():
    capacity = {"slots": 2, "queue": 3, "max_queue_wait": 0.15, "on_disconnect": "finish"}
    with MockClaude(latency=LATENCY, capacity=capacity) as mock:
        asking = [asyncio.ensure_future(staggered(mock, 40, 0.01, patience=patience)) for patience in (10.0, 0.12)]
        books = []
        while not all(task.done() for task in asking):
            books.append(await asyncio.to_thread(mock.stats))
        await asyncio.sleep(0.3)
        last = await asyncio.to_thread(mock.stats)

    for told in [*books, last]:
        parts = ("completed", "running", "queued", "turned_away", "cancelled")
        assert told["arrived"] == sum(told[part] for part in parts)
    assert (last["arrived"], last["running"], last["queued"]) == (80, 0, 0)
    assert min(last["completed"], last["turned_away"]) > 0


async def test_a_token_bucket_admits_its_burst_and_its_rate_and_no_more():
    with MockClaude(latency=LATENCY, limits={"requests_per_minute": 600, "burst": 5}) as mock:
        mock.reset()
        began = time.monotonic()
        statuses = await staggered(mock, 100, 0.01)
        took = time.monotonic() - began
        first = [record["t"] for record in mock.journal() if record["status"] == 200]

    accepted = statuses.count(200)
    window = max(first) - min(first)
    assert accepted + statuses.count(429) == 100
    assert 5 + math.floor(10 * window) - 1 <= accepted <= 5 + math.floor(10 * took) + 1


async def test_one_keys_bucket_is_not_anothers():
    with MockClaude(latency=LATENCY, limits={"requests_per_minute": 60, "burst": 1}) as mock:
        statuses = [await post(mock, key) for key in ("a", "a", "b", "b")]

    assert statuses == [200, 429, 200, 429]
