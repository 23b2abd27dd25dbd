import random

import pytest

from mockclaude import tokens
from mockclaude.speech import content


def said(number, length, **more):
    return content.text(number, length, **more)


@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_a_text_has_exactly_as_many_tokens_as_asked_for(scale):
    sizes = [*range(200), 1000, 33_333]

    assert [tokens.count(said(1, size, scale=scale), scale) for size in sizes] == sizes


def test_a_text_longer_than_the_book_is_whole_too():
    assert tokens.count(said(1, 128_000)) == 128_000


def test_the_same_seed_says_the_same():
    assert said(7, 50) == said(7, 50)
    assert said(7, 50) != said(8, 50)


def test_a_text_is_sentences_and_ends_with_one():
    text = said(3, 100)

    assert text[0].isupper()
    assert text.endswith(".")
    assert "  " not in text


def test_a_text_that_is_cut_off_need_not_end():
    ends = [said(seed, 100, ends=False)[-1] for seed in range(30)]

    assert set(ends) - {"."}


def test_words_are_as_many_as_asked_for():
    assert len(content.words(random.Random(1), 5).split()) == 5
