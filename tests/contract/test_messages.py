import asyncio
import http.client
import json
import re
import threading
import time

import anthropic
import pytest

from mockclaude.settings import ConfigError
from mockclaude.testing import MockClaude

BASE58 = "[1-9A-HJ-NP-Za-km-z]"


def test_create_returns_a_whole_message(client, ask):
    message = client.messages.create(**ask())

    assert message.model == "claude-haiku-4-5-20251001"
    assert re.fullmatch(f"msg_01{BASE58}{{22}}", message.id)
    assert (message.role, message.type, message.stop_reason) == ("assistant", "message", "max_tokens")
    assert message.usage.output_tokens == 20
    assert len(message.content[0].text) == 3.5 * 20


def test_the_request_id_is_in_header_and_message(client, ask):
    raw = client.messages.with_raw_response.create(**ask())

    assert re.fullmatch(f"req_011C{BASE58}{{20}}", raw.headers["request-id"])
    assert raw.parse()._request_id == raw.headers["request-id"]


def test_strict_validation_finds_nothing_to_complain_of(mock, ask):
    with anthropic.Anthropic(base_url=mock.url, api_key="a", _strict_response_validation=True) as strict:
        assert strict.messages.create(**ask()).content
        with strict.messages.create(**ask(), stream=True) as events:
            assert list(events)[-1].type == "message_stop"


def test_the_stream_helper_collects_what_was_said(client, ask):
    with client.messages.stream(**ask()) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert final.content[0].text == text
    assert final.usage.output_tokens == 20
    assert final.stop_reason == "max_tokens"


def test_create_with_stream_yields_claudes_events(mock, client, ask):
    mock.configure(latency={"tokens_per_second": 1000, "tokens_per_delta": 1})

    with client.messages.create(**ask(max_tokens=3), stream=True) as events:
        types = [event.type for event in events]

    assert types == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_the_async_client_works_the_same(async_client, ask):
    message = await async_client.messages.create(**ask())
    async with async_client.messages.stream(**ask()) as stream:
        streamed = await stream.get_final_message()

    assert message.usage.output_tokens == streamed.usage.output_tokens == 20


async def test_many_streams_at_once_are_all_whole(async_client, mock, ask):
    async def one(k):
        async with async_client.messages.stream(**ask(f"question {k}")) as stream:
            return await stream.get_final_message()

    messages = await asyncio.gather(*(one(k) for k in range(40)))

    assert {message.usage.output_tokens for message in messages} == {20}
    assert len({message.id for message in messages}) == 40
    assert mock.stats()["completed"] == 40


@pytest.mark.parametrize("credential", ["authorization", "x-api-key"])
@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_both_credentials_and_both_versions_are_accepted(mock, credential, version):
    value = "Bearer sk-test" if credential == "authorization" else "sk-test"
    status, _, _ = post(mock, {credential: value, "anthropic-version": version})

    assert status == 200
    assert mock.journal()[0]["key"] == "sk-test"


def post(mock, headers, **fields):
    """A request by hand, for what the SDK would not send."""
    body = {"model": "claude-haiku-4-5", "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]} | fields
    connection = http.client.HTTPConnection(mock.url.removeprefix("http://"), timeout=5)
    try:
        connection.request("POST", "/v1/messages?beta=true", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def test_a_stream_is_claudes_to_the_byte(mock):
    status, headers, body = post(mock, {"x-api-key": "a", "anthropic-version": "2023-06-01"}, stream=True)

    pattern = (
        rb'event: message_start\ndata: \{"type":"message_start","message":\{"model":"claude-haiku-4-5-20251001",'
        rb'"id":"msg_01\w{22}","type":"message","role":"assistant","content":\[\],"stop_reason":null,'
        rb'"stop_sequence":null,"stop_details":null,"usage":\{"input_tokens":1,"cache_creation_input_tokens":0,'
        rb'"cache_read_input_tokens":0,"cache_creation":\{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0\},'
        rb'"output_tokens":[12],"service_tier":"standard","inference_geo":"not_available"\}\} {0,15}\}\n\n'
        rb'event: content_block_start\ndata: \{"type":"content_block_start","index":0,'
        rb'"content_block":\{"type":"text","text":""\} {0,15}\}\n\n'
        rb'event: ping\ndata: \{"type": "ping"\}\n\n'
        rb'(event: content_block_delta\ndata: \{"type":"content_block_delta","index":0,'
        rb'"delta":\{"type":"text_delta","text":"[^"]+"\} {0,15}\}\n\n)+'
        rb'event: content_block_stop\ndata: \{"type":"content_block_stop","index":0 {0,15}\}\n\n'
        rb'event: message_delta\ndata: \{"type":"message_delta","delta":\{"stop_reason":"max_tokens",'
        rb'"stop_sequence":null,"stop_details":null\},"usage":\{"input_tokens":1,"cache_creation_input_tokens":0,'
        rb'"cache_read_input_tokens":0,"output_tokens":2\} {0,15}\}\n\n'
        rb'event: message_stop\ndata: \{"type":"message_stop" {0,15}\}\n\n'
    )
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert re.fullmatch(pattern, body)


def test_bad_request(client, ask):
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(**ask(max_tokens=-1))

    assert caught.value.body["error"]["type"] == "invalid_request_error"
    assert caught.value.request_id == caught.value.body["request_id"]


def test_sampling_is_refused_on_the_new_version(client, ask):
    with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs are not permitted"):
        client.messages.create(**ask(), extra_body={"temperature": 1.0})


def test_no_key(mock):
    status, _, body = post(mock, {"anthropic-version": "2023-06-01"})

    assert status == 401
    assert json.loads(body)["error"] == {
        "type": "authentication_error",
        "message": "x-api-key header is required",
    }


def test_unknown_model(client, ask):
    with pytest.raises(anthropic.NotFoundError, match="model: claude-nope"):
        client.messages.create(**ask(model="claude-nope"))


def test_a_request_over_32_mb_is_too_large(client, ask):
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(**ask("x" * (33 * 1024 * 1024)))

    assert caught.value.status_code == 413
    assert caught.value.body["error"]["type"] == "request_too_large"


def test_rate_limit_says_when_to_come_back(client, mock, ask):
    mock.configure(limits={"requests_per_minute": 6, "burst": 1})
    client.messages.create(**ask())

    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(**ask())

    assert caught.value.response.headers["retry-after"] == "10"
    assert caught.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert "6 requests per minute" in caught.value.message


def test_overloaded(steady_client, ask):
    with steady_client.messages.create(**ask(), stream=True) as running:
        next(iter(running))
        with pytest.raises(anthropic.OverloadedError) as caught:
            steady_client.messages.create(**ask())

    assert "retry-after" not in caught.value.response.headers
    assert caught.value.body["error"] == {"type": "overloaded_error", "message": "Overloaded"}


def test_the_sdks_own_retries_are_counted_in_the_journal(mock, ask):
    mock.configure(faults=[{"name": "status", "code": 529}])

    with (
        anthropic.Anthropic(base_url=mock.url, api_key="a", max_retries=1) as client,
        pytest.raises(anthropic.OverloadedError),
    ):
        client.messages.create(**ask("[id:r1]"))

    assert [(r["request_id"], r["retry_count"], r["outcome"]) for r in mock.journal()] == [
        ("r1", 0, "fault"),
        ("r1", 1, "fault"),
    ]


async def test_one_seed_says_the_same_in_order_and_all_at_once(async_client, mock, ask):
    async def said(text):
        message = await async_client.messages.create(**ask(text))
        return message.id, message.content[0].text

    texts = [f"question {k % 5}" for k in range(15)]
    in_order = [await said(text) for text in texts]
    mock.reset()
    at_once = await asyncio.gather(*(said(text) for text in reversed(texts)))

    assert sorted(in_order) == sorted(at_once)


def wait_for_records(mock, count, within=3.0):
    """Poll the journal: when the kernel tells of a closed socket is not ours to say."""
    until = time.monotonic() + within
    while len(records := mock.journal()) < count and time.monotonic() < until:
        threading.Event().wait(0.01)
    return records


@pytest.mark.parametrize(("policy", "wasted"), [("cancel", False), ("finish", True)])
def test_a_client_that_leaves_is_seen_in_the_journal(steady, steady_client, ask, policy, wasted):
    steady.configure(capacity={"slots": 1, "on_disconnect": policy})

    with steady_client.messages.create(**ask(), stream=True) as events:
        for event in events:
            if event.type == "content_block_delta":
                break

    [record] = wait_for_records(steady, 1)
    assert (record["outcome"], record["status"]) == ("left", 200)
    assert (record["output_tokens"] == 20) is wasted
    assert (record["wasted_tokens"] > 0) is wasted
    assert steady.stats()["running"] == 0


def test_a_stream_keeps_the_pace_it_was_given(steady_client, ask):
    began, seen = time.monotonic(), []
    with steady_client.messages.create(**ask(), stream=True) as events:
        for event in events:
            if event.type == "content_block_delta":
                seen.append(time.monotonic() - began)

    assert seen[0] >= 0.095
    assert seen[-1] - seen[0] == pytest.approx(19 / 50, abs=0.1)


def test_the_journal_tells_of_a_request_what_the_sdk_sent(client, mock, ask):
    client.messages.create(**ask(), extra_headers={"x-request-id": "mine"})

    [record] = mock.journal()
    assert (record["request_id"], record["model"], record["stream"]) == ("mine", "claude-haiku-4-5", False)
    assert record["t"] <= record["first_byte"] <= record["ended"]


def test_a_wrong_configuration_is_refused_in_the_tests_own_thread():
    with pytest.raises(ConfigError, match=r"capacity\.slots"):
        MockClaude(capacity={"slots": -1})


def test_a_wrong_change_is_refused_with_the_mocks_reason(mock):
    with pytest.raises(ValueError, match=r"limits\.rpm: unknown key"):
        mock.configure(limits={"rpm": 1})


def test_close_ends_an_open_stream(steady, steady_client, ask):
    with steady_client.messages.create(**ask(), stream=True) as events:
        next(iter(events))
        assert steady.close() == 1

    assert [record["outcome"] for record in steady.journal()] == ["left"]
