"""Two hundred streams of all kinds at once: each is grammatical, and all are what they would have been one by one."""

import asyncio
import json
import random
import time
from collections import Counter

import httpx2
import pytest

from mockclaude import grammar
from mockclaude.testing import MockClaude

SEED = 7
AT_ONCE = {"ttft": {"p50": 2.5, "p95": 2.5}, "tokens_per_second": 1000, "prefill": False}
"""Slow enough that the last has been sent before the first has ended."""
ONE_BY_ONE = {"ttft": {"p50": 0.0, "p95": 0.0}, "tokens_per_second": 1e6, "prefill": False}
OLD = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"}
NEW = {"authorization": "Bearer sk-test", "anthropic-version": "2026-10-21"}
COPIES = 10

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [{"name": "get_weather", "input_schema": SCHEMA}, {"name": "book_trip", "input_schema": SCHEMA}]
LONG = "You know everything about harbours. " * 1200
CACHED = {"system": [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]}
SUPPORTED = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "The sky is blue. The sea is green. Ships go."},
    "citations": {"enabled": True},
}
JSON_OUT = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 1100}


def asking(content="Tell me of the harbour.", model="claude-haiku-4-5", **fields):
    return {"model": model, "max_tokens": 40, "messages": [{"role": "user", "content": content}]} | fields


KINDS = {
    "plain": asking(),
    "sonnet": asking(model="claude-sonnet-4-6"),
    "opus": asking(model="claude-opus-5", max_tokens=25),
    "long": asking(max_tokens=200),
    "chinese": asking("請告訴我港口的情況", max_tokens=30),
    "nothing": asking(max_tokens=0),
    "tool auto": asking("Please call get_weather.", tools=TOOLS, max_tokens=200),
    "tools parallel": asking("Use get_weather and book_trip.", tools=TOOLS, max_tokens=300),
    "tool forced": asking(tools=TOOLS, tool_choice={"type": "tool", "name": "book_trip"}, max_tokens=200),
    "tool cut": asking(tools=TOOLS, tool_choice={"type": "any"}, max_tokens=6),
    "thinking": asking(**BUDGET),
    "thinking shown": asking(
        model="claude-opus-4-7", thinking={"type": "adaptive", "display": "summarized"}, max_tokens=60
    ),
    "thinking hidden": asking(model="claude-opus-5-5", max_tokens=60),
    "structured": asking(max_tokens=200, **JSON_OUT),
    "structured and thinking": asking(**(JSON_OUT | BUDGET)),
    "stop": asking(stop_sequences=["e", "th"], max_tokens=60),
    "citations": asking([SUPPORTED, {"type": "text", "text": "What colour is the sky?"}], max_tokens=60),
    "cached": asking(**CACHED),
    "cached too": asking("And the ships?", **CACHED),
    "cold": asking(system=[{**CACHED["system"][0], "text": "Once. " * 4000}]),
}
"""Each streamed; the cold prompt is cached by the first of its own kind alone."""
WHOLE = ("plain", "tool forced", "thinking", "structured", "citations", "cached")
"""Those that are asked for in JSON too."""


def every_request():
    """The requests in some order, with who asks."""
    asked = [(body | {"stream": True}, (OLD, NEW)[n % 2]) for body in KINDS.values() for n in range(COPIES)]
    asked += [(KINDS[kind], OLD) for kind in WHOLE for _ in range(COPIES // 2)]
    random.Random(SEED).shuffle(asked)
    return asked


async def ask(caller, url, body, headers):
    """When it was sent, when its answer had ended, and the answer: status, kind, bytes."""
    sent = time.monotonic()
    response = await caller.post(f"{url}/v1/messages", json=body, headers=headers)
    return sent, time.monotonic(), (response.status_code, response.headers["content-type"], response.content)


def client():
    return httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=None), trust_env=False)


async def warmed(caller, url):
    """Put the shared prompt into the cache, as one would before a rush."""
    _, _, (status, _, _) = await ask(caller, url, KINDS["cached"] | {"max_tokens": 0, "metadata": {}}, OLD)
    assert status == 200


@pytest.fixture(scope="module")
def answers():
    """The answers to all requests at once, with their times; and the answers one by one from a fresh mock."""
    asked = every_request()

    async def at_once(url):
        async with client() as caller:
            await warmed(caller, url)
            return await asyncio.gather(*(ask(caller, url, *request) for request in asked))

    async def one_by_one(url):
        async with client() as caller:
            await warmed(caller, url)
            return [await ask(caller, url, *request) for request in asked]

    with MockClaude(seed=SEED, latency=AT_ONCE) as mock:
        together = asyncio.run(at_once(mock.url))
    with MockClaude(seed=SEED, latency=ONE_BY_ONE) as mock:
        apart = asyncio.run(one_by_one(mock.url))
    return together, apart


def events(body):
    """The JSON of each event."""
    return [json.loads(line.removeprefix(b"data: ")) for line in body.split(b"\n") if line.startswith(b"data: ")]


def streams(answered):
    return [events(body) for _, _, (_, kind, body) in answered if kind.startswith("text/event-stream")]


def test_all_are_open_at_once(answers):
    together, _ = answers

    assert max(sent for sent, _, _ in together) < min(ended for _, ended, _ in together)


def test_each_of_200_streams_keeps_to_the_grammar(answers):
    together, _ = answers

    found = streams(together)

    assert len(found) == 200
    assert [flaw for one in found if (flaw := grammar.flaw(one))] == []
    assert all(one[-1] == {"type": "message_stop"} for one in found)


def test_they_show_every_feature(answers):
    found = streams(answers[0])

    reasons = Counter(one[-2]["delta"]["stop_reason"] for one in found)
    deltas = {event["delta"]["type"] for one in found for event in one if event["type"] == "content_block_delta"}
    read = sum(one[-2]["usage"]["cache_read_input_tokens"] > 0 for one in found)
    assert set(reasons) == {"max_tokens", "tool_use", "end_turn", "stop_sequence"}
    assert deltas == {
        *("text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta"),
    }
    assert read == 3 * COPIES - 1  # of the cold prompt's kind, the first wrote it


def test_they_are_the_same_replies_as_one_by_one(answers):
    together, apart = ([answer for _, _, answer in some] for some in answers)

    assert Counter(status for status, _, _ in together) == {200: len(together)}
    assert Counter(together) == Counter(apart)
    assert len(set(together)) > 0.9 * len(together)  # or all could be one and the same
