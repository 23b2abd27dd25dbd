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
KEY = (("ANTHROPIC_API_KEY", "sk-bench"), ("VALID_API_KEYS", "sk-bench"))
CHAT, PASSED_ON = "chat", "passed on"
"""Two ways through a gateway: text in events of its own, and Claude's bytes as they come."""


def contenders(way: str) -> list[Contender]:
    """The baseline first; `naive` has every defence off, `production` all of them on."""
    naive = contender.baseline("gateway")
    return [
        naive._replace(name=f"{way}: messages.stream", asks=True),
        *(_ours(way, preset) for preset in ("naive", "production")),
    ]


def _ours(way: str, preset: str) -> Contender:
    words = ("-m", "gateway_under_test", "--fd", "{fd}")
    return Contender(f"{way}: {preset}", words, asks=True, environment=(*KEY, ("GATEWAY_PRESET", preset)))


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
    """CPU a token and added time to first token beside the baseline's; what the defences cost."""
    ratio = 1 / 2.2 if way == CHAT else 1 / 2.9
    ours, naive = f"{way}: production", f"{way}: messages.stream"
    return (
        Goal("CPU a token, of messages.stream's", STREAMS, goals.cpu, ratio, naive, ours),
        Goal("p99 of what it adds to the first token, of messages.stream's", STREAMS, goals.first, 1 / 3, naive, ours),
        Goal("CPU a token with all defences, of that without", STREAMS, goals.cpu, 1.1, f"{way}: naive", ours),
    )
