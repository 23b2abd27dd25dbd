"""Faults on real sockets: what the peer sees below HTTP, and what the official SDK makes of it."""

import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import anthropic
import httpx2
import pytest

from mockclaude.testing import MockClaude

ASK = {"model": "claude-haiku-4-5", "max_tokens": 40, "messages": [{"role": "user", "content": "hi"}]}


def read(mock, fault, stream=True):
    """One exchange by hand: everything until the connection ends, and how it ended."""
    host, port = mock.url.removeprefix("http://").split(":")
    body = json.dumps(ASK | {"stream": stream}).encode()
    head = "POST /v1/messages HTTP/1.1\r\nhost: mock\r\nx-api-key: a\r\nanthropic-version: 2023-06-01\r\n"
    head += f"x-mockclaude-fault: {fault}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=5) as peer:
        peer.sendall(head.encode() + body)
        got = b""
        while True:
            try:
                part = peer.recv(65536)
            except ConnectionResetError:
                return got, "reset"
            if not part:
                return got, "closed"
            got += part
            if got.endswith(b"0\r\n\r\n"):
                return got, "whole"


@pytest.mark.parametrize(("how", "end"), [("rst", "reset"), ("fin", "closed")])
def test_a_cut_is_seen_below_http(mock, how, end):
    got, ended = read(mock, f"cut;after=2;how={how}")

    assert ended == end
    assert b"message_stop" not in got
    [record] = mock.journal()
    assert (record["outcome"], record["fault"], record["status"]) == ("fault", "cut", 200)


def test_a_truncated_stream_ends_as_cleanly_as_a_whole_one(mock):
    got, ended = read(mock, "truncate;after=2")

    assert ended == "whole"
    assert got.count(b"content_block_delta\n") == 2
    assert b"message_stop" not in got
    assert mock.journal()[0]["outcome"] == "fault"


def test_a_hang_sends_nothing_until_it_closes(mock):
    began = time.monotonic()

    got, ended = read(mock, "hang;seconds=0.5")

    assert (got, ended) == (b"", "closed")
    assert time.monotonic() - began >= 0.5


def test_a_cut_connection_is_an_error_the_sdk_can_see(client):
    stream = client.messages.create(**ASK, stream=True, extra_headers={"x-mockclaude-fault": "cut;after=2"})

    with pytest.raises((anthropic.APIConnectionError, httpx2.RemoteProtocolError)):
        list(stream)


def test_a_truncated_stream_is_one_the_sdk_cannot_see(mock, client):
    with client.messages.stream(**ASK, extra_headers={"x-mockclaude-fault": "truncate;after=2"}) as stream:
        final = stream.get_final_message()

    assert final.stop_reason is None


@pytest.mark.parametrize(
    "fault",
    ["comments", "split_packets;seconds=0.001", "giant_event;size=100000", "stall;after=2;seconds=0.2;pings=true"],
)
def test_what_a_good_client_must_bear_the_sdk_bears(mock, client, fault):
    with client.messages.stream(**ASK, extra_headers={"x-mockclaude-fault": fault}) as stream:
        final = stream.get_final_message()

    assert final.stop_reason == "max_tokens"
    assert mock.journal()[-1]["outcome"] == "complete"
    assert mock.journal()[-1]["fault"] == fault.split(";")[0]


@pytest.mark.parametrize("fault", ["malformed_event;after=2", "truncated_json;after=2"])
def test_spoilt_json_is_an_error_in_the_sdk(client, fault):
    stream = client.messages.create(**ASK, stream=True, extra_headers={"x-mockclaude-fault": fault})

    with pytest.raises(json.JSONDecodeError):
        list(stream)


def test_a_retry_after_as_a_date_is_the_true_time(mock):
    connection = http.client.HTTPConnection(mock.url.removeprefix("http://"), timeout=5)
    headers = {"x-api-key": "a", "anthropic-version": "2023-06-01"}
    headers["x-mockclaude-fault"] = "status;code=429;retry_after=30;retry_after_as=date"
    connection.request("POST", "/v1/messages", json.dumps(ASK), headers)
    response = connection.getresponse()
    connection.close()

    due = parsedate_to_datetime(response.headers["retry-after"]).timestamp()
    assert due - time.time() == pytest.approx(30, abs=3)


def test_a_proxys_page_is_no_envelope(mock, client):
    with pytest.raises(anthropic.InternalServerError) as caught:
        client.messages.create(**ASK, extra_headers={"x-mockclaude-fault": "status;code=502;body=html"})

    assert caught.value.response.headers["content-type"].startswith("text/html")
    assert "502 Bad Gateway" in caught.value.response.text


def test_the_sdk_tries_again_after_an_overload_and_the_witness_counts_it(mock):
    mock.configure(faults=[{"name": "status", "code": 529, "nth": [1, 2]}])

    with anthropic.Anthropic(base_url=mock.url, api_key="a", max_retries=2) as patient:
        assert patient.messages.create(**ASK).content

    assert [(record["status"], record["retry_count"]) for record in mock.journal()] == [(529, 0), (529, 1), (200, 2)]


def test_streams_that_are_cut_do_not_disturb_the_others():
    latency = {"ttft": {"p50": 0.05, "p95": 0.05}, "tokens_per_second": 100}
    with MockClaude(latency=latency) as mock, ThreadPoolExecutor(30) as peers:
        faults = ["", "cut;after=1;how=rst", "cut;after=3"] * 10
        outcomes = list(peers.map(lambda fault: read(mock, fault)[1], faults))

        assert outcomes == ["whole", "reset", "closed"] * 10
        assert mock.stats()["running"] == 0


@pytest.mark.parametrize("stream", [True, False])
def test_a_rehearsal_that_is_over_closes_connections_and_answers_nobody_who_waits(stream):
    with MockClaude(latency=SLOW, capacity={"slots": 1}) as mock, ThreadPoolExecutor() as callers:
        calls = [callers.submit(read, mock, "", stream) for _ in range(2)]
        while mock.stats()["queued"] == 0:
            time.sleep(0.01)

        mock.close()

        running, waiting = sorted((call.result() for call in calls), reverse=True)
        assert waiting == (b"", "closed")
        assert running[1] == "closed"
        assert running[0].startswith(b"HTTP/1.1 200") if stream else running[0] == b""
        assert [record["outcome"] for record in mock.journal()] == ["left", "left"]


SLOW = {"ttft": {"p50": 5, "p95": 5}}


def test_an_upload_during_which_the_rehearsal_is_closed_gets_no_answer_at_all(mock):
    host, port = mock.url.removeprefix("http://").split(":")
    body = json.dumps(ASK).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: mock\r\nx-api-key: a\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=5) as peer:
        peer.sendall(head.encode() + body[:10])
        while not mock.stats()["open"]:
            time.sleep(0.01)
        mock.close()
        peer.sendall(body[10:])

        assert peer.recv(65536) == b""
    assert mock.journal()[0]["outcome"] == "left"
