"""Replies that a configuration spells out, block by block."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge
from pydantic import AfterValidator, ConfigDict

from mockclaude import settings, tokens, wire
from mockclaude.draw import Draw
from mockclaude.request.ask import Ask
from mockclaude.speech import generated, script, signature

Json = Mapping[str, Any]
StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
    "compaction",
]

RESULT = {"content": (str, list, Mapping)}
KINDS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "text": {"text": str},
    "thinking": {"thinking": str},
    "redacted_thinking": {"data": str},
    "tool_use": {"name": str},
    "server_tool_use": {"name": str},
    "mcp_tool_use": {"name": str, "server_name": str},
    "web_search_tool_result": RESULT,
    "web_fetch_tool_result": RESULT,
    "code_execution_tool_result": RESULT,
    "bash_code_execution_tool_result": RESULT,
    "text_editor_code_execution_tool_result": RESULT,
    "tool_search_tool_result": RESULT,
    "mcp_tool_result": RESULT,
    "advisor_tool_result": RESULT,
    "container_upload": {"file_id": str},
    "mcp_tool_listing": {},
    "compaction": {},
    "fallback": {},
}
"""Every kind of block a reply may have, and what of it cannot be left out."""
TYPES: Mapping[str, type | tuple[type, ...]] = {
    "id": str,
    "signature": str,
    "input": Mapping,
    "citations": list,
    "tool_use_id": str,
}
"""What else is looked into; any other field is sent as it is."""
THOUGHT = {"thinking", "redacted_thinking"}
ID_PREFIXES = {"tool_use": "toolu_01", "server_tool_use": "srvtoolu_01", "mcp_tool_use": "mcptoolu_01"}
COUNTED = ("web_search", "web_fetch")
"""Claude's own tools whose calls are counted in the usage."""


def _known(status: int) -> int:
    if status not in wire.ERRORS:
        raise ValueError(f"expected one of {', '.join(map(str, wire.ERRORS))}")
    return status


@dataclass(frozen=True)
class Refusal:
    """A status instead of an answer, in Claude's envelope."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    status: Annotated[int, Ge(400), AfterValidator(_known)]
    message: str | None = None
    details: Json | None = None


@dataclass(frozen=True)
class Scripted:
    """These blocks, or this error. Ids and signatures that are left out are made up."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    content: Sequence[Json] = ()
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    stop_details: Json | None = None
    container: Json | None = None
    error: Refusal | None = None

    def script(self, ask: Ask, draw: Draw, length: int) -> script.Script:
        """What is written; raises `ApiError` when that is an error."""
        if self.error is not None:
            raise wire.ApiError(self.error.status, self.error.message, details=self.error.details)
        blocks = tuple(_said(self.content, ask.model.token_scale, draw))
        kinds = {block["type"] for block in self.content}
        if "tool_use" in kinds and not kinds & THOUGHT:  # Claude takes a call back only after the thought it began with
            blocks = (*generated.thoughts(ask, draw, length // generated.THINKING_SHARE), *blocks)
        return script.Script(
            blocks,
            self._reason(),
            self.stop_sequence,
            self._details(),
            server_tools=_used(self.content),
            container=self.container,
        )

    def check(self, loc: settings.Loc) -> None:
        """Raises `ConfigError` that names the block and the field."""
        problems = [
            one for index, block in enumerate(self.content) for one in _problems(block, (*loc, "content", index))
        ]
        if self.error is not None and self.content:
            problems.append(settings.Problem(loc, 'expected "content" or "error", got both'))
        if problems:
            raise settings.ConfigError(problems)

    def as_config(self) -> dict[str, object]:
        """The section that gives it."""
        return _set(self) | ({} if self.error is None else {"error": _set(self.error)})

    def _reason(self) -> str:
        if self.stop_reason is not None:
            return self.stop_reason
        if self.stop_sequence is not None:
            return "stop_sequence"
        return "tool_use" if any(block["type"] == "tool_use" for block in self.content) else "end_turn"

    def _details(self) -> Json | None:
        if self.stop_details is None and self.stop_reason == "refusal":
            return {"type": "refusal", "category": None, "explanation": None}
        return self.stop_details


def _set(section: Scripted | Refusal) -> dict[str, object]:
    fields = {field.name: getattr(section, field.name) for field in dataclasses.fields(section)}
    return {name: value for name, value in fields.items() if value is not None and value != ()}


def _said(content: Sequence[Json], scale: float, draw: Draw) -> Iterator[script.Block]:
    rng = draw.rng("scripted")
    last_id = ""
    for block in content:
        match block["type"]:
            case "text":
                text = block["text"]
                yield script.Text(text, tokens.count(text, scale), tuple(block.get("citations") or ()))
            case "thinking":
                text = block["thinking"]
                signed = block.get("signature") or signature.sign(text, rng)
                yield script.Thinking(text, tokens.count(text, scale), signed, shown=bool(text))
            case "redacted_thinking":
                yield script.Given(block, tokens.count(block["data"], scale))
            case "tool_use" | "server_tool_use" | "mcp_tool_use" as kind:
                last_id = block.get("id") or wire.identifier(ID_PREFIXES[kind], 22, rng)
                yield _call(block, kind, last_id, scale)
            case kind if KINDS[kind] is RESULT:
                yield script.Given({"type": kind, "tool_use_id": last_id, **_without(block, "type")})
            case _:
                yield script.Given(block)


def _call(block: Json, kind: str, call_id: str, scale: float) -> script.ToolUse:
    arguments = block.get("input") or {}
    more = _without(block, "type", "id", "name", "input")
    if kind == "tool_use":
        more = {"caller": {"type": "direct"}, **more}
    return script.ToolUse(
        call_id, block["name"], arguments, script.call_size(block["name"], arguments, scale), kind, more=more
    )


def _used(content: Sequence[Json]) -> Mapping[str, int] | None:
    """How often Claude's own tools were called, or None when none was."""
    names = [block.get("name") for block in content if block["type"] == "server_tool_use"]
    if not any(name in COUNTED for name in names):
        return None
    return {f"{name}_requests": names.count(name) for name in COUNTED}


def _problems(block: Json, loc: settings.Loc) -> Iterator[settings.Problem]:
    kind = block.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        said = "is missing" if kind is None else f"no block is called {kind!r}"
        yield settings.Problem((*loc, "type"), f"{said} (known: {', '.join(KINDS)})")
        return
    for name, types in {**TYPES, **KINDS[kind]}.items():
        if name not in block:
            if name in KINDS[kind]:
                yield settings.Problem((*loc, name), "is missing")
        elif not isinstance(block[name], types):
            wanted = "text" if types is str else "a list" if types is list else "a mapping"
            yield settings.Problem((*loc, name), f"expected {wanted}, got {block[name]!r}")


def _without(block: Json, *names: str) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name not in names}
