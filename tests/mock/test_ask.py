"""What is told of a request before its content is judged: who asks, whether it is JSON, whose it is."""

import gzip
import json

import pytest

from mockclaude import wire
from mockclaude.request import ask
from mockclaude.request.intake import Intake

NEW = {"authorization": "Bearer sk-test", "anthropic-version": "2026-10-21"}
OLD = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"}
HI = {"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}


def letter(body):
    return ask.open_letter(body if isinstance(body, bytes) else json.dumps(body).encode())


def refused(body, headers=NEW, door=ask.ANYONE):
    with pytest.raises(wire.ApiError) as caught:
        ask.parse(letter(body), headers, door)
    return caught.value.status, caught.value.message


@pytest.mark.parametrize("headers", [NEW, OLD], ids=["2026-10-21", "2023-06-01"])
def test_a_good_request_is_understood(headers):
    asked = ask.parse(letter(HI | {"stream": True, "stop_sequences": ["END"]}), headers)

    assert (asked.key, asked.version, asked.model.id) == (
        "sk-test",
        headers["anthropic-version"],
        "claude-haiku-4-5-20251001",
    )
    assert (asked.max_tokens, asked.stream, asked.fast, asked.stop_sequences) == (10, True, False, ["END"])
    assert asked.input_tokens > 0


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"x-api-key": "a"}, "a"),
        ({"authorization": "Bearer b"}, "b"),
        ({"authorization": "bearer b"}, "b"),
        ({"x-api-key": "a", "authorization": "Bearer b"}, "a"),
        ({"x-api-key": " ", "authorization": "Bearer b"}, "b"),
        ({"authorization": "Basic b"}, ""),
        ({}, ""),
    ],
)
def test_x_api_key_wins_over_a_bearer_token(headers, key):
    assert ask.credential(headers) == key


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"anthropic-version": "2026-10-21"}, 401, "x-api-key header is required"),
        ({"x-api-key": "a"}, 400, "anthropic-version: header is required"),
        ({"x-api-key": "a", "anthropic-version": "1"}, 400, 'anthropic-version: "1" is not a valid version'),
    ],
)
def test_headers_are_judged_before_the_body(headers, status, message):
    assert refused(b"not json", headers) == (status, message)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"x-api-key": "wrong"}, "invalid x-api-key"),
        ({"authorization": "Bearer wrong"}, "Invalid bearer token"),
        ({"x-api-key": "wrong", "authorization": "Bearer right"}, "invalid x-api-key"),
    ],
)
def test_with_a_list_of_keys_any_other_is_refused(headers, message):
    door = ask.Door(keys=frozenset({"right"}))

    assert refused(HI, headers, door) == (401, message)
    assert ask.parse(letter(HI), NEW | {"authorization": "Bearer right"}, door).key == "right"


def test_any_beta_is_accepted_unless_the_door_is_strict():
    named = OLD | {"anthropic-beta": "no-such-2030-01-01, prompt-caching-2024-07-31"}

    assert "no-such-2030-01-01" in ask.parse(letter(HI), named).betas
    status, message = refused(HI, named, ask.Door(strict_betas=True))
    assert status == 400
    assert message.startswith("Unexpected value(s) `no-such-2030-01-01` for the `anthropic-beta` header.")


def test_a_strict_door_knows_the_betas_of_the_official_clients():
    claude_code = (
        "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,per-turn-control-2026-07-01,"
        "mid-conversation-tool-changes-2026-07-01,thinking-token-count-2026-05-13,advanced-tool-use-2025-11-20,"
        "effort-2025-11-24,thinking-display-updates-2026-08-18"
    )
    stray = {"anthropic-beta": claude_code, "claude-beta": "whatever"}

    assert ask.parse(letter(HI), OLD | stray, ask.Door(strict_betas=True)).model.family == "haiku"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "Input is a zero-length, empty document: line 1 column 1 (char 0)"),
        (b"{", "unexpected end of data: line 1 column 2 (char 1)"),
        (b'{"a": NaN}', "unexpected character, expected a JSON value: line 1 column 7 (char 6)"),
        (b'{"a": Infinity}', "unexpected character, expected a JSON value: line 1 column 7 (char 6)"),
        (b'{"a": 1e999}', "number is infinity when parsed as double: line 1 column 7 (char 6)"),
        (b"\xff\xfe", "str is not valid UTF-8: surrogates not allowed: line 1 column 1 (char 0)"),
        (b'{"a": "\\ud800"}', "no low surrogate in string: line 1 column 8 (char 7)"),
        (b"[" * 100_000, "depth limit exceeded: line 1 column 1026 (char 1025)"),
        (b"[" * 300 + b"]" * 300, "depth limit exceeded"),
        (b"1" * 5000, "number is infinity when parsed as double: line 1 column 1 (char 0)"),
        (b"{} {}", "unexpected content after document: line 1 column 4 (char 3)"),
    ],
    ids=["empty", "cut", "NaN", "Infinity", "1e999", "not UTF-8", "lone surrogate", "very deep", "too deep", "digits",
         "two"],
)  # fmt: skip
def test_what_is_not_json_is_said_so(body, why):
    assert refused(body) == (400, f"The request body is not valid JSON: {why}")


def test_of_two_values_for_one_name_the_last_counts():
    body = b'{"model":"claude-nope","max_tokens":1,"messages":[{"role":"user","content":"x"}],"model":"claude-opus-5"}'

    assert ask.parse(letter(body), OLD).model.id == "claude-opus-5"


@pytest.mark.parametrize("body", [b"[]", b"7", b"null", b'"hi"'])
def test_json_that_is_no_object_is_refused(body):
    assert refused(body) == (400, "Input should be an object")


def test_a_body_over_32_mb_is_too_large_whoever_asks():
    large = ask.open_letter(b" " * (ask.BODY_LIMIT + 1))

    with pytest.raises(wire.ApiError) as caught:
        ask.parse(large, {})

    assert caught.value.status == 413


def received(data, encoding):
    intake = Intake(encoding)
    intake.take(data)
    return ask.received(intake)


def test_a_compressed_request_is_the_same_request():
    plain = json.dumps(HI).encode()

    assert received(gzip.compress(plain), "gzip") == letter(plain)


def test_a_wrong_encoding_is_refused_after_the_key():
    wrong = received(b"not gzip", "gzip")

    with pytest.raises(wire.ApiError, match="x-api-key header is required"):
        ask.parse(wrong, {})
    with pytest.raises(wire.ApiError) as caught:
        ask.parse(wrong, OLD)
    assert caught.value.details == {"error_code": "request_body_encoding_invalid"}


def test_an_unknown_model_is_not_found():
    assert refused(HI | {"model": "claude-nope"}) == (404, "model: claude-nope")


def test_metadata_does_not_change_the_digest_but_everything_else_does():
    plain = letter(HI).digest

    assert letter(HI | {"metadata": {"user_id": "u1"}}).digest == plain
    assert letter(dict(reversed(HI.items()))).digest == plain
    assert letter(HI | {"max_tokens": 11}).digest != plain
    assert letter(b"not json").digest != letter(b"not json either").digest


@pytest.mark.parametrize(
    ("headers", "metadata", "text", "request_id"),
    [
        ({"x-request-id": "h"}, {"user_id": "m"}, "[id:t]", "h"),
        ({}, {"user_id": "m"}, "[id:t]", "m"),
        ({}, None, "please [id:t] thanks", "t"),
        ({}, None, [{"type": "text", "text": "see [id:b]"}], "b"),
        ({}, None, "nothing", None),
        ({}, {"user_id": 7}, "[id:t]", None),
    ],
)
def test_the_callers_own_id_is_found(headers, metadata, text, request_id):
    body = {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "[id:not me]"}]}
    body |= {"metadata": metadata} if metadata else {}

    assert ask.labels(letter(body), headers).request_id == request_id


@pytest.mark.parametrize(
    ("body", "labels"),
    [
        (b"not json", ask.Labels(None, None, None)),
        (b"[1]", ask.Labels(None, None, None)),
        (b'{"model": 7, "stream": "yes", "messages": [7, {"role": "user"}]}', ask.Labels(None, None, None)),
        (b'{"model": "claude-nope"}', ask.Labels("claude-nope", False, None)),
    ],
)
def test_labels_are_read_from_whatever_came(body, labels):
    assert ask.labels(letter(body), {}) == labels


def test_input_tokens_count_system_messages_and_tools():
    bare = ask.parse(letter(HI), NEW).input_tokens
    tool = {"name": "y" * 100, "description": "z" * 250, "input_schema": {"type": "object"}}

    more = HI | {"system": [{"type": "text", "text": "x" * 350}], "tools": [tool]}

    assert ask.parse(letter(more), NEW).input_tokens >= bare + 200


def test_fast_mode_and_geography_are_read_from_the_body():
    asked = ask.parse(letter(HI | {"speed": "fast", "inference_geo": "us"}), NEW)

    assert (asked.fast, asked.geography) == (True, "us")


def test_counting_needs_no_max_tokens_and_counts_the_same():
    prompt = {name: value for name, value in HI.items() if name != "max_tokens"}

    assert ask.counted(letter(prompt), NEW) == ask.parse(letter(HI), NEW).input_tokens
    with pytest.raises(wire.ApiError, match="max_tokens: Extra inputs are not permitted"):
        ask.counted(letter(HI), NEW)


OF_CLIENTS = {
    "Claude Code 2.1": (
        OLD | {"anthropic-beta": "claude-code-20250219,per-turn-control-2026-07-01,effort-2025-11-24"},
        {
            "model": "claude-opus-5-5",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Say hi"}]},
                {
                    "role": "system",
                    "content": [{"type": "text", "text": "# Environment", "cache_control": {"type": "ephemeral"}}],
                    "output_config": {"effort": "medium"},
                },
            ],
            "system": [{"type": "text", "text": "You are", "cache_control": {"type": "ephemeral"}}],
            "tools": [
                {"name": "Later", "description": "d", "input_schema": {"type": "object"}, "defer_loading": True},
                {"name": "Write", "description": "d", "input_schema": {"$schema": "x", "type": "object"}},
            ],
            "metadata": {"user_id": '{"device_id":"7c","account_uuid":"","session_id":"2e"}'},
            "max_tokens": 128_000,
            "thinking": {"type": "adaptive", "display": "updates"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "output_config": {"effort": "medium"},
            "stream": True,
        },
    ),
    "the SDK of last year, a tool in a stream": (
        OLD,
        HI
        | {
            "messages": [
                {"role": "user", "content": "weather?"},
                {
                    "role": "assistant",
                    "content": [{"id": "toolu_01A", "caller": None, "input": {}, "name": "w", "type": "tool_use"}],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01A", "content": "21"}]},
            ]
        },
    ),
    "litellm, structured output": (
        OLD | {"anthropic-beta": "structured-outputs-2025-11-13"},
        HI | {"output_format": {"type": "json_schema", "schema": {"type": "object", "title": "Person"}}},
    ),
    "instructor, after a failed validation": (OLD, HI | {"messages": HI["messages"] * 3}),
    "pydantic-ai": (NEW, HI | {"stream": False, "tool_choice": {"type": "auto"}, "tools": []}),
}


@pytest.mark.parametrize(("headers", "body"), OF_CLIENTS.values(), ids=OF_CLIENTS)
def test_what_clients_were_seen_to_send_is_understood(headers, body):
    assert ask.parse(letter(body), headers, ask.Door(strict_betas=True)).body == body


@pytest.mark.timeout(20)
def test_a_text_full_of_beginnings_of_an_id_takes_no_longer_than_another():
    body = HI | {"messages": [{"role": "user", "content": "[id:" * 50_000}]}

    assert ask.labels(letter(body), NEW).request_id is None
