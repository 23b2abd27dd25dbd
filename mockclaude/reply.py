"""A reply as a plan: which bytes go out how many seconds after a slot was granted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Literal, NamedTuple

from mockclaude import distribution, wire
from mockclaude.draw import Draw
from mockclaude.latency import Profile
from mockclaude.recordings import replay
from mockclaude.request.ask import Ask
from mockclaude.speech.script import Script, Take

ROUNDING = 1e-9
"""A token due at this very moment counts as produced, whatever floating point made of its time."""

SLOWEST = 0.01
"""Tokens per second. A distribution may draw next to nothing; a reply should end before the universe."""


AT_ONCE = 16
"""Deltas rendered together; the first alone, so that a stream that waits for it holds no others meanwhile."""


class Chunk(NamedTuple):
    """Bytes that are due `at` seconds after the slot was granted; with them, so many bytes of `text` are said."""

    at: float
    data: bytes
    text: int = 0

    def joined(self, later: Chunk) -> Chunk:
        """Both at once."""
        return Chunk(self.at, self.data + later.data, self.text + later.text)


_chunk: Callable[[tuple[float, bytes, int]], Chunk] = partial(tuple.__new__, Chunk)
"""The same in half of the time."""


class Broken(Exception):
    """The answer is over, though it is not whole: by a clean end, a closed connection (FIN) or a reset one (RST)."""

    def __init__(self, at: float, how: Literal["end", "fin", "rst"]) -> None:
        super().__init__(how)
        self.at = at
        self.how = how


class Reply(NamedTuple):
    """A planned reply: seconds to the first token, seconds a token, how many tokens, and the lazy run of chunks."""

    ttft: float
    pace: float
    tokens: int
    run: Iterator[Chunk]

    @property
    def seconds(self) -> float:
        """How long the slot is held: the service time."""
        return self.ttft + self.tokens * self.pace

    def produced(self, elapsed: float) -> int:
        """Tokens made `elapsed` seconds after the slot was granted: token k, from 0, is due at ttft + k * pace."""
        since_first = elapsed - self.ttft + ROUNDING
        if since_first < 0:
            return 0
        return min(self.tokens, math.floor(since_first / self.pace) + 1)


def haste(ask: Ask) -> float:
    """The part of the usual time that it takes: in fast mode half."""
    return 0.5 if ask.fast else 1.0


def plan(ask: Ask, script: Script, usage: wire.Usage, profile: Profile, draw: Draw) -> Reply:
    """Plan to say `script` at the speed of `profile`; `usage` has what is known of the prompt.

    `speed: fast` halves TTFT and the time a token takes. What was recorded has its own speed and usage.
    """
    if script.take is not None:
        return _again(ask, script.take, draw)
    first = distribution.drawn(profile.ttft, partial(draw.few, "ttft"))
    ttft = (first + profile.reading(usage.prompt - usage.read, usage.read)) * haste(ask)
    pace = haste(ask) / max(SLOWEST, distribution.drawn(profile.pace, partial(draw.few, "pace")))
    usage = usage._replace(
        output=script.tokens,
        thinking=script.thinking_tokens,
        speed="fast" if ask.fast else None,
        server_tools=script.server_tools,
    )
    saying = _events if ask.stream else _document
    return Reply(ttft, pace, script.tokens, saying(ask, script, usage, profile.tokens_per_delta, draw, ttft, pace))


def _again(ask: Ask, take: Take, draw: Draw) -> Reply:
    pace = max(take.seconds - take.ttft, ROUNDING) / max(take.tokens, 1)
    return Reply(take.ttft, pace, take.tokens, _recorded(ask, take, draw))


def _recorded(ask: Ask, take: Take, draw: Draw) -> Iterator[Chunk]:
    """What was said then; if that was broken off, so is this."""
    at = 0.0
    for at, data, text in replay.chunks(take, ask, draw):
        yield Chunk(at, data, text)
    if take.whole is None:
        raise Broken(at, "end")


def _document(
    ask: Ask, script: Script, usage: wire.Usage, step: int | None, draw: Draw, ttft: float, pace: float
) -> Iterator[Chunk]:
    blocks = [block.whole() for block in script.blocks]
    whole = wire.message(ask.model.id, draw.message_id, blocks, {**_stop(script), **(script.extras or {})}, usage)
    yield Chunk(ttft + script.tokens * pace, wire.dumps(whole))


def _events(
    ask: Ask, script: Script, usage: wire.Usage, step: int | None, draw: Draw, ttft: float, pace: float
) -> Iterator[Chunk]:
    """The head goes out when generation starts; TTFT counts to the first content delta."""
    return chain.from_iterable(_some_events(ask, script, usage, step, draw, ttft, pace))


def _some_events(
    ask: Ask, script: Script, usage: wire.Usage, step: int | None, draw: Draw, ttft: float, pace: float
) -> Iterator[list[Chunk]]:
    """The same, some at a time: what renders them is in the processor's cache once for all of these."""
    padding = draw.rng("padding")
    cuts = draw.rng("deltas") if step is None else padding  # with a step nothing is cut by chance
    begun = usage._replace(output=min(usage.output, padding.randint(1, 8)), thinking=None, server_tools=None)
    opening = wire.message(ask.model.id, draw.message_id, [], wire.UNDECIDED, begun)
    due, made = 0.0, 0
    pending = wire.event("message_start", {"message": opening}, padding)
    for index, block in enumerate(script.blocks):
        pending += wire.event("content_block_start", {"index": index, "content_block": block.start()}, padding)
        if index == 0:
            pending += wire.PING
        yield [Chunk(due, pending)]
        deltas, several = block.deltas(cuts, step), 1
        while some := list(islice(deltas, several)):
            times = [ttft + max(0, made + so_far - 1) * pace for so_far, _ in some]
            yield list(map(_chunk, zip(times, *wire.deltas(index, [said for _, said in some], padding), strict=True)))
            due, several = times[-1], AT_ONCE
        made += block.tokens
        due = max(due, ttft + (made - 1) * pace) if block.tokens else due
        pending = wire.event("content_block_stop", {"index": index}, padding)
    if not script.blocks:
        yield [Chunk(due, pending)]
        pending = b""
    closing = {"delta": _stop(script), "usage": usage.cumulative(), **(script.extras or {})}
    pending += wire.event("message_delta", closing, padding)
    yield [Chunk(ttft + made * pace, pending + wire.event("message_stop", {}, padding))]


def _stop(script: Script) -> dict[str, object]:
    said: dict[str, object] = {
        "stop_reason": script.stop_reason,
        "stop_sequence": script.stop_sequence,
        "stop_details": script.stop_details,
    }
    return said if script.container is None else said | {"container": script.container}
