"""Whatever is sent is answered or refused in Claude's envelope: never a 5xx that nobody asked for.

`FUZZ_EXAMPLES` says how many requests are tried, half of them through the whole application.
"""

import asyncio
import base64
import copy
import gzip
import json
import os
import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mockclaude import wire
from mockclaude.app import create_app
from mockclaude.request import ask
from mockclaude.settings import Settings
from mockclaude.speech import signature

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2000")) // 2
OLD = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"}
NEW = {"authorization": "Bearer sk-test", "anthropic-version": "2026-10-21"}
REFUSALS = (400, 401, 404, 413)

EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}, "required": ["city"]}
PNG = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(16)).decode()}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": signature.sign("hm", random.Random(1))}
HI = {"model": "claude-haiku-4-5", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
BASES = [
    HI,
    HI | {"stream": True, "stop_sequences": ["END"], "system": "Be brief.", "metadata": {"user_id": "u"}},
    HI
    | {
        "stream": True,
        "tools": [{"name": "weather", "description": "d", "input_schema": SCHEMA, "cache_control": EPHEMERAL}],
        "tool_choice": {"type": "tool", "name": "weather"},
    },
    HI
    | {
        "max_tokens": 3000,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "tools": [{"name": "weather", "input_schema": SCHEMA}, {"type": "web_search_20260318", "name": "web_search"}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "weather?", "cache_control": EPHEMERAL}]},
            {
                "role": "assistant",
                "content": [SIGNED, {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "P"}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "x"}]}
                ],
            },
        ],
    },
    HI
    | {
        "model": "claude-opus-5-5",
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": PNG},
                    {
                        "type": "document",
                        "title": "T",
                        "citations": {"enabled": True},
                        "source": {"type": "text", "media_type": "text/plain", "data": "The sky is blue."},
                    },
                    {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
                    {"type": "text", "text": "call weather"},
                ],
            },
            {"role": "system", "content": "now in French", "output_config": {"effort": "high"}},
        ],
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
    },
]
NAMES = sorted(
    set(re.findall(r'"(\w+)":', json.dumps(BASES)))
    | {
        "temperature",
        "top_p",
        "top_k",
        "container",
        "thread",
        "speed",
        "inference_geo",
        "service_tier",
        "$ref",
        "anyOf",
    }
)
WORDS = """
user assistant system text image document tool_use tool_result server_tool_use redacted_thinking compaction any auto
enabled adaptive between_tools claude-opus-5 claude-sonnet-4-6 claude-3-5-haiku-latest base64 url content 5m string
integer
""".split()  # noqa: SIM905 - a list of words reads as one

SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-3, 70_000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(WORDS)
)
JSON = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


def containers(value):
    """Every list and dictionary in a value."""
    found = [value] if isinstance(value, list | dict) else []
    for one in found:
        found += [inner for inner in (one.values() if isinstance(one, dict) else one) if isinstance(inner, list | dict)]
    return found


def twist(draw, place):
    """Change a value into another of its kind, so that the shape stays good and the rules are reached."""
    keys = list(place) if isinstance(place, dict) else range(len(place))
    kinds = {str: st.sampled_from([*WORDS, "", " "]) | st.text(max_size=8), int: st.integers(0, 140_000)}
    plain = [key for key in keys if type(place[key]) in kinds]
    if plain:
        key = draw(st.sampled_from(plain))
        place[key] = draw(kinds[type(place[key])])


@st.composite
def mutated(draw):
    """A good request with some places changed, left out, doubled or filled with something."""
    body = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(containers(body)))
        if draw(st.booleans()):
            twist(draw, place)
            continue
        value = draw(JSON | st.sampled_from(containers(BASES)).map(copy.deepcopy))
        if isinstance(place, list):
            at = draw(st.integers(0, len(place)))
            place[at : at + draw(st.integers(0, 1))] = draw(st.sampled_from([[], [value], [value, value]]))
        elif place and draw(st.booleans()):
            name = draw(st.sampled_from(list(place)))
            del place[name]
            if draw(st.booleans()):
                place[name] = value
        else:
            place[draw(st.sampled_from(NAMES))] = value
    return body


BODIES = mutated() | st.dictionaries(st.sampled_from(list(HI)) | st.text(max_size=5), JSON, max_size=5) | JSON
HEADERS = st.sampled_from(
    [OLD, NEW] * 4 + [OLD | {"anthropic-beta": "interleaved-thinking-2025-05-14"}, {}, {"x-api-key": "a"}]
)
TRIED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@TRIED
@given(body=BODIES, headers=HEADERS)
def test_whatever_is_asked_is_understood_or_refused(body, headers):
    letter = ask.open_letter(json.dumps(body).encode())
    ask.labels(letter, headers)

    try:
        asked = ask.parse(letter, headers)
    except wire.ApiError as error:
        assert error.status in REFUSALS
    else:
        assert asked.input_tokens > 0
        assert asked.body == letter.data


@pytest.fixture(scope="module")
def mock():
    """A whole mock in memory that answers at once."""
    app = create_app(Settings({"latency": {"ttft": {"p50": 1e-6, "p95": 1e-6}, "tokens_per_second": 1e9}}))
    with asyncio.Runner() as runner:
        running = app.router.lifespan_context(app)
        runner.run(running.__aenter__())
        yield lambda raw, headers: runner.run(exchange(app, raw, headers))
        runner.run(running.__aexit__(None, None, None))


async def exchange(app, raw, headers):
    """One request: status, headers, body."""
    said = []
    parts = [{"type": "http.request", "body": raw, "more_body": False}]

    async def receive():
        return parts.pop() if parts else await asyncio.Future()

    async def send(message):
        said.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/messages",
        "raw_path": b"/v1/messages",
        "query_string": b"beta=true",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    sent = {name.decode(): value.decode() for name, value in said[0]["headers"]}
    return said[0]["status"], sent, b"".join(message["body"] for message in said[1:])


@st.composite
def uploads(draw):
    """A body's bytes and its headers, sometimes damaged or compressed."""
    raw = json.dumps(draw(BODIES)).encode()
    headers = draw(HEADERS)
    damage = draw(st.sampled_from(["none", "none", "none", "cut", "byte", "gzip", "half gzip", "false gzip"]))
    if damage == "cut":
        raw = raw[: draw(st.integers(0, len(raw)))]
    elif damage == "byte":
        at = draw(st.integers(0, len(raw) - 1))
        raw = raw[:at] + draw(st.binary(max_size=2)) + raw[at + 1 :]
    elif "gzip" in damage:
        headers = headers | {"content-encoding": "gzip"}
        packed = raw if damage == "false gzip" else gzip.compress(raw)
        raw = packed[: len(packed) // 2] if damage == "half gzip" else packed
    return raw, headers


@TRIED
@given(upload=uploads())
def test_whatever_is_sent_is_answered_or_refused_in_claudes_envelope(mock, upload):
    raw, headers = upload
    status, said, body = mock(raw, headers)

    if status == 200:
        if said["content-type"].startswith("text/event-stream"):
            assert re.search(rb'event: message_stop\ndata: \{"type":"message_stop" *\}\n\n\Z', body)
        else:
            assert json.loads(body)["type"] == "message"
        return
    error = json.loads(body)
    assert status in REFUSALS
    assert list(error) == ["type", "error", "request_id"]
    assert list(error["error"])[:2] == ["type", "message"]
    assert error["request_id"] == said["request-id"]
