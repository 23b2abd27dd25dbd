import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockclaude import tokens
from mockclaude.speech import script, signature

CALL = script.ToolUse("toolu_01x", "look", {"city": "São Paulo", "days": [1, 2, 3]}, 12)


def text(said, scale=1.0):
    return script.Text(said, tokens.count(said, scale))


def thought(said):
    return script.Thinking(said, tokens.count(said), signature.sign(said, random.Random(1)))


def fitted(*blocks, most=1000, stops=(), scale=1.0, **fields):
    return script.fitted(script.Script(blocks, **fields), most, stops, scale)


def deltas(block, step=None, seed=1):
    return list(block.deltas(random.Random(seed), step))


def shown(block, step=None, seed=1):
    return [script.as_json(said) for _, said in deltas(block, step, seed)]


def test_what_fits_is_left_as_it_is():
    whole = script.Script((text("Hello there"), CALL), "tool_use")

    assert script.fitted(whole, whole.tokens, ["absent"], 1.0) == whole


@pytest.mark.parametrize("scale", [1.0, 1.3])
@pytest.mark.parametrize("most", [1, 2, 7, 28])
def test_a_text_is_cut_at_exactly_max_tokens(most, scale):
    said = fitted(text("The quick brown fox jumps over the lazy dog. " * 3, scale), most=most, scale=scale)

    assert said.stop_reason == "max_tokens"
    assert said.tokens == most
    assert tokens.count(said.blocks[0].text, scale) == most


@given(st.text(alphabet="aé漢😀", min_size=1, max_size=40), st.integers(1, 20))
def test_no_character_is_cut_in_two(whole, most):
    [block] = fitted(text(whole), most=most).blocks or [script.Text("", 0)]

    assert whole.startswith(block.text)
    assert tokens.count(block.text) <= most


def test_no_tokens_at_all_is_no_content():
    said = fitted(text("Hello"), CALL, most=0, stop_reason="tool_use")

    assert (said.blocks, said.stop_reason, said.tokens) == ((), "max_tokens", 0)


def test_a_stop_sequence_ends_the_text_before_it():
    said = fitted(text("One. Two. Three."), text("Four."), stops=[" Two"])

    assert [block.text for block in said.blocks] == ["One."]
    assert (said.stop_reason, said.stop_sequence) == ("stop_sequence", " Two")
    assert said.tokens == tokens.count("One.")


@pytest.mark.parametrize(
    ("stops", "stopped_by", "left"),
    [
        (["Three", "Two"], "Two", "One "),
        (["Two Thr", "wo"], "wo", "One T"),
        (["Two", "e Two", "wo"], "e Two", "On"),
        (["none", "Three"], "Three", "One Two "),
        (["One"], "One", None),
    ],
    ids=["the first in the text", "complete first", "at the same place", "the only one there", "at the beginning"],
)
def test_of_several_stop_sequences_the_one_complete_first_wins(stops, stopped_by, left):
    said = fitted(text("One Two Three"), stops=stops)

    assert said.stop_sequence == stopped_by
    assert [block.text for block in said.blocks] == ([] if left is None else [left])


def test_max_tokens_comes_before_a_stop_sequence_beyond_it():
    assert fitted(text("aaaaaaa STOP"), most=2, stops=["STOP"]).stop_reason == "max_tokens"
    assert fitted(text("aaaaaaa STOP"), most=4, stops=["STOP"]).stop_reason == "stop_sequence"


def test_a_stop_sequence_ends_neither_thinking_nor_a_call():
    said = fitted(thought("STOP and think"), CALL, stops=["STOP", "São"], stop_reason="tool_use")

    assert said.stop_reason == "tool_use"


def test_what_ends_early_says_nothing_of_another_end():
    said = fitted(text("Hello there"), most=1, stop_reason="refusal", stop_details={"type": "refusal"})

    assert (said.stop_reason, said.stop_details) == ("max_tokens", None)


def test_a_stop_sequence_keeps_the_citations_of_what_was_said():
    said = fitted(script.Text("One. Two.", 3, ({"type": "x"},)), stops=["Two"])

    assert said.blocks[0].citations == ({"type": "x"},)


def test_thinking_that_is_cut_is_signed_as_it_is():
    said = fitted(thought("I wonder whether this is long enough."), text("No."), most=3)

    [block] = said.blocks
    assert said.thinking_tokens == said.tokens == 3
    assert signature.valid(block.text, block.signature)
    assert not signature.valid("I wonder whether this is long enough.", block.signature)


def test_a_call_that_is_cut_breaks_off_inside_its_json():
    said = fitted(CALL, most=8, stop_reason="tool_use")

    [block] = said.blocks
    sent = "".join(delta["partial_json"] for delta in shown(block))
    whole = '{"city":"São Paulo","days":[1,2,3]}'
    assert (said.stop_reason, said.tokens) == ("max_tokens", 8)
    assert 0 < len(sent) < len(whole) and whole.startswith(sent)
    assert block.whole()["input"] == {}


def test_what_has_no_tokens_costs_nothing_and_stays():
    result = script.Given({"type": "web_search_tool_result"})

    assert fitted(text("1234567"), result, most=2).blocks[1] is result


@pytest.mark.parametrize("step", [None, 1, 3])
@pytest.mark.parametrize(
    "block", [text("One two, three! 漢字😀 four"), thought("I think so"), CALL], ids=["text", "thinking", "tool"]
)
def test_the_deltas_make_the_whole(block, step):
    names = {"text": "text", "thinking": "thinking", "partial_json": "input"}
    for seed in range(30):
        found = [(name, value) for delta in shown(block, step, seed) for name, value in delta.items()]
        for piece, name in names.items():
            joined = "".join(value for key, value in found if key == piece)
            if joined:
                whole = block.whole()[name]
                assert joined == (
                    whole if isinstance(whole, str) else json.dumps(whole, separators=(",", ":"), ensure_ascii=False)
                )


@given(st.text(min_size=1, max_size=300), st.integers(1, 200), st.integers(1, 9), st.integers(0, 99))
def test_pieces_come_in_order_and_the_last_with_the_last_token(whole, made, step, seed):
    for each in (None, step):
        cut = list(script.pieces(whole, made, random.Random(seed), each))

        assert "".join(piece for _, piece in cut) == whole
        assert all(piece for _, piece in cut)
        assert [due for due, _ in cut] == sorted(due for due, _ in cut)
        assert cut[-1][0] == made


def test_the_first_delta_is_one_word_and_the_others_are_several():
    whole = "The quick brown fox jumps over the lazy dog and then goes home to sleep for a while. " * 5

    first, *others, _ = [piece for _, piece in script.pieces(whole, tokens.count(whole), random.Random(1), None)]

    assert first == "The"
    assert all(piece.startswith(" ") for piece in others)
    assert 2 <= sum(len(piece.split()) for piece in others) / len(others) <= 7


def test_what_has_no_spaces_is_cut_all_the_same():
    whole = "漢" * 300

    assert len(list(script.pieces(whole, tokens.count(whole), random.Random(1), None))) > 10


def test_one_token_a_delta_gives_as_many_deltas_as_tokens():
    whole = "The quick brown fox jumps over it."

    assert [due for due, _ in script.pieces(whole, 10, random.Random(1), 1)] == list(range(1, 11))


def test_a_call_begins_with_an_empty_fragment():
    first, *others = shown(CALL)

    assert first == {"type": "input_json_delta", "partial_json": ""}
    assert all(delta["partial_json"] for delta in others) and others


def test_a_call_without_arguments_has_only_that():
    assert [delta["partial_json"] for delta in shown(script.ToolUse("id", "now", {}, 2))] == [""]


def test_hidden_thinking_sends_its_signature_alone_when_it_is_done():
    hidden = thought("I think so")._replace(shown=False)

    [delta] = deltas(hidden)

    assert delta == (hidden.tokens, {"type": "signature_delta", "signature": hidden.signature})
    assert hidden.whole() == {"type": "thinking", "thinking": "", "signature": hidden.signature}


def test_citations_come_after_the_text_and_their_place_is_shown_at_the_start():
    cited = script.Text("As it says.", 4, ({"type": "char_location"},))

    assert cited.start() == {"citations": [], "type": "text", "text": ""}
    assert shown(cited)[-1] == {"type": "citations_delta", "citation": {"type": "char_location"}}
    assert list(cited.whole()) == ["citations", "type", "text"]


def test_thinking_is_counted_apart_only_where_there_is_some():
    assert script.Script((text("Hello"),)).thinking_tokens is None
    assert script.Script((thought("Hm."), text("Hello"))).thinking_tokens == 1
