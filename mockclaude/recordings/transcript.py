"""From the events of a stream to the message they make, and back."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from mockclaude import wire
from mockclaude.recordings.recording import Event, Json
from mockclaude.speech import script

TOKENS = "output_tokens"
LATER = ("output_tokens_details", "server_tool_use")
"""Parts of a usage that are not known when a stream begins."""
CUMULATIVE = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", TOKENS, *LATER)
CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")


def assembled(events: Sequence[Event]) -> Json | None:
    """The message that the events of a stream make; None when it did not come to its end.

    Raises `KeyError`, `TypeError` or `ValueError` for events that Claude would not send.
    """
    if not any(event.name == "message_stop" for event in events):
        return None
    message: Json = {}
    blocks: dict[int, _Block] = {}
    for _, name, data in events:
        if name == "message_start":
            message = dict(data["message"])
        elif name == "content_block_start":
            blocks[data["index"]] = _Block(data["content_block"])
        elif name == "content_block_delta":
            blocks[data["index"]].add(data["delta"])
        elif name == "message_delta":
            usage = message.pop("usage") | data.get("usage", {})
            rest = {key: value for key, value in data.items() if key not in ("type", "delta", "usage")}
            message |= data["delta"] | rest | {"usage": usage}
    return message | {"content": [block.whole() for block in blocks.values()]}


class _Block:
    """A content block that is put together from its deltas."""

    def __init__(self, start: Json) -> None:
        self._block = dict(start)
        self._json = ""

    def add(self, delta: Json) -> None:
        kind = delta["type"]
        if kind == "input_json_delta":
            self._json += delta["partial_json"]
        elif kind == "citations_delta":
            self._block["citations"] = [*(self._block.get("citations") or ()), delta["citation"]]
        elif kind == "signature_delta":
            self._block["signature"] = delta["signature"]
        else:
            name = kind.removesuffix("_delta")
            self._block[name] = self._block.get(name, "") + delta[name]

    def whole(self) -> Json:
        if self._json:
            try:
                self._block["input"] = json.loads(self._json)
            except ValueError:  # `max_tokens` ended it inside the arguments
                self._block["input"] = {}
        return self._block


def spread(body: Json, seconds: float) -> list[Event]:
    """A JSON reply as the events of a stream, its tokens evenly over the `seconds` it took.

    Raises `KeyError`, `TypeError` or `ValueError` for what is no message.
    """
    usage = body["usage"]
    total = usage[TOKENS]
    begun = {name: value for name, value in usage.items() if name not in LATER} | {TOKENS: min(1, total)}
    events = [_event(0.0, "message_start", message=body | {"content": []} | wire.UNDECIDED | {"usage": begun})]
    at, done, size = 0.0, 0, len(wire.dumps(body["content"]))
    for index, block in enumerate(body["content"]):
        share = total * len(wire.dumps(block)) // size
        said = _saying(block, share)
        events.append(_event(at, "content_block_start", index=index, content_block=dict(said.start())))
        if index == 0:
            events.append(Event(at, "ping", {"type": "ping"}))
        for made, delta in said.deltas(random.Random(index), None):
            at = max(at, seconds * (done + made) / max(total, 1))
            events.append(_event(at, "content_block_delta", index=index, delta=dict(script.as_json(delta))))
        events.append(_event(at, "content_block_stop", index=index))
        done += share
    stop = {name: body.get(name) for name in wire.UNDECIDED}
    used = {name: usage[name] for name in CUMULATIVE if name in usage}
    return [*events, _event(seconds, "message_delta", delta=stop, usage=used), _event(seconds, "message_stop")]


def _event(at: float, name: str, **fields: object) -> Event:
    return Event(at, name, {"type": name, **fields})


def _saying(block: Json, made: int) -> script.Block:
    kind = block["type"]
    if kind == "text":
        return script.Text(block["text"], made, block.get("citations") or ())
    if kind == "thinking":
        return script.Thinking(block["thinking"], made, block["signature"], shown=bool(block["thinking"]))
    if kind in CALLS:
        more = {name: value for name, value in block.items() if name not in ("type", "id", "name", "input")}
        return script.ToolUse(block["id"], block["name"], block["input"], made, kind, more=more)
    return script.Given(block, made)
