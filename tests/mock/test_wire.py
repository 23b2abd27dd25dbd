import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockclaude import wire

CAP = "which is the maximum allowed number of output tokens for"
NEW = {"authorization": "Bearer sk-test", "anthropic-version": "2026-10-21"}
OLD = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"}
HI = {"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}


def letter(body):
    return wire.open_letter(body if isinstance(body, bytes) else json.dumps(body).encode())


def refused(body, headers=NEW):
    with pytest.raises(wire.ApiError) as caught:
        wire.parse(letter(body), headers)
    return caught.value.status, caught.value.message


@pytest.mark.parametrize("headers", [NEW, OLD], ids=["2026-10-21", "2023-06-01"])
def test_a_good_request_is_understood(headers):
    ask = wire.parse(letter(HI | {"stream": True}), headers)

    assert ask == wire.Ask("sk-test", "claude-haiku-4-5-20251001", "haiku", 10, True, False, 1)


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
    assert wire.credential(headers) == key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"max_tokens": 64_001}, f"max_tokens: 64001 > 64000, {CAP} claude-haiku-4-5-20251001"),
        ({"model": "claude-opus-5", "max_tokens": 128_001}, f"max_tokens: 128001 > 128000, {CAP} claude-opus-5"),
        ({"foo": 1}, "foo: Extra inputs are not permitted"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'messages: first message must use the "user" role'),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content: Input should be a valid string"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0.type: Field required"),
        ({"messages": [{"role": "user", "content": "", "n": 1}]}, "messages.0.n: Extra inputs are not permitted"),
        ({"temperature": 1.0}, "temperature: Extra inputs are not permitted"),
        ({"top_k": 5}, "top_k: Extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_a_bad_body_is_refused_in_claudes_words(change, message):
    assert refused(HI | change) == (400, message)


@pytest.mark.parametrize("field", ["model", "max_tokens", "messages"])
def test_a_missing_field_is_named(field):
    body = {name: value for name, value in HI.items() if name != field}

    assert refused(body) == (400, f"{field}: Field required")


def test_sampling_is_still_allowed_on_the_old_version():
    assert wire.parse(letter(HI | {"temperature": 0.5, "top_p": 0.9, "top_k": 5}), OLD).max_tokens == 10


def test_beta_fields_are_accepted():
    body = HI | {
        "thread": {"type": "create"},
        "context_management": {},
        "thinking": {"type": "adaptive"},
        "tools": [{}],
    }

    assert wire.parse(letter(body), NEW).family == "haiku"


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"anthropic-version": "2026-10-21"}, 401, "x-api-key header is required"),
        ({"x-api-key": "a"}, 400, "anthropic-version: header is required"),
        ({"x-api-key": "a", "anthropic-version": "1"}, 400, 'anthropic-version: "1" is not a valid version'),
    ],
)  # fmt: skip
def test_headers_are_judged_before_the_body(headers, status, message):
    assert refused(b"not json", headers) == (status, message)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"a": NaN}', b"\xff\xfe", b'{"a": "\\ud800"}', b"[" * 100_000, b"1" * 5000],
    ids=["empty", "cut", "NaN", "not UTF-8", "lone surrogate", "too deep", "too many digits"],
)
def test_what_is_not_json_is_said_so(body):
    status, message = refused(body)

    assert status == 400
    assert message.startswith("The request body is not valid JSON: ")


@pytest.mark.parametrize("body", [b"[]", b"7", b"null", b'"hi"'])
def test_json_that_is_no_object_is_refused(body):
    assert refused(body)[0] == 400


def test_a_body_over_32_mb_is_too_large():
    large = wire.open_letter(b" " * (wire.BODY_LIMIT + 1))

    with pytest.raises(wire.ApiError) as caught:
        wire.parse(large, {})

    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-haiku-4-5", "haiku"),
        ("claude-3-5-haiku-latest", "haiku"),
        ("claude-sonnet-5-5", "sonnet"),
        ("claude-opus-4-1-20250805", "opus"),
        ("claude-fable-5-2", "fable"),
        ("claude-mythos-preview", "mythos"),
        ("claude-nope", None),
        ("claude-instant-1.2", None),
        ("gpt-haiku", None),
        ("haiku", None),
        ("", None),
    ],
)
def test_a_model_has_a_family_or_is_unknown(model, family):
    assert wire.family(model) == family


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

    assert wire.labels(letter(body), headers).request_id == request_id


@pytest.mark.parametrize(
    ("body", "labels"),
    [
        (b"not json", wire.Labels(None, None, None)),
        (b"[1]", wire.Labels(None, None, None)),
        (b'{"model": 7, "stream": "yes", "messages": [7, {"role": "user"}]}', wire.Labels(None, None, None)),
        (b'{"model": "claude-nope"}', wire.Labels("claude-nope", False, None)),
    ],
)
def test_labels_are_read_from_whatever_came(body, labels):
    assert wire.labels(letter(body), {}) == labels


def test_input_tokens_count_system_messages_and_tools():
    bare = wire.parse(letter(HI), NEW).input_tokens

    more = HI | {"system": [{"type": "text", "text": "x" * 350}], "tools": [{"name": "y" * 350}]}

    assert wire.parse(letter(more), NEW).input_tokens >= bare + 200


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [
        (400, "invalid_request_error", False),
        (401, "authentication_error", False),
        (404, "not_found_error", False),
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


def test_a_413_is_cloudflares_and_knows_no_request_id():
    body = b'{"error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}'

    assert wire.ApiError(413).body("req_1") == body


def test_an_event_is_compact_raw_utf8_padded_before_its_last_brace():
    seen = {wire.text_delta("hé", random.Random(seed)) for seed in range(200)}

    start = 'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    start += '"delta":{"type":"text_delta","text":"hé"}'
    assert seen == {f"{start}{' ' * pad}}}\n\n".encode() for pad in range(16)}


def test_a_message_has_claudes_key_order():
    ask = wire.parse(letter(HI), NEW)

    message = wire.message(ask, "msg_1", [], None, 0)

    assert list(message) == [
        "model", "id", "type", "role", "content", "stop_reason", "stop_sequence", "stop_details", "usage",
    ]  # fmt: skip
    assert list(message["usage"]) == [
        "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "output_tokens",
        "service_tier", "inference_geo",
    ]  # fmt: skip


def test_fast_mode_shows_in_usage():
    ask = wire.parse(letter(HI | {"speed": "fast"}), NEW)

    assert ask.fast
    assert wire.usage(ask, 1)["speed"] == "fast"


SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
FLAT = SCALAR | st.lists(SCALAR, max_size=3) | st.dictionaries(st.text(max_size=5), SCALAR, max_size=3)
JSON = FLAT | st.lists(FLAT, max_size=3) | st.dictionaries(st.text(max_size=5), FLAT, max_size=3)


@given(changes=st.dictionaries(st.sampled_from([*HI, "system", "stream", "tools", "metadata", "thinking"]), JSON))
def test_whatever_is_asked_is_understood_or_refused_never_a_crash(changes):
    sent = letter(HI | changes)
    wire.labels(sent, {})

    try:
        ask = wire.parse(sent, NEW)
    except wire.ApiError as error:
        assert error.status in (400, 404)
    else:
        assert ask.input_tokens >= 0
