"""The gateway byte by byte: what is asked of Claude is what the caller wrote, and what the caller reads is Claude's."""

import http.client
import itertools
import json
import socket
import time
import urllib.parse

import pytest

from mockclaude import conform
from mockclaude.conformance.caller import Caller

MODEL = "claude-haiku-4-5"
ASK = {"model": MODEL, "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"name": "look_up", "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}}}
OURS, THEIRS = "sk-ours", "sk-theirs"
KEY = {"x-api-key": THEIRS, "anthropic-version": "2023-06-01"}
PRESETS = ["naive", "production"]


# Answers: the mock asked through the gateway, and its twin asked directly


BODIES = {
    "answer": json.dumps(ASK),
    "stream": json.dumps({**ASK, "stream": True}),
    "tool": json.dumps({**ASK, "stream": True, "tools": [TOOL], "tool_choice": {"type": "any"}, "max_tokens": 100}),
    "thinking": json.dumps({**ASK, "stream": True, "max_tokens": 1100} | {"thinking": {"type": "enabled"}}).replace(
        '"enabled"', '"enabled", "budget_tokens": 1024'
    ),
    "odd": '{ "model":"claude-haiku-4-5","max_tokens":8, "messages":[{"content":"\\u00e9é","role":"user"}]}\n',
    "refused": json.dumps({**ASK, "foo": 1}),
    "not JSON": "{",
}
FAULTS = [
    "",
    "comments",
    "split_packets",
    "duplicate_event",
    "malformed_event",
    "content_type",
    "truncate",
    "error_event",
]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("what", FAULTS)
def test_the_bytes_are_those_of_a_mock_with_the_same_seed(preset, body, what, behind, twin, gateways):
    begin(behind, twin)

    direct, passed = (asked(url, body=body, fault=what) for url in (twin.url, gateways[preset].url))

    assert passed == direct


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/messages/count_tokens", json.dumps({"model": MODEL, "messages": ASK["messages"]})),
        ("POST", "/v1/messages/count_tokens?beta=true", "[]"),
        ("GET", "/v1/models", None),
        ("GET", "/v1/models?limit=1000", None),
        ("GET", "/v1/models?limit=2&after_id=claude-sonnet-5", None),
        ("GET", "/v1/models?limit=x", None),
        ("GET", f"/v1/models/{MODEL}", None),
        ("GET", "/v1/models/claude-nope?beta=true", None),
    ],
)
def test_so_are_those_of_the_other_endpoints(preset, method, path, body, behind, twin, gateways):
    begin(behind, twin)

    direct, passed = (asked(url, method, path, body) for url in (twin.url, gateways[preset].url))

    assert passed == direct


@pytest.mark.parametrize("preset", PRESETS)
def test_so_are_those_of_a_mock_that_keeps_limits(preset, behind, twin, gateways):
    begin(behind, twin, limits={"requests_per_minute": 2, "input_tokens_per_minute": 100_000})

    direct, passed = ([asked(url) for _ in range(4)] for url in (twin.url, gateways[preset].url))
    begin(behind, twin, limits={})

    assert [status for status, _, _ in passed] == [status for status, _, _ in direct]
    assert 429 in [status for status, _, _ in passed]
    assert [limited(headers) for _, headers, _ in passed] == [limited(headers) for _, headers, _ in direct]
    assert len(limited(passed[0][1])) > 5


def begin(*mocks, **config):
    for mock in mocks:
        mock.configure(faults=[], seed=5, **config)
        mock.reset()


def asked(url, method="POST", path="/v1/messages?beta=true", body=BODIES["answer"], fault=""):
    """Status, headers without the date and those that the gateway adds, and raw body of one request."""
    headers = {**KEY, **({"x-mockclaude-fault": fault} if fault else {})}
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=20)
    connection.request(method, path, body and body.encode(), headers)
    response = connection.getresponse()
    added = ("x-request-id", "x-accel-buffering", "date")
    said = sorted((name.lower(), value) for name, value in response.getheaders() if name.lower() not in added)
    whole = response.read()
    connection.close()
    return response.status, said, whole


def limited(headers):
    """What Claude says of its limits, but for the times, which depend on when one asks."""
    names = ("anthropic-ratelimit-", "retry-after", "x-should-retry")
    return [pair for pair in headers if pair[0].startswith(names) and not pair[0].endswith("-reset")]


# Requests: what arrives at a Claude made of bytes


@pytest.fixture(scope="module", params=PRESETS)
def gateway(request, raw_claude, run_gateway):
    switches = {"attempts": 1, "breaker": "none", "pace": "none", "cors_origins": "[]"}
    with run_gateway(raw_claude.url, preset=request.param, **switches) as running:
        yield running


PLAIN = b'{"model":"claude-haiku-4-5"}'
UPLOADS = {
    "unknown fields": b'{"model":"m","new_field":{"b":[1,{}],"a":null},"anthropic_beta":["x"],"max_tokens":1e1}',
    "order, spaces and doubles": b' {\r\n"b" : 1 ,\t"a":1,"b":2, "x" :1.0e+05}\n\n',
    "escapes": b'{"a":"\\u00e9\\ud83d\\/\xc3\xa9\xf0\x9f\x98\x80"}',
    "a system array": b'{"system":[{"type":"text","text":"x-anthropic-billing-header: a"},{"type":"text","text":"b"}]}',
    "huge numbers": b'{"max_tokens":123456789012345678901234567890,"t":NaN,"u":-0.0}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "not UTF-8": b"\xff\xfe\x00\x80",
    "every byte": bytes(range(256)) * 4096,
    "empty": b"",
}


@pytest.mark.parametrize("body", UPLOADS.values(), ids=UPLOADS)
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_arrives_as_it_was_written(gateway, raw_claude, body, chunked):
    raw_claude.says()

    send(gateway, b"POST", b"/v1/messages", [], body, chunked=chunked)

    _, headers, arrived = parsed(raw_claude.received)
    assert arrived == body
    assert [value for name, value in headers if name == b"content-length"] == [str(len(body)).encode()]


TARGETS = [
    b"/v1/messages?beta=true",
    b"/v1/messages?beta=true&beta=false&beta",
    b"/v1/messages?x=%E2%82%AC&y=a+b&z=%zz%2&q='\"|{}^`\\",
    b"/v1/messages?a=b?c=d/e:f@g;h,i*(j)!$[k]",
    b"/v1/messages/count_tokens?beta=true&unheard=of",
]


@pytest.mark.parametrize("target", TARGETS)
def test_a_query_arrives_as_it_was_written(gateway, raw_claude, target):
    raw_claude.says()

    send(gateway, b"POST", target, [], PLAIN)

    assert parsed(raw_claude.received)[0] == b"POST %s HTTP/1.1" % target


HEADERS = {
    "the version": [(b"anthropic-version", b"2026-10-21")],
    "a version to come": [(b"anthropic-version", b"2031-01-01;q=\xe9")],
    "betas": [(b"anthropic-beta", b"one-2025-01-01,two ,  three,,")],
    "betas in two lines": [(b"anthropic-beta", b"one"), (b"anthropic-beta", b"two")],
    "Claude Code's": [(b"x-claude-code-session-id", b"7f"), (b"x-app", b"cli"), (b"x-claude-code-new", b"{}")],
    "Anthropic's, unheard of": [(b"anthropic-dangerous-direct-browser-access", b"true"), (b"anthropic-new", b"1")],
    "the SDK's": [
        (b"x-stainless-retry-count", b"1"),
        (b"x-stainless-lang", b"python"),
        (b"user-agent", b"Anthropic/2"),
    ],
    "anything": [(b"x-unheard-of", b"a b\tc"), (b"cookie", b"a=b; c=d"), (b"x-empty", b""), (b"idempotency-key", b"k")],
    "of a proxy": [(b"x-forwarded-for", b"10.0.0.1"), (b"via", b"1.1 a"), (b"traceparent-x", b"00-1")],
    "of the body": [(b"content-type", b"application/json; charset=latin-1"), (b"content-encoding", b"zstd")],
    "long": [(b"x-long", b"v" * 8000)],
    "many": [(b"x-%d" % n, b"%d" % n) for n in range(90)],
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_headers_arrive_as_they_were_written(gateway, raw_claude, headers):
    raw_claude.says()

    send(gateway, b"POST", b"/v1/messages?beta=true", headers, PLAIN)

    _, arrived, _ = parsed(raw_claude.received)
    ours = {b"host", b"authorization", b"accept-encoding", b"x-request-id", b"x-request-deadline", b"content-length"}
    assert [pair for pair in arrived if pair[0] not in ours] == headers


@pytest.mark.parametrize(
    "shown",
    [[(b"X-Api-Key", THEIRS.encode())], [(b"Authorization", b"Bearer " + THEIRS.encode())]],
    ids=["key", "bearer"],
)
@pytest.mark.parametrize("more", [False, True], ids=["alone", "beside another that is wrong"])
def test_the_callers_key_does_not_arrive_and_ours_does(gateway, raw_claude, shown, more):
    raw_claude.says()
    other = (b"authorization", b"Bearer sk-wrong") if shown[0][0] == b"X-Api-Key" else (b"x-api-key", b"sk-wrong")

    send(gateway, b"POST", b"/v1/messages", [*shown, *([other] if more else [])], PLAIN, key=False)

    [arrived] = raw_claude.received
    assert OURS.encode() in arrived
    assert THEIRS.encode() not in arrived
    assert b"sk-wrong" not in arrived


# Answers, from a Claude made of bytes


ANSWERS = {
    "plain": (b"200 OK", [(b"content-type", b"application/json"), (b"request-id", b"req_1")], b'{ "a": 1}\n'),
    "without a body": (b"200 OK", [], b""),
    "created": (b"201 Created", [(b"location", b"/v1/x")], b"{}"),
    "a redirect is not followed": (b"307 Temporary Redirect", [(b"location", b"https://example.com/")], b""),
    "an unknown success": (b"299 Odd", [(b"x-new", b"1")], b"odd"),
    "a teapot": (b"418 Teapot", [(b"content-type", b"text/plain")], b"no"),
    "a page of Cloudflare's": (b"520 Unknown", [(b"content-type", b"text/html"), (b"cf-ray", b"1")], b"<html>"),
    "an error of another shape": (b"400 Bad", [(b"content-type", b"application/json")], b'[{"error": \xff'),
    "doubled headers": (
        b"200 OK",
        [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x", b"1"), (b"x", b"1")],
        b"1",
    ),
    "the server's name": (
        b"200 OK",
        [(b"server", b"cloudflare"), (b"via", b"1.1 google"), (b"server-timing", b"x")],
        b"1",
    ),
    "odd values": (b"200 OK", [(b"x-odd", b'caf\xe9; "q" ,,'), (b"x-empty", b"")], b"1"),
    "compressed": (b"200 OK", [(b"content-encoding", b"gzip")], b"\x1f\x8b\x08\x00 not really"),
    "limits": (b"429 Too Many", [(b"anthropic-ratelimit-requests-remaining", b"0"), (b"retry-after", b"17")], b"{}"),
    "a date to wait for": (b"503 No", [(b"retry-after", b"Fri, 20 Nov 2026 12:00:00 GMT")], b"{}"),
}


@pytest.mark.parametrize(("status", "headers", "body"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("framing", ["declared", "chunked", "until it closes"])
def test_an_answer_comes_back_as_it_was_sent(gateway, raw_claude, status, headers, body, framing):
    lines = b"".join(b"\r\n%b: %b" % pair for pair in headers)
    framed = {
        "declared": b"\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body),
        "chunked": b"\r\ntransfer-encoding: chunked\r\n\r\n" + in_chunks(body),
        "until it closes": b"\r\n\r\n" + body,
    }
    raw_claude.says(b"HTTP/1.1 %b%b\r\nconnection: close" % (status, lines) + framed[framing])

    first, said, whole = parsed([send(gateway, b"POST", b"/v1/messages", [], PLAIN)])

    ours = {b"date", b"x-request-id", b"connection", b"content-length", b"transfer-encoding"}
    assert first.split(b" ")[1] == status[:3]
    assert [pair for pair in said if pair[0] not in ours] == headers
    assert whole == body


def test_what_was_said_on_the_way_to_an_answer_is_no_answer(gateway, raw_claude):
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    raw_claude.says(hints + b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")

    first, _, whole = parsed([send(gateway, b"POST", b"/v1/messages", [], PLAIN)])

    assert (first, whole) == (b"HTTP/1.1 200 OK", b"{}")


EVENTS = [
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{}}  }\n\n',
    b": a comment\n\n",
    b'event: ping\ndata: {"type": "ping"}\n\n',
    b":\n",
    b"event: unheard_of\ndata: {}\nid: 7\nretry: 1\n\n",
    b"data: half",
    b" an event\r\n\r\n",
    b'event: message_stop\ndata: {"type":"message_stop"  }\n\n',
]


def test_every_piece_of_a_stream_comes_as_it_is_and_at_once(gateway, raw_claude):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n"
    raw_claude.says(head, *[each for event in EVENTS for each in (event, 0.2)])
    pieces = []

    with connected(gateway) as caller:
        caller.sendall(request(b"POST", b"/v1/messages", KEY_LINES, PLAIN))
        while piece := caller.recv(65536):
            pieces.append((time.monotonic(), piece))

    came = b"".join(piece for _, piece in pieces)
    assert unchunked(came.partition(b"\r\n\r\n")[2]) == b"".join(EVENTS)
    for event in EVENTS:
        assert any(event in piece for _, piece in pieces), event
    times = [at for at, piece in pieces if any(event in piece for event in EVENTS)]
    assert len(times) >= len(EVENTS)
    assert all(0.1 < later - sooner < 0.35 for sooner, later in itertools.pairwise(times))


# The gateway protocol of https://code.claude.com/docs/en/llm-gateway-protocol, point by point; what is proven above
# is not repeated: 2. headers and fields are open lists, 3. either credential, 4. pings and comments at once,
# 5. errors unmodified, 6. the system array as received


def test_the_first_point_the_path_decides_and_not_the_url(gateway, raw_claude):
    raw_claude.says()

    first, _, _ = parsed([send(gateway, b"POST", b"/v1/messages?beta=true", [], PLAIN)])

    assert first == b"HTTP/1.1 200 OK"
    assert parsed(raw_claude.received)[0] == b"POST /v1/messages?beta=true HTTP/1.1"


@pytest.mark.parametrize("key", [b"x-api-key: sk-theirs", b"authorization: Bearer sk-theirs"])
def test_the_first_point_the_list_of_models_with_either_key_and_no_redirect(gateway, raw_claude, key):
    raw_claude.says()
    name, _, value = key.partition(b": ")

    said = parsed([send(gateway, b"GET", b"/v1/models?limit=1000", [(name, value)], key=False)])

    assert (said[0], said[2]) == (b"HTTP/1.1 200 OK", b"{}")
    assert parsed(raw_claude.received)[0] == b"GET /v1/models?limit=1000 HTTP/1.1"


def test_the_first_point_a_list_of_models_that_does_not_come_within_three_seconds_is_given_up(gateway, raw_claude):
    raw_claude.says(5.0, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
    began = time.monotonic()

    said = parsed([send(gateway, b"GET", b"/v1/models?limit=1000", [])])

    assert said[0] == b"HTTP/1.1 504 Gateway Timeout"
    assert json.loads(said[2])["error"]["type"] == "timeout_error"
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(("method", "target"), [(b"HEAD", b"/api/hello"), (b"HEAD", b"/"), (b"GET", b"/")])
def test_the_first_point_a_probe_at_start_up_is_refused_at_once_and_is_nothing_to_claude(
    gateway, raw_claude, method, target
):
    raw_claude.says()

    said = parsed([send(gateway, method, target, [], key=False)])

    assert said[0] == b"HTTP/1.1 404 Not Found"
    assert raw_claude.received == []


def test_the_second_point_headers_and_fields_that_belong_together_travel_together(gateway, raw_claude):
    raw_claude.says()
    beta = (b"anthropic-beta", b"context-management-2025-06-27,new-2027-01-01")
    body = b'{"context_management":{"edits":[{"type":"clear_new_20270101"}]},"new":{"enabled":true}}'

    send(gateway, b"POST", b"/v1/messages?beta=true", [beta], body)

    _, headers, arrived = parsed(raw_claude.received)
    assert beta in headers
    assert arrived == body


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", [MODEL, "claude-opus-4-8"])
def test_it_conforms_to_claude(gateways, behind, model, preset):
    begin(behind)

    results = list(conform.run(conform.CHECKS, model, THEIRS, Caller(gateways[preset].url, 20).send))

    assert [result.line for result in results if result.verdict == "FAIL"] == []
    assert sum(result.verdict == "PASS" for result in results) >= len(conform.CHECKS) - 3


# A caller made of bytes


KEY_LINES = [(b"x-api-key", THEIRS.encode())]


def connected(gateway):
    return socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(gateway.url).port), timeout=20)


def request(method, target, headers, body=None, chunked=False):
    lines = [b"%b %b HTTP/1.1" % (method, target), b"host: gateway", b"connection: close"]
    lines += [b"%b: %b" % pair for pair in headers]
    if chunked:
        lines.append(b"transfer-encoding: chunked")
    elif body is not None:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join([*lines, b"", in_chunks(body) if chunked else body or b""])


def send(gateway, method, target, headers, body=None, *, key=True, chunked=False):
    """The raw answer to a request written by hand."""
    with connected(gateway) as caller, caller.makefile("rb") as told:
        caller.sendall(request(method, target, [*(KEY_LINES if key else []), *headers], body, chunked))
        return told.read()


def in_chunks(body, size=1000):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])


def unchunked(body):
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        parts.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    return b"".join(parts)


def parsed(messages):
    """First line, headers and body of the one message there is."""
    [message] = messages
    head, _, body = message.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return first, headers, unchunked(body) if (b"transfer-encoding", b"chunked") in headers else body
