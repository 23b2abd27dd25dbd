"""Claude Code and the TypeScript SDK behind the gateway: their users see what they would see without it."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mockclaude.testing import MockClaude

RUN = Path(__file__).with_name("run.py")
FAST = {"ttft": {"p50": 0.02, "p95": 0.02}, "tokens_per_second": 2000, "output_tokens": 40}
CALL = {"type": "tool_use", "name": "get_weather", "input": {"city": "Paris"}}
READ = {"type": "tool_use", "name": "Read", "input": {"file_path": "note.txt"}}
RESPONDERS = [
    {"match": {"text": "Use get_weather"}, "scripted": {"content": [CALL], "stop_reason": "tool_use"}},
    {"match": {"text": "Use Read"}, "scripted": {"content": [READ], "stop_reason": "tool_use"}},
    {"fixed": "It is sunny."},
]
KEY = "sk-ant-mock"  # what run.py gives every client
CLIENTS = ["claude-code", "typescript"]


@pytest.fixture(scope="module")
def behind():
    with MockClaude(seed=1, latency=FAST, keys=["sk-ours", KEY]) as running:
        yield running


@pytest.fixture(scope="module")
def gateways(behind, run_gateway):
    """They bear no grudge, so that each test is the first."""
    switches = {"breaker": "none", "pace": "none", "retry_budget": "none", "backoff__base": 0.01}
    with contextlib.ExitStack() as held:
        yield {
            preset: held.enter_context(run_gateway(behind.url, caller=KEY, preset=preset, **switches))
            for preset in ("naive", "production")
        }


@pytest.fixture(params=["naive", "production"])
def gateway(request, gateways):
    return gateways[request.param]


@pytest.fixture
def mock(behind):
    behind.configure(faults=[], responders=[])
    behind.reset()
    return behind


@pytest.fixture
def run(mock, gateway):
    return lambda client, feature: client_at(gateway.url, client, feature)


def client_at(url, client, feature):
    environment = os.environ | {"ANTHROPIC_BASE_URL": url}
    ran = subprocess.run([sys.executable, RUN, client, feature], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def statuses(mock):
    return [record["status"] for record in mock.journal()]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_message_is_a_text_with_its_usage(client, run, mock):
    told = run(client, "create")

    assert told["text"] and told["tokens"] > 0, told
    assert statuses(mock) == [200]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream_comes_in_pieces(client, run, mock):
    told = run(client, "stream")

    assert len(told["pieces"]) > 3 and "".join(told["pieces"]), told
    assert "error" not in told
    assert [record["stream"] for record in mock.journal()] == [True]


def test_claude_code_reads_a_file_because_the_mock_asks_for_it(run, mock):
    mock.configure(responders=RESPONDERS)

    told = run("claude-code", "tool")

    assert (told["tool"], told["text"]) == ("Read", "It is sunny."), told
    assert "heliotrope" in str(told["result"])
    assert statuses(mock) == [200, 200]


def test_a_tool_is_called_and_its_result_is_answered(run, mock):
    mock.configure(responders=RESPONDERS)

    told = run("typescript", "tool")

    assert told == {"tool": "get_weather", "input": {"city": "Paris"}, "stop": "tool_use", "text": "It is sunny."}
    assert statuses(mock) == [200, 200]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_thought_comes_with_its_signature(client, run, mock):
    told = run(client, "thinking")

    assert len(told["signature"]) > 100 and told["text"], told
    assert set(statuses(mock)) == {200}


def test_claude_code_gets_output_in_the_shape_of_its_schema(run):
    value = run("claude-code", "structured_by_tool")["value"]

    assert {name: type(held) for name, held in value.items()} == {"name": str, "age": int}


REFUSALS = {"429": {"name": "status", "code": 429, "retry_after": 1}, "529": {"name": "status", "code": 529}}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_refusal_that_passes_is_not_seen(client, refusal, run, mock, gateway):
    mock.configure(faults=[refusal | {"nth": [1]}])

    told = run(client, "create")

    assert told.get("text"), told
    assert statuses(mock) == [refusal["code"], 200]
    assert {line["attempts"] for line in gateway.lines(event="request", path="/v1/messages")} >= {2}


@pytest.mark.parametrize(("client", "error"), [("claude-code", "ClaudeCodeError"), ("typescript", "OverloadedError")])
def test_a_lasting_overload_ends_in_the_clients_own_error(client, error, run, mock):
    mock.configure(faults=[REFUSALS["529"]])

    told = run(client, "create")

    assert (told.get("error"), told.get("status")) == (error, 529), told
    assert "verloaded" in told["message"]
    assert statuses(mock) == [529] * 3 * 3  # theirs times ours


def test_an_error_in_mid_stream_reaches_the_caller_after_the_text_so_far(run, mock):
    mock.configure(faults=[{"name": "error_event", "after": 3, "type": "overloaded_error"}])

    told = run("typescript", "stream")

    assert (told.get("error"), told.get("status")) == ("APIError", None), told
    assert len(told["pieces"]) == 3 and "verloaded" in told["message"]
    assert [(record["status"], record["outcome"]) for record in mock.journal()] == [(200, "fault")]


def test_claude_code_asks_without_a_stream_when_streams_keep_breaking(run, mock):
    mock.configure(faults=[{"name": "error_event", "after": 1, "type": "overloaded_error"}])

    told = run("claude-code", "create")

    assert told["text"], told
    assert [record["stream"] for record in mock.journal()] == [True, True, True, False]


ENDINGS = {  # the status that Claude Code names, and its words
    "400": ({"name": "status", "code": 400}, 400, "API Error: 400 Invalid request"),
    "401": ({"name": "status", "code": 401}, 401, "Invalid API key"),
    "500": ({"name": "status", "code": 500}, 500, "API Error: 500 Internal server error"),
    "cut": ({"name": "cut", "after": 1}, None, "API Error: Connection lost mid-response."),
    "reset": ({"name": "cut", "after": 1, "how": "rst"}, None, "API Error: Connection lost mid-response."),
    "truncated": ({"name": "truncate", "after": 1}, None, "API Error: Connection lost mid-response."),
}


@pytest.mark.parametrize(("fault", "status", "words"), ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("where", ["mock", "naive", "production"])
def test_claude_code_ends_with_the_same_words_as_before_the_mock(fault, status, words, where, mock, gateways):
    mock.configure(faults=[fault])

    told = client_at(mock.url if where == "mock" else gateways[where].url, "claude-code", "create")

    assert (told["error"], told["status"]) == ("ClaudeCodeError", status), told
    assert told["message"].startswith(words), told
