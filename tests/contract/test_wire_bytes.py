"""Claude's bytes, read from the socket: each test names the statement of the Messages API's wire that it holds to.

What is told here is known from documentation and SDK sources [A] or from captured traffic [B].
"""

import http.client
import json
import re
import socket

import pytest

KEY = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"}
B58 = "[1-9A-HJ-NP-Za-km-z]"
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
SYSTEM = [{"type": "text", "text": "x" * 35_000, "cache_control": {"type": "ephemeral"}}]
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
FORCED = {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "get_weather"}}


class Said:
    """What came back: the status, headers by small name, and the body."""

    def __init__(self, response):
        self.status = response.status
        self.pairs = [(name.lower(), value) for name, value in response.getheaders()]
        self.headers = dict(self.pairs)
        self.body = response.read()
        self.json = json.loads(self.body) if self.headers["content-type"] == "application/json" else None

    @property
    def events(self):
        return re.findall(rb"event: ([a-z_]+)\ndata: (.*)\n\n", self.body)

    def payloads(self, name):
        return [json.loads(data) for told, data in self.events if told == name.encode()]


@pytest.fixture
def say(mock):
    """`say(stream=True)`: one request by hand, with changes to the body; `headers` replaces or adds some."""
    mock.configure(latency={"ttft": {"p50": 0.0, "p95": 0.0}, "tokens_per_second": 100_000, "prefill": False})

    def ask(headers=KEY, path="/v1/messages", **fields):
        body = {"model": "claude-haiku-4-5", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]} | fields
        connection = http.client.HTTPConnection(mock.url.removeprefix("http://"), timeout=10)
        try:
            connection.request("POST", path, json.dumps(body), headers)
            return Said(connection.getresponse())
        finally:
            connection.close()

    return ask


@pytest.fixture
def raw(mock, say):
    """Every byte of one answer, headers and chunks too."""

    def ask(**fields):
        body = {"model": "claude-haiku-4-5", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]} | fields
        sent = json.dumps(body).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in KEY.items())
        host, port = mock.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            start = f"POST /v1/messages HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {len(sent)}\r\n"
            connection.sendall(f"{start}{head}\r\n".encode() + sent)
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    return ask


# 2.4 Response


def test_a_messages_keys_are_in_claudes_order(say):
    said = say()

    assert list(said.json) == [
        *("model", "id", "type", "role", "content", "stop_reason", "stop_sequence", "stop_details", "usage")
    ]
    assert (said.json["type"], said.json["role"]) == ("message", "assistant")


def test_a_message_is_compact_json(say):
    said = say()

    assert said.body == json.dumps(said.json, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("found", "pattern"),
    [
        (lambda said: said.json["id"], f"msg_01{B58}{{22}}"),
        (lambda said: said.headers["request-id"], f"req_011C{B58}{{20}}"),
    ],
    ids=["msg_01", "req_011C"],
)
def test_ids_have_claudes_alphabet(say, found, pattern):
    ids = [found(say()) for _ in range(20)]

    assert all(re.fullmatch(pattern, one) for one in ids)
    assert len(set(ids)) == 20


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
        ("claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ("claude-opus-4-5", "claude-opus-4-5-20251101"),
        ("claude-opus-4-7", "claude-opus-4-7"),
    ],
)
def test_an_alias_is_resolved(say, asked, told):
    assert say(model=asked).json["model"] == told
    assert say(model=asked, stream=True).payloads("message_start")[0]["message"]["model"] == told


USAGE = [
    *("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "output_tokens"),
    *("service_tier", "inference_geo"),
]


def test_usages_keys_are_in_claudes_order(say):
    usage = say().json["usage"]

    assert list(usage) == USAGE
    assert list(usage["cache_creation"]) == ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"]
    assert list(say(speed="fast").json["usage"]) == [*USAGE, "speed"]
    assert list(say(stream=True).payloads("message_start")[0]["message"]["usage"]) == USAGE


def test_output_tokens_details_come_after_output_tokens_when_claude_thought(say):
    said, streamed = say(**THINKING), say(**THINKING, stream=True)

    assert list(said.json["usage"]) == [*USAGE[:5], "output_tokens_details", *USAGE[5:]]
    assert list(said.json["usage"]["output_tokens_details"]) == ["thinking_tokens"]
    assert 0 < said.json["usage"]["output_tokens_details"]["thinking_tokens"] < said.json["usage"]["output_tokens"]
    assert "output_tokens_details" in streamed.payloads("message_delta")[0]["usage"]


@pytest.mark.parametrize(
    ("fields", "geography"),
    [
        ({}, "not_available"),
        ({"model": "claude-opus-4-5"}, "not_available"),
        ({"model": "claude-sonnet-4-6"}, "global"),
        ({"model": "claude-opus-5", "inference_geo": "us"}, "us"),
    ],
    ids=["4.5", "opus 4.5", "4.6", "us"],
)
def test_inference_geo(say, fields, geography):
    assert say(**fields).json["usage"]["inference_geo"] == geography
    started = say(**fields, stream=True).payloads("message_start")[0]
    assert started["message"]["usage"]["inference_geo"] == geography


@pytest.mark.parametrize("asked", [{}, {"service_tier": "auto"}, {"service_tier": "standard_only"}], ids=str)
def test_service_tier_is_standard(say, asked):
    assert say(**asked).json["usage"]["service_tier"] == "standard"


def test_input_tokens_exclude_what_is_cached(say):
    first, second = (say(system=SYSTEM).json["usage"] for _ in range(2))

    assert (first["input_tokens"], first["cache_creation_input_tokens"]) == (1, 10_000)
    assert first["cache_creation"] == {"ephemeral_5m_input_tokens": 10_000, "ephemeral_1h_input_tokens": 0}
    assert (second["input_tokens"], second["cache_read_input_tokens"]) == (1, 10_000)


def test_stop_reasons(say):
    told = [say(max_tokens=5).json, say(stop_sequences=["e"]).json]

    assert [(one["stop_reason"], one["stop_sequence"]) for one in told] == [
        ("max_tokens", None),
        ("stop_sequence", "e"),
    ]


def test_count_tokens(mock):
    body = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "x" * 49}]}
    connection = http.client.HTTPConnection(mock.url.removeprefix("http://"), timeout=10)
    connection.request("POST", "/v1/messages/count_tokens", json.dumps(body), KEY)

    said = Said(connection.getresponse())
    connection.close()

    assert said.body == b'{"input_tokens":14}'


# 2.5 Streaming wire format


def test_a_streams_head(raw):
    head, _, body = raw(stream=True).partition(b"\r\n\r\n")

    lines = head.lower().split(b"\r\n")
    assert b"content-type: text/event-stream; charset=utf-8" in lines
    assert b"cache-control: no-cache" in lines
    assert b"transfer-encoding: chunked" in lines
    assert not any(line.startswith((b"content-length", b"x-accel", b"pragma")) for line in lines)
    assert body.endswith(b"\r\n0\r\n\r\n")


EVENTS = [
    rb'event: message_start\ndata: \{"type":"message_start","message":\{"model":"claude-haiku-4-5-20251001",'
    rb'"id":"msg_01\w{22}","type":"message","role":"assistant","content":\[\],"stop_reason":null,'
    rb'"stop_sequence":null,"stop_details":null,"usage":\{"input_tokens":1,"cache_creation_input_tokens":0,'
    rb'"cache_read_input_tokens":0,"cache_creation":\{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0\},'
    rb'"output_tokens":[1-8],"service_tier":"standard","inference_geo":"not_available"\}\} {0,15}\}\n\n',
    rb'event: content_block_start\ndata: \{"type":"content_block_start","index":0,'
    rb'"content_block":\{"type":"text","text":""\} {0,15}\}\n\n',
    rb'event: ping\ndata: \{"type": "ping"\}\n\n',
    rb'(?:event: content_block_delta\ndata: \{"type":"content_block_delta","index":0,'
    rb'"delta":\{"type":"text_delta","text":"[^"]+"\} {0,15}\}\n\n)+',
    rb'event: content_block_stop\ndata: \{"type":"content_block_stop","index":0 {0,15}\}\n\n',
    rb'event: message_delta\ndata: \{"type":"message_delta","delta":\{"stop_reason":"max_tokens",'
    rb'"stop_sequence":null,"stop_details":null\},"usage":\{"input_tokens":1,"cache_creation_input_tokens":0,'
    rb'"cache_read_input_tokens":0,"output_tokens":20\} {0,15}\}\n\n',
    rb'event: message_stop\ndata: \{"type":"message_stop" {0,15}\}\n\n',
]


def test_a_stream_is_claudes_to_the_byte(say):
    assert re.fullmatch(b"".join(EVENTS), say(stream=True).body)


def test_events_are_padded_with_0_to_15_spaces_all_equally_likely(say):
    seen = [
        len(data) - len(data[:-1].rstrip(b" ")) - 1
        for _ in range(160)
        for name, data in say(stream=True, max_tokens=100).events
        if name != b"ping"
    ]

    counts = [seen.count(pad) for pad in range(16)]
    assert sum(counts) == len(seen) > 3000
    assert min(counts) > 0.7 * len(seen) / 16


def test_lines_end_in_lf_alone_and_the_stream_in_a_brace_without_done(say):
    body = say(stream=True).body

    assert b"\r" not in body
    assert body.endswith(b"}\n\n")
    assert b"[DONE]" not in body
    assert all(line == b"" or line.startswith((b"event: ", b"data: {")) for line in body.split(b"\n"))


@pytest.mark.parametrize("fields", [{}, {"max_tokens": 1}, {"max_tokens": 2000}, THINKING, FORCED], ids=",".join)
def test_exactly_one_ping_right_after_the_first_content_block_start(say, fields):
    names = [name for name, _ in say(**fields, stream=True).events]

    assert names.count(b"ping") == 1
    assert names[:3] == [b"message_start", b"content_block_start", b"ping"]


def test_json_is_raw_utf_8(say):
    error = say(model="claude-é").body

    assert '"message":"model: claude-é"'.encode() in error


def test_text_comes_in_chunks_of_words_and_the_first_is_short(say):
    pieces = [one["delta"]["text"] for one in say(stream=True, max_tokens=500).payloads("content_block_delta")]

    assert len(pieces[0].split()) == 1
    assert sum(len(piece.split()) for piece in pieces) / len(pieces) > 2


def test_usage_at_the_end_is_cumulative(say):
    said = say(stream=True, system=SYSTEM)

    [start], [end] = said.payloads("message_start"), said.payloads("message_delta")
    assert end["usage"]["output_tokens"] == 20 >= start["message"]["usage"]["output_tokens"]
    assert end["usage"]["cache_creation_input_tokens"] == 10_000
    assert list(end["usage"]) == [*USAGE[:3], "output_tokens"]


def test_a_streamed_tool_use(say):
    said = say(**FORCED, stream=True, max_tokens=200)

    [start] = said.payloads("content_block_start")
    block = start["content_block"]
    assert re.fullmatch(f"toolu_01{B58}{{22}}", block["id"])
    assert list(block)[:4] == ["type", "id", "name", "input"]
    assert (block["type"], block["name"], block["input"]) == ("tool_use", "get_weather", {})
    deltas = [one["delta"] for one in said.payloads("content_block_delta")]
    assert deltas[0] == {"type": "input_json_delta", "partial_json": ""}
    assert isinstance(json.loads("".join(delta["partial_json"] for delta in deltas)), dict)
    assert said.payloads("message_delta")[0]["delta"]["stop_reason"] == "tool_use"


def test_streamed_thinking(say):
    said = say(**THINKING, stream=True)

    first = said.payloads("content_block_start")[0]["content_block"]
    deltas = [one["delta"] for one in said.payloads("content_block_delta") if one["index"] == 0]
    assert first == {"type": "thinking", "thinking": "", "signature": ""}
    assert [delta["type"] for delta in deltas[:-1]] == ["thinking_delta"] * (len(deltas) - 1)
    assert deltas[-1]["type"] == "signature_delta"
    assert re.fullmatch("[A-Za-z0-9+/]{318,1688}={0,2}", deltas[-1]["signature"])


def test_omitted_thinking_sends_a_signature_alone(say):
    adaptive = {"model": "claude-opus-4-7", "thinking": {"type": "adaptive"}, "max_tokens": 2000}

    said = say(**adaptive, stream=True)

    deltas = [one["delta"]["type"] for one in said.payloads("content_block_delta") if one["index"] == 0]
    assert deltas == ["signature_delta"]


def test_an_error_in_mid_stream_is_the_last_event(say):
    said = say({**KEY, "x-mockclaude-fault": "error_event;after=1"}, stream=True, max_tokens=50)

    pattern = (
        rb'event: error\ndata: \{"type":"error","error":\{"details":null,"type":"overloaded_error",'
        rb'"message":"Overloaded"\},"request_id":"(req_011C\w{20})" {0,15}\}\n\n'
    )
    found = re.search(pattern + b"$", said.body)
    assert found
    assert found[1].decode() == said.headers["request-id"]
    assert b"message_stop" not in said.body
    assert said.status == 200


# 2.6 Response headers


@pytest.mark.parametrize("stream", [True, False])
def test_who_asked_is_in_the_headers(say, stream):
    headers = say(stream=stream).headers

    assert re.fullmatch(f"req_011C{B58}{{20}}", headers["request-id"])
    assert re.fullmatch(UUID, headers["anthropic-organization-id"])
    assert re.fullmatch(f"wrkspc_01{B58}{{22}}", headers["anthropic-workspace-id"])


def test_the_workspace_is_known_for_a_bad_request_but_not_before_the_caller_is(say):
    bad, unknown = say(max_tokens=-1), say({"anthropic-version": "2023-06-01"})

    assert (bad.status, "anthropic-workspace-id" in bad.headers) == (400, True)
    assert (unknown.status, "anthropic-workspace-id" in unknown.headers) == (401, False)


def test_ratelimit_headers_are_there_on_organizations_that_have_them(mock, say):
    without = say().headers
    mock.configure(limits={"requests_per_minute": 50})
    streamed, whole = say(stream=True).headers, say().headers

    kind = "anthropic-ratelimit-requests"
    assert not any(name.startswith("anthropic-ratelimit") for name in without)
    assert (streamed[f"{kind}-limit"], streamed[f"{kind}-remaining"]) == ("50", "49")
    assert whole[f"{kind}-remaining"] == "48"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", whole[f"{kind}-reset"])


def test_a_429_says_in_whole_seconds_when_to_come_back(mock, say):
    mock.configure(limits={"requests_per_minute": 7, "burst": 1})
    say()

    said = say()

    assert said.status == 429
    assert said.headers["retry-after"] == "9"
    assert said.headers["x-should-retry"] == "true"


@pytest.mark.parametrize(
    ("fault", "retry"), [("400", "false"), ("401", "false"), ("429", "true"), ("500", "true"), ("529", "true")]
)
def test_an_error_says_whether_to_retry(say, fault, retry):
    said = say({**KEY, "x-mockclaude-fault": f"status;code={fault}"})

    assert (said.status, said.headers["x-should-retry"]) == (int(fault), retry)
    assert said.headers["content-type"] == "application/json"
    assert said.headers["request-id"] == said.json["request_id"]


def test_a_good_answer_does_not_say_whether_to_retry(say):
    assert "x-should-retry" not in say().headers


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"max_tokens": -1}], ids=["message", "stream", "error"])
def test_the_edge_is_cloudflares(say, fields):
    said = say(**fields)

    assert [value for name, value in said.pairs if name == "server"] == ["cloudflare"]
    assert said.headers["cf-cache-status"] == "DYNAMIC"
    assert said.headers["x-robots-tag"] == "none"


def test_nothing_of_the_libraries_leaks_into_the_headers(say):
    streamed = [name for name, _ in say(stream=True).pairs]

    assert sorted(streamed) == [
        "anthropic-organization-id",
        "anthropic-workspace-id",
        "cache-control",
        "cf-cache-status",
        "content-type",
        "date",
        "request-id",
        "server",
        "transfer-encoding",
        "x-robots-tag",
    ]
