"""What Claude says: seeded sentences, one token a word."""

from __future__ import annotations

import random
from collections.abc import Iterator

WORDS = """
a the this that each one some many few most all model token queue slot server client request reply stream load wait rate
limit budget retry burst signal noise window bucket system network river garden winter harbour letter answer question
morning pattern measure number is was has can may will must holds grows falls moves turns keeps sends reads finds shows
makes gives takes slowly quickly often always never rarely again here there now then in on at of for with over under
before after while because and but or so if when
""".split()  # noqa: SIM905 - a list of words reads as one

SENTENCE = 12


def words(rng: random.Random, tokens: int) -> Iterator[str]:
    """Yield `tokens` pieces which joined are the text; the last one ends a sentence."""
    for k in range(tokens):
        word = rng.choice(WORDS)
        if k % SENTENCE == 0:
            word = word.capitalize()
        if k % SENTENCE == SENTENCE - 1 or k == tokens - 1:
            word += "."
        yield word if k == 0 else " " + word
