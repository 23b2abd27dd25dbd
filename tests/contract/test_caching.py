"""Prompt caching as the official SDK sees it: in usage, and in the time to the first content delta."""

import asyncio
import time

import anthropic
import pytest

from mockclaude.testing import MockClaude

FIVE_MINUTES = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
TEN_THOUSAND = "x" * 35_000


def system(control=FIVE_MINUTES, said=TEN_THOUSAND):
    return [{"type": "text", "text": said, "cache_control": control}]


def told(usage):
    creation = usage.cache_creation
    return (
        usage.input_tokens,
        usage.cache_creation_input_tokens,
        usage.cache_read_input_tokens,
        creation.ephemeral_5m_input_tokens,
        creation.ephemeral_1h_input_tokens,
    )


def test_a_cached_prompt_of_10_000_tokens_is_felt_in_the_ttft(ask):
    base = {"ttft": {"p50": 0.4, "p95": 0.4}}
    with (
        MockClaude(seed=1, latency=base) as mock,
        anthropic.Anthropic(base_url=mock.url, api_key="sk-test", max_retries=0) as client,
    ):
        client.messages.create(**ask(max_tokens=1))  # the connection is there, and the code is warm
        ttft = []
        for _ in range(2):
            began = time.perf_counter()
            with client.messages.create(**ask(system=system()), stream=True) as events:
                for event in events:
                    if event.type == "content_block_delta":
                        ttft.append(time.perf_counter() - began)
                        break

    assert ttft == [pytest.approx(2.0, rel=0.05), pytest.approx(0.5, rel=0.1)]


@pytest.mark.parametrize(
    ("control", "written"), [(FIVE_MINUTES, (10_000, 0)), (HOUR, (0, 10_000))], ids=["5 minutes", "1 hour"]
)
def test_usage_tells_what_was_written_and_what_was_read(client, mock, ask, control, written):
    mock.configure(latency={"prefill": False})

    first, second = (client.messages.create(**ask(system=system(control))).usage for _ in range(2))

    assert told(first) == (1, 10_000, 0, *written)
    assert told(second) == (1, 0, 10_000, 0, 0)


def test_a_stream_tells_the_same_at_its_start_and_at_its_end(client, mock, ask):
    mock.configure(latency={"prefill": False})
    client.messages.create(**ask(system=system()))

    with client.messages.create(**ask(system=system()), stream=True) as events:
        seen = list(events)

    [start] = [event.message.usage for event in seen if event.type == "message_start"]
    [end] = [event.usage for event in seen if event.type == "message_delta"]
    assert told(start) == (1, 0, 10_000, 0, 0)
    assert (end.input_tokens, end.cache_creation_input_tokens, end.cache_read_input_tokens) == (1, 0, 10_000)


def test_breakpoints_of_both_kinds_are_counted_apart(client, mock, ask):
    mock.configure(latency={"prefill": False})
    blocks = [*system(HOUR), *system(FIVE_MINUTES, "y" * 3_500)]

    usage = client.messages.create(**ask(system=blocks)).usage

    assert told(usage) == (1, 11_000, 0, 1_000, 10_000)


def test_automatic_caching_follows_a_conversation(client, mock, ask):
    mock.configure(latency={"prefill": False})
    talk = [{"role": "user", "content": TEN_THOUSAND}]
    first = client.messages.create(**ask(messages=talk, cache_control=FIVE_MINUTES))
    talk += [{"role": "assistant", "content": first.content}, {"role": "user", "content": "y" * 350}]

    second = client.messages.create(**ask(messages=talk, cache_control=FIVE_MINUTES))

    assert told(first.usage) == (0, 10_000, 0, 10_000, 0)
    assert told(second.usage) == (0, 20 + 100, 10_000, 20 + 100, 0)


def test_a_prefix_below_the_models_minimum_is_silently_not_cached(client, ask):
    usages = [client.messages.create(**ask(system=system(said="x" * 3_500))).usage for _ in range(2)]

    assert [told(usage) for usage in usages] == [(1_001, 0, 0, 0, 0)] * 2


def test_max_tokens_0_warms_the_cache(client, mock, ask):
    mock.configure(latency={"prefill": False})

    warming = client.messages.create(**ask(system=system(), max_tokens=0))
    usage = client.messages.create(**ask(system=system())).usage

    assert warming.content == []
    assert told(warming.usage) == (1, 10_000, 0, 10_000, 0)
    assert told(usage) == (1, 0, 10_000, 0, 0)


async def test_of_many_at_once_one_writes_and_all_others_read(async_client, mock, ask):
    mock.configure(
        latency={"ttft": {"p50": 0.02, "p95": 0.02}, "prefill": False}, capacity={"slots": 100, "queue": 100}
    )

    replies = await asyncio.gather(*(async_client.messages.create(**ask(system=system())) for _ in range(30)))

    assert sorted(told(reply.usage) for reply in replies) == [(1, 0, 10_000, 0, 0)] * 29 + [(1, 10_000, 0, 10_000, 0)]


def test_a_reset_makes_a_run_repeatable(client, mock, ask):
    mock.configure(latency={"prefill": False})
    seen = []
    for _ in range(2):
        mock.reset()
        seen.append([told(client.messages.create(**ask(system=system())).usage) for _ in range(2)])

    assert seen[0] == seen[1] == [(1, 10_000, 0, 10_000, 0), (1, 0, 10_000, 0, 0)]


def test_count_tokens_says_what_usage_says(client, mock, ask):
    mock.configure(latency={"prefill": False})
    prompt = ask(system=system())
    count = client.messages.count_tokens(**{name: value for name, value in prompt.items() if name != "max_tokens"})

    usage = client.messages.create(**prompt).usage

    assert count.input_tokens == usage.input_tokens + usage.cache_creation_input_tokens == 10_001


def test_count_tokens_on_the_beta_knows_context_management(client, ask):
    prompt = {name: value for name, value in ask("Hello, Claude").items() if name != "max_tokens"}
    edits = {"edits": [{"type": "clear_tool_uses_20250919"}]}

    plain = client.beta.messages.count_tokens(**prompt)
    edited = client.beta.messages.count_tokens(**prompt, context_management=edits)

    assert (plain.input_tokens, plain.context_management) == (4, None)
    assert (edited.input_tokens, edited.context_management.original_input_tokens) == (4, 4)
