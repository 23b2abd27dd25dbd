import json
import random

import pytest

from mockclaude import wire
from mockclaude.speech import script

UNDECIDED = {"stop_reason": None, "stop_sequence": None, "stop_details": None}


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [
        (400, "invalid_request_error", False),
        (401, "authentication_error", False),
        (402, "billing_error", False),
        (403, "permission_error", False),
        (404, "not_found_error", False),
        (409, "conflict_error", True),
        (429, "rate_limit_error", True),
        (500, "api_error", True),
        (504, "timeout_error", True),
        (529, "overloaded_error", True),
    ],
)
def test_an_error_has_claudes_envelope(status, kind, retry):
    error = wire.ApiError(status, "why")

    assert error.body("req_1") == (
        b'{"type":"error","error":{"type":"%b","message":"why"},"request_id":"req_1"}' % kind.encode()
    )
    assert error.retryable is retry


def test_details_come_last_in_an_error():
    error = wire.ApiError(400, "why", details={"error_code": "file_expired"})

    assert error.body("req_1") == (
        b'{"type":"error","error":{"type":"invalid_request_error","message":"why",'
        b'"details":{"error_code":"file_expired"}},"request_id":"req_1"}'
    )


def test_a_413_is_cloudflares_and_knows_no_request_id():
    body = b'{"error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}'

    assert wire.ApiError(413).body("req_1") == body


def test_a_413_with_an_error_code_is_claudes_own():
    body = json.loads(wire.ApiError(413, details={"error_code": "x"}).body("req_1"))

    assert (body["type"], body["request_id"]) == ("error", "req_1")


def test_in_a_stream_an_error_begins_with_its_details_even_without_any():
    event = wire.ApiError(529).event("req_1", random.Random(1))

    assert event.startswith(
        b'event: error\ndata: {"type":"error","error":{"details":null,"type":"overloaded_error",'
        b'"message":"Overloaded"},"request_id":"req_1"'
    )


def test_a_message_that_quotes_megabytes_is_cut():
    assert len(wire.ApiError(400, "x" * 10_000_000).message) == wire.LONGEST


def test_an_event_is_compact_raw_utf8_padded_before_its_last_brace():
    delta = {"index": 0, "delta": {"type": "text_delta", "text": "hé"}}
    seen = {wire.event("content_block_delta", delta, random.Random(seed)) for seed in range(200)}

    start = 'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    start += '"delta":{"type":"text_delta","text":"hé"}'
    assert seen == {f"{start}{' ' * pad}}}\n\n".encode() for pad in range(16)}


def test_what_is_not_unicode_is_replaced():
    assert wire.dumps({"a": "\ud800"}) == b'{"a":"?"}'


def test_a_message_has_claudes_key_order():
    message = wire.message("claude-haiku-4-5-20251001", "msg_1", [], UNDECIDED, wire.Usage())

    assert list(message) == [
        "model", "id", "type", "role", "content", "stop_reason", "stop_sequence", "stop_details", "usage",
    ]  # fmt: skip


def test_usage_has_claudes_key_order():
    usage = wire.Usage(5, 6, 7, 8, 9, thinking=3, speed="fast", server_tools={"web_search_requests": 1})

    assert list(usage.as_json()) == [
        "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "output_tokens",
        "output_tokens_details", "service_tier", "inference_geo", "server_tool_use", "speed",
    ]  # fmt: skip
    assert usage.as_json()["cache_creation_input_tokens"] == 13
    assert usage.prompt == 5 + 6 + 7 + 8


def test_a_plain_reply_has_no_more_in_its_usage_than_it_must():
    assert list(wire.Usage().as_json()) == [
        "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "output_tokens",
        "service_tier", "inference_geo",
    ]  # fmt: skip
    assert list(wire.Usage().cumulative()) == [
        "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens",
    ]  # fmt: skip


def test_an_identifier_is_base58():
    made = wire.identifier("msg_01", 22, random.Random(1))

    assert made.startswith("msg_01")
    assert len(made) == 28
    assert not set(made[6:]) & set("0OIl")


def test_a_text_block_begins_empty():
    assert script.Text("hi", 1).start() == {"type": "text", "text": ""}


@pytest.mark.parametrize("text", [" word", "", 'a "b" \\ c\n\t', "é漢😀", "\u2028\x7f\x01", "\ud800"], ids=ascii)
def test_a_text_delta_is_the_event_that_any_delta_is(text):
    delta = {"type": "text_delta", "text": text}

    quick, sizes = wire.deltas(3, [text, delta], random.Random(5))

    rng = random.Random(5)
    assert quick == [wire.event("content_block_delta", {"index": 3, "delta": delta}, rng) for _ in range(2)]
    assert sizes == [wire.text_bytes(delta), 0]
    assert wire.deltas(3, [text, text], random.Random(5)) == (quick, 2 * [wire.text_bytes(delta)])
