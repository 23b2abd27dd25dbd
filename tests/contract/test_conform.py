"""`mockclaude conform`: it passes the mock, and fails a server that differs from Claude in one thing."""

import contextlib
import http.client
import http.server
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from typer.testing import CliRunner

from mockclaude import cli, conform, wire
from mockclaude.conformance import refused
from mockclaude.conformance.caller import Caller
from mockclaude.conformance.exchange import Absent, Exchange, NoAnswer, Request
from mockclaude.testing import MockClaude

FAST = {"ttft": {"p50": 0.0, "p95": 0.0}, "tokens_per_second": 100_000, "prefill": False}
HAIKU, KEY = "claude-haiku-4-5", "sk-test"


@pytest.fixture(scope="module")
def mock():
    """A quick mock that knows one key."""
    with MockClaude(seed=1, latency=FAST, keys=[KEY]) as running:
        yield running


@pytest.fixture
def run():
    """`mockclaude conform ...`, in this process."""
    return lambda *words: CliRunner(env={"MOCKCLAUDE_API_KEY": ""}).invoke(cli.app, ["conform", *words])


def lines(result, verdict):
    return [line for line in result.stdout.splitlines() if line.startswith(verdict)]


def test_the_mock_passes_every_check_that_its_model_allows(mock, run):
    result = run(mock.url, "--api-key", KEY)

    *verdicts, summary = result.stdout.splitlines()
    assert lines(result, "FAIL") == []
    assert lines(result, "SKIP") == [
        "SKIP refuses-sampling-late: claude-haiku-4-5 still takes temperature",
        "SKIP refuses-prefill: claude-haiku-4-5 takes a prefill",
    ]
    assert [line.split()[1].rstrip(":") for line in verdicts] == list(conform.CHECKS)
    assert summary == f"{len(conform.CHECKS) - 2} passed, 0 failed, 2 skipped"
    assert result.exit_code == 0


THOUGHTLESS = ["structured-output", "thinking", "thinking-back", "thinking-altered", "refuses-forced-thought"]


@pytest.mark.parametrize(
    ("model", "skipped"),
    [
        ("claude-sonnet-4-6", ["sampling-both", "sampling-late", "prefill-space"]),
        ("claude-opus-4-8", ["forced-thought", "sampling-both", "prefill-space"]),
        ("claude-opus-5-5", ["forced-thought", "sampling-both", "prefill-space"]),
        ("claude-3-5-haiku-latest", [*THOUGHTLESS, "sampling-both", "sampling-late", "prefill"]),
    ],
)
def test_it_asks_each_model_what_it_can_do(mock, run, model, skipped):
    result = run(mock.url, "--api-key", KEY, "--model", model)

    names = [line.split()[1].removeprefix("refuses-").rstrip(":") for line in lines(result, "SKIP")]
    assert lines(result, "FAIL") == []
    assert names == [name.removeprefix("refuses-") for name in skipped]
    assert result.exit_code == 0


def test_a_server_that_takes_any_key_is_not_asked_about_wrong_ones(run):
    with MockClaude(latency=FAST) as open_to_all:
        result = run(open_to_all.url, "--only", "refuses-wrong-key", "--only", "refuses-no-key")

    assert result.stdout.splitlines() == [
        "PASS refuses-no-key",
        "SKIP refuses-wrong-key: the server takes any key",
        "1 passed, 0 failed, 1 skipped",
    ]


# Every check can fail


@pytest.fixture(scope="module")
def exchanges(mock):
    """What the mock answers to every probe, by name: Haiku, or Opus where Haiku has nothing to be asked."""
    send = Caller(mock.url, 10).send
    haiku, opus = (conform.Exchanges(conform.Terms(model, KEY), send) for model in (HAIKU, "claude-opus-4-8"))
    seen = {}
    for name in conform.ASKED:
        try:
            seen[name] = haiku.look(name)
        except Absent:
            seen[name] = opus.look(name)
    return seen


def swap(old, new, count=-1):
    """Other bytes in the body."""

    def spoil(said):
        assert old in said.body
        return said._replace(body=said.body.replace(old, new, count))

    return spoil


def sub(pattern, new):
    """Other bytes in the body, wherever a pattern is found."""

    def spoil(said):
        assert re.search(pattern, said.body)
        return said._replace(body=re.sub(pattern, new, said.body))

    return spoil


def head(name, value=None):
    """Another header, or none."""

    def spoil(said):
        rest = tuple(pair for pair in said.headers if pair[0] != name)
        return said._replace(headers=rest if value is None else (*rest, (name, value)))

    return spoil


def status(code):
    return lambda said: said._replace(status=code)


def edit(*path, to):
    """Another value in the JSON; None takes it away."""

    def spoil(said):
        whole = json.loads(said.body)
        place = whole
        for step in path[:-1]:
            place = place[step]
        if to is None:
            del place[path[-1]]
        else:
            place[path[-1]] = to
        return said._replace(body=wire.dumps(whole))

    return spoil


def answer(body, code=200):
    return lambda said: said._replace(status=code, body=body)


def last_first(said):
    """The same keys, but the last one comes first."""
    whole = json.loads(said.body)
    return said._replace(body=wire.dumps(dict([list(whole.items())[-1], *list(whole.items())[:-1]])))


def last_first_in(name):
    def spoil(said):
        whole = json.loads(said.body)
        items = list(whole[name].items())
        return said._replace(body=wire.dumps(whole | {name: dict([items[-1], *items[:-1]])}))

    return spoil


PADS = re.compile(rb" *\}\n\n")
DELTA = rb"event: content_block_delta\n[^\n]*\n\n"
SPOILT = [
    ("head", "head", status(500), "got 500"),
    ("message-keys", "plain", last_first, "'usage', 'model'"),
    ("message-keys", "plain", edit("stop_sequence", to=None), "expected ['model'"),
    ("message-keys", "plain", edit("service", to="x"), "'service'"),
    ("message-keys", "plain", status(529), "got 529"),
    ("message-keys", "plain", answer(b"<html>"), "JSONDecodeError"),
    ("message-keys", "plain", head("content-type", "text/html"), "expected (200, 'application/json')"),
    ("usage-keys", "plain", last_first_in("usage"), "'inference_geo', 'input_tokens'"),
    ("usage-keys", "plain", edit("usage", "cache_creation", to={}), "got [], expected ['ephemeral_5m"),
    ("compact", "plain", swap(b'"type":"message"', b'"type": "message"'), '"type": "me'),
    ("message-id", "plain", edit("id", to="msg_0123"), "got msg_0123"),
    ("message-id", "plain", edit("id", to="msg_01" + "0" * 22), "got msg_010"),
    ("request-id", "plain", head("request-id"), "got None"),
    ("request-id", "plain", head("request-id", "7b9c"), "got 7b9c"),
    ("organization-id", "plain", head("anthropic-organization-id"), "got None"),
    ("alias", "plain", edit("model", to=HAIKU), "expected claude-haiku-4-5-20251001"),
    ("max-tokens", "plain", edit("stop_reason", to="end_turn"), "'end_turn'"),
    ("max-tokens", "plain", edit("usage", "output_tokens", to=13), "13)"),
    ("stop-sequence", "stop", edit("stop_reason", to="end_turn"), "got end_turn"),
    ("stop-sequence", "stop", edit("stop_sequence", to="z"), "got z"),
    ("stop-sequence", "stop", edit("content", to=[{"type": "text", "text": "one"}]), "'one'"),
    ("key-new-version", "key-new", answer(b'{"type":"error"}', 401), "got 401"),
    ("bearer-old-version", "bearer-old", answer(b'{"type":"error"}', 401), "got 401"),
    ("bearer-new-version", "bearer-new", answer(b'{"type":"error"}', 401), "got 401"),
    ("beta-query", "beta", answer(b'{"type":"error"}', 404), "got 404"),
    ("beta-query", "beta", edit("type", to="completion"), "got ('completion', 'assistant')"),
    ("stream-headers", "stream", head("content-type", "text/event-stream"), "got text/event-stream, expected"),
    ("stream-headers", "stream", head("cache-control", "no-store"), "got no-store"),
    ("stream-headers", "stream", head("content-length", "9"), "got 9"),
    ("stream-framing", "stream", swap(b"\n", b"\r\n"), "CR in the stream"),
    ("stream-framing", "stream", lambda said: said._replace(body=said.body + b"data: [DONE]\n\n"), "[DONE]"),
    ("stream-framing", "stream", lambda said: said._replace(body=b": hello\n\n" + said.body), ": hello"),
    ("stream-framing", "stream", swap(b"event: ping\n", b"event: pong\n"), "got ping, expected pong"),
    ("stream-framing", "stream", lambda said: said._replace(body=said.body[:-1]), "message_stop"),
    ("stream-padding", "stream", lambda said: said._replace(body=PADS.sub(b"}\n\n", said.body)), "always {0} spaces"),
    ("stream-padding", "stream", sub(rb"( *)\}\n\n", rb"\1" + b" " * 16 + b"}\n\n"), "expected 0 to 15"),
    ("stream-padding", "stream", swap(b'"type":"text_delta"', b'"type": "text_delta"'), '"type": "'),
    ("stream-ping", "stream", swap(b'{"type": "ping"}', b'{"type":"ping"}'), '{"type":"ping"}'),
    ("stream-ping", "stream", swap(wire.PING, b""), "no ping"),
    ("stream-ping", "stream", lambda said: said._replace(body=wire.PING + said.body), "['ping', 'message_start'"),
    ("stream-grammar", "stream", swap(b'"index":0', b'"index":1'), "content_block_start has index 1"),
    ("stream-start", "stream", sub(rb'"output_tokens":[1-8],"service', b'"output_tokens":9,"service'), "got 9 output"),
    ("stream-start", "stream", sub(rb'"role":"assistant",', b""), "expected ['model'"),
    ("stream-deltas", "stream", sub(DELTA + b"(" + DELTA + b")", rb"\1"), "expected one word"),
    ("stream-deltas", "stream", sub(rb'"text":"(\s*\S)[^"]*"', rb'"text":"\1"'), "deltas of several words"),
    ("stream-usage", "stream", swap(b'"output_tokens":60', b'"output_tokens":59'), "got 59, expected 60"),
    ("stream-usage", "stream", sub(rb'(_delta.*"input_tokens":)\d+', rb"\g<1>999"), "got [999, 0, 0]"),
    ("stream-end", "stream", sub(rb"event: message_stop\n.*\n\n", b""), "expected ['message_delta', 'message_stop']"),
    ("stream-end", "stream", swap(b'"stop_reason":"max_tokens"', b'"stop_reason":"end_turn"'), "got end_turn"),
    ("forced-tool", "tool", sub(rb'"id":"toolu_\w+"', b'"id":"call_1"'), "got call_1"),
    ("forced-tool", "tool", swap(b'"name":"pick_colour"', b'"name":"other"'), "'other'"),
    ("forced-tool", "tool", swap(b"colour\\", b"color\\"), "'color'"),
    ("forced-tool", "tool", swap(b'"partial_json":""', b'"partial_json":" "'), "got  , expected"),
    ("forced-tool", "tool", swap(b'"stop_reason":"tool_use"', b'"stop_reason":"end_turn"'), "got end_turn"),
    ("forced-tool", "tool", sub(rb"(?s)event: content_block_delta.*", b""), "stream ends inside a content block"),
    ("forced-tool", "tool", answer(b'{"type":"error"}', 500), "got 500"),
    ("structured-output", "schema", edit("content", 0, "text", to="red"), "JSONDecodeError"),
    ("structured-output", "schema", edit("content", 0, "text", to='{"colour":"red"}'), "got ['colour']"),
    ("structured-output", "schema", edit("content", 0, "text", to='{"colour":"tan","count":1}'), "got colour 'tan'"),
    ("structured-output", "schema", edit("content", 0, "text", to='{"colour":"red","count":"1"}'), "got count '1'"),
    ("thinking", "thinking", sub(rb'"signature":"[^"]+"', b'"signature":"RXFC"'), "a signature of 4 characters"),
    ("thinking", "thinking", sub(rb'(signature":".)[^"]', rb"\1!"), "Error: "),
    ("thinking", "thinking", sub(rb"event: content_block_delta\n.*signature_delta.*\n\n", b""), "without a signature"),
    ("thinking", "thinking", sub(rb"event: content_block_delta\n.*thinking_delta.*\n\n", b""), "no thought"),
    ("thinking-back", "thought-back", answer(b'{"type":"error"}', 400), "got 400"),
    ("thinking-altered", "thought-altered", status(200), "got 200"),
    ("thinking-altered", "thought-altered", edit("error", "message", to="no"), "got 'no'"),
    ("count-tokens", "counting", answer(b'{"input_tokens":0}'), "got 0"),
    ("count-tokens", "counting", answer(b'{"input_tokens": 14}'), '": 14'),
    ("count-tokens", "counting", answer(b'{"tokens":14}'), "expected (200, ['input_tokens'])"),
    ("count-tokens", "counting", status(500), "got 500"),
    ("models", "models", edit("has_more", to=None), "'has_more'"),
    ("models", "models", edit("data", to=[]), "got 0 models"),
    ("models", "models", edit("last_id", to="claude-x"), "'claude-x'"),
    ("models", "models", edit("data", 0, "display_name", to=None), "a model with id, display_name"),
    ("models", "models", answer(b"[]"), "got set()"),
    ("model", "model", edit("id", to=HAIKU), "expected claude-haiku-4-5-20251001"),
    ("model", "model", edit("type", to="alias"), "a model with id"),
    ("error-envelope", "unknown-field", last_first, "got ['request_id', 'type', 'error']"),
    ("error-envelope", "unknown-field", edit("request_id", to=None), "got ['type', 'error']"),
    ("error-envelope", "unknown-field", edit("error", "code", to=1), "'code'"),
    ("error-envelope", "unknown-field", head("content-type", "text/plain"), "got text/plain"),
    ("error-envelope", "unknown-field", swap(b'{"type":"error"', b'{"type": "error"'), '"type": "error"'),
    ("error-envelope", "unknown-field", status(200), "expected an error"),
    ("error-request-id", "unknown-field", edit("request_id", to="req_1"), "got req_1"),
    ("error-request-id", "unknown-field", head("request-id"), "no header request-id"),
    ("error-retry", "unknown-field", head("x-should-retry", "true"), "got 400"),
    ("error-retry", "unknown-field", head("x-should-retry"), "expected (400, 'false')"),
    ("error-workspace", "no-key", head("anthropic-workspace-id", "wrkspc_01"), "got wrkspc_01"),
    *(
        (f"refuses-{name}", name, spoil, told)
        for name in refused.REFUSALS
        for spoil, told in (
            (status(418), "got 418"),
            (edit("error", "type", to="teapot_error"), "teapot_error"),
            (edit("error", "message", to="No."), ": No., expected"),
            (answer(b"<html>", 502), "got 502 <html> (JSONDecodeError"),
        )
    ),
]


@pytest.mark.parametrize(
    ("check", "probe", "spoil", "told"), SPOILT, ids=[f"{row[0]}-{number}" for number, row in enumerate(SPOILT)]
)
def test_a_check_fails_when_what_it_looks_at_is_spoilt(exchanges, check, probe, spoil, told):
    spoilt = exchanges | {probe: spoil(exchanges[probe])}

    assert conform.verdict(check, exchanges.__getitem__).verdict == "PASS"
    result = conform.verdict(check, spoilt.__getitem__)
    assert result.verdict == "FAIL"
    assert told in result.line


def test_the_same_page_again_is_not_the_next_one(exchanges):
    again = exchanges | {"models-next": exchanges["models"]}

    assert " again, expected other models" in conform.verdict("models-next", again.__getitem__).line


def test_every_check_has_been_seen_to_fail():
    assert {row[0] for row in SPOILT} | {"models-next"} == set(conform.CHECKS)


ANYTHING = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b'"x"',
    b"[" * 100_000,
    b"\xff\xfe",
    b'{"error":[]}',
    b"data: {}\n\n",
    b"data: 1\n\n",
]


@pytest.mark.parametrize("code", [200, 400, 404, 503])
@pytest.mark.parametrize("body", ANYTHING, ids=lambda body: repr(body[:12]))
def test_no_check_passes_or_breaks_on_what_is_no_answer(exchanges, code, body):
    for kind in ("application/json", "text/event-stream; charset=utf-8"):
        spoilt = {
            name: Exchange(said.request, code, (("content-type", kind),), body) for name, said in exchanges.items()
        }

        results = [conform.verdict(name, spoilt.__getitem__) for name in conform.CHECKS]

        passed = {result.name for result in results if result.verdict == "PASS"}
        assert passed <= {"head", "compact", "error-workspace"}
        assert all(result.line.isprintable() and len(result.line) < 1000 for result in results)


# Beside the mock


class Between(http.server.BaseHTTPRequestHandler):
    """A gateway in front of the mock that spoils one thing; what it was sent is in `server.seen`."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers), data))
        said = self.server.instead(self.command, self.path, data)
        if said is None:
            upstream = http.client.HTTPConnection(self.server.behind, timeout=10)
            upstream.request(self.command, self.path, data, dict(self.headers))
            response = upstream.getresponse()
            said = self.server.spoil(response.status, response.getheaders(), response.read())
            upstream.close()
        code, headers, body = said
        self.send_response_only(code)
        for name, value in headers:
            if name not in ("transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")
        self.close_connection = True

    do_GET = do_POST = do_HEAD = answer

    def log_message(self, *words):
        pass


@pytest.fixture
def between(mock):
    """`between(spoil, instead)`: such a gateway; the first is given every answer, the second may answer itself."""
    servers = []

    def start(spoil=lambda *said: said, instead=lambda *asked: None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Between)
        server.behind, server.spoil, server.instead, server.seen = mock.url.removeprefix("http://"), spoil, instead, []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        server.url = f"http://127.0.0.1:{server.server_port}"
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_what_it_sends_could_be_for_any_server(between, run):
    gateway = between()

    result = run(gateway.url, "--api-key", KEY)

    assert result.exit_code == 0, result.stdout
    assert len(gateway.seen) <= 50
    assert all(path == "/" or path.startswith("/v1/") for _, path, _, _ in gateway.seen)
    assert not any(name.lower().startswith("x-mockclaude") for _, _, headers, _ in gateway.seen for name in headers)
    assert {headers.get("Host") for _, _, headers, _ in gateway.seen} == {gateway.url.removeprefix("http://")}


def test_it_costs_few_tokens(between, run):
    replies = []

    def keep(code, headers, body):
        replies.extend([body] if code == 200 and b"output_tokens" in body else [])
        return code, headers, body

    run(between(keep).url, "--api-key", KEY)

    used = [re.findall(rb'"(input|output)_tokens":(\d+)', body)[-2:] for body in replies]
    assert sum(int(count) for usage in used for name, count in usage if name == b"input") < 2000
    assert sum(int(count) for usage in used for name, count in usage if name == b"output") < 2700
    assert len(replies) == 11


def test_a_gateway_that_spoils_one_thing_fails_that_alone(between, run):
    def without_request_id(code, headers, body):
        return code, [pair for pair in headers if pair[0] != "request-id"], body

    result = run(between(without_request_id).url, "--api-key", KEY)

    assert result.exit_code == 1
    assert [line.partition(":")[0] for line in lines(result, "FAIL")] == ["FAIL request-id", "FAIL error-request-id"]
    assert lines(result, "FAIL request-id") == [
        f"FAIL request-id: got None, expected req_011C[{wire.BASE58}]{{18,22}} (B)"
    ]


def test_what_a_gateway_does_not_have_is_skipped(between, run):
    def messages_only(method, path, data):
        return None if path.split("?")[0] in ("/", "/v1/messages", "/v1/nope") else (404, [], b"not here")

    result = run(between(instead=messages_only).url, "--api-key", KEY)

    skipped = lines(result, "SKIP")
    assert result.exit_code == 0
    assert "SKIP count-tokens: /v1/messages/count_tokens is answered 404" in skipped
    assert {"SKIP models", "SKIP models-next", "SKIP model"} <= {line.partition(":")[0] for line in skipped}


def test_a_429_is_waited_out_once(between, run):
    busy = [(429, [("retry-after", "1")], b"{}")]
    gateway = between(instead=lambda *asked: busy.pop() if busy else None)

    result = run(gateway.url, "--api-key", KEY, "--only", "compact")

    assert (result.exit_code, len(gateway.seen)) == (0, 2)


def test_a_429_that_lasts_is_a_failure(between, run):
    gateway = between(instead=lambda *asked: (429, [("retry-after", "0")], b"{}"))

    result = run(gateway.url, "--only", "alias")

    assert (result.exit_code, len(gateway.seen)) == (1, 2)
    assert "got 429 {}" in result.stdout


def test_verdicts_come_as_one_json_object(mock, run):
    result = run(mock.url, "--api-key", KEY, "--json", "--only", "alias", "--only", "refuses-prefill")

    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (told["passed"], told["failed"], told["skipped"]) == (1, 0, 1)
    assert told["checks"][0] == {
        "name": "alias",
        "verdict": "PASS",
        "what": "an alias is resolved",
        "evidence": "B",
        "got": None,
        "expected": None,
        "reason": None,
    }


# It could not run


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nonsense"], "expected a URL such as"),
        (["http://127.0.0.1:1"], "mockclaude: http://127.0.0.1:1: Connection refused"),
        (["http://10.0.0.1:8100"], "add --allow-remote"),
        (["https://api.anthropic.com"], "costs money"),
        (["https://api.anthropic.com", "--allow-remote"], "costs money"),
        (["https://api.anthropic.com", "--i-will-pay"], "needs the --api-key of who pays"),
        (["http://127.0.0.1:1", "--only", "tea"], "no check is called 'tea'; there are head,"),
    ],
    ids=["no URL", "nobody there", "remote", "paid", "paid remote", "no key", "no such check"],
)
def test_it_says_why_it_could_not_run(run, words, told):
    result = run(*words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr


def test_a_key_that_no_header_can_hold_is_one_line(mock, run):
    result = run(mock.url, "--api-key", "a\nb")

    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1


def test_nothing_checked_is_not_passed(mock, run):
    assert run(mock.url, "--api-key", KEY, "--only", "refuses-prefill").exit_code == 2


@pytest.fixture
def listening():
    """`listening(b"...")`: a port that says these bytes to everyone, or with None nothing, and closes or not."""
    sockets = []

    def start(said):
        server = socket.create_server(("127.0.0.1", 0))
        sockets.append(server)
        threading.Thread(target=serve, args=(server, said), daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}"

    def serve(server, said):
        while True:
            try:
                accepted, _ = server.accept()
            except OSError:
                return
            sockets.append(accepted)
            accepted.recv(65_536)
            with contextlib.suppress(OSError):  # the caller may have had enough
                for part in said or ():
                    accepted.sendall(part)
                if said is not None:
                    accepted.shutdown(socket.SHUT_RDWR)

    yield start
    for one in sockets:
        one.close()


OPENING = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([b"220 mail.example ESMTP\r\n"], "what answers there does not speak HTTP"),
        ([], "the connection was closed without an answer"),
        ([OPENING + b"content-length: 100\r\n\r\n{"], "the connection ended in the middle of the answer"),
        ([OPENING + b"transfer-encoding: chunked\r\n\r\n40\r\n{"], "the connection ended in the middle"),
        ([OPENING + b"\r\n", *[b" " * 1_000_000] * 9], "an answer of more than 8000000 bytes"),
        (None, "no whole answer within 0.3 s"),
    ],
    ids=["mail", "closed", "short", "short chunk", "endless", "silent"],
)
def test_a_caller_brings_back_whole_answers_or_a_reason(listening, said, told):
    with pytest.raises(NoAnswer, match=re.escape(told)):
        Caller(listening(said), 0.3).send(Request("/", method="GET"))


def test_an_answer_that_drips_ends_at_the_timeout(listening):
    def drip():
        yield OPENING + b"\r\n"
        while True:
            time.sleep(0.05)
            yield b" "

    began = time.monotonic()
    with pytest.raises(NoAnswer, match=re.escape("no whole answer within 0.3 s")):
        Caller(listening(drip()), 0.3).send(Request("/", method="GET"))

    assert time.monotonic() - began < 2


def test_a_server_that_never_answers_could_not_be_checked(listening, run):
    result = run(listening(None), "--timeout", "0.2")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "no whole answer within 0.2 s" in result.stderr


def test_a_request_without_an_answer_fails_its_checks_alone(mock):
    caller = Caller(mock.url, 10)

    def send(request):
        if b'"stream": true' in (request.data or b""):
            raise NoAnswer("the connection was closed without an answer")
        return caller.send(request)

    names = ["alias", "stream-headers", "stream-ping", "compact"]
    results = list(conform.run(names, HAIKU, KEY, send))

    assert [result.verdict for result in results] == ["PASS", "FAIL", "FAIL", "PASS"]
    assert results[1].got == "the connection was closed without an answer"


def test_it_gives_up_after_three_requests_in_vain(mock):
    caller, sent = Caller(mock.url, 10), []

    def send(request):
        sent.append(request)
        if len(sent) > 1:
            raise NoAnswer("gone")
        return caller.send(request)

    told = []
    with pytest.raises(NoAnswer, match="gone"):
        told.extend(conform.run(conform.CHECKS, HAIKU, KEY, send))
    assert len(sent) == 4


@pytest.mark.parametrize("inherited", [signal.SIG_DFL, signal.SIG_IGN], ids=["shell", "background job"])
def test_an_interrupt_ends_it(inherited):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        words = [sys.executable, "-m", "mockclaude", "conform", f"http://127.0.0.1:{server.getsockname()[1]}"]
        before = signal.signal(signal.SIGINT, inherited)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        signal.signal(signal.SIGINT, before)
        with process:
            waiting, _ = server.accept()
            with waiting:
                waiting.recv(1)
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=10)

    assert process.returncode == 130
    assert "Traceback" not in errors
