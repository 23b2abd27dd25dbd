"""Chance: the same for the same request, and as even as Python's own."""

from collections import Counter
from statistics import fmean

import pytest

from mockclaude.draw import Draw


def test_a_few_numbers_are_the_same_again_and_others_for_another_purpose():
    draw = Draw(1, b"digest", 0)

    numbers = [[chance.random() for _ in range(5)] for chance in (draw.few("ttft"), draw.few("ttft"), draw.few("pace"))]

    assert numbers[0] == numbers[1]
    assert not {*numbers[0]} & {*numbers[2]}


def test_a_few_numbers_are_as_even_as_pythons_own():
    chances = [Draw(1, b"digest", ordinal).few("faults") for ordinal in range(4000)]

    tenths = Counter(int(chance.random() * 10) for chance in chances for _ in range(5))
    rolls = Counter(chance.randint(1, 6) for chance in chances)
    bits = {size: [chance.getrandbits(size) for chance in chances] for size in (1, 64, 100)}

    assert tenths == {k: pytest.approx(2000, rel=0.1) for k in range(10)}
    assert rolls == {k: pytest.approx(4000 / 6, rel=0.15) for k in range(1, 7)}
    assert all(
        fmean(found) / 2**size == pytest.approx(0.5 if size > 1 else 0.25, rel=0.05) for size, found in bits.items()
    )
    assert max(max(found).bit_length() - size for size, found in bits.items()) == 0
