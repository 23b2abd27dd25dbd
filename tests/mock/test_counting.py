import asyncio
import gzip
import json

import pytest

HI = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hello, Claude"}]}
OLD = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"}
SYSTEM = {"system": "You are a scientist and you answer."}
TOOLS = {"tools": [{"name": "get", "description": "d" * 99, "input_schema": {"type": "object"}}]}
CACHED = {"cache_control": {"type": "ephemeral"}, "system": "x" * 35_000}


async def counted(claude, body, headers=OLD):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await claude.send("POST", "/v1/messages/count_tokens", data, headers).ended()


async def test_a_prompt_is_counted_to_the_byte(mocked):
    async with mocked() as claude:
        exchange = await counted(claude, HI | SYSTEM)

    assert (exchange.status, exchange.body) == (200, b'{"input_tokens":14}')
    assert exchange.headers["content-type"] == "application/json"
    assert exchange.headers["request-id"].startswith("req_011C")


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-sonnet-5", "claude-opus-4-7"])
@pytest.mark.parametrize("more", [{}, SYSTEM, TOOLS, SYSTEM | TOOLS, CACHED], ids=",".join)
async def test_usage_says_the_same_number(mocked, model, more):
    body = HI | {"model": model} | more
    async with mocked(latency={"ttft": {"p50": 0.1, "p95": 0.1}, "tokens_per_second": 1000}) as claude:
        count = (await counted(claude, body)).json["input_tokens"]
        usages = [(await claude.asked(**body)).json["usage"] for _ in range(2)]

    told = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert [sum(usage[name] for name in told) for usage in usages] == [count, count]


@pytest.mark.parametrize(
    ("beta", "said"),
    [
        ("token-counting-2024-11-01", {"context_management": {"original_input_tokens": 4}}),
        ("files-api-2025-04-14, context-management-2025-06-27", {"context_management": {"original_input_tokens": 4}}),
        ("files-api-2025-04-14", {}),
    ],
)
async def test_on_the_beta_context_management_is_answered(mocked, beta, said):
    body = HI | {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}
    async with mocked() as claude:
        exchange = await counted(claude, body, OLD | {"anthropic-beta": beta})

    assert exchange.json == {"input_tokens": 4} | said


async def test_without_context_management_the_beta_changes_nothing(mocked):
    async with mocked() as claude:
        exchange = await counted(claude, HI, OLD | {"anthropic-beta": "token-counting-2024-11-01"})

    assert exchange.json == {"input_tokens": 4}


@pytest.mark.parametrize(
    "more",
    [
        {"model": "claude-opus-5", "output_config": {"effort": "low"}},
        {"speed": "fast"},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"tool_choice": {"type": "auto"}} | TOOLS,
        {"cache_control": {"type": "ephemeral"}},
        {"mcp_servers": []},
    ],
    ids=",".join,
)
async def test_what_shapes_a_prompt_is_taken(mocked, more):
    async with mocked() as claude:
        assert (await counted(claude, HI | more)).status == 200


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        (HI | {"max_tokens": 5}, OLD, 400, "max_tokens: Extra inputs are not permitted"),
        (HI | {"stream": True}, OLD, 400, "stream: Extra inputs are not permitted"),
        (HI | {"temperature": 1.0}, OLD, 400, "temperature: Extra inputs are not permitted"),
        (HI | {"foo": 1}, OLD, 400, "foo: Extra inputs are not permitted"),
        ({"model": "claude-haiku-4-5"}, OLD, 400, "messages: Field required"),
        (HI | {"messages": []}, OLD, 400, "messages: at least one message is required"),
        (HI | {"model": "claude-nope"}, OLD, 404, "model: claude-nope"),
        (HI, {"anthropic-version": "2023-06-01"}, 401, "x-api-key header is required"),
        (HI, {"x-api-key": "a"}, 400, "anthropic-version: header is required"),
        (b"{", OLD, 400, "The request body is not valid JSON: "),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_cannot_be_counted_is_refused_as_a_message_would_be(mocked, body, headers, status, message):
    async with mocked() as claude:
        exchange = await counted(claude, body, headers)

    assert exchange.status == status
    assert exchange.error["message"].startswith(message)
    assert exchange.json["request_id"] == exchange.headers["request-id"]


async def test_a_body_over_32_mb_is_too_large_to_be_counted(mocked):
    async with mocked() as claude:
        assert (await counted(claude, b" " * (32 * 1024 * 1024 + 1))).status == 413


async def test_counting_is_no_attempt_takes_no_slot_and_spends_no_quota(mocked, steady):
    limits = {"requests_per_minute": 1}
    async with mocked(latency=steady, capacity={"slots": 1, "queue": 0}, limits=limits) as claude:
        running = claude.ask()
        await asyncio.sleep(0.5)
        counts = [await counted(claude, HI) for _ in range(3)]
        await running.ended()
        journal = await claude.journal()

    assert [one.status for one in counts] == [200, 200, 200]
    assert [one.status for one in (running,)] == [200]
    assert len(journal) == 1


async def test_counting_first_does_not_change_what_is_said_then(mocked, steady):
    async with mocked(latency=steady) as claude:
        plain = (await claude.asked()).body
    async with mocked(latency=steady) as claude:
        await counted(claude, HI)
        after = (await claude.asked()).body

    assert plain == after


async def test_a_compressed_prompt_is_counted_too(mocked):
    async with mocked() as claude:
        exchange = await counted(claude, gzip.compress(json.dumps(HI).encode()), OLD | {"content-encoding": "gzip"})

    assert exchange.json == {"input_tokens": 4}
