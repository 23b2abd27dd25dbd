"""Recorder, replay and fit end to end: our own mock is the upstream, the official SDK the client, all on sockets."""

import http.client
import io
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anthropic
import pytest
import uvicorn
from typer.testing import CliRunner

from mockclaude import cli
from mockclaude.recordings import fit, record, recording
from mockclaude.testing import MockClaude

KEY = "sk-ant-secret-0001"
PROMPT = "Confidential: the harbour opens in Zürich"
PACE = {"ttft": {"p50": 0.1, "p95": 0.1}, "tokens_per_second": 100, "prefill": False}
TOOLS = [
    {
        "name": "get_weather",
        "description": "d",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]
COMMAND = [sys.executable, "-m", "mockclaude", "record"]


class Recording:
    """A recorder in a thread, and what it wrote."""

    def __init__(self, upstream, keep_text=False):
        self.file = io.BytesIO()
        self.recorder = record.Recorder(upstream, self.file.write, keep_text)
        options = {
            "log_level": "critical",
            "server_header": False,
            "date_header": False,
            "timeout_graceful_shutdown": 1,
        }
        self._server = uvicorn.Server(uvicorn.Config(record.create_app(self.recorder), **options))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    @property
    def text(self):
        return self.file.getvalue().decode()

    def exchanges(self, count):
        """What was recorded, once there are `count` of them: a line is written after its reply has gone out."""
        until = time.monotonic() + 5
        while self.recorder.recorded < count and time.monotonic() < until:
            time.sleep(0.01)
        found = recording.load(self.text)
        assert len(found) == count
        return found


@pytest.fixture
def upstream():
    with MockClaude(seed=1, latency=PACE) as running:
        yield running


@pytest.fixture
def recorder(upstream):
    with Recording(upstream.url) as running:
        yield running


@pytest.fixture
def sdk():
    made = []

    def connect(url, key=KEY):
        made.append(anthropic.Anthropic(base_url=url, api_key=key, max_retries=0))
        return made[-1]

    yield connect
    for client in made:
        client.close()


def question(**fields):
    return {"model": "claude-haiku-4-5", "max_tokens": 40, "messages": [{"role": "user", "content": PROMPT}]} | fields


def streamed(client, **fields):
    """The events of a stream, each with its seconds, and the error that ended it, if one did."""
    events, began = [], time.monotonic()
    try:
        with client.messages.create(**question(**fields), stream=True) as stream:
            for event in stream:
                events.append((time.monotonic() - began, event))
    except anthropic.APIStatusError as error:
        return events, error
    return events, None


def types(events):
    return [event.type for _, event in events]


def fault(what):
    return {"extra_headers": {"x-mockclaude-fault": what}}


@pytest.fixture
def posted():
    """Requests by hand, for what the SDK would not send or hides."""
    opened = []

    def post(port, method="POST", path="/v1/messages", body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        sent = {"x-api-key": KEY, "anthropic-version": "2023-06-01"} | (headers or {})
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        response = connection.getresponse()
        opened.extend((response, connection))
        return connection, response

    yield post
    for one in opened:
        one.close()


def test_the_sdk_sees_through_the_recorder_what_it_sees_without(upstream, sdk):
    with Recording(upstream.url) as recorder:
        through = sdk(recorder.url).messages.with_raw_response.create(**question())
        upstream.reset()
        straight = sdk(upstream.url).messages.with_raw_response.create(**question())

    assert through.parse().content == straight.parse().content
    passed, said = dict(through.headers), dict(straight.headers)
    assert passed.keys() == said.keys()
    assert {name for name in said if passed[name] != said[name]} <= {"date", "request-id"}


def test_everything_a_client_can_meet_is_recorded_and_replayed(recorder, sdk):
    client = sdk(recorder.url)
    first, _ = streamed(client)
    client.messages.create(**question())
    called, _ = streamed(client, tools=TOOLS, tool_choice={"type": "tool", "name": "get_weather"}, max_tokens=200)
    with pytest.raises(anthropic.APIStatusError):
        client.messages.create(**question(), **fault("status;code=529;retry_after=3"))
    broken, error = streamed(client, **fault("error_event;after=2"))
    kept = recorder.exchanges(5)

    assert [one.ended for one in kept] == ["complete", "complete", "complete", "error", "error"]
    assert error.body["error"]["type"] == "overloaded_error"
    assert [event.name for event in kept[0].events if event.name != "ping"] == types(first)

    for exchange, seen in ((kept[0], first), (kept[2], called), (kept[4], broken)):
        text = recording.line(exchange).decode()
        with MockClaude(responders=[{"recorded": {"text": text}}]) as mock:
            again, failed = streamed(sdk(mock.url), tools=TOOLS)
        assert types(again) == types(seen)
        assert (failed is None) is (seen is not broken)
        assert gaps(again) == pytest.approx(gaps(seen), abs=0.06)


def gaps(events):
    return [after - before for (before, _), (after, _) in itertools.pairwise(events)]


def test_a_recording_replays_json_tool_calls_and_refusals(recorder, sdk):
    client = sdk(recorder.url)
    said = client.messages.create(**question())
    with pytest.raises(anthropic.APIStatusError):
        client.messages.create(**question(), **fault("status;code=529;retry_after=3"))
    forced = {"tools": TOOLS, "tool_choice": {"type": "tool", "name": "get_weather"}, "max_tokens": 200}
    client.messages.create(**question(**forced))
    recorder.exchanges(3)

    with MockClaude(responders=[{"recorded": {"text": recorder.text}}]) as mock:
        again = sdk(mock.url)
        replies = []
        for _ in range(3):
            try:
                replies.append(again.messages.create(**question()))
            except anthropic.APIStatusError as error:
                refusal = error

    assert (refusal.status_code, refusal.response.headers["retry-after"]) == (529, "3")
    [call] = [reply.content[0] for reply in replies if reply.stop_reason == "tool_use"]
    [text] = [reply for reply in replies if reply.stop_reason != "tool_use"]
    assert (call.name, list(call.input)) == ("get_weather", ["city"])
    assert text.usage == said.usage
    assert len(text.content[0].text) == len(said.content[0].text)


def test_nothing_secret_is_in_the_file(upstream, recorder, sdk, posted):
    upstream.configure(responders=[{"fixed": "Quetzalcoatl sings beneath Montmartre."}])
    told = question(system="You are Hildegard.", metadata={"user_id": "user-4711"}, stop_sequences=["Montmartre"])
    said = sdk(recorder.url).messages.create(**told)
    streamed(sdk(recorder.url), **told)
    bearer = {"authorization": f"Bearer {KEY}", "x-api-key": ""}
    posted(recorder.port, body=question(max_tokens=-1, stop_sequences=[KEY]), headers=bearer)
    kept = recorder.exchanges(3)

    assert (said.stop_sequence, kept[0].body["stop_sequence"]) == ("Montmartre", "the words ")
    secrets = (
        "sk-ant",
        "secret",
        "harbour",
        "Zürich",
        "\\u00fc",
        "Hildegard",
        "4711",
        "Quetzal",
        "sings",
        "Montmartre",
    )
    assert [word for word in secrets if word in recorder.text] == []


def test_text_is_kept_when_asked_for_but_never_the_key(upstream, sdk):
    with Recording(upstream.url, keep_text=True) as recorder:
        said = sdk(recorder.url).messages.create(**question(system=f"My key is {KEY}, keep it."))
        echoed = question(messages=[{"role": "user", "content": f"{PROMPT} {KEY}"}])
        sdk(recorder.url).messages.create(**echoed)
        first, second = recorder.exchanges(2)

    assert first.request.text == PROMPT
    assert first.body["content"][0]["text"] == said.content[0].text
    assert second.request.text == f"{PROMPT} {'x' * len(KEY)}"
    assert KEY not in recorder.text
    with MockClaude(responders=[{"recorded": {"text": recorder.text}}]) as mock:
        again = sdk(mock.url).messages.create(**echoed)
    assert again.content[0].text == second.body["content"][0]["text"]


def test_a_stream_is_passed_on_as_it_comes(upstream, recorder, posted):
    body = question(stream=True, max_tokens=60)
    straight = raw_stream(posted(int(upstream.url.rpartition(":")[2]), body=body)[1])
    upstream.reset()
    through = raw_stream(posted(recorder.port, body=body)[1])

    ids = re.compile(rb"(msg_01|req_011C)\w+")
    assert ids.sub(b"", b"".join(part for _, part in through)) == ids.sub(b"", b"".join(part for _, part in straight))
    assert through[-1][0] - through[0][0] == pytest.approx(0.7, abs=0.15)
    [exchange] = recorder.exchanges(1)
    assert exchange.events[0].at == pytest.approx(through[0][0], abs=0.1)
    assert exchange.events[-1].at == pytest.approx(through[-1][0], abs=0.1)


def raw_stream(response):
    began, parts = time.monotonic(), []
    while part := response.read1():
        parts.append((time.monotonic() - began, part))
    return parts


def test_what_is_not_a_message_is_passed_on_unrecorded(recorder, sdk, posted):
    client = sdk(recorder.url)
    counted = client.messages.count_tokens(model="claude-haiku-4-5", messages=[{"role": "user", "content": "hi"}])
    _, missing = posted(recorder.port, "GET", "/v1/nothing?x=1")
    _, head = posted(recorder.port, "HEAD", "/")

    assert counted.input_tokens > 0
    assert (missing.status, json.loads(missing.read())["error"]["type"]) == (404, "not_found_error")
    assert head.status == 200
    recorder.exchanges(0)


def test_an_upstream_that_is_not_there_is_a_502_and_not_recorded(sdk):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with Recording(url) as recorder, pytest.raises(anthropic.InternalServerError) as caught:
        sdk(recorder.url).messages.create(**question())

    assert caught.value.status_code == 502
    assert caught.value.body["error"]["type"] == "api_error"
    assert "cannot reach the upstream" in caught.value.body["error"]["message"]
    assert recorder.text == ""


def serving(answer):
    """An upstream that answers one request with these bytes and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection, listener:
            connection.settimeout(5)
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            time.sleep(0.05)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nset-cookie: a=secret\r\n"
    b"connection: x-private\r\nx-private: 1\r\nx-public: 2\r\n\r\n"
)
BEGUN = b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_01A","usage":{}}}\n\n'


def test_a_stream_that_the_upstream_cuts_is_cut_for_the_client_too(posted):
    with Recording(serving(STREAM + b"%x\r\n%b\r\n" % (len(BEGUN), BEGUN))) as recorder:
        _, response = posted(recorder.port, body=question(stream=True))
        with pytest.raises(http.client.IncompleteRead) as caught:
            response.read()
        [exchange] = recorder.exchanges(1)

    assert caught.value.partial == BEGUN
    assert (exchange.ended, len(exchange.events)) == ("cut", 1)
    assert (response.headers["x-public"], response.headers["x-private"]) == ("2", None)
    assert "cookie" not in recorder.text


def test_a_client_that_leaves_ends_the_work_upstream(upstream, recorder, posted):
    connection, response = posted(recorder.port, body=question(stream=True, max_tokens=4000))
    response.read1()
    time.sleep(0.3)
    connection.sock.shutdown(socket.SHUT_RDWR)
    [exchange] = recorder.exchanges(1)

    assert exchange.ended == "left"
    assert any(event.name == "content_block_delta" for event in exchange.events)
    until = time.monotonic() + 5
    while not upstream.journal() and time.monotonic() < until:
        time.sleep(0.01)
    assert [record["outcome"] for record in upstream.journal()] == ["left"]


def test_a_measured_mock_gives_its_own_latency_back(sdk):
    profile = {"ttft": {"p50": 0.3, "p95": 0.3}, "tokens_per_second": 150, "output_tokens": 60, "prefill": False}
    with MockClaude(seed=3, latency=profile) as mock, Recording(mock.url) as recorder:
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda _: streamed(sdk(recorder.url), max_tokens=200), range(6)))
        recorder.exchanges(6)

    [found] = fit.report(recorder.text).fits.values()

    assert found.p50 == pytest.approx(0.3, rel=0.1)
    assert found.p50 <= found.p95 < 0.6  # of six on a busy machine; on virtual time it is exact
    assert found.pace == pytest.approx(150, rel=0.1)
    assert found.length == 60


# the command


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("https://api.anthropic.com", [], "api.anthropic.com costs money for every request"),
        ("https://API.Anthropic.com./", ["--allow-remote"], "api.anthropic.com costs money for every request"),
        ("https://claude.example.org", [], "claude.example.org is not this machine; add --allow-remote"),
        ("localhost:8100", [], 'got "localhost:8100", expected a URL such as http://127.0.0.1:8100'),
        ("http://[::1", [], 'got "http://[::1", expected a URL'),
        ("http://me:pw@127.0.0.1", [], "a URL with a user or a password in it"),
    ],
)
def test_it_goes_nowhere_it_must_not(tmp_path, url, more, said):
    out = tmp_path / "talk.jsonl"
    result = CliRunner().invoke(cli.app, ["record", "--upstream", url, "--out", str(out), *more])

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"mockclaude: --upstream: {said}")
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [("# A readme\n", "line 1: expected a JSON object"), ('{"a": 1}', "line 1.recorded_at: is missing")],
)
def test_it_appends_to_nothing_but_a_recording(tmp_path, content, said):
    out = tmp_path / "README.md"
    out.write_text(content)
    result = CliRunner().invoke(cli.app, ["record", "--upstream", "http://127.0.0.1:1", "--out", str(out)])

    assert result.exit_code == 2
    assert said in result.stderr
    assert out.read_text() == content


def test_without_its_extra_it_says_what_to_install(tmp_path):
    hidden = "import sys; sys.modules['httpx2'] = None; from mockclaude.cli import main; main()"
    words = ["record", "--upstream", "http://127.0.0.1:1", "--out", str(tmp_path / "a.jsonl")]
    done = subprocess.run([sys.executable, "-c", hidden, *words], capture_output=True, text=True, timeout=30)

    assert done.returncode == 2
    assert done.stderr == 'mockclaude: record needs an HTTP client: pip install "mockclaude[record]"\n'


def test_ctrl_c_leaves_whole_lines_and_says_how_many(upstream, sdk, posted, tmp_path):
    out = tmp_path / "talk.jsonl"
    words = [*COMMAND, "--upstream", upstream.url, "--out", str(out), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        first = process.stdout.readline()
        [url] = re.findall(r"on (http://\S+) records", first)
        process.stdout.readline()
        sdk(url).messages.create(**question())
        _, response = posted(int(url.rpartition(":")[2]), body=question(stream=True, max_tokens=4000))
        response.read1()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=10)

    assert process.returncode == 130
    assert errors == ""
    exchanges = recording.load(out.read_text())
    assert [one.ended for one in exchanges] == ["complete", "left"]
    assert rest == f"{out}: 2 exchanges recorded from {upstream.url}\n"
