"""What Claude says when no rule says it: it thinks if asked to, then calls tools, or answers in text or in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mockclaude import tokens, wire
from mockclaude.draw import Draw
from mockclaude.request.ask import Ask
from mockclaude.speech import citations, content, schema, script, signature, tools

Json = Mapping[str, Any]

THINKING_SHARE = 4
"""One token in so many is thinking."""


def reply(ask: Ask, draw: Draw, length: int, thinking: int | None = None) -> script.Script:
    """A reply of `length` tokens, `thinking` of them thinking; calls and JSON are as long as they must be."""
    calls = tools.calls(ask, draw)
    if calls:
        size = sum(call.tokens for call in calls)
        first = thoughts(ask, draw, size // (THINKING_SHARE - 1), thinking)
        return script.Script((*first, *calls), "tool_use")
    wanted = structure(ask.body)
    if wanted is not None:
        text = wire.dumps(schema.value(wanted, draw.rng("structure"))).decode()
        size = tokens.count(text, ask.model.token_scale)
        first = thoughts(ask, draw, size // (THINKING_SHARE - 1), thinking)
        return script.Script((*first, script.Text(text, size)))
    return _in_words(ask, draw, length, thinking)


def structure(body: Json) -> object:
    """The schema that the answer must satisfy, or None: `output_config.format`, or the old beta's `output_format`."""
    config = body.get("output_config")
    asked = (config.get("format") if isinstance(config, dict) else None) or body.get("output_format")
    if isinstance(asked, dict) and asked.get("type") == "json_schema":
        return asked.get("schema")
    return None


def _in_words(ask: Ask, draw: Draw, length: int, thinking: int | None) -> script.Script:
    whole = length < ask.max_tokens
    first = thoughts(ask, draw, length // THINKING_SHARE, thinking) if length else ()
    left = max(0, length - sum(thought.tokens for thought in first)) if first else length
    text = content.text(draw.number("text"), left, ask.model.token_scale, ends=whole)
    asked = ask.body["messages"]
    cited = citations.cited(asked, draw.few("citations")) if citations.wanted(asked) else ()
    blocks = (*first, script.Text(text, left, cited)) if left else first
    return script.Script(blocks, "end_turn" if whole else "max_tokens")


def thoughts(ask: Ask, draw: Draw, share: int, exactly: int | None = None) -> tuple[script.Block, ...]:
    """What it thinks first: `share` tokens, or `exactly` so many, within the budget."""
    config = _thinking(ask)
    if config is None or exactly == 0:
        return ()
    size = max(1, share) if exactly is None else exactly
    budget = config.get("budget_tokens")
    if isinstance(budget, int):
        size = min(size, budget)
    text = content.text(draw.number("thinking"), size, ask.model.token_scale)
    hidden = config.get("display") == "omitted" or (ask.model.hides_thinking and config.get("display") != "summarized")
    return (script.Thinking(text, size, signature.sign(text, draw.rng("thinking")), shown=not hidden),)


def _thinking(ask: Ask) -> Json | None:
    """How to think, or None for not at all.

    Models that cannot do without think unasked. Those that think by default, but may be told not to, do so only when
    asked: a reply's length stays what it was asked to be.
    """
    config = ask.body.get("thinking")
    if not isinstance(config, dict):
        config = {"type": "adaptive"} if ask.model.always_thinks else {"type": "disabled"}
    if tools.forced(ask.body) or config.get("type") == "disabled":
        return None
    if config.get("type") == "between_tools" and not _has_result(ask.body["messages"][-1]):
        return None
    return config


def _has_result(message: Json) -> bool:
    blocks = message.get("content")
    found = blocks if isinstance(blocks, list) else []
    return any(isinstance(block, Mapping) and block.get("type") == "tool_result" for block in found)
