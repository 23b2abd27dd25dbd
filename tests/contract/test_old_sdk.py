"""The official SDK as many still have it, 0.93: the old API version, `x-api-key`, `?beta=true`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mockclaude.testing import MockClaude

CLIENTS = Path(__file__).parents[1] / "clients"
CALL = {"type": "tool_use", "name": "get_weather", "input": {"city": "Paris"}}
RESPONDERS = [
    {"match": {"text": "Use get_weather"}, "scripted": {"content": [CALL], "stop_reason": "tool_use"}},
    {"fixed": "It is sunny."},
]

pytestmark = pytest.mark.timeout(300)  # the first test installs it


@pytest.fixture
def old(mock: MockClaude):
    def run(feature, client="anthropic-old"):
        command = [sys.executable, CLIENTS / "run.py", client, feature]
        environment = os.environ | {"ANTHROPIC_BASE_URL": mock.url}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run


@pytest.mark.parametrize("feature", ["create", "beta"])
def test_the_old_sdk_gets_a_text(feature, old):
    assert old(feature)["text"]


def test_the_old_sdk_may_still_ask_for_a_temperature(old):
    assert old("sampling")["text"]


def test_the_old_sdk_streams(old):
    told = old("stream")

    assert len(told["pieces"]) > 3 and "error" not in told


@pytest.mark.parametrize("feature", ["tool", "tool_stream", "tool_runner"])
def test_the_old_sdk_calls_a_tool_and_gives_its_result(feature, old, mock):
    mock.configure(responders=RESPONDERS)

    told = old(feature)

    assert told == {"tool": "get_weather", "input": {"city": "Paris"}, "stop": "tool_use", "text": "It is sunny."}
    assert [record["status"] for record in mock.journal()] == [200, 200]


def test_the_old_sdk_gives_a_thought_back_with_its_signature(old, mock):
    told = old("thinking")

    assert told["thinking"] and told["text"] and len(told["signature"]) > 100
    assert [record["status"] for record in mock.journal()] == [200, 200]


def test_the_old_sdk_parses_structured_output(old):
    value = old("structured")["value"]

    assert {name: type(held) for name, held in value.items()} == {"name": str, "age": int}


@pytest.mark.parametrize("refusal", [{"code": 429, "retry_after": 1}, {"code": 529}], ids=["429", "529"])
def test_the_old_sdk_retries_a_refusal(refusal, old, mock):
    mock.configure(faults=[{"name": "status", "nth": [1], **refusal}])

    assert old("create")["text"]
    assert [(record["status"], record["retry_count"]) for record in mock.journal()] == [(refusal["code"], 0), (200, 1)]


def test_the_old_sdk_gives_up_on_a_lasting_overload(old, mock):
    mock.configure(faults=[{"name": "status", "code": 529}])

    told = old("create")

    assert (told["error"], told["status"]) == ("OverloadedError", 529)
    assert [record["retry_count"] for record in mock.journal()] == [0, 1, 2]


def test_the_old_sdk_raises_the_error_in_a_stream_after_the_text_so_far(old, mock):
    mock.configure(faults=[{"name": "error_event", "after": 3, "type": "overloaded_error"}])

    told = old("stream")

    assert (told["error"], told["status"], len(told["pieces"])) == ("APIStatusError", 200, 3)
    assert "overloaded_error" in told["message"]
