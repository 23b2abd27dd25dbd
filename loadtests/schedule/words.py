"""The texts that are asked: words of the field, by chance, as long as they are wanted."""

import functools
import random

WORDS = [
    "queue",
    "retry",
    "budget",
    "latency",
    "stream",
    "token",
    "gateway",
    "slot",
    "burst",
    "jitter",
    "limit",
    "deadline",
    "breaker",
    "shed",
    "hedge",
    "backlog",
    "timeout",
    "recovery",
    "throughput",
    "percentile",
    "arrival",
    "capacity",
    "overload",
    "collapse",
    "goodput",
    "attempt",
]
BYTES_PER_TOKEN = 3.5


def question(name: object, rng: random.Random) -> str:
    """Unique by its name, so that each request draws its own reply and latency at the mock."""
    return f"Question {name}: how do {' and '.join(rng.sample(WORDS, 4))} work together?"


def filled(text: str, tokens: float, rng: random.Random) -> str:
    """`text`, and more of the kind until it has about so many tokens, at 3.5 bytes each."""
    missing = round(tokens * BYTES_PER_TOKEN) - len(text)
    return text if missing <= 0 else f"{text} {some(missing, rng)}"[: len(text) + missing - 1] + "."


def some(size: int, rng: random.Random) -> str:
    """Words of `size` bytes or a little more."""
    return " ".join(rng.choices(WORDS, k=size // 4 + 1))


@functools.cache
def system_prompt(tokens: int) -> str:
    """A text of about so many tokens; the same for all who ask for that many."""
    size, rng = round(tokens * BYTES_PER_TOKEN), random.Random("system prompt")
    words = " ".join(rng.choices(WORDS, k=size // 4))
    return f"{f'You answer questions about {words}'[: size - 1]}."


def blank(number: int) -> str:
    """White space, which Claude refuses with a 400; no two are the same."""
    return f"{number:b}".replace("0", " ").replace("1", "\t")
