"""The gateway in front of the mock: the official SDK cannot tell it from the mock itself, nor can a byte."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse

import anthropic
import httpx2
import pytest

from mockclaude import conform
from mockclaude.conformance.caller import Caller
from mockclaude.testing import MockClaude

FAST = {"ttft": {"p50": 0.01, "p95": 0.01}, "tokens_per_second": 2000, "prefill": False}
MODEL = "claude-haiku-4-5"
ASK = {"model": MODEL, "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
TOOL = {
    "name": "look_up",
    "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
}
OURS, THEIRS = "sk-ours", "sk-theirs"


@contextlib.contextmanager
def gateway_before(mock, log, **settings):
    """A gateway process in front of `mock`: its URL. Its log goes to the file `log`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "ANTHROPIC_"))}
    switches = {f"GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    keys = {"ANTHROPIC_BASE_URL": mock.url, "ANTHROPIC_API_KEY": OURS, "VALID_API_KEYS": THEIRS}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway_under_test", "--port", "0"],
            env={**clean, **keys, **switches},
            stdout=output,
        )
    try:
        wait_for(lambda: "listening" in log.read_text(), seconds=30)
        yield lines(log, "listening")[0]["url"]
    finally:
        process.terminate()
        process.wait(10)


def wait_for(condition, seconds=5):
    patience = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.02)


def lines(log, event):
    return [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == event]


@pytest.fixture(scope="module")
def mock():
    with MockClaude(seed=1, latency=FAST, keys=[OURS, THEIRS]) as running:
        yield running


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("gateway") / "log.jsonl"


@pytest.fixture(scope="module")
def gateway(mock, log):
    """A gateway that does not try again by itself, so that callers see each of Claude's failures."""
    with gateway_before(mock, log, attempts=1) as url:
        yield url


@pytest.fixture(params=["mock", "gateway"])
def url(request, mock, gateway):
    """Where the SDK is pointed at; its journal begins here."""
    mock.configure(faults=[])
    mock.reset()
    return mock.url if request.param == "mock" else gateway


@pytest.fixture
def client(url):
    with anthropic.Anthropic(base_url=url, api_key=THEIRS, max_retries=0, timeout=20) as made:
        yield made


def fault(text):
    return {"x-mockclaude-fault": text}


# The SDK


def test_a_message(client):
    raw = client.messages.with_raw_response.create(**ASK)

    message = raw.parse()
    assert (message.model, message.stop_reason) == ("claude-haiku-4-5-20251001", "max_tokens")
    assert message.usage.output_tokens == 20
    assert message._request_id == raw.headers["request-id"]
    assert raw.headers["request-id"].startswith("req_011C")
    assert raw.headers["anthropic-organization-id"]


def test_a_stream(client):
    with client.messages.stream(**ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert (final.content[0].text, final.usage.output_tokens) == (text, 20)
    assert stream.response.headers.get_list("content-type") == ["text/event-stream; charset=utf-8"]
    assert stream.response.headers.get_list("cache-control") == ["no-cache"]


async def test_the_async_client(url):
    async with anthropic.AsyncAnthropic(base_url=url, api_key=THEIRS, max_retries=0) as client:
        message = await client.messages.create(**ASK)
        async with client.messages.stream(**ASK) as stream:
            streamed = await stream.get_final_message()

    assert message.usage.output_tokens == streamed.usage.output_tokens == 20


def test_either_credential(url):
    body = json.dumps(ASK).encode()

    said = [
        httpx2.post(f"{url}/v1/messages", content=body, headers={"anthropic-version": "2023-06-01", **shown})
        for shown in ({"x-api-key": THEIRS}, {"authorization": f"Bearer {THEIRS}"})
    ]

    assert [response.status_code for response in said] == [200, 200]


def test_a_tool(client):
    with client.messages.stream(
        **{**ASK, "max_tokens": 200}, tools=[TOOL], tool_choice={"type": "tool", "name": "look_up"}
    ) as stream:
        final = stream.get_final_message()

    assert final.stop_reason == "tool_use"
    [use] = [block for block in final.content if block.type == "tool_use"]
    assert isinstance(use.input["word"], str)


def test_thinking_goes_back_and_forth(client):
    ask = {**ASK, "max_tokens": 1100, "thinking": {"type": "enabled", "budget_tokens": 1024}}

    first = client.messages.create(**ask)
    history = [*ASK["messages"], {"role": "assistant", "content": first.content}, {"role": "user", "content": "and?"}]
    second = client.messages.create(**{**ask, "messages": history})

    assert (first.content[0].type, second.content[0].type) == ("thinking", "thinking")


def test_the_beta_endpoint(client):
    message = client.beta.messages.create(**ASK, betas=["context-1m-2025-08-07"])

    assert message.usage.output_tokens == 20


def test_count_tokens(client):
    assert client.messages.count_tokens(model=MODEL, messages=ASK["messages"]).input_tokens > 0


def test_models(client):
    ids = [model.id for model in client.models.list(limit=1000)]
    paged = [model.id for model in client.models.list(limit=2)]

    assert "claude-haiku-4-5-20251001" in ids
    assert paged == ids
    assert client.models.retrieve(MODEL).id == "claude-haiku-4-5-20251001"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-nope")


@pytest.mark.parametrize("stream", [False, True], ids=["answer", "stream"])
@pytest.mark.parametrize(
    ("changed", "fault_", "raised", "words"),
    [
        ({"foo": 1}, "", anthropic.BadRequestError, "foo: Extra inputs are not permitted"),
        ({"model": "claude-nope"}, "", anthropic.NotFoundError, "model: claude-nope"),
        ({}, "status;code=402", anthropic.APIStatusError, "Your credit balance is too low"),
        ({}, "status;code=403", anthropic.PermissionDeniedError, "does not have permission"),
        ({}, "status;code=413", anthropic.RequestTooLargeError, "Request exceeds the maximum size"),
        ({}, "status;code=429;retry_after=7", anthropic.RateLimitError, "rate limit"),
        ({}, "status;code=500", anthropic.InternalServerError, "Internal server error"),
        ({}, "status;code=502;body=html", anthropic.InternalServerError, "502 Bad Gateway"),
        ({}, "status;code=504", anthropic.DeadlineExceededError, "Request timed out"),
        ({}, "status;code=529", anthropic.OverloadedError, "Overloaded"),
    ],
    ids=lambda value: value if isinstance(value, str) and ";" in value else None,
)
def test_an_error(client, mock, changed, fault_, raised, words, stream):
    ask = {**ASK, **{key: value for key, value in changed.items() if key in ASK}}
    extra = {key: value for key, value in changed.items() if key not in ASK}

    with pytest.raises(raised) as caught:
        client.messages.create(**ask, stream=stream, extra_body=extra, extra_headers=fault(fault_) if fault_ else {})

    response = caught.value.response
    assert words in response.text
    assert response.headers.get("retry-after") == ("7" if "retry_after" in fault_ else None)
    if response.headers["content-type"] == "application/json" and response.status_code != 413:
        assert caught.value.request_id == response.json()["request_id"] == response.headers["request-id"]
        assert response.headers["x-should-retry"] == (
            "true" if response.status_code in (429, 500, 504, 529) else "false"
        )
    assert len(mock.journal()) == 1


@pytest.mark.parametrize("code", [429, 529])
def test_the_sdks_own_retries(url, mock, code):
    mock.configure(faults=[{"name": "status", "code": code, "nth": [1, 2]}])

    with anthropic.Anthropic(base_url=url, api_key=THEIRS, max_retries=2) as patient:
        assert patient.messages.create(**ASK).content

    assert [(each["status"], each["retry_count"]) for each in mock.journal()] == [(code, 0), (code, 1), (200, 2)]


def test_an_error_event_in_mid_stream(client):
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded") as caught,
        client.messages.stream(**ASK, extra_headers=fault("error_event;after=2")) as stream,
    ):
        seen = list(stream.text_stream)
        assert seen
    assert caught.value.status_code == 200


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_cut_in_mid_stream(client, mock, how):
    seen = []

    with (
        pytest.raises((anthropic.APIConnectionError, httpx2.RemoteProtocolError, httpx2.ReadError)),
        client.messages.stream(**ASK, extra_headers=fault(f"cut;after=2;how={how}")) as stream,
    ):
        seen.extend(stream.text_stream)
    assert len(mock.journal()) == 1


def test_a_stream_that_ends_too_soon_ends_as_cleanly(client):
    with client.messages.stream(**ASK, extra_headers=fault("truncate;after=2")) as stream:
        assert stream.get_final_message().stop_reason is None


@pytest.mark.parametrize(
    "what",
    ["comments", "split_packets;seconds=0.001", "giant_event;size=3000000", "stall;after=2;seconds=0.2;pings=true"],
)
def test_what_a_client_must_bear(client, what):
    with client.messages.stream(**ASK, extra_headers=fault(what)) as stream:
        assert stream.get_final_message().stop_reason == "max_tokens"


def test_a_body_beyond_the_limit(client):
    big = [{"role": "user", "content": "x" * (32 * 1024 * 1024)}]

    with pytest.raises(anthropic.RequestTooLargeError, match="Request exceeds the maximum size"):
        client.messages.create(**{**ASK, "messages": big})


# What only the chain shows


def test_the_gateways_retries_are_hidden_from_a_caller_without_any(mock, tmp_path):
    mock.configure(faults=[{"name": "status", "code": 529, "nth": [1, 2]}])
    mock.reset()

    with (
        gateway_before(mock, tmp_path / "log", attempts=3, backoff__base=0.01) as url,
        anthropic.Anthropic(base_url=url, api_key=THEIRS, max_retries=0) as client,
    ):
        streamed = list(client.messages.create(**ASK, stream=True))

    assert streamed[-1].type == "message_stop"
    assert [(each["status"], each["retry_count"]) for each in mock.journal()] == [(529, 0), (529, 1), (200, 2)]
    assert {each["key"] for each in mock.journal()} == {OURS}


BODIES = {
    "answer": json.dumps(ASK),
    "stream": json.dumps({**ASK, "stream": True}),
    "tool": json.dumps({**ASK, "stream": True, "tools": [TOOL], "tool_choice": {"type": "any"}, "max_tokens": 100}),
    "odd": '{ "model":"claude-haiku-4-5","max_tokens":8, "messages":[{"content":"\\u00e9é","role":"user"}]}\n',
    "refused": json.dumps({**ASK, "foo": 1}),
    "not JSON": "{",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("what", ["", "comments", "duplicate_event", "malformed_event", "content_type", "truncate"])
def test_the_bytes_are_those_of_a_mock_with_the_same_seed(body, what, gateway, mock):
    mock.configure(faults=[], seed=5)
    mock.reset()

    with MockClaude(seed=5, latency=FAST, keys=[THEIRS]) as twin:
        direct, passed = exchange(twin.url, body, what), exchange(gateway, body, what)

    ours = {"x-request-id", "x-accel-buffering"}
    assert passed[0] == direct[0]
    assert passed[2] == direct[2]
    assert sorted(pair for pair in passed[1] if pair[0] not in ours) == sorted(direct[1])


def exchange(url, body, what):
    """Status, headers without the date, and raw body of one request."""
    headers = {"x-api-key": THEIRS, "anthropic-version": "2023-06-01", **(fault(what) if what else {})}
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/messages?beta=true", body.encode(), headers)
        response = connection.getresponse()
        said = [(name.lower(), value) for name, value in response.getheaders() if name.lower() != "date"]
        return response.status, said, response.read()


@pytest.mark.parametrize("model", [MODEL, "claude-opus-4-8"])
def test_it_conforms_to_claude(gateway, mock, model):
    mock.configure(faults=[])

    results = list(conform.run(conform.CHECKS, model, THEIRS, Caller(gateway, 20).send))

    assert [result.line for result in results if result.verdict == "FAIL"] == []
    assert sum(result.verdict == "PASS" for result in results) >= len(conform.CHECKS) - 3


def test_uploads_that_crawl_hold_no_place_and_are_ended(mock, tmp_path):
    mock.configure(faults=[])
    head = f"POST /v1/messages HTTP/1.1\r\nhost: g\r\nx-api-key: {THEIRS}\r\ncontent-length: 99\r\n\r\n{{"
    switches = {"concurrency__limit": 1, "concurrency__max_wait": 0.1, "deadline": 2}

    with gateway_before(mock, tmp_path / "log", **switches) as url, contextlib.ExitStack() as open_:
        host, port = url.removeprefix("http://").split(":")
        crawling = [open_.enter_context(socket.create_connection((host, int(port)), timeout=10)) for _ in range(50)]
        for each in crawling:
            each.sendall(head.encode())
        meanwhile = exchange(url, BODIES["answer"], "")
        ends = []
        for each in crawling:
            with each.makefile("rb") as told:
                ends.append(told.read())

    assert meanwhile[0] == 200
    assert {end.partition(b"\r\n")[0] for end in ends} == {b"HTTP/1.1 408 Request Timeout"}
    assert all(b'"type":"timeout_error"' in end for end in ends)


@pytest.mark.parametrize("stream", [False, True], ids=["answer", "stream"])
def test_a_caller_who_leaves_ends_what_claude_does(gateway, mock, log, stream):
    mock.configure(faults=[], latency={**FAST, "tokens_per_second": 20})
    mock.reset()
    body = json.dumps({**ASK, "max_tokens": 200, "stream": stream}).encode()
    host, port = gateway.removeprefix("http://").split(":")
    head = f"POST /v1/messages HTTP/1.1\r\nhost: g\r\nx-api-key: {THEIRS}\r\nanthropic-version: 2023-06-01\r\n"
    head += f"x-request-id: leaver-{stream}\r\ncontent-length: {len(body)}\r\n\r\n"

    with socket.create_connection((host, int(port)), timeout=5) as caller:
        caller.sendall(head.encode() + body)
        wait_for(lambda: mock.stats()["running"] == 1)
        if stream:
            assert b"message_start" in caller.recv(65536)
    wait_for(mock.journal, seconds=2)
    mock.configure(latency=FAST)

    assert [each["outcome"] for each in mock.journal()] == ["left"]
    wait_for(lambda: [each for each in lines(log, "request") if each["request_id"] == f"leaver-{stream}"])
    [attempt] = [each for each in lines(log, "attempt") if each["request_id"] == f"leaver-{stream}"]
    assert (attempt["outcome"], attempt["sent"]) == ("left", True)


def test_the_first_event_is_there_before_the_last_is_made(gateway, mock):
    mock.configure(faults=[], latency={**FAST, "tokens_per_second": 20})
    began = time.monotonic()

    with httpx2.stream(
        *("POST", f"{gateway}/v1/messages"),
        json={**ASK, "stream": True},
        headers={"x-api-key": THEIRS, "anthropic-version": "2023-06-01"},
    ) as response:
        times = [time.monotonic() - began for _ in response.iter_raw()]
    mock.configure(latency=FAST)

    assert times[0] < 0.5 * times[-1]
    assert len(times) >= 4
    assert times[-1] > 0.8


def test_the_log_has_no_key_and_one_line_for_each_attempt(gateway, mock, log):
    mock.configure(faults=[])
    mock.reset()

    said = httpx2.post(
        f"{gateway}/v1/messages", json=ASK, headers={"x-api-key": THEIRS, "anthropic-version": "2023-06-01"}
    )

    request_id = said.headers["x-request-id"]
    wait_for(lambda: [each for each in lines(log, "request") if each["request_id"] == request_id])
    [attempt] = [each for each in lines(log, "attempt") if each["request_id"] == request_id]
    assert (attempt["output_tokens"], attempt["model"]) == (20, "claude-haiku-4-5-20251001")
    assert [each["request_id"] for each in mock.journal()] == [request_id]
    assert not any(key in log.read_text() for key in (OURS, THEIRS))


def test_whatever_passed_the_gateway_has_nothing_to_complain_of(gateway, mock, log):
    mock.configure(faults=[])
    for what in (
        "cut;after=2",
        "cut;after=2;how=rst",
        "truncate;after=2",
        "malformed_event",
        "giant_event;size=3000000",
    ):
        with contextlib.suppress(http.client.HTTPException, OSError):
            exchange(gateway, BODIES["stream"], what)

    assert {line["event"] for line in map(json.loads, log.read_text().splitlines())} <= {
        *("listening", "attempt", "request", "loop_lag")
    }
