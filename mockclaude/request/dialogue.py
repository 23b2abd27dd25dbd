"""What Claude refuses in a conversation: who may speak when, what each may say, and what belongs together.

Consecutive messages of one role are one turn. A system message in mid-conversation belongs to none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

from mockclaude import catalog
from mockclaude.request import pictures
from mockclaude.speech import signature
from mockclaude.tokens import Json
from mockclaude.wire import ApiError

STRICTER = "2026-10-21"
HEAD = "https://docs.claude.com/en/docs"
OWN_TOOLS = ("server_tool_use", "mcp_tool_use", "compaction")
"""A message with one of these is no prefill: Claude paused in it, and goes on."""
UNMODIFIED = (
    "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
    "These blocks must remain as they were in the original response."
)


class Placed(NamedTuple):
    """A block and where it is: message `i`, block `j`."""

    i: int
    j: int
    block: Json


class Turn(NamedTuple):
    """What one side says until the other answers."""

    role: str
    first: int
    blocks: Sequence[Placed]


def check(body: Json, model: catalog.Model, version: str) -> None:
    """Apply every rule; raises a 400 in Claude's words."""
    messages: Sequence[Json] = body["messages"]
    _roles(messages, model)
    for i, message in enumerate(messages):
        _message(i, message, i == len(messages) - 1)
    thinks = (body.get("thinking") or {}).get("type") == "enabled"
    if not thinks and _plain(messages):
        return
    turns = list(_turns(messages))
    for turn in turns:
        _places(turn, version)
    _pairs(turns)
    _thoughts(turns)
    if thinks:
        _thought_first(turns)
    _ending(messages, turns, model)


def _plain(messages: Sequence[Json]) -> bool:
    """Whether all say mere text and the user is last, as most do: what is left of the rules is about blocks."""
    return messages[-1]["role"] == "user" and all(isinstance(message.get("content"), str) for message in messages)


def _roles(messages: Sequence[Json], model: catalog.Model) -> None:
    if not messages:
        raise ApiError(400, "messages: at least one message is required")
    for message in messages:
        role = message["role"]
        if role == "system" and not model.takes_system_messages:
            instead = 'a top-level `system` parameter, not "system" as an input message role.'
            raise ApiError(400, f'messages: Unexpected role "system". The Messages API accepts {instead}')
        if role not in ("user", "assistant", "system"):
            tools = f" For instructions on how to use tools, see {HEAD}/tool-use" if role == "tool" else ""
            raise ApiError(400, f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant".{tools}')
    if messages[0]["role"] != "user":
        raise ApiError(400, 'messages: first message must use the "user" role')


def _message(i: int, message: Json, last: bool) -> None:
    """Something must be said in it."""
    content = message.get("content")
    if not content:
        if (last and message["role"] == "assistant") or message.get("output_config"):
            return
        what = "all messages must have non-empty content except for the optional final assistant message"
        raise ApiError(400, f"messages.{i}: {what}")
    if isinstance(content, str):
        _said(content)
        return
    for j, block in enumerate(content):
        place, kind = f"messages.{i}.content.{j}", block["type"]
        if kind == "text":
            if not block["text"] and block.get("cache_control"):
                raise ApiError(400, f"{place}.text: cache_control cannot be set for empty text blocks")
            _said(block["text"])
        elif kind == "image":
            pictures.check(block["source"], f"{place}.image")
        elif kind == "tool_result":
            _result(block, f"{place}.tool_result")


def _said(text: str) -> None:
    if not text:
        raise ApiError(400, "messages: text content blocks must be non-empty")
    if text.isspace():
        raise ApiError(400, "messages: text content blocks must contain non-whitespace text")


def _result(block: Json, place: str) -> None:
    content = block.get("content")
    for k, part in enumerate(content if isinstance(content, list) else ()):
        if part["type"] == "text" and not part["text"]:
            _said("")
        if part["type"] == "image":
            pictures.check(part["source"], f"{place}.content.{k}.image")


def _turns(messages: Sequence[Json]) -> Iterator[Turn]:
    role, first, blocks = "user", 0, list[Placed]()
    for i, message in enumerate(messages):
        if message["role"] == "system":
            continue
        if message["role"] != role:
            yield Turn(role, first, blocks)
            role, first, blocks = message["role"], i, []
        content = message["content"]
        listed = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks += (Placed(i, j, block) for j, block in enumerate(listed))
    yield Turn(role, first, blocks)


def _places(turn: Turn, version: str) -> None:
    """What only one side may say; two rules came with the API version 2026-10-21 (their texts are [C])."""
    other = "assistant" if turn.role == "user" else "user"
    foreign = "tool_use" if turn.role == "user" else "tool_result"
    for i, j, block in turn.blocks:
        if block["type"] == foreign:
            raise ApiError(400, f"messages.{i}: `{foreign}` blocks can only be in `{other}` messages")
        if version != STRICTER:
            continue
        if turn.role == "assistant" and block["type"] == "document":
            raise ApiError(400, f"messages.{i}.content.{j}: `document` blocks can only be in `user` messages")
        cited = _cited(block) if turn.role == "user" else None
        if cited:
            raise ApiError(400, f"messages.{i}.content.{j}.{cited}.citations: Extra inputs are not permitted")


def _cited(block: Json) -> str | None:
    """The path to a text with citations, in the block or one level below."""
    if block["type"] == "text" and block.get("citations"):
        return "text"
    content = block.get("content") if block["type"] in ("search_result", "tool_result") else None
    for k, part in enumerate(content if isinstance(content, list) else ()):
        if part["type"] == "text" and part.get("citations"):
            return f"{block['type']}.content.{k}.text"
    return None


def _pairs(turns: Sequence[Turn]) -> None:
    """Every use of a tool has its result at the beginning of the next turn, and every result its use."""
    seen: set[str] = set()
    asked: dict[str, int] = {}
    for turn in turns:
        if turn.role == "user":
            _results(turn, asked)
            asked = {}
        else:
            asked = _uses(turn, seen)
    if asked:
        _unanswered(asked)


def _uses(turn: Turn, seen: set[str]) -> dict[str, int]:
    asked: dict[str, int] = {}
    for i, j, block in turn.blocks:
        if block["type"] != "tool_use":
            continue
        if block["id"] in seen:
            raise ApiError(400, f"messages.{i}.content.{j}: `tool_use` ids must be unique")
        seen.add(block["id"])
        asked[block["id"]] = i
    return asked


def _results(turn: Turn, asked: Mapping[str, int]) -> None:
    answered: set[str] = set()
    late = False
    for i, j, block in turn.blocks:
        if block["type"] != "tool_result":
            late = True
            continue
        tool = block["tool_use_id"]
        if tool not in asked:
            each = "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            what = f"unexpected `tool_use_id` found in `tool_result` blocks: {tool}. {each}"
            raise ApiError(400, f"messages.{i}.content.{j}: {what}")
        if tool in answered:
            what = f"each tool_use must have a single result. Found multiple `tool_result` blocks with id: {tool}"
            raise ApiError(400, f"messages.{i}.content.{j}: {what}")
        if not late:
            answered.add(tool)
    missing = {tool: i for tool, i in asked.items() if tool not in answered}
    if missing:
        _unanswered(missing)


def _unanswered(missing: Mapping[str, int]) -> NoReturn:
    place = min(missing.values())
    tools = ", ".join(tool for tool, i in missing.items() if i == place)
    each = "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    what = f"`tool_use` ids were found without `tool_result` blocks immediately after: {tools}. {each}"
    raise ApiError(400, f"messages.{place}: {what}")


def _thoughts(turns: Sequence[Turn]) -> None:
    """Thinking comes back as it was sent. In the latest turn Claude says so when the signature alone is untouched."""
    for k, turn in enumerate(turns):
        for i, j, block in turn.blocks:
            if block["type"] != "thinking" or signature.valid(block["thinking"], block["signature"]):
                continue
            latest = all(later.role != "assistant" for later in turns[k + 1 :])
            if latest and signature.valid("", block["signature"]):
                raise ApiError(400, f"messages.{i}.content.{j}: {UNMODIFIED}")
            raise ApiError(400, f"messages.{i}.content.{j}: Invalid `signature` in `thinking` block")


def _thought_first(turns: Sequence[Turn]) -> None:
    """While tools are used, the reply that began it must begin with its thinking."""
    k = len(turns) - 1 - (turns[-1].role == "assistant")
    while k > 1 and _is_results(turns[k]):
        k -= 2
    if k + 1 >= len(turns) or not turns[k + 1].blocks:
        return
    first = turns[k + 1].blocks[0]
    kind = first.block["type"]
    if kind in ("thinking", "redacted_thinking"):
        return
    found = f"Expected `thinking` or `redacted_thinking`, but found `{kind}`."
    rule = (
        "When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the "
        "lastmost set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous "
        "turns. To avoid this requirement, disable `thinking`. Please consult our documentation at "
        f"{HEAD}/build-with-claude/extended-thinking"
    )
    raise ApiError(400, f"messages.{first.i}.content.{first.j}.type: {found} {rule}")


def _is_results(turn: Turn) -> bool:
    return turn.role == "user" and any(placed.block["type"] == "tool_result" for placed in turn.blocks)


def _ending(messages: Sequence[Json], turns: Sequence[Turn], model: catalog.Model) -> None:
    """A prefill, the beginning of Claude's own answer, is for older models only."""
    last = turns[-1]
    if last.role != "assistant" or any(placed.block["type"] in OWN_TOOLS for placed in last.blocks):
        return
    if not model.takes_prefill:
        ends = "The conversation must end with a user message."
        raise ApiError(400, f"This model does not support assistant message prefill. {ends}")
    text = last.blocks[-1].block.get("text") if last.blocks else None
    if isinstance(text, str) and text[-1:].isspace():
        raise ApiError(400, "messages: final assistant content cannot end with trailing whitespace")
