"""Gateways that are measured, each with a mock behind it: the reference gateway, and what most people write."""

from __future__ import annotations

import json

from mockclaude.bench import contender, goals
from mockclaude.bench.contender import Contender
from mockclaude.bench.goals import Goal
from mockclaude.bench.load import Load

QUESTION = "Tell me of the harbour."
STREAMS = 50
TTFT, RATE, TOKENS = 0.3, 90, 150
PRODUCTION = (("ANTHROPIC_API_KEY", "sk-bench"), ("VALID_API_KEYS", "sk-bench"))
BARE = (*PRODUCTION, ("GATEWAY_PRESET", "naive"), ("GATEWAY_CANCEL_UPSTREAM", "true"))
"""Every defence off. One of them saves CPU (what nobody reads goes through a queue, once it may go on), and is on."""
CHAT, PASSED_ON = "chat", "passed on"
"""Two ways through a gateway: text in events of its own, and Claude's bytes as they come."""
SSE = "sse-starlette"
"""Bytes passed on through it, where the gateway sends them itself."""
PARTS = {CHAT: ("aiohttp", "raw events", "patience", "own send"), PASSED_ON: ("aiohttp", "bytes")}
"""What benchmarks/without_gateway.py can leave out."""


def contenders(way: str) -> list[Contender]:
    """The baseline first, then ours with all defences and with none."""
    naive, tuned = (
        contender.baseline("gateway", gc)._replace(name=f"{way}: messages.stream{'+gc' * gc}", asks=True)
        for gc in (False, True)
    )
    words = ("-m", "gateway_under_test", "--fd", "{fd}")
    ours = Contender(f"{way}: production", words, asks=True, environment=PRODUCTION)
    bare = ours._replace(name=f"{way}: no defences", environment=BARE)
    return [naive, without(way, SSE) if way == PASSED_ON else tuned, ours, bare]


def without(way: str, what: str) -> Contender:
    """Ours without one of the things that make it fast."""
    words = (str(contender.BASELINES / "without_gateway.py"), what, "{fd}")
    told = "through" if what == SSE else "without"
    return Contender(f"{way}: {told} {what}", words, asks=True, environment=PRODUCTION)


def ablated(way: str) -> list[Contender]:
    """Ours, and ours without each of them."""
    return [contenders(way)[-2], *(without(way, what) for what in PARTS[way])]


def load(way: str, n: int, seconds: float) -> Load:
    """`n` streams; `marker` counts the tokens of this way."""
    chat = {"message": QUESTION, "max_tokens": TOKENS}
    asked = {"model": "claude-haiku-4-5", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    passed_on = {**asked, "max_tokens": TOKENS}
    path, body, marker = {
        CHAT: ("/chat/stream", chat, '{"text":'),
        PASSED_ON: ("/v1/messages", passed_on, '"text_delta"'),
    }[way]
    return Load(n, path, json.dumps(body), marker, TTFT, 1 / RATE, TOKENS, 2.0, 1.0, seconds)


def goals_of(way: str) -> tuple[Goal, ...]:
    """CPU a token and lateness of the first token beside the baseline's; what the defences cost."""
    ours, naive = f"{way}: production", f"{way}: messages.stream"
    cpu, first = (
        f"{way}: CPU a token, of messages.stream's",
        f"{way}: p99 of |first token - schedule|, of messages.stream's",
    )
    through = Goal(f"{cpu}, through {SSE}", STREAMS, goals.cpu, 1 / 2.4, naive, without(way, SSE).name)
    return (
        Goal(cpu, STREAMS, goals.cpu, 1 / 2.2 if way == CHAT else 1 / 2.9, naive, ours),
        *([through] if way == PASSED_ON else []),
        Goal(first, STREAMS, goals.first, 1 / 3, naive, ours),
        Goal(f"{way}: CPU a token, of that with no defences", STREAMS, goals.cpu, 1.1, f"{way}: no defences", ours),
    )
