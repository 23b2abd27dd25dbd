"""What Claude's answers look like from outside: each judge looks at one exchange, or two, and raises `Wrong`.

The facts are those of platform.claude.com/docs (messages, errors, streaming, models) and of captured traffic. What a
server sends may be anything at all: an error that comes of that counts as `Wrong` too, for whoever calls a judge.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from mockclaude import catalog, grammar, wire
from mockclaude.conformance import probes
from mockclaude.conformance.exchange import Absent, Exchange, Wrong

BASE58 = f"[{wire.BASE58}]"
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
MESSAGE = ("model", "id", "type", "role", "content", "stop_reason", "stop_sequence")
MESSAGE_LATER = ("stop_details", "container", "context_management", "diagnostics", "input_transformations")
COUNTED = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
USAGE = (*COUNTED, "cache_creation", "output_tokens", "service_tier", "inference_geo")
USAGE_LATER = ("output_tokens_details", "server_tool_use", "speed", "iterations", "fallback_credit")
SIGNATURE = (320, 1688)
PADDING = 15
WELL_FORMED = re.compile(rb"event: [a-z_]+\ndata: [^\n]+\n\n")
NOT_THERE = (404, 405, 501)
TYPES: Mapping[str, type] = {"string": str, "integer": int}


def answered(said: Exchange) -> None:
    """200, with a message or a stream."""
    kind = (said.header("content-type") or "").partition(";")[0]
    _same((said.status, kind), (200, "text/event-stream" if said.asked.get("stream") else "application/json"), said)
    if not said.asked.get("stream"):
        _same((said.json.get("type"), said.json.get("role")), ("message", "assistant"))


def message_keys(said: Exchange) -> None:
    """The keys of a message, in Claude's order."""
    answered(said)
    _ordered(said.json, (*MESSAGE, "usage"), MESSAGE_LATER)
    _same(list(said.json)[-1], "usage")


def usage_keys(said: Exchange) -> None:
    """The keys of its usage."""
    answered(said)
    usage = said.json["usage"]
    _ordered(usage, USAGE, USAGE_LATER)
    _same(list(usage["cache_creation"]), ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"])


def compact(said: Exchange) -> None:
    """JSON without a space too many, in raw UTF-8."""
    _compact(said.body)


def message_id(said: Exchange) -> None:
    """`msg_01` and 22 characters of base58."""
    answered(said)
    _matches(said.json["id"], f"msg_01{BASE58}{{22}}")


def request_id(said: Exchange) -> None:
    """`req_011C` and some 20 characters of base58."""
    _matches(said.header("request-id"), f"req_011C{BASE58}{{18,22}}")


def organization(said: Exchange) -> None:
    """A UUID."""
    _matches(said.header("anthropic-organization-id"), UUID)


def model(said: Exchange) -> None:
    """An alias is answered with the id of the model behind it."""
    answered(said)
    known = catalog.find(said.asked["model"])
    if known is None:
        raise Absent(f"what {said.asked['model']} resolves to is not known")
    _same(said.json["model"], known.id)


def max_tokens(said: Exchange) -> None:
    """The reply ends where `max_tokens` ends it, and was charged for as much."""
    answered(said)
    usage = said.json["usage"]
    _same((said.json["stop_reason"], usage["output_tokens"]), ("max_tokens", said.asked["max_tokens"]))


def stop_sequence(said: Exchange) -> None:
    """The reply ends before the stop sequence, and says which it was."""
    answered(said)
    stops, text = said.asked["stop_sequences"], _text(said)
    if not text and said.json["stop_reason"] == "max_tokens":
        raise Absent("the model thought and said nothing")
    _same(said.json["stop_reason"], "stop_sequence")
    _need(said.json["stop_sequence"] in stops, said.json["stop_sequence"], f"one of {stops}")
    _need(not any(stop in text for stop in stops), repr(text), f"a text without {stops}")


def schema(said: Exchange) -> None:
    """Structured output is JSON that satisfies its schema."""
    answered(said)
    _satisfies(json.loads(_text(said)), said.asked["output_config"]["format"]["schema"])


def counting(said: Exchange) -> None:
    """`{"input_tokens":14}`."""
    _there(said)
    _compact(said.body)
    _same((said.status, list(said.json)), (200, ["input_tokens"]), said)
    count = said.json["input_tokens"]
    _need(type(count) is int and count > 0, repr(count), "a positive number")


def models(said: Exchange) -> None:
    """A page of models."""
    _there(said)
    _same(said.status, 200, said)
    page = said.json
    _same(set(page), {"data", "has_more", "first_id", "last_id"})
    _need(0 < len(page["data"]) <= probes.PAGE, f"{len(page['data'])} models", f"1 to {probes.PAGE}, as asked for")
    ids = [one["id"] for one in page["data"]]
    _same((page["first_id"], page["last_id"]), (ids[0], ids[-1]))
    for one in page["data"]:
        _is_model(one)


def next_page(first: Exchange, second: Exchange) -> None:
    """The page after has other models."""
    models(second)
    both = {one["id"] for one in first.json["data"]} & {one["id"] for one in second.json["data"]}
    _need(not both, f"{', '.join(sorted(both))} again", "other models")


def one_model(said: Exchange) -> None:
    """A model by its alias."""
    _there(said)
    _same(said.status, 200, said)
    _is_model(said.json)
    known = catalog.find(unquote(said.request.path.rpartition("/")[2]))
    _need(known is None or said.json["id"] == known.id, said.json["id"], known and known.id)


def head(said: Exchange) -> None:
    """Anything but a failure, as Claude Code wants it before it asks anything."""
    _need(said.status < 500 and not said.body, said.excerpt, "a status below 500 and no body")


def envelope(said: Exchange) -> None:
    """The envelope of an error: its keys in order, compact, as JSON."""
    _need(said.status >= 400, said.excerpt, "an error")
    _same(said.header("content-type"), "application/json")
    _same(list(said.json), ["type", "error", "request_id"])
    _same(said.json["type"], "error")
    _ordered(said.json["error"], ("type", "message"), ("details",))
    _compact(said.body)


def same_request_id(said: Exchange) -> None:
    """The header and the body name the same request."""
    _need(said.header("request-id") is not None, "no header request-id", "one")
    _same(said.json["request_id"], said.header("request-id"))


def no_retry(said: Exchange) -> None:
    """A 400 says that it is of no use to ask again."""
    _same((said.status, said.header("x-should-retry")), (400, "false"), said)


def no_workspace(said: Exchange) -> None:
    """Before the caller is known, no workspace is."""
    if said.status == 200:
        raise Absent("the server asks for no key")
    _same(said.header("anthropic-workspace-id"), None)


def stream_headers(said: Exchange) -> None:
    """A stream is announced as one."""
    answered(said)
    _same(said.header("content-type"), "text/event-stream; charset=utf-8")
    _same(said.header("cache-control"), "no-cache")
    _same(said.header("content-length"), None)


def framing(said: Exchange) -> None:
    r"""`event:` and `data:` lines that end in LF alone, a blank line after each event, nothing else.

    The stream ends `}\n\n`; the name of an event is its JSON's `type`.
    """
    answered(said)
    _need(b"\r" not in said.body, "CR in the stream", "lines that end in LF alone")
    rest = WELL_FORMED.sub(b"", said.body)
    _need(not rest, repr(rest[:80]), "event: NAME, data: JSON and a blank line")
    for event in said.events:
        _same(event.json["type"], event.name)
    _need(said.body.endswith(b"}\n\n"), repr(said.body[-20:]), "a last event")


def padding(said: Exchange) -> None:
    """Compact JSON with 0 to 15 spaces before its last brace, not always as many."""
    answered(said)
    found = {_padding(event.data) for event in said.events if event.name != "ping"}
    _need(len(found) > 1, f"always {found} spaces", f"0 to {PADDING}, at random")


def ping(said: Exchange) -> None:
    """Its exact bytes, and not before the first block has begun."""
    answered(said)
    names = [event.name for event in said.events]
    _need("ping" in names, "no ping", "at least one")
    _need(names.index("ping") >= 2, f"{names[:3]}", "a ping after the first content_block_start")
    for event in said.events:
        _need(event.name != "ping" or event.data == b'{"type": "ping"}', repr(event.data), '{"type": "ping"}')


def stream_grammar(said: Exchange) -> None:
    """The events stand in the order they may stand in."""
    if said.status == 400 and "tool_choice" in said.json["error"]["message"]:
        raise Absent(f"{said.asked['model']} takes no forced tool_choice")
    answered(said)
    flaw = grammar.flaw([event.json for event in said.events])
    _need(flaw is None, flaw, "a stream as Claude sends it")


def whole(said: Exchange) -> None:
    """A stream that ends with message_stop and says why Claude stopped."""
    answered(said)
    _same([event.name for event in said.events[-2:]], ["message_delta", "message_stop"])
    _same(said.payloads("message_delta")[0]["delta"]["stop_reason"], "max_tokens")


def start(said: Exchange) -> None:
    """`message_start` has an empty message with some output tokens already."""
    answered(said)
    [event] = said.payloads("message_start")
    _same(list(event), ["type", "message"])
    _ordered(event["message"], (*MESSAGE, "usage"), MESSAGE_LATER)
    _ordered(event["message"]["usage"], USAGE, USAGE_LATER)
    output = event["message"]["usage"]["output_tokens"]
    _need(output in range(1, 9), f"{output} output tokens", "1 to 8")


def first_delta(said: Exchange) -> None:
    """The first delta is a word or less; later ones have several."""
    answered(said)
    deltas = [one["delta"] for one in said.payloads("content_block_delta")]
    pieces = [delta["text"] for delta in deltas if delta["type"] == "text_delta"]
    if deltas and not pieces:
        raise Absent("the model thought and said nothing")
    _need(len(pieces[0].split()) <= 2, repr(pieces[0]), "one word, or less")
    longest = max(pieces, key=len)
    _need(len(longest.split()) > 1, f"none longer than {longest!r}", "deltas of several words")


def cumulative(said: Exchange) -> None:
    """The usage at the end counts all that was used."""
    answered(said)
    [begun], [ended] = said.payloads("message_start"), said.payloads("message_delta")
    first, last = begun["message"]["usage"], ended["usage"]
    _ordered(last, (*COUNTED, "output_tokens"), USAGE_LATER)
    _same([last[name] for name in COUNTED], [first[name] for name in COUNTED])
    _same(last["output_tokens"], said.asked["max_tokens"])


def tool(said: Exchange) -> None:
    """A forced call: an id, empty arguments at first, then fragments of JSON that satisfy the tool's schema."""
    stream_grammar(said)
    wanted = said.asked["tools"][0]
    block = said.payloads("content_block_start")[-1]["content_block"]
    _ordered(block, ("type", "id", "name", "input"), ("caller",))
    _same((block["type"], block["name"]), ("tool_use", wanted["name"]))
    _matches(block["id"], f"toolu_01{BASE58}{{22}}")
    fragments = [one["delta"]["partial_json"] for one in said.payloads("content_block_delta")]
    _same(fragments[0], "")
    _satisfies(json.loads("".join(fragments)), wanted["input_schema"])
    _same(said.payloads("message_delta")[0]["delta"]["stop_reason"], "tool_use")


def thinking(said: Exchange) -> None:
    """A thought, shown, then one signature in base64."""
    answered(said)
    stream_grammar(said)
    block = probes.thought(said)[0]
    _same(list(block), ["type", "thinking", "signature"])
    _need(bool(block["thinking"]), "no thought", "a thought, shown")
    seal = block["signature"]
    base64.b64decode(seal, validate=True)
    _need(SIGNATURE[0] <= len(seal) <= SIGNATURE[1], f"a signature of {len(seal)} characters", "320 to 1688")


def altered(said: Exchange) -> None:
    """Thinking whose signature was touched is refused."""
    _same(said.status, 400, said)
    text = said.json["error"]["message"]
    known = "messages.1.content.0: Invalid `signature` in `thinking` block", "cannot be modified"
    _need(any(one in text for one in known), repr(text), known[0])


def _text(said: Exchange) -> str:
    return "".join(block["text"] for block in said.json["content"] if block["type"] == "text")


def _padding(data: bytes) -> int:
    """How many spaces stand before the last brace."""
    bare = data.removesuffix(b"}").rstrip(b" ")
    _compact(bare + b"}")
    spaces = len(data) - 1 - len(bare)
    _need(spaces <= PADDING, f"{spaces} spaces", f"0 to {PADDING}")
    return spaces


def _compact(data: bytes) -> None:
    expected = wire.dumps(json.loads(data))
    if data != expected:
        at = next((k for k, (a, b) in enumerate(zip(data, expected, strict=False)) if a != b), len(expected))
        raise Wrong(repr(data[max(0, at - 10) : at + 30]), repr(expected[max(0, at - 10) : at + 30]))


def _satisfies(value: Any, wanted: Mapping[str, Any]) -> None:
    """As much of a schema as the probes use."""
    _need(isinstance(value, dict), repr(value), "an object")
    _same(sorted(value), sorted(wanted["required"]))
    for name, rule in wanted["properties"].items():
        good = type(value[name]) is TYPES[rule["type"]] and value[name] in rule.get("enum", [value[name]])
        _need(good, f"{name} {value[name]!r}", rule)


def _is_model(one: Mapping[str, Any]) -> None:
    missing = {"type", "id", "display_name", "created_at"} - set(one)
    _need(not missing and one["type"] == "model", dict(one), "a model with id, display_name and created_at")


def _there(said: Exchange) -> None:
    if said.status in NOT_THERE:
        raise Absent(f"{said.request.path.partition('?')[0]} is answered {said.status}")


def _ordered(found: Mapping[str, Any], wanted: Sequence[str], allowed: Sequence[str]) -> None:
    """The wanted keys in their order; among them only those allowed, which came later."""
    _same([name for name in found if name not in allowed], list(wanted))


def _matches(found: str | None, pattern: str) -> None:
    _need(found is not None and re.fullmatch(pattern, found) is not None, found, pattern)


def _same(found: object, expected: object, said: Exchange | None = None) -> None:
    _need(found == expected, found if said is None else said.excerpt, expected)


def _need(holds: bool, got: object, expected: object) -> None:
    if not holds:
        raise Wrong(got, expected)
