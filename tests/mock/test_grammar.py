"""The event grammar: what it takes, what it refuses, and that every stream of the mock without a fault keeps to it.

`FUZZ_EXAMPLES` says how many streams are tried.
"""

import asyncio
import base64
import copy
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mockclaude import catalog, grammar
from mockclaude.app import create_app
from mockclaude.settings import Settings

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
INSTANT = {"ttft": {"p50": 1e-6, "p95": 1e-6}, "tokens_per_second": 1e9, "prefill": False}


def start(output=1, **message):
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
    }
    return {"type": "message_start", "message": {"content": [], "stop_reason": None, "usage": usage} | message}


def end(reason="end_turn", output=5, **usage):
    return [
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": output} | usage},
        {"type": "message_stop"},
    ]


def block(kind, *deltas, index=0, **begun):
    filled = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    opened = {"type": "content_block_start", "index": index, "content_block": {"type": kind} | begun}
    return [opened, *filled, {"type": "content_block_stop", "index": index}]


def said(*texts, index=0):
    return block("text", *({"type": "text_delta", "text": text} for text in texts), index=index, text="")


def called(*fragments, index=0):
    deltas = ({"type": "input_json_delta", "partial_json": fragment} for fragment in fragments)
    return block("tool_use", *deltas, index=index, id="toolu_1", name="t", input={})


THOUGHT = {"type": "thinking_delta", "thinking": "hm"}
SIGNED = {"type": "signature_delta", "signature": "EqQB"}
CITED = {"type": "citations_delta", "citation": {"type": "char_location"}}


def thought(*deltas, index=0):
    return block("thinking", *deltas, index=index, thinking="", signature="")


PING = {"type": "ping"}
ERROR = {"type": "error", "error": {"details": None, "type": "overloaded_error", "message": "Overloaded"}}
WHOLE = [
    start(),
    *thought(THOUGHT, SIGNED)[:1],
    PING,
    *thought(THOUGHT, SIGNED)[1:],
    *said("a ", "b", index=1),
    *called("", '{"a"', ": 1}", index=2),
    *end("tool_use"),
]


@pytest.mark.parametrize(
    "events",
    [
        [start(), *said("a"), *end()],
        [start(), *end("max_tokens", output=1)],
        [start(), *said("a")[:1], PING, PING, *said("a")[1:], PING, *end()[:1], PING, *end()[1:]],
        WHOLE,
        [start(), *thought(SIGNED), *end()],
        [start(), *called("", "{}"), *end("tool_use")],
        [start(), *called(""), *end("tool_use")],
        [start(), *called("", '{"a'), *end("max_tokens")],
        [start(), *block("text", CITED, text="", citations=[]), *end()],
        [start(), *block("redacted_thinking", data="x"), *end()],
        [start(), *block("something_new", {"type": "something_delta"}), *end()],
        [start(), *said("a")[:2], ERROR],
        [ERROR],
        [start(), *end()[:1], ERROR],
    ],
    ids=[
        *("text", "nothing said", "pings", "everything", "hidden thought", "no arguments", "empty fragment"),
        *("cut in its arguments", "citations", "redacted", "unknown block", "error inside", "error at once"),
        "error before the end",
    ],
)
def test_a_stream_that_claude_may_send_has_no_flaw(events):
    assert grammar.flaw(events) is None


@pytest.mark.parametrize(
    ("events", "flaw"),
    [
        ([], "event 0: the stream ends before message_start"),
        ([PING], "event 1: ping before message_start"),
        ([start(), start()], "event 2: message_start outside of a content block"),
        ([*said("a")], "event 1: content_block_start before message_start"),
        ([start(), *said("a", index=1)], "event 2: content_block_start has index 1, expected 0"),
        ([start(), *said("a"), *said("a")], "event 5: content_block_start has index 0, expected 1"),
        ([start(), *said("a", index=True)], "event 2: content_block_start has index True, expected 0"),
        (
            [start(), *said("a")[:1], *said("a", index=1)[1:]],
            "event 3: content_block_delta has index 1, expected 0",
        ),
        ([start(), *said("a")[:2], *said("b", index=1)], "event 4: content_block_start inside a content block"),
        ([start(), said("a")[1]], "event 2: content_block_delta outside of a content block"),
        ([start(), *said("a")[:2], *end()], "event 4: message_delta inside a content block"),
        ([start(), *said("a"), *end()[1:]], "event 5: message_stop outside of a content block"),
        ([start(), *end()[:1], *end()], "event 3: message_delta after message_delta"),
        ([start(), *end()[:1], *said("a")], "event 3: content_block_start after message_delta"),
        ([start(), *end(), PING], "event 4: ping after the end"),
        ([start(), ERROR, *end()], "event 3: message_delta after the end"),
        ([start(), *said("a")], "event 4: the stream ends outside of a content block"),
        ([start(), *said("a"), *end()[:1]], "event 5: the stream ends after message_delta"),
        ([start(), {"type": "completion"}], "event 2: no event is called 'completion'"),
        ([start(), {"type": ["x"]}], "event 2: no event is called ['x']"),
        ([start(), "text"], "event 2: no event is called None"),
        ([start(), *block("text", THOUGHT, text="")], "event 3: thinking_delta in a text block"),
        ([start(), *block("redacted_thinking", THOUGHT)], "event 3: thinking_delta in a redacted_thinking block"),
        ([start(), *block("text", {"type": []}, text="")], "event 3: [] in a text block"),
        ([start(), *block("text", {"type": "text_delta"}, text="")], "event 3: text_delta with text None"),
        ([start(), *block("text", text="a")], "event 2: a text block begins with text 'a'"),
        ([start(), *block("tool_use", input={"a": 1})], "event 2: a tool_use block begins with input {'a': 1}"),
        ([start(), *thought(THOUGHT)], "event 4: a thinking block without a signature"),
        ([start(), *thought(SIGNED, SIGNED)], "event 4: signature_delta after the signature"),
        ([start(), *thought(SIGNED, THOUGHT)], "event 4: thinking_delta after the signature"),
        (
            [start(), *called("", '{"a'), *end("tool_use")],
            "event 6: arguments that are not JSON ('{\"a'), though the stop reason is tool_use",
        ),
        (
            [start(), *called('{"a'), *said("b", index=1)],
            "event 5: another block after arguments that are not JSON ('{\"a')",
        ),
        ([start(), *called("[1]"), *end()], "event 4: arguments that are no object ('[1]')"),
        ([start(content=["x"])], "event 1: message_start with content"),
        ([start(stop_reason="end_turn")], "event 1: message_start with a stop reason"),
        ([{"type": "message_start"}], "event 1: message_start with message None"),
        ([start(output=9), *end(output=5)], "event 2: usage.output_tokens falls from 9 to 5"),
        ([start(), *end(input_tokens=9)], "event 2: usage.input_tokens falls from 10 to 9"),
        ([start(), *end(output=None)], "event 2: message_delta without usage.output_tokens"),
        ([start(), *end(output=True)], "event 2: message_delta with usage.output_tokens True"),
        ([start(), *end(None)], "event 2: message_delta with the stop reason None"),
        ([start(), {"type": "error", "error": {}}], "event 2: an error without words"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_flaw_is_named_with_its_place(events, flaw):
    assert grammar.flaw(events) == flaw


MAY_GO = {"ping", "text_delta", "thinking_delta"}
"""Without one of these a stream is still one."""


def kind(event):
    return event.get("delta", {}).get("type", event["type"])


@pytest.mark.parametrize("at", range(len(WHOLE)), ids=lambda at: f"{at}-{kind(WHOLE[at])}")
def test_no_event_that_matters_can_go_missing(at):
    rest = WHOLE[:at] + WHOLE[at + 1 :]
    first_fragment = WHOLE[at].get("delta", {}).get("partial_json") == ""

    assert (grammar.flaw(rest) is None) == (kind(WHOLE[at]) in MAY_GO or first_fragment)


@pytest.mark.parametrize("at", range(len(WHOLE)), ids=lambda at: f"{at}-{kind(WHOLE[at])}")
def test_no_event_that_matters_can_come_twice(at):
    doubled = WHOLE[: at + 1] + WHOLE[at:]
    first_fragment = WHOLE[at].get("delta", {}).get("partial_json") == ""

    assert (grammar.flaw(doubled) is None) == (kind(WHOLE[at]) in MAY_GO or first_fragment)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3)))
def test_an_event_may_be_anything_at_all(rubbish):
    for event in WHOLE:
        for name in event:
            assert grammar.flaw([*WHOLE[:2], event | {name: rubbish}]) is not None


# Every stream of the mock

TEXTS = [
    "The harbour is open. Ships may enter!",
    "請告訴我港口的情況",
    "call pick and look",
    "call look",
    "scripted",
    "refused",
    "echo: \N{GRINNING FACE} naïve",
]
SCHEMAS = [
    {"type": "object"},
    {
        "type": "object",
        "properties": {"place": {"type": "string"}, "n": {"type": "integer", "minimum": 3}},
        "required": ["place", "n"],
        "additionalProperties": False,
    },
    {"type": "object", "properties": {"all": {"type": "array", "items": {"enum": ["a", 1, None]}, "minItems": 2}}},
]
EPHEMERAL = {"cache_control": {"type": "ephemeral"}}
DOCUMENTS = [
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "One. Two. Three."}},
    {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "A part."}]}},
    {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "found"}]},
]
RESPONDERS = [
    {
        "match": {"text": "scripted"},
        "scripted": {
            "content": [
                {"type": "thinking", "thinking": "I should search."},
                {"type": "redacted_thinking", "data": base64.b64encode(b"secret").decode()},
                {"type": "server_tool_use", "name": "web_search", "input": {"query": "harbour"}},
                {"type": "web_search_tool_result", "content": []},
                {"type": "text", "text": "It is open now.", "citations": [{"type": "char_location"}]},
                {"type": "tool_use", "name": "look", "input": {"at": ["ships", 3, {"and": None}]}},
                {"type": "compaction", "content": "so far"},
            ]
        },
    },
    {
        "match": {"text": "refused"},
        "scripted": {"content": [{"type": "text", "text": "I cannot"}], "stop_reason": "refusal"},
    },
    {"match": {"text": "echo"}, "echo": {}},
    {"generated": {}},
]
FEATURED = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def requests(draw):
    """A good request for a stream, with any features that go together."""
    model = catalog.find(draw(st.sampled_from(list(catalog.RELEASED))))
    content = [{"type": "text", "text": draw(st.sampled_from(TEXTS))} | draw(st.sampled_from([{}, EPHEMERAL]))]
    for document in draw(st.lists(st.sampled_from(DOCUMENTS), max_size=2)):
        content.insert(0, document | {"citations": {"enabled": True}})
    body = {"model": model.id, "stream": True, "messages": [{"role": "user", "content": content}]}
    body["max_tokens"] = draw(st.sampled_from([0, 1, 2, 3, 5, 8, 20, 60, 300]) | st.integers(4, 40))
    if draw(st.booleans()):
        body["stop_sequences"] = draw(st.lists(st.sampled_from(["e", "th", " a", '"', "港", "zzz"]), max_size=3))
    if draw(st.booleans()):
        body["system"] = [{"type": "text", "text": "Be brief. " * draw(st.sampled_from([1, 3000]))} | EPHEMERAL]
    forced = tooled(draw, body)
    if not forced:
        thought_over(draw, model, body)
    if draw(st.booleans()):
        body["output_config"] = {"format": {"type": "json_schema", "schema": draw(st.sampled_from(SCHEMAS))}}
    if draw(st.booleans()):
        body["speed"] = "fast"
    return body


def tooled(draw, body):
    """Give it tools; whether it must call one."""
    if not draw(st.booleans()):
        return False
    names = draw(st.sampled_from([["look"], ["pick", "look"]]))
    body["tools"] = [{"name": name, "input_schema": draw(st.sampled_from(SCHEMAS))} for name in names]
    kind = draw(st.sampled_from(["auto", "any", "tool", "none"]))
    body["tool_choice"] = {"type": kind} | ({"name": "look"} if kind == "tool" else {})
    if kind != "none" and draw(st.booleans()):
        body["tool_choice"]["disable_parallel_tool_use"] = True
    return kind in ("any", "tool")


def thought_over(draw, model, body):
    """Let it think, as the model can."""
    if model.thinks_on_a_budget and draw(st.booleans()):
        body["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        body["max_tokens"] += 1025
    elif model.thinks_adaptively and draw(st.booleans()):
        body["thinking"] = {"type": "adaptive"} | draw(
            st.sampled_from([{}, {"display": "summarized"}, {"display": "omitted"}])
        )


@pytest.fixture(scope="module")
def stream():
    """A whole mock in memory that answers at once: the status and body of one request."""
    app = create_app(Settings({"latency": INSTANT, "responders": RESPONDERS}))
    with asyncio.Runner() as runner:
        running = app.router.lifespan_context(app)
        runner.run(running.__aenter__())
        yield lambda body, headers={}: runner.run(exchange(app, body, headers))
        runner.run(running.__aexit__(None, None, None))


async def exchange(app, body, headers):
    told, sent = [], [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
    shown = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"} | headers
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/messages",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in shown.items()],
    }

    async def receive():
        return sent.pop() if sent else await asyncio.Future()

    async def send(message):
        told.append(message)

    await app(scope, receive, send)
    return told[0]["status"], b"".join(message["body"] for message in told[1:])


def events(body):
    """The JSON of each event."""
    return [json.loads(line.removeprefix(b"data: ")) for line in body.split(b"\n") if line.startswith(b"data: ")]


@FEATURED
@given(body=requests())
def test_every_stream_without_a_fault_keeps_to_the_grammar(stream, body):
    status, answer = stream(copy.deepcopy(body))

    assert status == 200, answer
    found = events(answer)
    assert grammar.flaw(found) is None
    assert found[-1] == {"type": "message_stop"}


HI = {"model": "claude-haiku-4-5", "max_tokens": 50, "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def test_an_error_event_ends_a_stream_that_keeps_to_it(stream):
    status, answer = stream(HI, {"x-mockclaude-fault": "error_event;after=2"})

    assert (status, grammar.flaw(events(answer)), events(answer)[-1]["type"]) == (200, None, "error")


@pytest.mark.parametrize(
    ("fault", "flaw"),
    [
        ("truncate;after=2", "the stream ends inside a content block"),
        ("missing_event;event=content_block_start", "content_block_delta outside of a content block"),
        ("missing_event;event=content_block_stop", "message_delta inside a content block"),
        ("missing_event;event=message_delta", "message_stop outside of a content block"),
        ("missing_event;event=message_stop", "the stream ends after message_delta"),
    ],
)
def test_a_fault_that_harms_the_order_of_events_is_a_flaw(stream, fault, flaw):
    _, answer = stream(HI, {"x-mockclaude-fault": fault})

    assert flaw in grammar.flaw(events(answer))
