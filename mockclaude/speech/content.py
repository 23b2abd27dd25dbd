"""What Claude says when nobody said what: seeded sentences, exactly as many tokens as asked for."""

from __future__ import annotations

import base64
import functools
import random
import uuid
from collections.abc import Callable, Mapping

from mockclaude import tokens

WORDS = """
a the this that each one some many few most all model token queue slot server client request reply stream load wait rate
limit budget retry burst signal noise window bucket system network river garden winter harbour letter answer question
morning pattern measure number is was has can may will must holds grows falls moves turns keeps sends reads finds shows
makes gives takes slowly quickly often always never rarely again here there now then in on at of for with over under
before after while because and but or so if when
""".split()  # noqa: SIM905 - a list of words reads as one

SENTENCE = 12
SENTENCES = 2000


@functools.cache
def _book() -> tuple[str, list[int]]:
    """A text to quote from, and where its sentences begin: a reply is a passage, so that long ones cost nothing."""
    rng = random.Random("mockclaude")
    sentences = [" ".join(rng.choices(WORDS, k=SENTENCE)).capitalize() + ". " for _ in range(SENTENCES)]
    starts, at = [], 0
    for sentence in sentences:
        starts.append(at)
        at += len(sentence)
    return "".join(sentences), starts


def text(number: int, size: int, scale: float = 1.0, ends: bool = True) -> str:
    """The passage `number`, exactly `size` tokens; one that `ends` does so with a full stop."""
    length = tokens.fitting(size, scale)
    book, starts = _book()
    at = starts[number % SENTENCES]
    passage = book[at : at + length]
    while len(passage) < length:
        passage += book[: length - len(passage)]
    if not ends or not passage:
        return passage
    return passage[:-1].rstrip(" .").ljust(length - 1, "s") + "."


def words(rng: random.Random, number: int) -> str:
    """Some words, without sentence."""
    return " ".join(rng.choices(WORDS, k=number))


def _date(rng: random.Random) -> str:
    return f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _time(rng: random.Random) -> str:
    return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}Z"


FORMATS: Mapping[str, Callable[[random.Random], str]] = {
    "date": _date,
    "time": _time,
    "date-time": lambda rng: f"{_date(rng)}T{_time(rng)}",
    "duration": lambda rng: f"PT{rng.randint(1, 120)}M",
    "email": lambda rng: f"{rng.choice(WORDS)}@example.com",
    "idn-email": lambda rng: f"{rng.choice(WORDS)}@example.com",
    "hostname": lambda rng: f"{rng.choice(WORDS)}.example.com",
    "uri": lambda rng: f"https://example.com/{rng.choice(WORDS)}",
    "uri-reference": lambda rng: f"/{rng.choice(WORDS)}",
    "uuid": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "ipv4": lambda rng: f"192.0.2.{rng.randint(1, 254)}",
    "ipv6": lambda rng: f"2001:db8::{rng.randint(1, 0xFFFF):x}",
    "json-pointer": lambda rng: f"/{rng.choice(WORDS)}",
    "regex": lambda rng: f"^{rng.choice(WORDS)}$",
    "byte": lambda rng: base64.b64encode(rng.choice(WORDS).encode()).decode(),
}
"""JSON schema's formats: a text of each, in the ranges that are kept for examples."""
