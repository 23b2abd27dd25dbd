"""What each kind of user sends, and how it reads what comes back: every ending has one outcome."""

import gzip
import json
import typing
import zlib
from typing import Any

import pytest

from loadtests.protocol import client, reading
from loadtests.protocol.errand import Errand
from loadtests.sample import Sample
from loadtests.schedule import load
from loadtests.schedule.load import Arrival, Ask, Load

ASK = Ask(("why?",), "claude-haiku-4-5", 50)


def asked(user: load.User = "chat") -> Errand:
    """A request meant for 1.0 and sent at 1.25."""
    errand = Errand(Arrival(1.0, "r1", ASK), Load(user=user, rate=1), "k", 1.25)
    errand.next(1.25)
    return errand


def streaming(user: load.User = "stream") -> Errand:
    started = asked(user)
    started.head(200, "text/event-stream; charset=utf-8")
    return started


def ended(errand: Errand, now: float) -> Sample:
    errand.end(now)
    return errand.sample()


def answered(user: load.User, status: int, body: object) -> Sample:
    """What the sample says when this is the whole answer, at 2.0."""
    errand = asked(user)
    errand.head(status, "application/json")
    errand.feed(json.dumps(body).encode(), 2.0)
    return ended(errand, 2.0)


def data(payload: object) -> bytes:
    return b"data: " + json.dumps(payload).encode() + b"\r\n\r\n"


DONE = data({"done": True, "usage": {"input": 7, "output": 3}}) + b"data: [DONE]\r\n\r\n"


def error_event(kind: str) -> bytes:
    return b"event: error\r\n" + data({"error": {"type": kind, "message": "m", "request_id": "r1"}})


def test_a_json_answer_is_complete_with_its_tokens():
    reply = asked()
    reply.head(200, "application/json")

    reply.feed(b'{"text": "hi", "input_', 2.0)
    reply.feed(b'tokens": 7, "output_tokens": 3}', 2.5)
    sample = ended(reply, 2.5)

    assert (sample.outcome, sample.input_tokens, sample.output_tokens) == ("complete", 7, 3)
    assert (sample.e2e, sample.service_time, sample.dispatch_lag) == (1.5, 1.25, 0.25)
    assert sample.ttft is None


def test_a_stream_is_timed_by_its_content_deltas_from_the_intended_start():
    reply = streaming()

    reply.feed(b": keep-alive\r\n\r\n", 1.5)
    reply.feed(data({"text": "a"}), 2.0)
    reply.feed(data({"text": "b"}), 2.1)
    reply.feed(data({"text": "c"}), 2.4)
    reply.feed(DONE, 2.5)
    sample = ended(reply, 2.5)

    assert sample.outcome == "complete"
    assert sample.ttft == 1.0
    assert sample.ttft_sent == 0.75
    assert sample.gaps == pytest.approx((0.1, 0.3))
    assert sample.tpot == pytest.approx(0.2)
    assert (sample.input_tokens, sample.output_tokens) == (7, 3)


def test_each_delta_is_known_by_its_bytes_of_text_and_by_what_came_on_the_wire():
    reply, first, second = streaming(), data({"text": "é"}), data({"text": "bcd"})

    reply.feed(b": hi\r\n\r\n" + first, 2.0)
    reply.feed(second[:5], 2.1)
    reply.feed(second[5:] + first + second[:3], 2.2)
    reply.feed(second[3:] + DONE, 2.3)
    sample = ended(reply, 2.5)

    assert sample.text_bytes == (2, 3, 2, 3)
    assert sample.wire_bytes == (8 + len(first), len(second) + len(first) + 3, 0, len(second) - 3 + len(DONE))
    assert sample.gaps == pytest.approx((0.2, 0.0, 0.1))


def test_claudes_deltas_have_text_or_none():
    reply = streaming("messages_stream")
    deltas = [{"type": "thinking_delta", "thinking": "hm"}, {"type": "text_delta", "text": "hé"}, "nonsense"]

    for delta in deltas:
        reply.feed(data({"type": "content_block_delta", "delta": delta}), 2.0)

    assert ended(reply, 2.0).text_bytes == (0, 3, 0)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate"])
def test_a_compressed_stream_is_read_as_it_comes(encoding: str):
    squeeze = zlib.compressobj(wbits=31 if encoding != "deflate" else 15)
    parts = [squeeze.compress(data({"text": text})) + squeeze.flush(zlib.Z_SYNC_FLUSH) for text in ("a", "bc")]
    parts.append(squeeze.compress(DONE) + squeeze.flush())
    reply = asked("stream")

    reply.head(200, "text/event-stream", encoding)
    for number, part in enumerate(parts):
        reply.feed(part, 2.0 + number)
    sample = ended(reply, 5.0)

    assert (sample.outcome, sample.encoding, sample.output_tokens) == ("complete", encoding.lower(), 3)
    assert (sample.first_delta, sample.gaps) == (2.0, (1.0,))
    assert (sample.text_bytes, sample.wire_bytes) == ((1, 2), (len(parts[0]), len(parts[1])))


def test_a_compressed_answer_is_read_as_a_whole():
    body = gzip.compress(json.dumps({"text": "hi", "output_tokens": 3}).encode())
    reply = asked()

    reply.head(200, "application/json", "gzip")
    reply.feed(body[:10], 2.0)
    reply.feed(body[10:], 2.0)

    assert (ended(reply, 2.0).outcome, reply.sample().output_tokens) == ("complete", 3)


def test_what_only_says_that_it_is_compressed_has_failed():
    reply = asked("stream")

    reply.head(200, "text/event-stream", "gzip")
    reply.feed(DONE, 2.0)

    sample = ended(reply, 2.0)
    assert sample.outcome == "failed"
    assert (sample.error or "").startswith("gzip: ")


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_stream_reads_the_same_however_it_is_cut_into_packets(size: int, ending: bytes):
    wire = (data({"text": "é€😀"}) + data({"text": "b"}) + DONE).replace(b"\r\n", ending)
    reply = streaming()

    for start in range(0, len(wire), size):
        reply.feed(wire[start : start + size], 2.0)
    sample = ended(reply, 3.0)

    assert (sample.outcome, len(sample.gaps), sample.output_tokens) == ("complete", 1, 3)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"", id="nothing at all"),
        pytest.param(data({"text": "a"}), id="no done event"),
        pytest.param(data({"text": "a"}) + data({"done": True, "usage": {"input": 1, "output": 1}}), id="no [DONE]"),
        pytest.param(data({"text": "a"}) + b"data: [DONE]\n\n", id="[DONE] without usage"),
    ],
)
def test_a_200_that_merely_stops_is_truncated(wire: bytes):
    reply = streaming()

    reply.feed(wire, 2.0)

    assert ended(reply, 2.0).outcome == "truncated"


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("shed", "shed"),
        ("throttled", "throttled"),
        ("overloaded", "overloaded"),
        ("rejected", "rejected"),
        ("unreachable", "failed"),
        ("timeout", "failed"),
        ("upstream_error", "failed"),
        ("configuration", "failed"),
        ("never_heard_of", "failed"),
    ],
)
def test_an_error_event_before_the_first_delta_is_named_by_its_type_and_after_it_is_an_error_event(kind, outcome):
    before, after = streaming(), streaming()

    before.feed(error_event(kind), 2.0)
    after.feed(data({"text": "a"}) + error_event(kind), 2.0)

    found = ended(after, 2.0)
    assert ended(before, 2.0).outcome == outcome
    assert (found.outcome, found.error) == ("error_event", kind)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        pytest.param(503, {"error": {"type": "shed"}}, "shed", id="the type in the body"),
        pytest.param(503, {"error": {"type": "unreachable"}}, "failed", id="not the status"),
        pytest.param(401, {"error": {"type": "rejected"}}, "rejected", id="our key"),
        pytest.param(504, {"error": {"type": "timeout"}}, "failed", id="the gateway's patience, not the caller's"),
        pytest.param(429, {}, "throttled", id="429 without a type"),
        pytest.param(529, {"error": {"type": "overloaded_error"}}, "overloaded", id="Claude's own words"),
        pytest.param(404, {"detail": "Not Found"}, "rejected", id="another 4xx"),
        pytest.param(502, {"error": "bad gateway"}, "failed", id="a 5xx"),
    ],
)
def test_a_refusal_is_named_by_the_error_type_in_its_body(status: int, body: object, outcome: str):
    assert answered("chat", status, body).outcome == outcome


def test_a_page_of_a_proxy_is_named_by_its_status():
    reply = asked()
    reply.head(502, "text/html")

    reply.feed(b"<html>Bad Gateway</html>", 2.0)

    assert ended(reply, 2.0).outcome == "failed"


def test_a_broken_exchange_keeps_what_it_had():
    reply = streaming()
    reply.feed(data({"text": "a"}), 2.0)

    reply.fail("reset", 3.0, "ConnectionResetError: 104")
    sample = reply.sample()

    assert (sample.outcome, sample.first_delta, sample.ended, sample.status) == ("reset", 2.0, 3.0, 200)
    assert sample.error == "ConnectionResetError: 104"


BATCH = [{"text": "a", "input_tokens": 3, "output_tokens": 2}, {"error": {"type": "overloaded", "message": "m"}}]
MESSAGE = {
    "type": "message",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 4, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 6, "output_tokens": 3},
}
TOKENS = {"input_tokens": 7, "output_tokens": 3}


@pytest.mark.parametrize(
    ("user", "body", "outcome", "tokens"),
    [
        pytest.param("chat", {"text": "hi", **TOKENS}, "complete", (7, 3), id="chat"),
        pytest.param("chat", {"ok": True}, "failed", (0, 0), id="chat without text"),
        pytest.param("route", {"text": "hi", "model": "claude-opus-4-5", **TOKENS}, "complete", (7, 3), id="route"),
        pytest.param("summarize", {"summary": "s", **TOKENS}, "complete", (7, 3), id="summarize"),
        pytest.param("summarize", {"text": "s", **TOKENS}, "failed", (0, 0), id="no summary"),
        pytest.param("batch", {"results": BATCH[:1], "failed": 0, **TOKENS}, "complete", (7, 3), id="batch"),
        pytest.param("batch", {"results": BATCH, "failed": 1, **TOKENS}, "overloaded", (7, 3), id="one of them failed"),
        pytest.param("batch", {"results": [], "failed": 2, **TOKENS}, "failed", (7, 3), id="failed, and no word why"),
        pytest.param("batch", {"text": "hi"}, "failed", (0, 0), id="no results"),
        pytest.param("fanout", {"results": {"a": BATCH[0]}, "failed": 0, **TOKENS}, "complete", (7, 3), id="fanout"),
        pytest.param("fanout", {"results": {"a": BATCH[0], "b": BATCH[1]}}, "overloaded", (0, 0), id="by name"),
        pytest.param("messages", MESSAGE, "complete", (1010, 3), id="a message, with what the cache knew of it"),
        pytest.param("messages", {**MESSAGE, "stop_reason": None}, "failed", (0, 0), id="a message that has not ended"),
        pytest.param("messages", {"text": "hi"}, "failed", (0, 0), id="no message"),
        pytest.param("health", {"status": "ok"}, "complete", (0, 0), id="health"),
    ],
)
def test_a_200_is_complete_when_it_has_what_was_asked_for(user, body, outcome, tokens):
    sample = answered(user, 200, body)

    assert (sample.outcome, (sample.input_tokens, sample.output_tokens)) == (outcome, tokens)
    assert (sample.error is None) == (outcome == "complete")
    assert sample.ttft is None


@pytest.mark.parametrize(
    ("kind", "status", "outcome"),
    [
        ("rate_limit_error", 429, "throttled"),
        ("overloaded_error", 529, "overloaded"),
        ("invalid_request_error", 400, "rejected"),
        ("authentication_error", 401, "rejected"),
        ("billing_error", 402, "rejected"),
        ("permission_error", 403, "rejected"),
        ("not_found_error", 404, "rejected"),
        ("conflict_error", 409, "rejected"),
        ("request_too_large", 413, "rejected"),
        ("api_error", 500, "failed"),
        ("timeout_error", 504, "failed"),
    ],
)
def test_claudes_own_errors_are_named_by_their_type(kind: str, status: int, outcome: str):
    error = {"type": "error", "error": {"type": kind, "message": "m"}}
    inside = streaming("messages_stream")
    inside.feed(b"event: error\n" + data(error), 2.0)

    assert answered("messages", status, error).outcome == outcome
    assert ended(inside, 2.0).outcome == outcome


def events(*bodies: dict[str, Any]) -> bytes:
    return b"".join(b"event: %s\n" % body["type"].encode() + data(body) for body in bodies)


START = {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}
DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}
USAGE = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}}
STOP = {"type": "message_stop"}


def test_a_stream_of_claudes_is_complete_with_its_message_stop_and_timed_by_its_content():
    reply = streaming("messages_stream")

    reply.feed(events(START, {"type": "ping"}, {"type": "content_block_start", "index": 0}), 1.5)
    reply.feed(events(DELTA), 2.0)
    reply.feed(events(DELTA, USAGE, STOP), 2.5)
    sample = ended(reply, 2.5)

    assert (sample.outcome, sample.ttft, sample.gaps) == ("complete", 1.0, (0.5,))
    assert (sample.input_tokens, sample.output_tokens) == (9, 12)


def test_a_stream_of_claudes_that_merely_stops_is_truncated():
    reply = streaming("messages_stream")

    reply.feed(events(START, DELTA, USAGE), 2.0)

    assert ended(reply, 2.0).outcome == "truncated"


BRIEF = "You are brief."
SYSTEM = Ask(("why?",), "claude-haiku-4-5", 50, BRIEF)
MANY = Ask(("a", "b"), "claude-haiku-4-5", 50, BRIEF)
TERMS = {"model": "claude-haiku-4-5", "max_tokens": 50}
NAMED = {"part-1": "a", "part-2": "b"}
SAID = {**TERMS, "messages": [{"role": "user", "content": "why?"}], "metadata": {"user_id": "r1"}}


@pytest.mark.parametrize(
    ("user", "ask", "method", "path", "body"),
    [
        ("chat", ASK, "POST", "/chat", {"message": "why?", **TERMS}),
        ("chat", SYSTEM, "POST", "/chat", {"message": "why?", **TERMS, "system_prompt": BRIEF}),
        ("stream", ASK, "POST", "/chat/stream", {"message": "why?", **TERMS}),
        ("quick", ASK, "POST", "/stream", {"prompt": "why?"}),
        ("batch", MANY, "POST", "/batch", {"prompts": ["a", "b"], **TERMS, "system_prompt": BRIEF}),
        (
            "fanout",
            MANY,
            "POST",
            "/fanout",
            {"prompts": NAMED, **TERMS, "system_prompt": BRIEF},
        ),
        ("summarize", ASK, "POST", "/summarize", {"text": "why?", **TERMS}),
        ("analyze", ASK, "POST", "/analyze", {"text": "why?", **TERMS}),
        ("route", ASK, "POST", "/route", {"message": "why?", "max_tokens": 50}),
        ("route", SYSTEM, "POST", "/route", {"message": "why?", "max_tokens": 50, "system_prompt": BRIEF}),
        ("messages", ASK, "POST", "/v1/messages", SAID),
        (
            "messages_stream",
            SYSTEM,
            "POST",
            "/v1/messages",
            {**SAID, "system": BRIEF, "stream": True},
        ),
        ("health", ASK, "GET", "/health", None),
    ],
)
def test_each_user_sends_what_its_endpoint_takes(user, ask, method, path, body):
    call = client.KINDS[user].call(ask, "r1", "k")

    assert (call.method, call.path) == (method, path)
    assert (json.loads(call.body) if call.body else None) == body
    assert (call.headers["x-request-id"], call.headers["x-api-key"]) == ("r1", "k")
    assert call.headers.get("anthropic-version") == ("2023-06-01" if path == "/v1/messages" else None)


def test_there_is_a_kind_for_every_user():
    assert list(client.KINDS) == list(typing.get_args(load.User))


@pytest.mark.parametrize(
    ("user", "path"),
    [("chat", "/chat"), ("health", "/chat"), ("analyze", "/chat"), ("messages_stream", "/v1/messages")],
)
def test_a_canary_goes_where_claude_is_asked_at_once(user: load.User, path: str):
    call = client.canary(Load(user=user, rate=1, model={"claude-a": 0.5, "claude-b": 0.5}), "canary-1", "k")

    assert (call.path, json.loads(call.body)["model"], json.loads(call.body)["max_tokens"]) == (path, "claude-a", 1)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b'{"text": "\\ud83d"}', {"text": "\ud83d"}),
        (b'{"a": Infinity}', {"a": float("inf")}),
        (b"[1]", {}),
        (b"{", {}),
        (b"", {}),
    ],
    ids=["half of a surrogate pair", "what JSON has not", "no object", "no JSON", "nothing"],
)
def test_an_event_is_read_as_leniently_as_python_reads_json(data, body):
    assert reading.json_of(data) == body
