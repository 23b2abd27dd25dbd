"""The gateway's protocol as a caller reads it: every ending has one outcome."""

import json

import pytest

from loadtests.client import Exchange


def exchange() -> Exchange:
    return Exchange("r1", intended=1.0, sent=1.25)


def streaming() -> Exchange:
    started = exchange()
    started.head(200, "text/event-stream; charset=utf-8")
    return started


def data(payload: object) -> bytes:
    return b"data: " + json.dumps(payload).encode() + b"\r\n\r\n"


DONE = data({"done": True, "usage": {"input": 7, "output": 3}}) + b"data: [DONE]\r\n\r\n"


def error_event(kind: str) -> bytes:
    return b"event: error\r\n" + data({"error": {"type": kind, "message": "m", "request_id": "r1"}})


def test_a_json_answer_is_complete_with_its_tokens():
    reply = exchange()
    reply.head(200, "application/json")

    reply.feed(b'{"text": "hi", "input_', 2.0)
    reply.feed(b'tokens": 7, "output_tokens": 3}', 2.5)
    sample = reply.end(2.5)

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
    sample = reply.end(2.5)

    assert sample.outcome == "complete"
    assert sample.ttft == 1.0
    assert sample.ttft_sent == 0.75
    assert sample.gaps == pytest.approx((0.1, 0.3))
    assert sample.tpot == pytest.approx(0.2)
    assert (sample.input_tokens, sample.output_tokens) == (7, 3)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_stream_reads_the_same_however_it_is_cut_into_packets(size: int, ending: bytes):
    wire = (data({"text": "é€😀"}) + data({"text": "b"}) + DONE).replace(b"\r\n", ending)
    reply = streaming()

    for start in range(0, len(wire), size):
        reply.feed(wire[start : start + size], 2.0)
    sample = reply.end(3.0)

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

    assert reply.end(2.0).outcome == "truncated"


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

    assert before.end(2.0).outcome == outcome
    assert after.end(2.0).outcome == "error_event"
    assert after.end(2.0).error == kind


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
    reply = exchange()
    reply.head(status, "application/json")

    reply.feed(json.dumps(body).encode(), 2.0)

    assert reply.end(2.0).outcome == outcome


def test_a_page_of_a_proxy_is_named_by_its_status():
    reply = exchange()
    reply.head(502, "text/html")

    reply.feed(b"<html>Bad Gateway</html>", 2.0)

    assert reply.end(2.0).outcome == "failed"


def test_a_200_without_text_is_a_failure():
    reply = exchange()
    reply.head(200, "application/json")

    reply.feed(b'{"ok": true}', 2.0)

    assert reply.end(2.0).outcome == "failed"


def test_a_broken_exchange_keeps_what_it_had():
    reply = streaming()
    reply.feed(data({"text": "a"}), 2.0)

    sample = reply.fail("reset", 3.0, "ConnectionResetError: 104")

    assert (sample.outcome, sample.first_delta, sample.ended, sample.status) == ("reset", 2.0, 3.0, 200)
    assert sample.error == "ConnectionResetError: 104"
