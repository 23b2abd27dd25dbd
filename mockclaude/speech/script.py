"""What Claude is going to say: content blocks and the reason to stop, before anything is said about time.

A block knows three things: how it looks when it is whole, how `content_block_start` shows it, and the deltas that fill
it, each with how many of the block's tokens are made by then.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from mockclaude import tokens, wire
from mockclaude.speech import signature

Json = Mapping[str, Any]

TOKENS_A_DELTA = (3, 9)
"""How many tokens one delta brings, about; the first one brings only a word, as captured streams do."""
LONGEST_WORD = 24


Delta = tuple[int, Json | str]
"""A `content_block_delta`: it is due when so many tokens of its block are made. Text is itself, all else is JSON."""


def as_json(said: Json | str) -> Json:
    """The `delta` of its event."""
    return {"type": "text_delta", "text": said} if isinstance(said, str) else said


class Block(Protocol):
    """One content block of a reply."""

    @property
    def tokens(self) -> int:
        """How many tokens it is."""

    def whole(self) -> Json:
        """The block in a JSON reply."""

    def start(self) -> Json:
        """The block as its stream begins."""

    def deltas(self, rng: random.Random, step: int | None) -> Iterator[Delta]:
        """What fills it; `step` tokens a delta, or as Claude does."""


class Text(NamedTuple):
    """A text, and the citations that support it."""

    text: str
    tokens: int
    citations: Sequence[Json] = ()

    def whole(self) -> Json:
        """`{"type": "text", ...}`; citations, if any, come first."""
        said = {"type": "text", "text": self.text}
        return {"citations": list(self.citations), **said} if self.citations else said

    def start(self) -> Json:
        """Empty."""
        said = {"type": "text", "text": ""}
        return {"citations": [], **said} if self.citations else said

    def deltas(self, rng: random.Random, step: int | None) -> Iterator[Delta]:
        """Some words at a time, then the citations."""
        yield from pieces(self.text, self.tokens, rng, step)
        for citation in self.citations:
            yield self.tokens, {"type": "citations_delta", "citation": citation}


class Thinking(NamedTuple):
    """What Claude thought; with `shown` false it takes its time and tokens, but only the signature is sent."""

    text: str
    tokens: int
    signature: str
    shown: bool = True

    def whole(self) -> Json:
        """`{"type": "thinking", ...}`."""
        return {"type": "thinking", "thinking": self.text if self.shown else "", "signature": self.signature}

    def start(self) -> Json:
        """Empty, without a signature yet."""
        return {"type": "thinking", "thinking": "", "signature": ""}

    def deltas(self, rng: random.Random, step: int | None) -> Iterator[Delta]:
        """The thought, if it is shown, and one signature."""
        if self.shown:
            for made, piece in pieces(self.text, self.tokens, rng, step):
                yield made, {"type": "thinking_delta", "thinking": piece}
        yield self.tokens, {"type": "signature_delta", "signature": self.signature}


class ToolUse(NamedTuple):
    """A call of a tool, the caller's (`tool_use`) or Claude's own (`server_tool_use`, `mcp_tool_use`).

    `cut` is how many tokens fit into `max_tokens`: a stream then breaks off inside the arguments' JSON.
    """

    id: str
    name: str
    input: Json
    size: int
    type: str = "tool_use"
    cut: int | None = None
    more: Json | None = None

    @property
    def tokens(self) -> int:
        """The tokens that are made."""
        return self.size if self.cut is None else self.cut

    def whole(self) -> Json:
        """With its arguments; without them where they were cut off."""
        return self._block(self.input if self.cut is None else {})

    def start(self) -> Json:
        """With empty arguments."""
        return self._block({})

    def deltas(self, rng: random.Random, step: int | None) -> Iterator[Delta]:
        """An empty fragment, then the JSON of the arguments in pieces."""
        yield min(1, self.tokens), {"type": "input_json_delta", "partial_json": ""}
        text = wire.dumps(self.input).decode() if self.input else ""
        for made, piece in pieces(text, self.size, rng, step):
            if made > self.tokens:
                return
            yield made, {"type": "input_json_delta", "partial_json": piece}

    def _block(self, arguments: Json) -> Json:
        return {"type": self.type, "id": self.id, "name": self.name, "input": arguments, **(self.more or {})}


class Given(NamedTuple):
    """Any other block, sent as it is: `redacted_thinking`, results of Claude's own tools."""

    block: Json
    tokens: int = 0

    def whole(self) -> Json:
        """As given."""
        return self.block

    def start(self) -> Json:
        """As given, at once."""
        return self.block

    def deltas(self, rng: random.Random, step: int | None) -> Iterator[Delta]:
        """None."""
        return iter(())


class Take(NamedTuple):
    """A reply that was recorded: its events, each with its seconds, name and JSON, to be said again as they are.

    `whole` is the message they make; None when they make none (broken off, or ended by an `error` event).
    """

    events: Sequence[tuple[float, str, Json]]
    whole: Json | None
    ttft: float
    seconds: float
    tokens: int


class Script(NamedTuple):
    """A whole reply: its blocks, and why it stops. `extras` are further fields of the message, before `usage`.

    A `take` has all of it and its timing too, and nothing is made of the rest.
    """

    blocks: tuple[Block, ...]
    stop_reason: str = "end_turn"
    stop_sequence: str | None = None
    stop_details: Json | None = None
    extras: Json | None = None
    server_tools: Mapping[str, int] | None = None
    container: Json | None = None
    take: Take | None = None

    @property
    def tokens(self) -> int:
        """Output tokens, thinking included."""
        return sum(block.tokens for block in self.blocks) if self.take is None else self.take.tokens

    @property
    def thinking_tokens(self) -> int | None:
        """How many of them are thinking; None when Claude did not think."""
        thoughts = [block.tokens for block in self.blocks if isinstance(block, Thinking)]
        return sum(thoughts) if thoughts else None


def call_size(name: str, arguments: Json, scale: float) -> int:
    """The tokens of a call of a tool: its name, and the JSON of its arguments."""
    return tokens.count(name, scale) + tokens.of_bytes(len(wire.dumps(arguments)), scale)


def pieces(text: str, made: int, rng: random.Random, step: int | None) -> Iterator[tuple[int, str]]:
    """Cut a text of `made` tokens into deltas: the first word, then some words at a time; or `step` tokens each.

    A piece is due with the token that its last character belongs to. Where no word ends soon, as in JSON or in Chinese,
    it ends within one.
    """
    at, size = 0, len(text)
    if step is not None:
        for due in range(step, made + step, step):
            so_far = min(due, made)
            end = size * so_far // made
            if end > at:
                yield so_far, text[at:end]
                at = end
        return
    while at < size:
        least = at + 1 if at == 0 else max(at + 1, at + size * rng.randint(*TOKENS_A_DELTA) // max(made, 1))
        end = text.find(" ", least, least + LONGEST_WORD)
        end = min(least, size) if end < 0 and least + LONGEST_WORD < size else end
        end = size if end < 0 else end
        yield -(-made * end // size), text[at:end]
        at = end


def fitted(script: Script, max_tokens: int, stops: Sequence[str], scale: float) -> Script:
    """End `script` where `max_tokens` or one of the stop sequences ends it, whichever comes first."""
    if script.take is not None:
        return script
    if max_tokens == 0:  # a prompt that is only to be cached
        return script._replace(blocks=(), stop_reason="max_tokens", stop_sequence=None, stop_details=None)
    kept: list[Block] = []
    left = max_tokens
    for block in script.blocks:
        shortened, full = _shortened(block, left, scale)
        cut = _stopped(shortened, stops, scale)
        if cut is not None:
            text, stop = cut
            end = [*kept, text] if text.text else kept
            return script._replace(
                blocks=tuple(end), stop_reason="stop_sequence", stop_sequence=stop, stop_details=None
            )
        if shortened.tokens or not full:
            kept.append(shortened)
        if full:
            return script._replace(blocks=tuple(kept), stop_reason="max_tokens", stop_sequence=None, stop_details=None)
        left -= shortened.tokens
    return script


def _shortened(block: Block, left: int, scale: float) -> tuple[Block, bool]:
    """As much of `block` as `left` tokens are, and whether that is less than all of it."""
    if block.tokens <= left:
        return block, False
    if isinstance(block, ToolUse):
        return block._replace(cut=left), True
    if isinstance(block, Given):
        return block._replace(tokens=left), True
    if isinstance(block, Text):
        return block._replace(text=_cut(block.text, left, scale), tokens=left), True
    if isinstance(block, Thinking):
        text = _cut(block.text, left, scale)
        return block._replace(
            text=text, tokens=left, signature=signature.sign(text, random.Random(block.signature))
        ), True
    return block, False


def _cut(text: str, left: int, scale: float) -> str:
    """The beginning of `text` that is `left` tokens; never a part of a character."""
    return text.encode()[: tokens.fitting(left, scale)].decode(errors="ignore")


def _stopped(block: Block, stops: Sequence[str], scale: float) -> tuple[Text, str] | None:
    """The text before the stop sequence that is complete first, and which it was."""
    if not isinstance(block, Text):
        return None
    found = [(place + len(stop), place, stop) for stop in stops if stop and (place := block.text.find(stop)) >= 0]
    if not found:
        return None
    _, place, stop = min(found)
    text = block.text[:place]
    return block._replace(text=text, tokens=tokens.count(text, scale)), stop
