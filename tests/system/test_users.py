"""Locust's users as they come along, against the real gateway and the fake Claude; and one of a reader's own."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mockclaude.testing import MockClaude
from tests.system.misbehaving import DONE, Misbehaving, Wire, chunk, event, locust, well

README = Path(__file__).parents[2] / "README.md"
LATENCY = {"ttft": {"p50": 0.1, "p95": 0.1}, "tokens_per_second": 50, "output_tokens": 100}


@pytest.fixture
def gateway(run_gateway) -> Iterator[str]:
    with MockClaude(latency=LATENCY) as mock, run_gateway(mock.url, caller="loadtest") as running:
        yield running.url


def rows_of(folder: Path) -> dict[tuple[str, str], dict[str, float]]:
    return {(row["method"], row["name"]): row for row in json.loads((folder / "out.json").read_text())}


def test_each_user_gets_what_it_asks_for(gateway: str, tmp_path: Path):
    options = [
        "-H",
        gateway,
        "-u",
        "13",
        "-r",
        "13",
        "-t",
        "9s",
        "--json-file",
        str(tmp_path / "out"),
        "--max-tokens",
        "100",
    ]

    done = locust(*options)

    rows = rows_of(tmp_path)
    assert done.returncode == 0, done.stderr
    outcomes = {name for kind, name in rows if kind == "OUTCOME" and not name.endswith("aborted")}
    assert outcomes == {
        "/chat complete",
        "/chat/stream complete",
        "/chat/stream impatient left",
        "/chat/stream slow reader complete",
        "/v1/messages complete",
        "/v1/messages conversation complete",
        "/batch complete",
        "/analyze complete",
    }
    assert ("TTFT", "/v1/messages") in rows and ("ITL", "/chat/stream") in rows
    assert ("TTFT", "/chat/stream impatient") not in rows


def test_a_conversation_sends_all_that_was_said_and_begins_anew(tmp_path: Path):
    (tmp_path / "quick.py").write_text(
        "from locust import constant, events\nfrom loadtests import hooks, users\nhooks.register(events)\n"
        "class Quick(users.ConversationUser):\n    wait_time = constant(0)\n    turns = 3\n"
    )
    with MockClaude(latency={"ttft": {"p50": 0.02, "p95": 0.02}, "tokens_per_second": 10_000}) as mock:
        done = locust("-H", mock.url, "-u", "1", "-t", "3s", locustfile=tmp_path / "quick.py")

        asked = [attempt.json["messages"] for attempt in mock.requests]
    assert done.returncode == 0, done.stderr
    assert [len(messages) for messages in asked[:7]] == [1, 3, 5, 1, 3, 5, 1]
    assert asked[1][0] == asked[0][0]
    assert [message["role"] for message in asked[2]] == ["user", "assistant", "user", "assistant", "user"]


async def four_kilobytes(wire: Wire) -> None:
    wire.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(4):
        wire.write(chunk(event({"text": "x" * 1000})))
    wire.write(chunk(DONE) + b"0\r\n\r\n")


def test_a_slow_reader_takes_its_time(tmp_path: Path):
    """Four kilobytes that are there at once take two seconds at 2,000 bytes a second."""
    with Misbehaving(lambda name: four_kilobytes) as server:
        options = ["-H", server.url, "-u", "1", "-t", "5s", "--json-file", str(tmp_path / "out")]
        done = locust(*options, "SlowReaderUser")

    assert done.returncode == 0, done.stderr
    row = rows_of(tmp_path)["POST", "/chat/stream slow reader"]
    assert 1900 < row["min_response_time"] < 2800


def test_the_readmes_own_user_works_as_it_stands(tmp_path: Path):
    (example,) = re.findall(r"```python\n(from locust.*?)```", README.read_text(), flags=re.DOTALL)
    (tmp_path / "support.py").write_text(example)

    with Misbehaving(lambda name: well) as server:
        options = ["-H", server.url, "-u", "3", "-r", "3", "-t", "5s", "--json-file", str(tmp_path / "out")]
        done = locust(*options, locustfile=tmp_path / "support.py")

    rows = rows_of(tmp_path)
    assert done.returncode == 0, done.stderr
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    assert {json.loads(asked.body)["message"] for asked in server.asked} == {
        "How do I reset my password?",
        "Thank you!",
    }
    assert rows["POST", "thanks"]["num_requests"] >= 3
    assert rows["TTFT", "/chat/stream"]["num_requests"] >= rows["TTFT", "thanks"]["num_requests"]


def test_a_locustfile_without_our_hooks_says_which_line_it_lacks(tmp_path: Path):
    (tmp_path / "bare.py").write_text("from loadtests import users\nclass Mine(users.ChatUser):\n    pass\n")

    done = locust("-H", "http://127.0.0.1:9", "-u", "1", "-t", "1s", locustfile=tmp_path / "bare.py")

    assert done.returncode != 0
    assert "the locustfile lacks a line: loadtests.hooks.register(locust.events)" in done.stderr
