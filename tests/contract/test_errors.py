"""Every refusal known from captures or documentation, byte for byte, on a real socket; and as the official SDK sees it.

One row is one text; its id says which case it is. Where a capture breaks off ("..."), it holds what is known.
"""

import base64
import gzip
import http.client
import json
import random
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import anthropic
import pytest

from mockclaude import wire
from mockclaude.speech import signature
from mockclaude.testing import MockClaude

FAST = {"ttft": {"p50": 0.001, "p95": 0.001}, "tokens_per_second": 100_000}
OLD = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"}
NEW = {"authorization": "Bearer sk-test", "anthropic-version": "2026-10-21"}
ASKED = {"role": "user", "content": "hi"}
HI = {"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [ASKED]}
INVALID = (400, "invalid_request_error")
WEATHER = {"name": "weather", "input_schema": {"type": "object"}}
EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
USE = {"type": "tool_use", "id": "toolu_01H", "name": "weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_01H", "content": "x"}
BUDGET = {"type": "enabled", "budget_tokens": 2000}
SECRET = signature.sign("hm", random.Random(1))
GUIDE = "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"


@pytest.fixture(scope="module")
def url():
    with MockClaude(seed=1, latency=FAST) as running:
        yield running.url


@pytest.fixture(scope="module")
def locked():
    with MockClaude(latency=FAST, keys=["sk-right"], strict_betas=True) as running:
        yield running.url


def send(url, body, headers=OLD, path="/v1/messages"):
    """A request by hand: what came back, as it came."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.request("POST", path, data, {"content-type": "application/json"} | headers)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def user(*blocks):
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def talk(*contents):
    """A conversation, user first."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[k % 2], "content": content} for k, content in enumerate(contents)]}


def text(words, **more):
    return {"type": "text", "text": words, **more}


def image(data):
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def without(*names):
    return {name: value for name, value in HI.items() if name not in names}


def tokens(n):
    """A text of about `n` tokens by the documented estimate of 3.5 bytes a token."""
    return "a" * int(n * 3.5)


CACHED = [text("x", cache_control=EPHEMERAL)]
CAP = "which is the maximum allowed number of output tokens for"
ROWS = {
    "field missing: max_tokens": (without("max_tokens"), "max_tokens: Field required"),
    "field missing: model": (without("model"), "model: Field required"),
    "field missing: content": (HI | {"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
    "field missing: text": (HI | user({"type": "text"}), "messages.0.content.0.text.text: Field required"),
    "unknown field": (HI | {"foo": 1}, "foo: Extra inputs are not permitted"),
    "unknown field: cache_control on a block that takes none": (
        HI | user({"type": "thinking", "thinking": "", "signature": "", "cache_control": EPHEMERAL}),
        "messages.0.content.0.thinking.cache_control: Extra inputs are not permitted",
    ),
    "invalid JSON": (
        b'{"a": "\\ud83d"}',
        "The request body is not valid JSON: no low surrogate in string: line 1 column 8 (char 7)",
    ),
    "no messages": (HI | {"messages": []}, "messages: at least one message is required"),
    "first role": (
        HI | {"messages": [{"role": "assistant", "content": "x"}]},
        'messages: first message must use the "user" role',
    ),
    "temperature>1": (HI | {"temperature": 1.5}, "temperature: range: -1 or 0..1"),
    "both sampling": (
        HI | {"temperature": 0.5, "top_p": 0.5},
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
    ),
    "sampling on 4.7+": (
        HI | {"model": "claude-opus-4-7", "temperature": 0.5},
        "`temperature` is deprecated for this model.",
    ),
    "max_tokens cap": (
        HI | {"model": "claude-opus-5", "max_tokens": 128_001},
        f"max_tokens: 128001 > 128000, {CAP} claude-opus-5",
    ),
    "max_tokens cap: resolved id": (
        HI | {"max_tokens": 64_001},
        f"max_tokens: 64001 > 64000, {CAP} claude-haiku-4-5-20251001",
    ),
    "prompt length": (HI | talk(tokens(213_000)), re.compile(r"prompt is too long: 2130\d\d tokens > 200000 maximum")),
    "context overflow": (
        HI | talk(tokens(188_000)) | {"max_tokens": 21_333},
        re.compile(
            r"input length and `max_tokens` exceed context limit: 1880\d\d \+ 21333 > 200000, decrease input length or "
            r"`max_tokens` and try again"
        ),
    ),
    "tools: unique": (HI | {"tools": [WEATHER, WEATHER]}, "tools: Tool names must be unique."),
    "tools: name": (
        HI | {"tools": [WEATHER | {"name": "a b"}]},
        "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    ),
    "tools: input_schema": (HI | {"tools": [{"name": "a"}]}, "tools.0.custom.input_schema: Field required"),
    "tools: tool_choice": (
        HI | {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}},
        "Tool 'x' not found in provided tools",
    ),
    "tool pairing: no result": (
        HI | {"tools": [WEATHER]} | talk("a", "b", "c", [USE], "never mind"),
        "messages.3: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_01H. Each "
        "`tool_use` block must have a corresponding `tool_result` block in the next message.",
    ),
    "tool pairing: no use": (
        HI | talk([RESULT | {"tool_use_id": "toolu_x"}]),
        "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_x. Each `tool_result` "
        "block must have a corresponding `tool_use` block in the previous message.",
    ),
    "empty text": (HI | user(text("")), "messages: text content blocks must be non-empty"),
    "empty text: whitespace": (HI | user(text(" ")), "messages: text content blocks must contain non-whitespace text"),
    "empty text: message": (
        HI | talk("a", [], "b"),
        "messages.1: all messages must have non-empty content except for the optional final assistant message",
    ),
    "block type": (
        HI | user(text("a"), {"type": "video"}),
        re.compile(
            r"messages\.0\.content\.1: Input tag 'video' found using 'type' does not match any of the expected tags: "
            r"'text', 'image', .*"
        ),
    ),
    "caching: five": (
        HI | user(*CACHED * 5),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    "caching: ttl": (
        HI | user(text("x", cache_control=EPHEMERAL | {"ttl": "2h"})),
        re.compile(r"messages\.0\.content\.0\..*ttl: Input should be '5m' or '1h'"),
    ),
    "caching: 1h after 5m": (
        HI | user(*CACHED, text("x", cache_control=HOUR)),
        "messages.0.content.1.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
        "cache_control block. Note that blocks are processed in the following order: `tools`, `system`, `messages`.",
    ),
    "thinking: budget below 1024": (
        HI | {"thinking": {"type": "enabled", "budget_tokens": 1000}},
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    "thinking: budget and max_tokens": (
        HI | {"thinking": BUDGET, "max_tokens": 2000},
        "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
        f"{GUIDE}#max-tokens-and-context-window-size",
    ),
    "thinking: temperature": (
        HI | {"thinking": BUDGET, "max_tokens": 4000, "temperature": 0.5},
        re.compile(r"`temperature` may only be set to 1 when thinking is enabled.*"),
    ),
    "thinking: forced tool": (
        HI | {"thinking": BUDGET, "max_tokens": 4000, "tools": [WEATHER], "tool_choice": {"type": "any"}},
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    "thinking: signature": (
        HI | talk("a", [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, text("b")], "c"),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    "thinking: first": (
        HI | {"thinking": BUDGET, "max_tokens": 4000, "tools": [WEATHER]} | talk("a", [USE], [RESULT]),
        re.compile(
            r"messages\.1\.content\.0\.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`\..*"
        ),
    ),
    "thinking per model: enabled on 4.7+": (
        HI | {"model": "claude-opus-4-7", "thinking": BUDGET, "max_tokens": 4000},
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
        '"output_config.effort" to control thinking behavior.',
    ),
    "thinking per model: adaptive": (
        HI | {"thinking": {"type": "adaptive"}},
        "adaptive thinking is not supported on this model",
    ),
    "thinking per model: disabled": (
        HI | {"model": "claude-fable-5", "thinking": {"type": "disabled"}},
        '"thinking.type.disabled" is not supported for this model. Thinking defaults to adaptive mode when not '
        'specified; use "thinking.type.enabled" with "budget_tokens" for extended thinking.',
    ),
    "thinking per model: modified": (
        HI | talk("a", [{"type": "thinking", "thinking": "other", "signature": SECRET}, text("b")], "c"),
        "messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be "
        "modified. These blocks must remain as they were in the original response.",
    ),
    "prefill": (
        HI | {"model": "claude-sonnet-4-6"} | talk("a", "b"),
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    "prefill: whitespace": (
        HI | talk("a", "b "),
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    "effort": (
        HI | {"model": "claude-sonnet-4-6", "output_config": {"effort": "xhigh"}},
        "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.",
    ),
    "images: large": (
        HI | user(image("A" * 7562460)),
        "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 7562460 bytes > 5242880 bytes",
    ),
    "images: unreadable": (
        HI | user(image(base64.b64encode(b"no picture at all").decode())),
        "Could not process image",
    ),
    "stop_sequences": (
        HI | {"stop_sequences": [" "]},
        "stop_sequences: each stop sequence must contain non-whitespace",
    ),
}


def matches(pattern, message):
    return pattern.fullmatch(message) if isinstance(pattern, re.Pattern) else pattern == message


@pytest.mark.parametrize(("body", "message"), ROWS.values(), ids=ROWS)
def test_a_bad_body_is_refused_in_claudes_words(url, body, message):
    status, headers, raw = send(url, body)

    said = json.loads(raw)
    assert matches(message, said["error"]["message"]), said["error"]["message"]
    assert status == 400
    assert raw == (
        b'{"type":"error","error":{"type":"invalid_request_error","message":%b},"request_id":"%b"}'
        % (wire.dumps(said["error"]["message"]), headers["request-id"].encode())
    )
    assert headers["content-type"] == "application/json"
    assert headers["x-should-retry"] == "false"


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k"])
def test_sampling_2026_10_21(url, field):
    status, _, raw = send(url, HI | {field: 1}, NEW)

    assert status == 400
    assert json.loads(raw)["error"]["message"] == f"{field}: Extra inputs are not permitted"


def test_alternation_is_no_error_any_more(url):
    assert send(url, HI | {"messages": [ASKED, ASKED]})[0] == 200


HEADERS = {
    "no key": ({"anthropic-version": "2023-06-01"}, 401, "authentication_error", "x-api-key header is required"),
    "bad key": (OLD | {"x-api-key": "sk-wrong"}, 401, "authentication_error", "invalid x-api-key"),
    "bad bearer": (NEW | {"authorization": "Bearer no"}, 401, "authentication_error", "Invalid bearer token"),
    "no version header": ({"x-api-key": "sk-right"}, *INVALID, "anthropic-version: header is required"),
    "unknown beta": (
        OLD | {"x-api-key": "sk-right", "anthropic-beta": "x"},
        *INVALID,
        "Unexpected value(s) `x` for the `anthropic-beta` header. Please consult our documentation at "
        "platform.claude.com/docs or try again without the header.",
    ),
}


@pytest.mark.parametrize(("headers", "status", "kind", "message"), HEADERS.values(), ids=HEADERS)
def test_headers_are_refused_in_claudes_words(locked, headers, status, kind, message):
    got, said, raw = send(locked, HI, headers)

    assert got == status
    assert json.loads(raw) == {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": said["request-id"],
    }


def test_the_right_key_is_let_in_either_way(locked):
    assert send(locked, HI, OLD | {"x-api-key": "sk-right"})[0] == 200
    assert send(locked, HI, NEW | {"authorization": "Bearer sk-right"})[0] == 200


def test_the_command_takes_keys_and_strictness_too():
    command = [sys.executable, "-m", "mockclaude", "serve", "--port", "0", "--keys", "sk-a, sk-b", "--strict-betas"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        try:
            url = re.search(r"http://\S+", served.stdout.readline()).group()
            statuses = [send(url, HI, OLD | {"x-api-key": key})[0] for key in ("sk-a", "sk-b", "sk-c")]
            strict, _, _ = send(url, HI, OLD | {"x-api-key": "sk-a", "anthropic-beta": "x"})
        finally:
            served.terminate()

    assert (statuses, strict) == ([200, 200, 401], 400)


NOT_FOUND = {
    "unknown model": ("/v1/messages", HI | {"model": "claude-nope"}, "model: claude-nope"),
    "unknown path": ("/v1/nope", HI, "Not found"),
}


@pytest.mark.parametrize(("path", "body", "message"), NOT_FOUND.values(), ids=NOT_FOUND)
def test_what_is_not_there_is_not_found(url, path, body, message):
    status, _, raw = send(url, body, path=path)

    assert status == 404
    assert json.loads(raw)["error"] == {"type": "not_found_error", "message": message}


CREDIT = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase "
    "credits."
)
CAPPED = re.compile(
    "You have reached your API usage limits: your organization has crossed its monthly API usage threshold, set based "
    r"on your organization's API tier\. You will regain access on \d{4}-\d\d-01 at 00:00 UTC\."
)
INJECTED = {
    "credit": ("400;message=credit", 400, "invalid_request_error", CREDIT),
    "own spend limit": (
        "400;message=spend_limit",
        *INVALID,
        re.compile("You have reached your specified API usage limits.*"),
    ),
    "workspace spend limit": (
        "400;message=workspace_spend_limit",
        *INVALID,
        re.compile("You have reached your specified workspace API usage limits.*"),
    ),
    "tier spend cap": ("429;message=spend_cap", 429, "rate_limit_error", CAPPED),
    "overload": ("529", 529, "overloaded_error", "Overloaded"),
    "internal": ("500", 500, "api_error", "Internal server error"),
}


@pytest.mark.parametrize(("fault", "status", "kind", "message"), INJECTED.values(), ids=INJECTED)
def test_what_no_request_leads_to_can_be_asked_for(url, fault, status, kind, message):
    got, headers, raw = send(url, HI, OLD | {"x-mockclaude-fault": f"status;code={fault}"})

    error = json.loads(raw)["error"]
    assert (got, error["type"]) == (status, kind)
    assert matches(message, error["message"])
    assert "retry-after" not in headers


@pytest.mark.parametrize("name", ["spend_limit", "workspace_spend_limit", "spend_cap"])
def test_access_is_regained_when_the_month_is_over(url, name):
    _, _, raw = send(url, HI, OLD | {"x-mockclaude-fault": f"status;code=429;message={name}"})

    day = re.search(r"on (\S+) at", json.loads(raw)["error"]["message"])[1]
    assert timedelta(0) < datetime.fromisoformat(f"{day}T00:00Z") - datetime.now(UTC) <= timedelta(days=31)


def test_the_tier_spend_cap_has_its_error_code(url):
    with pytest.raises(anthropic.RateLimitError) as caught:
        create(url, extra_headers={"x-mockclaude-fault": "status;code=429;message=spend_cap"})

    assert caught.value.error_code == "enforced_spend_limit_reached"
    assert type(caught.value).__name__ == "EnforcedSpendLimitReachedError"


def test_rate_limit():
    with MockClaude(latency=FAST, limits={"requests_per_minute": 1000, "burst": 1}) as mock:
        send(mock.url, HI)
        status, headers, raw = send(mock.url, HI)

    assert status == 429
    assert int(headers["retry-after"]) >= 1
    assert re.fullmatch(
        r"This request would exceed your organization's rate limit of 1,000 requests per minute \(org: "
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}, model: claude-haiku-4-5-20251001\)\. For details, refer to: "
        r"https://docs\.claude\.com/en/api/rate-limits\. You can see the response headers for current usage\. Please "
        r"reduce the prompt length or the maximum tokens requested, or try again later\. You may also contact sales at "
        r"https://claude\.com/contact-sales to discuss your options for a rate limit increase\.",
        json.loads(raw)["error"]["message"],
    )


def test_body_over_32_mb(url):
    status, _, raw = send(url, b" " * (32 * 1024 * 1024 + 1))

    assert status == 413
    assert raw == b'{"error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}'


def test_a_body_of_32_mb_is_not_too_large(url):
    body = json.dumps(HI).encode()

    assert send(url, body.ljust(32 * 1024 * 1024))[0] == 200


def test_a_compressed_body_is_read(url):
    assert send(url, gzip.compress(json.dumps(HI).encode()), OLD | {"content-encoding": "gzip"})[0] == 200


ENCODINGS = {
    "invalid": (b"no gzip", "gzip", 400, "request_body_encoding_invalid"),
    "unsupported": (b"x", "br", 400, "request_body_encoding_unsupported"),
    "too large": (gzip.compress(bytes(33 << 20)), "gzip", 413, "request_body_too_large_after_decoding"),
}


@pytest.mark.parametrize(("body", "encoding", "status", "code"), ENCODINGS.values(), ids=ENCODINGS)
def test_a_bad_encoding_has_its_error_code(url, body, encoding, status, code):
    got, headers, raw = send(url, body, OLD | {"content-encoding": encoding})

    said = json.loads(raw)
    assert got == status
    assert said["error"]["details"] == {"error_code": code}
    assert list(said["error"]) == ["type", "message", "details"]
    assert said["request_id"] == headers["request-id"]


def test_the_content_type_does_not_matter(url):
    assert send(url, HI, OLD | {"content-type": "text/plain; charset=latin-1"})[0] == 200


def test_an_upload_that_breaks_off_leaves_nothing_behind():
    with MockClaude(latency=FAST) as mock:
        host, port = mock.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as leaver:
            leaver.sendall(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
        while not mock.journal():
            send(mock.url, b"", path="/v1/nope")

        assert [record["outcome"] for record in mock.journal()] == ["left"]
        assert mock.stats()["open"] == 0


@pytest.mark.parametrize("headers", [OLD, NEW], ids=["2023-06-01", "2026-10-21"])
@pytest.mark.parametrize("display", ["summarized", "omitted"])
def test_what_claude_said_may_be_sent_back_unless_it_was_altered(url, headers, display):
    thinking = {"type": "enabled", "budget_tokens": 1024, "display": display}
    first = HI | {"max_tokens": 2000, "thinking": thinking, "tools": [WEATHER]} | talk("Please call weather.")
    said = json.loads(send(url, first, headers)[2])["content"]
    results = [RESULT | {"tool_use_id": block["id"]} for block in said if block["type"] == "tool_use"]
    altered = [said[0] | {"signature": said[0]["signature"][:-8] + "AAAAAAAA"}, *said[1:]]

    whole = first | talk("Please call weather.", said, results)
    again = first | talk("Please call weather.", altered, results)

    assert [said[0]["type"], len(results)] == ["thinking", 1]
    assert send(url, whole, headers)[0] == 200
    assert json.loads(send(url, again, headers)[2])["error"]["message"] == (
        "messages.1.content.0: Invalid `signature` in `thinking` block"
    )


def create(url, **fields):
    with anthropic.Anthropic(base_url=url, api_key="sk-test", max_retries=0) as client:
        return client.messages.create(model="claude-haiku-4-5", max_tokens=10, messages=[ASKED], **fields)


CLASSES = {
    anthropic.BadRequestError: 400,
    anthropic.AuthenticationError: 401,
    anthropic.PaymentRequiredError: 402,
    anthropic.PermissionDeniedError: 403,
    anthropic.NotFoundError: 404,
    anthropic.ConflictError: 409,
    anthropic.RateLimitError: 429,
    anthropic.InternalServerError: 500,
    anthropic.ServiceUnavailableError: 503,
    anthropic.GatewayTimeoutError: 504,
    anthropic.OverloadedError: 529,
}


@pytest.mark.parametrize(("kind", "code"), CLASSES.items(), ids=map(str, CLASSES.values()))
def test_the_sdk_raises_its_class_for_a_status(url, kind, code):
    with pytest.raises(kind) as caught:
        create(url, extra_headers={"x-mockclaude-fault": f"status;code={code}"})

    assert caught.value.status_code == code
    assert caught.value.request_id == caught.value.body["request_id"]


def test_the_sdk_knows_a_thread_that_is_not_supported(url):
    with pytest.raises(anthropic.BadRequestError) as caught:
        create(url, extra_body={"thread": {"type": "create"}})

    assert type(caught.value).__name__ == "ThreadUnsupportedRequestError"
    assert caught.value.body["error"]["details"]["unsupported"] == ["thread"]


def test_the_tool_runner_goes_on_without_a_thread(url):
    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"sunny in {city}"

    with anthropic.Anthropic(base_url=url, api_key="sk-test", max_retries=0) as client:
        runner = client.beta.messages.tool_runner(
            model="claude-haiku-4-5",
            max_tokens=300,
            tools=[get_weather],
            messages=[{"role": "user", "content": "Please call get_weather for Paris."}],
        )
        messages = list(runner)

    asked, answered = messages
    assert asked.stop_reason == "tool_use"
    assert [block.type for block in answered.content] == ["text"]
