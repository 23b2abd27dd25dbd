import random

from mockclaude import content, tokens


def said(seed, length):
    return list(content.words(random.Random(seed), length))


def test_a_text_has_one_piece_for_each_token():
    assert [len(said(1, length)) for length in (0, 1, 13, 400)] == [0, 1, 13, 400]


def test_the_same_seed_says_the_same():
    assert said(7, 50) == said(7, 50)
    assert said(7, 50) != said(8, 50)


def test_joined_pieces_are_sentences():
    text = "".join(said(3, 30))

    assert text[0].isupper()
    assert text.endswith(".")
    assert "  " not in text
    assert len(text.split()) == 30


def test_tokens_are_estimated_from_bytes():
    assert tokens.count("") == 0
    assert tokens.count("a" * 35) == 10
    assert tokens.count("é" * 35) == 20
