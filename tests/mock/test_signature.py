import base64
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockclaude.speech import signature

ALPHABET = string.ascii_letters + string.digits + "+/"


def signed(text, seed=1):
    return signature.sign(text, random.Random(seed))


@given(st.text(), st.integers(0, 1000))
def test_what_is_signed_is_valid(text, seed):
    assert signature.valid(text, signed(text, seed))


@given(st.text(min_size=1), st.text(min_size=1))
def test_another_text_is_not(text, other):
    assert signature.valid(other, signed(text)) is (other == text)


def test_hidden_thinking_comes_back_without_its_text():
    assert signature.valid("", signed("what it thought"))


@given(st.integers(0, 319), st.sampled_from(ALPHABET))
def test_a_signature_with_one_other_character_is_not_valid(place, character):
    whole = signed("thought")
    altered = whole[:place] + character + whole[place + 1 :]

    assert signature.valid("thought", altered) is (altered == whole)
    assert signature.valid("", altered) is (altered == whole)


@pytest.mark.parametrize("wrong", ["", "E", "not base64!", "ü", "AAAA", "A" * 320, signed("x")[:-4], signed("x") * 2])
def test_what_is_no_signature_of_ours_is_not_valid(wrong):
    assert not signature.valid("x", wrong)
    assert not signature.valid("", wrong)


def test_a_signature_is_base64_of_320_to_1688_characters_and_grows_with_the_text():
    lengths = [len(signed("x" * size)) for size in (0, 100, 1000, 3000, 100_000)]

    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (320, 1688)
    assert len(set(lengths)) == 5
    assert all(len(base64.b64decode(signed("x" * size), validate=True)) % 3 == 0 for size in range(50))


def test_signatures_begin_as_claudes_do():
    assert all(signed("x" * size, size).startswith("E") for size in range(0, 6000, 500))


def test_two_signatures_of_one_thought_differ():
    assert signed("x", 1) != signed("x", 2)
    assert signed("x", 1) == signed("x", 1)
