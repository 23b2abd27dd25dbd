"""Callers of the gateway who leave, crawl or only look: what Claude is spared, and what the log says."""

import contextlib
import http.client
import json
import socket
import time
import urllib.parse

import httpx2
import pytest

from mockclaude.testing import MockClaude

STEADY = {"ttft": {"p50": 0.01, "p95": 0.01}, "tokens_per_second": 20}
ASK = {"model": "claude-haiku-4-5", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
OURS, THEIRS = "sk-ours", "sk-theirs"
KEY = {"x-api-key": THEIRS, "anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def slow():
    """A mock that takes its time."""
    with MockClaude(seed=1, latency=STEADY, keys=[OURS]) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(slow, run_gateway):
    with run_gateway(slow.url, attempts=1) as running:
        yield running


@pytest.fixture(autouse=True)
def anew(slow):
    slow.configure(faults=[])
    slow.reset()


def connected(gateway):
    return socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(gateway.url).port), timeout=10)


def request(body, *headers, length=None):
    lines = ["POST /v1/messages HTTP/1.1", "host: gateway", "anthropic-version: 2023-06-01", f"x-api-key: {THEIRS}"]
    return "\r\n".join([*lines, *headers, f"content-length: {length or len(body)}", "", body]).encode()


@pytest.mark.parametrize("stream", [False, True], ids=["answer", "stream"])
def test_a_caller_who_leaves_ends_what_claude_does(gateway, slow, stream, wait_for):
    body = json.dumps({**ASK, "max_tokens": 200, "stream": stream})
    name = {"request_id": f"leaver-{stream}"}

    with connected(gateway) as caller:
        caller.sendall(request(body, f"x-request-id: leaver-{stream}"))
        wait_for(lambda: slow.stats()["running"] == 1)
        if stream:
            assert b"message_start" in caller.recv(65536)
    wait_for(slow.journal)

    assert [each["outcome"] for each in slow.journal()] == ["left"]
    assert gateway.line(event="request", **name)["outcome"] == "left"
    assert gateway.line(event="attempt", **name) | {"outcome": "left", "sent": True} == gateway.line(
        event="attempt", **name
    )


def test_uploads_that_crawl_hold_no_place_and_are_ended(slow, run_gateway):
    switches = {"concurrency__limit": 1, "concurrency__max_wait": 0.1, "deadline": 2}

    with run_gateway(slow.url, **switches) as gateway, contextlib.ExitStack() as held:
        crawling = [held.enter_context(connected(gateway)) for _ in range(50)]
        for each in crawling:
            each.sendall(request("{", length=99))
        meanwhile = httpx2.post(f"{gateway.url}/v1/messages", json=ASK, headers=KEY)
        ends = []
        for each in crawling:
            with each.makefile("rb") as told:
                ends.append(told.read())

    assert meanwhile.status_code == 200
    assert {end.partition(b"\r\n")[0] for end in ends} == {b"HTTP/1.1 408 Request Timeout"}
    assert all(b'"type":"timeout_error"' in end for end in ends)


def test_the_first_event_is_there_before_the_last_is_made(gateway):
    began = time.monotonic()

    with httpx2.stream("POST", f"{gateway.url}/v1/messages", json={**ASK, "stream": True}, headers=KEY) as response:
        times = [time.monotonic() - began for _ in response.iter_raw()]

    assert times[0] < 0.5 * times[-1]
    assert len(times) >= 4
    assert times[-1] > 0.8


def test_the_log_has_no_key_and_one_line_for_each_attempt(gateway, slow):
    said = httpx2.post(f"{gateway.url}/v1/messages", json=ASK, headers=KEY)

    name = {"request_id": said.headers["x-request-id"]}
    gateway.line(event="request", **name)
    [attempt] = gateway.lines(event="attempt", **name)
    assert (attempt["output_tokens"], attempt["model"]) == (20, "claude-haiku-4-5-20251001")
    assert [each["request_id"] for each in slow.journal()] == [name["request_id"]]
    assert not any(key in gateway.log.read_text() for key in (OURS, THEIRS))


def test_whatever_passed_the_gateway_has_nothing_to_complain_of(gateway, slow):
    slow.configure(latency={**STEADY, "tokens_per_second": 20_000})
    for what in (
        *("cut;after=2", "cut;after=2;how=rst", "truncate;after=2"),
        *("malformed_event", "giant_event;size=3000000", "content_type"),
    ):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(gateway.url).netloc, timeout=20)
        with contextlib.closing(connection), contextlib.suppress(http.client.HTTPException, OSError):
            headers = {**KEY, "x-mockclaude-fault": what}
            connection.request("POST", "/v1/messages", json.dumps({**ASK, "stream": True}), headers)
            connection.getresponse().read()
    slow.configure(latency=STEADY)

    assert {line["event"] for line in gateway.lines()} <= {"listening", "attempt", "request", "loop_lag"}
