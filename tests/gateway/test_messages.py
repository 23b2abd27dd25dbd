"""The pass-through: a request goes on as it came, and so does its answer; the patterns act before the first byte."""

import asyncio
import json

import httpx2
import pytest

from gateway_under_test.body import CLAUDES_LIMIT as LIMIT

ODD = b'{ "model":"claude-haiku-4-5" , "max_tokens":1e1,\n"stream" :true,"new_field": {"b":1,"a":"\\u00e9\xc3\xa9"}}\n'
ASK = b'{"model":"claude-haiku-4-5","max_tokens":9,"messages":[]}'
SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"m-1","usage":{"input_tokens":7}}  }\n\n'
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
DELTA = b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":3}}\n\n'
END = DELTA + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
ENVELOPE = b'{"type":"error","error":{"type":"x_error","message":"VERBATIM \xc3\xa9"},"request_id":"req_1" }'


# The request


async def test_the_body_and_the_query_go_on_byte_for_byte(gateway, claude):
    async with gateway() as g:
        await g.caller.post("/v1/messages?beta=true&x=%7E+%20'", content=ODD)

    [request] = claude.received
    assert request.content == ODD
    assert request.extensions["target"] == b"/v1/messages?beta=true&x=%7E+%20'"
    assert request.headers["content-length"] == str(len(ODD))


async def test_headers_go_on_but_for_those_of_the_connection_and_the_callers_key(gateway, claude):
    theirs = {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "one-2025-01-01,two,  three",
        "x-claude-code-thing": "kept",
        "x-unheard-of": "kept",
        "user-agent": "someone/1",
        "accept-encoding": "gzip, br",
        "connection": "close, x-hop",
        "x-hop": "dropped",
        "te": "trailers",
        "expect": "100-continue",
        "authorization": "Bearer good",
    }

    async with gateway() as g:
        await g.caller.post("/v1/messages", content=ASK, headers=theirs)

    sent = claude.received[0].headers
    kept = ("anthropic-version", "anthropic-beta", "x-claude-code-thing", "x-unheard-of", "user-agent")
    assert {name: sent[name] for name in kept} == {name: theirs[name] for name in kept}
    assert not {"x-hop", "te", "expect", "x-api-key", "connection"} & set(sent)
    assert (sent["host"], sent["accept-encoding"]) == ("claude.test", "identity")
    assert "good" not in str(sent.raw)


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        ({"x-api-key": "good"}, None),
        ({"authorization": "Bearer good"}, None),
        ({"authorization": "bearer good"}, None),
        ({"x-api-key": "bad", "authorization": "Bearer good"}, None),
        ({"x-api-key": "good", "authorization": "Bearer bad"}, None),
        ({}, "x-api-key header is required"),
        ({"x-api-key": ""}, "x-api-key header is required"),
        ({"authorization": "Basic good"}, "x-api-key header is required"),
        ({"x-api-key": "bad"}, "invalid x-api-key"),
        ({"authorization": "Bearer bad"}, "Invalid bearer token"),
        ({"authorization": "Bearer"}, "x-api-key header is required"),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/v1/models/m-1"])
async def test_either_credential_opens_and_is_replaced_by_ours(gateway, claude, path, shown, message):
    method = "GET" if "models" in path else "POST"

    async with gateway() as g:
        del g.caller.headers["x-api-key"]
        response = await g.caller.request(method, path, headers=shown, content=ASK if method == "POST" else None)

    if message is None:
        assert response.status_code == 200
        assert (claude.received[0].url.path, claude.received[0].method) == (path, method)
        assert claude.received[0].headers["authorization"] == "Bearer sk-ours"
    else:
        said = {"type": "error", "error": {"type": "authentication_error", "message": message}}
        assert response.status_code == 401
        assert response.json() == {**said, "request_id": response.headers["x-request-id"]}
        assert response.headers["request-id"] == response.headers["x-request-id"]
        assert claude.received == []


async def test_the_callers_request_id_goes_both_ways(gateway, claude):
    async with gateway() as g:
        given = await g.post(ASK, **{"x-request-id": "theirs-1"})
        made = await g.post(ASK)

    assert claude.ids == ["theirs-1", made.headers["x-request-id"]]
    assert given.headers["x-request-id"] == "theirs-1"


@pytest.mark.parametrize(
    ("body", "switches", "theirs", "told"),
    [
        (ASK, {"deadline": 60.0, "attempt_timeout": 30.0}, None, "30.000"),
        (b'{"stream": true}', {"deadline": 60.0, "stream_timeout": 90.0}, None, "90.000"),
        (ASK, {"deadline": 60.0, "attempt_timeout": 30.0}, "5.5", "5.5"),
        (ASK, {"deadline": 60.0, "attempt_timeout": 30.0}, "99", "30.000"),
        (ASK, {"preset": "naive"}, "99", "99"),
        (ASK, {"preset": "naive"}, None, None),
    ],
    ids=["answer", "stream", "the caller's is sooner", "the caller's is later", "only the caller's", "none"],
)
async def test_claude_learns_how_long_it_is_waited_for(gateway, claude, body, switches, theirs, told):
    async with gateway(**switches) as g:
        await g.post(body, **({"x-request-deadline": theirs} if theirs else {}))

    assert claude.received[0].headers.get("x-request-deadline") == told


# The answer


@pytest.mark.parametrize("status", [200, 201, 302])
async def test_an_answer_comes_back_as_it_is(gateway, claude, status):
    headers = {
        "content-type": "application/json",
        "request-id": "req_1",
        "anthropic-ratelimit-requests-remaining": "9",
        "x-new": "1",
        "location": "/elsewhere",
        "connection": "keep-alive, x-hop",
        "keep-alive": "timeout=5",
        "date": "Fri, 20 Nov 2026 10:00:00 GMT",
        "x-hop": "1",
    }
    claude.script = [claude.sends(status, headers, b'{ "a":', b" 1}\n")]

    async with gateway() as g:
        response = await g.post(ASK)

    kept = {name: headers[name] for name in list(headers)[:5]}
    assert (response.status_code, response.content) == (status, b'{ "a": 1}\n')
    assert dict(response.headers) == {**kept, "x-request-id": claude.ids[0]}


async def test_a_compressed_answer_stays_compressed(gateway, claude):
    claude.script = [claude.sends(200, {"content-encoding": "br"}, b"\x0b\x02\x80")]

    async with gateway() as g:
        sent = await g.asgi("/v1/messages", ASK)

    assert (b"content-encoding", b"br") in sent[0]["headers"]
    assert b"".join(message["body"] for message in sent[1:]) == b"\x0b\x02\x80"


async def test_a_stream_passes_part_by_part_at_once(gateway, claude):
    parts = [START, b": a comment\n\n", PING, b"event: mess", b"age_stop\ndata: {}\n\n"]
    claude.script = [claude.sends(200, SSE, *[each for part in parts for each in (2.0, part)])]

    async with gateway() as g:
        began, *sent = await g.asgi("/v1/messages", ASK)

    assert [message["body"] for message in sent] == [*parts, b""]
    assert [message["at"] for message in sent[:5]] == pytest.approx([2.0, 4.0, 6.0, 8.0, 10.0])
    assert dict(began["headers"])[b"x-accel-buffering"] == b"no"
    assert dict(began["headers"])[b"cache-control"] == b"no-cache"


async def test_what_claude_says_of_caching_and_buffering_stands(gateway, claude):
    said = {"content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "yes"}
    claude.script = [claude.sends(200, said, START)]

    async with gateway() as g:
        response = await g.post(ASK)

    assert {name: response.headers.get_list(name) for name in said} == {name: [said[name]] for name in said}


@pytest.mark.parametrize(
    ("status", "attempts", "outcome"),
    [
        (400, 1, "rejected"),
        (401, 1, "configuration"),
        (403, 1, "configuration"),
        (404, 1, "rejected"),
        (413, 1, "rejected"),
        (429, 2, "throttled"),
        (500, 2, "upstream_error"),
        (529, 2, "overloaded"),
    ],
)
async def test_claudes_errors_come_back_as_they_are(gateway, claude, status, attempts, outcome):
    headers = {"content-type": "application/json", "retry-after": "1", "request-id": "req_1"}
    claude.script = [claude.sends(status, headers, ENVELOPE)]

    async with gateway(attempts=2) as g:
        response = await g.post(ASK)

    assert (response.status_code, response.content) == (status, ENVELOPE)
    assert dict(response.headers) == {**headers, "x-request-id": claude.ids[0]}
    assert g.lines.outcomes == [outcome] * attempts
    assert [line["outcome"] for line in g.lines.of("request")] == [outcome]


async def test_a_proxys_page_comes_back_as_it_is(gateway, claude):
    claude.script = [claude.sends(503, {"content-type": "text/html"}, b"<html>")]

    async with gateway(attempts=1) as g:
        response = await g.post(ASK)

    assert (response.content, response.headers["content-type"]) == (b"<html>", "text/html")


# Before the first byte, and after it


async def test_a_retry_sends_the_same_bytes_and_counts_itself(gateway, claude):
    claude.script = [claude.fails(529), claude.fails(529), claude.sends(200, {}, b"ok")]

    async with gateway(preset="naive") as g:
        response = await g.post(ODD, **{"x-stainless-retry-count": "1"})

    assert response.content == b"ok"
    assert [request.content for request in claude.received] == [ODD] * 3
    assert [request.headers["x-stainless-retry-count"] for request in claude.received] == ["1", "2", "3"]


async def test_a_caller_who_does_not_count_is_counted_for_from_the_second_attempt(gateway, claude):
    claude.script = [claude.fails(529), claude.sends(200, {}, b"ok")]

    async with gateway(preset="naive") as g:
        await g.post(ODD)

    assert [request.headers.get("x-stainless-retry-count") for request in claude.received] == [None, "1"]


@pytest.mark.parametrize("says", ["true", "false"])
async def test_claude_may_say_that_another_try_is_in_vain(gateway, claude, says):
    claude.script = [claude.fails(429, x_should_retry=says)]

    async with gateway(preset="naive", attempts=2, retry_on="transient") as g:
        await g.post(ASK)

    assert len(claude.received) == (2 if says == "true" else 1)


async def test_what_breaks_before_the_first_byte_is_tried_again(gateway, claude):
    broken = claude.sends(200, SSE, 1.0, httpx2.ReadError("reset"))
    claude.script = [broken, claude.sends(200, SSE, START, END)]

    async with gateway(preset="naive") as g:
        response = await g.post(ASK)

    assert (response.content, len(claude.received)) == (START + END, 2)


OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'


async def test_an_overload_inside_a_200_is_tried_again_before_anything_was_said(gateway, claude):
    claude.script = [claude.sends(200, SSE, b": ping\n\n" + OVERLOADED), claude.sends(200, SSE, START, END)]

    async with gateway() as g:
        response = await g.post(ASK)

    assert (response.status_code, response.content, len(claude.received)) == (200, START + END, 2)
    assert g.lines.outcomes == ["overloaded", "complete"]


async def test_the_last_overload_inside_a_200_comes_back_as_it_was(gateway, claude):
    claude.script = [claude.sends(200, SSE, OVERLOADED)]

    async with gateway(attempts=2, breaker=None) as g:
        response = await g.post(ASK)

    assert (response.status_code, response.content, len(claude.received)) == (200, OVERLOADED, 2)
    assert g.lines.of("request")[0]["outcome"] == "overloaded"


@pytest.mark.parametrize(("peek", "answer"), [(False, [OVERLOADED]), (True, [START, OVERLOADED])])
async def test_an_overload_is_passed_on_without_the_peek_or_after_the_start(gateway, claude, peek, answer):
    claude.script = [claude.sends(200, SSE, *answer)]

    async with gateway(peek=peek) as g:
        response = await g.post(ASK)

    assert (response.content, len(claude.received)) == (b"".join(answer), 1)


async def test_a_first_byte_that_is_late_is_a_timeout_and_tried_again(gateway, claude):
    claude.script = [claude.sends(200, SSE, 9.0, START, END), claude.sends(200, SSE, START, 9.0, END)]

    async with gateway(preset="naive", attempt_timeout=3.0) as g:
        response = await g.post(ASK)

    assert response.content == START + END
    assert g.lines.outcomes == ["timeout", "complete"]


async def test_what_breaks_after_the_first_byte_is_cut_for_the_caller_too(gateway, claude):
    claude.script = [claude.sends(200, SSE, START, 1.0, httpx2.RemoteProtocolError("cut"))]

    async with gateway() as g:
        sent = await g.asgi("/v1/messages", ASK)

    assert [message.get("body") for message in sent] == [None, START]
    assert sent[-1]["more_body"]
    assert len(claude.received) == 1
    assert [line["outcome"] for line in g.lines.all] == ["upstream_error"] * 2


@pytest.mark.parametrize(("last", "ends"), [(PING, True), (b"event: content_blo", False)], ids=["between", "within"])
async def test_a_stream_that_we_cut_says_so_between_two_events(gateway, claude, last, ends):
    claude.script = [claude.sends(200, SSE, START, 1.0, last, 99.0, END)]

    async with gateway(deadline=5.0) as g:
        sent = await g.asgi("/v1/messages", ASK)

    bodies = [message["body"] for message in sent[1:]]
    assert bodies[:2] == [START, last]
    assert sent[-1]["more_body"] is not ends
    if ends:
        name, data = bodies[2].decode().rstrip("\n").split("\n")
        said = json.loads(data.removeprefix("data: "))
        assert (name, said["type"], said["error"]["type"]) == ("event: error", "error", "timeout_error")
        assert said["request_id"] == "asgi-1"
    assert g.lines.outcomes == ["timeout"]


# Our own refusals, in Claude's words


async def test_a_shed_request_is_overloaded(gateway, claude):
    claude.script = [claude.says("slow", after=2.0)]

    async with gateway(concurrency={"limit": 1, "max_wait": 0.5}) as g:
        _, response = await asyncio.gather(g.post(ASK), g.post(ASK))

    assert response.status_code == 529
    assert response.json()["error"]["type"] == "overloaded_error"
    assert set(response.json()) == {"type", "error", "request_id"}
    assert (response.headers["retry-after"], response.headers["x-should-retry"]) == ("1", "true")
    assert len(claude.received) == 1


@pytest.mark.parametrize(
    ("step", "status", "kind"),
    [
        ("late", 504, "timeout_error"),
        (httpx2.ConnectError("refused"), 502, "api_error"),
        (httpx2.ReadError("reset"), 502, "api_error"),
        (httpx2.LocalProtocolError("bad header"), 400, "invalid_request_error"),
    ],
    ids=["late", "refused", "reset", "cannot be sent"],
)
async def test_a_claude_that_does_not_answer_is_told_in_claudes_envelope(gateway, claude, step, status, kind):
    claude.script = [claude.says("late", after=99.0) if step == "late" else claude.raises(step)]

    async with gateway(attempts=1, deadline=5.0) as g:
        response = await g.post(ASK)

    assert (response.status_code, response.json()["error"]["type"]) == (status, kind)
    assert response.json()["request_id"] == response.headers["x-request-id"] == claude.ids[0]


@pytest.mark.parametrize(
    ("method", "path", "query", "status", "kind"),
    [
        ("POST", "/v1/nope", "", 404, "not_found_error"),
        ("GET", "/v1/models/", "", 404, "not_found_error"),
        ("GET", "/v1/messages", "", 405, "invalid_request_error"),
        ("GET", "/v1/models", "x" * 70_000, 400, "invalid_request_error"),
    ],
    ids=["unknown path", "trailing slash", "method", "endless query"],
)
async def test_what_is_not_there_is_told_in_claudes_envelope(gateway, claude, method, path, query, status, kind):
    async with gateway() as g:
        sent = await g.asgi(path, method=method, query=query)

    assert sent[0]["status"] == status
    assert json.loads(sent[1]["body"])["error"]["type"] == kind


async def test_the_models_come_within_three_seconds_or_not_at_all(gateway, claude):
    claude.script = [claude.says("late", after=99.0)]

    async with gateway(preset="naive") as g:
        response = await g.caller.get("/v1/models?limit=1000")

    assert (response.status_code, response.json()["error"]["type"]) == (504, "timeout_error")
    assert asyncio.get_running_loop().time() == pytest.approx(3.0, abs=0.1)


async def test_slow_messages_say_nothing_of_how_long_the_models_take(gateway, claude):
    claude.script = [claude.says("slow", after=20.0), claude.sends(200, {}, b"{}")]

    async with gateway() as g:
        await g.post(ASK)
        response = await g.caller.get("/v1/models")

    assert response.status_code == 200


# Uploads


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_beyond_claudes_limit_is_refused(gateway, claude, declared):
    headers = {"content-length": str(LIMIT + 1)} if declared else {}
    parts = [b" "] if declared else [b" " * 1024 * 1024] * 33

    async with gateway() as g:
        sent = await g.asgi("/v1/messages", *parts, headers=headers)

    body = json.loads(sent[1]["body"])
    assert (sent[0]["status"], body["error"]["type"]) == (413, "request_too_large")
    assert body["error"]["message"] == "Request exceeds the maximum size"
    assert claude.received == []


async def test_a_body_of_just_the_limit_is_taken(gateway, claude):
    async with gateway() as g:
        response = await g.post(b" " * LIMIT)

    assert (response.status_code, len(claude.received[0].content)) == (200, LIMIT)


async def test_a_slow_upload_holds_no_place_and_ends(gateway, claude):
    async with gateway(concurrency={"limit": 1, "max_wait": 0.1}, deadline=9.0) as g:
        slow = asyncio.ensure_future(g.asgi("/v1/messages", b"{", 99.0, b"}"))
        await asyncio.sleep(1.0)
        meanwhile = await g.post(ASK)
        sent = await slow

    assert meanwhile.status_code == 200
    assert (sent[0]["status"], sent[0]["at"]) == (408, pytest.approx(9.0))
    assert (b"connection", b"close") in sent[0]["headers"]
    assert len(claude.received) == 1


async def test_an_upload_that_breaks_off_is_nothing_to_claude(gateway, claude):
    async with gateway() as g:
        sent = await g.asgi("/v1/messages", b"{", whole=False, leave_after=1.0)

    assert (sent, claude.received) == ([], [])
    assert [line["outcome"] for line in g.lines.all] == ["left"]


# A caller who leaves


@pytest.mark.parametrize("body", [ASK, b'{"stream":true}'], ids=["answer", "stream"])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_caller_who_leaves_ends_the_attempt(gateway, claude, body, begun):
    claude.script = [claude.streams(1.0, "one", 99.0, "two") if begun else claude.says("late", after=99.0)]

    async with gateway(concurrency={"limit": 1, "max_wait": 0.0}) as g:
        sent = await g.asgi("/v1/messages", body, leave_after=3.0)
        ended = asyncio.get_running_loop().time()
        claude.script = [claude.says("free again")]
        response = await g.post(ASK)

    assert (len(sent) > 0, ended, claude.let_go) == (begun, pytest.approx(3.0), 1)
    assert [line["outcome"] for line in g.lines.all[:2]] == ["left", "left"]
    assert response.status_code == 200


async def test_who_has_the_whole_answer_has_not_left(gateway, claude):
    claude.script = [claude.sends(200, SSE, START, END, closes_in=1.0)]

    async with gateway() as g:
        await g.post(ASK)

    assert [line["outcome"] for line in g.lines.all] == ["complete", "complete"]


async def test_a_caller_who_leaves_during_the_backoff_is_not_tried_for(gateway, claude):
    claude.script = [claude.fails(529)]

    async with gateway(preset="naive", backoff={"base": 5.0}) as g:
        await g.asgi("/v1/messages", ASK, leave_after=1.0)

    assert len(claude.received) == 1


async def test_a_caller_who_cannot_be_sent_to_has_left(gateway, claude):
    claude.script = [claude.streams("one", 99.0, "two")]

    async with gateway() as g:
        await g.asgi("/v1/messages", ASK, gone=True)

    assert [line["outcome"] for line in g.lines.all] == ["left", "left"]
    assert claude.let_go == 1


# What the log learns


@pytest.mark.parametrize(
    ("parts", "outcome", "tokens"),
    [
        ((200, {}, b'{"model":"m-1","usage":{"input_', b'tokens":7,"output_tokens":3}}'), "complete", (7, 3)),
        ((200, SSE, START, PING, END), "complete", (7, 3)),
        ((200, SSE, *[bytes([each]) for each in START + END]), "complete", (7, 3)),
        ((200, SSE, START, OVERLOADED), "overloaded", (7, 0)),
        ((200, SSE, START, PING), "upstream_error", (7, 0)),
    ],
    ids=["json", "stream", "byte by byte", "error event", "no message_stop"],
)
async def test_usage_is_read_on_the_side(gateway, claude, parts, outcome, tokens):
    claude.script = [claude.sends(*parts)]

    async with gateway() as g:
        response = await g.post(ASK)

    assert response.content == b"".join(parts[2:])
    for line in g.lines.all:
        assert (line["outcome"], line["model"]) == (outcome, "m-1")
        assert (line["input_tokens"], line["output_tokens"]) == tokens


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{" * 5000, b'{"usage":[]}', b'{"usage":{"input_tokens":"x"},"model":3}', b"\xff\x00"],
    ids=lambda body: repr(body[:40]),
)
@pytest.mark.parametrize("headers", [{}, SSE], ids=["json", "stream"])
async def test_whatever_claude_says_passes(gateway, claude, body, headers):
    framed = b"event: message_start\ndata: " + body + b"\n\n" if headers else body
    claude.script = [claude.sends(200, headers, framed)]

    async with gateway() as g:
        response = await g.post(ASK)

    assert (response.status_code, response.content) == (200, framed)


async def test_a_refused_request_has_the_model_it_asked_for(gateway, claude):
    claude.script = [claude.fails(400)]

    async with gateway() as g:
        await g.post(ASK)

    assert [line["model"] for line in g.lines.all] == ["claude-haiku-4-5"] * 2


async def test_the_endpoints_are_in_the_docs(gateway):
    async with gateway() as g:
        paths = (await g.caller.get("/openapi.json")).json()["paths"]

    shown = {(method, path) for path, each in paths.items() if path.startswith("/v1/") for method in each}
    assert shown == {
        ("post", "/v1/messages"),
        ("post", "/v1/messages/count_tokens"),
        ("get", "/v1/models"),
        ("get", "/v1/models/{model_id}"),
    }
    assert "requestBody" in paths["/v1/messages"]["post"]
