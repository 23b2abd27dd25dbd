"""What the events of a stream may look like, one after the other: a small state machine over their JSON.

    stream  = message_start block* message_delta message_stop      with a ping anywhere after message_start
    block   = content_block_start content_block_delta* content_block_stop      indexes 0, 1, 2 ...
    error   ends a stream anywhere

Source: platform.claude.com/docs (streaming) [A] and captured streams [B]. Blocks and deltas that are not known here may
hold anything: there will be new ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

Json = Mapping[str, Any]

DELTAS: Mapping[str, tuple[str, ...]] = {
    "text": ("text_delta", "citations_delta"),
    "thinking": ("thinking_delta", "signature_delta"),
    "tool_use": ("input_json_delta",),
    "server_tool_use": ("input_json_delta",),
    "mcp_tool_use": ("input_json_delta",),
    "redacted_thinking": (),
    "web_search_tool_result": (),
    "web_fetch_tool_result": (),
}
"""Which deltas fill a block of a type."""
FIELDS = {
    "text_delta": ("text", str),
    "citations_delta": ("citation", Mapping),
    "thinking_delta": ("thinking", str),
    "signature_delta": ("signature", str),
    "input_json_delta": ("partial_json", str),
}
"""What a delta brings."""
EMPTY: Mapping[str, Json] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
    "server_tool_use": {"input": {}},
    "mcp_tool_use": {"input": {}},
}
"""How a block begins that deltas fill."""
CUT_SHORT = ("max_tokens", "model_context_window_exceeded")
"""Stop reasons that may end a call of a tool inside its arguments."""
COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


class Ungrammatical(ValueError):
    """An event that may not stand where it stands, or a stream that ends too early."""


def flaw(events: Iterable[Json]) -> str | None:
    """What is wrong with a whole stream, from the JSON of its events; None for a stream that Claude may send."""
    stream = Stream()
    try:
        for event in events:
            stream.take(event)
        stream.end()
    except Ungrammatical as error:
        return f"event {stream.taken}: {error}"
    return None


class Stream:
    """A stream as far as it has come. `take` every event, then `end`; both raise `Ungrammatical`."""

    def __init__(self) -> None:
        self.state = "nothing"
        """One of nothing, between, inside, closing, ended: before the start, between blocks, inside one, and so on."""
        self.taken = 0
        """How many events have come."""
        self._blocks = 0
        self._block = _Block({})
        self._unread: str | None = None
        self._counts: Json = {}

    def take(self, event: Json) -> None:
        """The next event."""
        self.taken += 1
        kind = event.get("type") if isinstance(event, Mapping) else None
        if self.state == "ended":
            raise Ungrammatical(f"{kind} after the end")
        steps = {
            "message_start": ("nothing", self._open),
            "content_block_start": ("between", self._begin),
            "content_block_delta": ("inside", self._fill),
            "content_block_stop": ("inside", self._finish),
            "message_delta": ("between", self._close),
            "message_stop": ("closing", self._stop),
        }
        if kind == "error":
            self._fail(event)
        elif kind == "ping":
            _need(self.state != "nothing", "ping before message_start")
        elif isinstance(kind, str) and kind in steps:
            place, step = steps[kind]
            _need(self.state == place, f"{kind} {WHERE[self.state]}")
            step(event)
        else:
            raise Ungrammatical(f"no event is called {kind!r}")

    def end(self) -> None:
        """Nothing more comes."""
        _need(self.state == "ended", f"the stream ends {WHERE[self.state]}")

    def _fail(self, event: Json) -> None:
        error = _mapping(event, "error")
        _need(isinstance(error.get("type"), str) and isinstance(error.get("message"), str), "an error without words")
        self.state = "ended"

    def _open(self, event: Json) -> None:
        message = _mapping(event, "message")
        _need(message.get("content") == [], "message_start with content")
        _need(message.get("stop_reason") is None, "message_start with a stop reason")
        self._counts = _counts(_mapping(message, "usage"), "message_start")
        self.state = "between"

    def _begin(self, event: Json) -> None:
        self._is_at(event, self._blocks)
        if self._unread is not None:
            raise Ungrammatical(f"another block after {self._unread}")
        self._block = _Block(_mapping(event, "content_block"))
        self.state = "inside"

    def _fill(self, event: Json) -> None:
        self._is_at(event, self._blocks)
        self._block.add(_mapping(event, "delta"))

    def _finish(self, event: Json) -> None:
        self._is_at(event, self._blocks)
        self._unread = self._block.end()
        self._blocks += 1
        self.state = "between"

    def _close(self, event: Json) -> None:
        reason = _mapping(event, "delta").get("stop_reason")
        _need(isinstance(reason, str), f"message_delta with the stop reason {reason!r}")
        if self._unread is not None and reason not in CUT_SHORT:
            raise Ungrammatical(f"{self._unread}, though the stop reason is {reason}")
        used = _counts(_mapping(event, "usage"), "message_delta")
        for name, begun in self._counts.items():
            _need(used.get(name, begun) >= begun, f"usage.{name} falls from {begun} to {used.get(name)}")
        self.state = "closing"

    def _stop(self, event: Json) -> None:
        self.state = "ended"

    def _is_at(self, event: Json, expected: int) -> None:
        index = event.get("index")
        _need(index == expected and type(index) is int, f"{event['type']} has index {index!r}, expected {expected}")


WHERE = {
    "nothing": "before message_start",
    "between": "outside of a content block",
    "inside": "inside a content block",
    "closing": "after message_delta",
    "ended": "at the end",
}


class _Block:
    """The open content block."""

    def __init__(self, start: Json) -> None:
        self._type = str(start.get("type"))
        self._signatures = 0
        self._json = ""
        for name, empty in EMPTY.get(self._type, {}).items():
            _need(start.get(name) == empty, f"a {self._type} block begins with {name} {start.get(name)!r}")

    def add(self, delta: Json) -> None:
        kind = str(delta.get("type"))
        _need(kind in DELTAS.get(self._type, (kind,)), f"{kind} in a {self._type} block")
        if kind not in FIELDS:
            return
        name, wanted = FIELDS[kind]
        value = delta.get(name)
        _need(isinstance(value, wanted), f"{kind} with {name} {value!r}")
        _need(not self._signatures, f"{kind} after the signature")
        self._signatures += kind == "signature_delta"
        if kind == "input_json_delta":
            self._json += str(value)

    def end(self) -> str | None:
        """What of it cannot be read; only a reply that was cut short may have that."""
        _need(self._type != "thinking" or self._signatures == 1, "a thinking block without a signature")
        if not self._json:
            return None
        try:
            arguments = json.loads(self._json)
        except (ValueError, RecursionError):
            return f"arguments that are not JSON ({self._json[-60:]!r})"
        _need(isinstance(arguments, dict), f"arguments that are no object ({self._json[:60]!r})")
        return None


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Ungrammatical(otherwise)


def _mapping(event: Json, name: str) -> Json:
    found = event.get(name)
    if not isinstance(found, Mapping):
        raise Ungrammatical(f"{event.get('type')} with {name} {found!r}")
    return found


def _counts(usage: Json, where: str) -> Json:
    """What has been counted so far; output tokens always are."""
    counts = {name: usage[name] for name in COUNTS if usage.get(name) is not None}
    for name, value in counts.items():
        _need(type(value) is int and value >= 0, f"{where} with usage.{name} {value!r}")
    _need("output_tokens" in counts, f"{where} without usage.output_tokens")
    return counts
