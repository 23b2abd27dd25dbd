"""Real clients, unmodified, against the mock: what their own users would see."""

import itertools
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
RESPONDERS = [  # the result of a tool is a user message without these words
    {"match": {"text": "Use get_weather"}, "scripted": {"content": [CALL], "stop_reason": "tool_use"}},
    {"match": {"text": "Use Read"}, "scripted": {"content": [READ], "stop_reason": "tool_use"}},
    {"fixed": "It is sunny."},
]

OFFICIAL = ["anthropic", "anthropic-async", "anthropic-aiohttp"]
OTHERS = ["langchain", "pydantic-ai", "litellm", "typescript", "vercel"]
CHATS = [*OFFICIAL, *OTHERS, "claude-code"]


@pytest.fixture
def mock():
    with MockClaude(seed=1, latency=FAST) as running:
        yield running


@pytest.fixture
def run(mock):
    def run_feature(client, feature):
        command = [sys.executable, RUN, client, feature]
        environment = os.environ | {"ANTHROPIC_BASE_URL": mock.url}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run_feature


def statuses(mock):
    return [record["status"] for record in mock.journal()]


@pytest.mark.parametrize("client", CHATS)
def test_a_message_is_a_text_with_its_usage(client, run, mock):
    told = run(client, "create")

    assert told["text"] and told["tokens"] > 0, told
    assert statuses(mock) == [200]


@pytest.mark.parametrize("client", CHATS)
def test_a_stream_comes_in_pieces(client, run, mock):
    told = run(client, "stream")

    assert len(told["pieces"]) > 3 and "".join(told["pieces"]), told
    assert "error" not in told
    assert [record["stream"] for record in mock.journal()] == [True]


@pytest.mark.parametrize("client", [*OFFICIAL, *OTHERS])
def test_a_tool_is_called_and_its_result_is_answered(client, run, mock):
    mock.configure(responders=RESPONDERS)

    told = run(client, "tool")

    stop = {"litellm": "tool_calls", "vercel": "tool-calls"}.get(client, "tool_use")
    assert told == {"tool": "get_weather", "input": {"city": "Paris"}, "stop": stop, "text": "It is sunny."}
    assert statuses(mock) == [200, 200]


MORE = [*itertools.product(OFFICIAL, ["tool_stream", "tool_runner"]), ("typescript", "tool_stream")]


@pytest.mark.parametrize(("client", "feature"), MORE)
def test_the_official_sdk_has_more_ways_to_call_a_tool(client, feature, run, mock):
    mock.configure(responders=RESPONDERS)

    told = run(client, feature)

    assert told == {"tool": "get_weather", "input": {"city": "Paris"}, "stop": "tool_use", "text": "It is sunny."}


def test_claude_code_reads_a_file_because_the_mock_asks_for_it(run, mock):
    mock.configure(responders=RESPONDERS)

    told = run("claude-code", "tool")

    assert (told["tool"], told["text"]) == ("Read", "It is sunny."), told
    assert told["input"]["file_path"].endswith("note.txt")
    assert "heliotrope" in str(told["result"])
    assert statuses(mock) == [200, 200]


@pytest.mark.parametrize("client", [*OFFICIAL, *OTHERS])
def test_without_rules_the_tool_that_the_text_names_is_called(client, run, mock):
    told = run(client, "tool")

    assert told["tool"] == "get_weather" and isinstance(told["input"]["city"], str), told
    assert told["text"] and statuses(mock) == [200, 200]


@pytest.mark.parametrize("client", CHATS)
def test_a_thought_comes_before_the_text_and_is_taken_back_with_its_signature(client, run, mock):
    told = run(client, "thinking")

    assert len(told["signature"]) > 100 and told["text"], told
    assert told.get("thinking") or client == "claude-code"  # which asks for `display: omitted`
    assert statuses(mock) == ([200] if client == "claude-code" else [200, 200])


@pytest.mark.parametrize("client", [*OFFICIAL, *OTHERS])
def test_structured_output_has_the_shape_of_its_schema(client, run, mock):
    value = run(client, "structured")["value"]

    assert {name: type(held) for name, held in value.items()} == {"name": str, "age": int}


@pytest.mark.parametrize("client", ["langchain", "pydantic-ai", "instructor", "claude-code"])
def test_output_by_way_of_a_tool_has_the_shape_of_its_schema(client, run, mock):
    value = run(client, "structured_by_tool")["value"]

    assert {name: type(held) for name, held in value.items()} == {"name": str, "age": int}


def test_instructor_streams_an_object_that_grows(run, mock):
    told = run("instructor", "stream")

    assert len(told["pieces"]) > 1, told
    assert {name: type(held) for name, held in told["pieces"][-1].items()} == {"name": str, "age": int}


REFUSALS = {
    "429": {"name": "status", "code": 429, "retry_after": 1},
    "529": {"name": "status", "code": 529},
}
LEAST = {client: "create" for client in CHATS} | {"instructor": "structured_by_tool"}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("client", LEAST)
def test_a_refusal_is_retried_and_the_retry_succeeds(client, refusal, run, mock):
    mock.configure(faults=[refusal | {"nth": [1]}])

    told = run(client, LEAST[client])

    assert told.get("text") or told.get("value"), told
    assert statuses(mock) == [refusal["code"], 200]
    counted = 0 if client in ("litellm", "vercel", "claude-code") else 1  # three retry in a loop of their own
    assert [record["retry_count"] for record in mock.journal()] == [0, counted]


SURRENDERS = {  # what is raised, and the status it has: litellm has a 500 for any of Claude's own
    "anthropic": ("OverloadedError", 529),
    "anthropic-async": ("OverloadedError", 529),
    "anthropic-aiohttp": ("OverloadedError", 529),
    "langchain": ("AnthropicOverloadedError", 529),
    "pydantic-ai": ("ModelOverloadedError", 529),
    "litellm": ("InternalServerError", 500),
    "instructor": ("InstructorRetryException", None),
    "typescript": ("OverloadedError", 529),
    "vercel": ("RetryError", 529),
    "claude-code": ("ClaudeCodeError", 529),
}


@pytest.mark.parametrize(("client", "error", "status"), [(k, *v) for k, v in SURRENDERS.items()], ids=SURRENDERS)
def test_a_lasting_overload_ends_in_the_clients_own_error(client, error, status, run, mock):
    mock.configure(faults=[REFUSALS["529"]])

    told = run(client, LEAST[client])

    assert (told.get("error"), told.get("status")) == (error, status), told
    assert "verloaded" in told["message"]
    assert statuses(mock) == [529, 529, 529]


BREAKS = {  # headers with a 200 had gone out: only pydantic-ai and Vercel's take the status from the event
    "anthropic": ("APIStatusError", 200),
    "anthropic-async": ("APIStatusError", 200),
    "anthropic-aiohttp": ("APIStatusError", 200),
    "langchain": ("APIStatusError", 200),
    "pydantic-ai": ("ModelOverloadedError", 529),
    "litellm": ("MidStreamFallbackError", 500),
    "typescript": ("APIError", None),
    "vercel": ("StreamProviderError", 529),
}


@pytest.mark.parametrize(("client", "error", "status"), [(k, *v) for k, v in BREAKS.items()], ids=BREAKS)
def test_an_error_in_mid_stream_reaches_the_caller_after_the_text_so_far(client, error, status, run, mock):
    mock.configure(faults=[{"name": "error_event", "after": 3, "type": "overloaded_error"}])

    told = run(client, "stream")

    assert (told.get("error"), told.get("status")) == (error, status), told
    assert len(told["pieces"]) == 3 and "verloaded" in told["message"]
    assert [(record["status"], record["outcome"]) for record in mock.journal()] == [(200, "fault")]


def test_claude_code_asks_without_a_stream_when_streams_keep_breaking(run, mock):
    mock.configure(faults=[{"name": "error_event", "after": 1, "type": "overloaded_error"}])

    told = run("claude-code", "create")

    assert told["text"], told
    assert [record["stream"] for record in mock.journal()] == [True, True, True, False]


def test_the_version_that_an_sdk_sends_decides_whether_there_is_a_temperature(run, mock):
    old, new = run("anthropic-old", "sampling"), run("anthropic", "sampling")

    assert old["text"], old
    assert (new["error"], new["status"]) == ("BadRequestError", 400), new
    assert "temperature: Extra inputs are not permitted" in new["message"]
