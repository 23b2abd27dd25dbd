"""Which tools Claude calls, and with what.

Under `auto` a tool is called when the user names it and its result has not come yet; `any` and `tool` force a call.
Only the caller's tools are called: his own, and those of Claude's that he runs (bash, text editor, computer, memory).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mockclaude import wire
from mockclaude.draw import Draw
from mockclaude.request import ask
from mockclaude.speech import schema, script

Json = Mapping[str, Any]

CLIENT_RUN: Mapping[str, Json] = {
    "bash": {"command": "ls"},
    "text_editor": {"command": "view", "path": "/"},
    "computer": {"action": "screenshot"},
    "memory": {"command": "view", "path": "/memories"},
}
"""Claude's own tools that the caller runs, by the beginning of their type, and arguments that harm nobody."""
REMINDER = "<system-reminder>"
"""How Claude Code begins the text blocks that it adds to what the user said."""

WORD = re.compile(r"[\w-]+")


def calls(asked: ask.Ask, draw: Draw) -> tuple[script.Block, ...]:
    """The calls to make now, none when it is time for an answer."""
    called = wanted(asked.body)
    if not called:
        return ()
    rng = draw.rng("tools")
    return tuple(_call(tool, asked.model.token_scale, rng) for tool in called)


def forced(body: Json) -> bool:
    """Whether `tool_choice` leaves no way but a call."""
    return (body.get("tool_choice") or {}).get("type") in ("any", "tool")


def wanted(body: Json) -> Sequence[Json]:
    """The tools to be called now, in the order they are offered."""
    listed = body.get("tools")
    if not listed:
        return ()
    offered = [tool for tool in listed if _callable(tool)]
    choice = body.get("tool_choice") or {"type": "auto"}
    if choice.get("type") == "tool":
        return [tool for tool in offered if tool["name"] == choice.get("name")][:1]
    if not offered or choice.get("type") == "none" or body["messages"][-1]["role"] == "assistant":
        return ()
    named = _named(offered, body["messages"])
    if choice.get("type") == "any" and not named:
        named = offered[:1]
    return named[:1] if choice.get("disable_parallel_tool_use") else named


def _named(offered: Sequence[Json], messages: Sequence[Json]) -> Sequence[Json]:
    """Those of the tools that the user has named and not had a result of."""
    said, answered = _since_last_turn(messages)
    words = {word.strip("-") for word in WORD.findall(said)}
    folded = {word.lower() for word in words}
    return [tool for tool in offered if tool["name"] not in answered and _is_named(tool["name"], words, folded)]


def _is_named(name: str, words: set[str], folded: set[str]) -> bool:
    """A name that is a plain word, as `Read`, must be written as it is: "read this" names no tool."""
    bare = name.strip("-")
    return bare in words or (not bare.isalpha() and bare.lower() in folded)


def _callable(tool: Json) -> bool:
    kind = tool.get("type") or "custom"
    return isinstance(tool.get("name"), str) and (kind == "custom" or _client_run(kind) is not None)


def _client_run(kind: object) -> Json | None:
    if not isinstance(kind, str):
        return None
    return next((given for name, given in CLIENT_RUN.items() if re.match(rf"{name}_\d+$", kind)), None)


def _call(tool: Json, scale: float, rng: Any) -> script.ToolUse:
    given = _client_run(tool.get("type"))
    arguments = dict(given) if given is not None else schema.value({"type": "object", **_schema(tool)}, rng)
    size = script.call_size(tool["name"], arguments, scale)
    call_id = wire.identifier("toolu_01", 22, rng)
    return script.ToolUse(call_id, tool["name"], arguments, size, more={"caller": {"type": "direct"}})


def _schema(tool: Json) -> Json:
    found = tool.get("input_schema")
    return found if isinstance(found, Mapping) else {}


def _texts(message: Json) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    return [one["text"] for one in _blocks(message) if isinstance(one.get("text"), str)]


def _since_last_turn(messages: Sequence[Json]) -> tuple[str, set[str]]:
    """What the user said in his last turn and since, and which tools have given him a result since.

    A turn begins with a user message without tool results: text beside results does not begin one, or a tool it names
    would be called for ever. What an agent's harness puts in as a reminder was not said by the user.
    """
    texts: list[str] = []
    answered: set[str] = set()
    names: dict[str, str] = {}
    for message in messages:
        blocks = list(_blocks(message))
        names |= {one["id"]: one.get("name", "") for one in blocks if one.get("type") == "tool_use" and "id" in one}
        if message.get("role") != "user":
            continue
        results = [one for one in blocks if one.get("type") == "tool_result"]
        if not results:
            texts, answered = [], set()
        texts += [text for text in _texts(message) if not text.startswith(REMINDER)]
        answered |= {names.get(one.get("tool_use_id", ""), "") for one in results}
    return "\n".join(texts), answered


def _blocks(message: Json) -> Iterator[Json]:
    content = message.get("content")
    return (one for one in content if isinstance(one, Mapping)) if isinstance(content, list) else iter(())
