import json

import jsonschema
import pytest

from mockclaude import tokens
from mockclaude.draw import Draw
from mockclaude.speech import generated, script, signature

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "schema": SCHEMA}
TOOL = {"name": "get_weather", "input_schema": SCHEMA}
ADAPTIVE = {"model": "claude-sonnet-4-6", "thinking": {"type": "adaptive"}}
BUDGET = {"model": "claude-sonnet-4-5", "thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 20_000}


def reply(ask, length=100, seed=1, **more):
    return generated.reply(ask, Draw(seed, b"digest", 0), length, **more)


def kinds(said):
    return [type(block).__name__ for block in said.blocks]


def test_a_text_is_as_long_as_asked_for(asked):
    short, full = reply(asked(), 40), reply(asked(), 100)

    assert (short.tokens, short.stop_reason, short.blocks[0].text[-1]) == (40, "end_turn", ".")
    assert (full.tokens, full.stop_reason) == (100, "max_tokens")


def test_no_length_is_no_block(asked):
    assert reply(asked(), 0).blocks == ()
    assert reply(asked(**ADAPTIVE), 0).blocks == ()


@pytest.mark.parametrize("fields", [{"output_config": {"format": FORMAT}}, {"output_format": FORMAT}], ids=",".join)
def test_structured_output_is_compact_json_that_satisfies_its_schema(asked, fields):
    for seed in range(20):
        said = reply(asked(**fields), 5, seed)

        [block] = said.blocks
        jsonschema.validate(json.loads(block.text), SCHEMA)
        assert block.text == json.dumps(json.loads(block.text), separators=(",", ":"), ensure_ascii=False)
        assert (said.stop_reason, said.tokens) == ("end_turn", tokens.count(block.text))


def test_a_tool_comes_before_structured_output_and_text(asked):
    said = reply(asked("get_weather", tools=[TOOL], output_config={"format": FORMAT}))

    assert (kinds(said), said.stop_reason) == (["ToolUse"], "tool_use")


def test_thinking_comes_first_and_is_a_quarter_of_the_tokens(asked):
    said = reply(asked(**ADAPTIVE), 80)

    thought, text = said.blocks
    assert kinds(said) == ["Thinking", "Text"]
    assert (thought.tokens, text.tokens, said.thinking_tokens) == (20, 60, 20)
    assert signature.valid(thought.text, thought.signature)


def test_thinking_keeps_its_budget(asked):
    said = reply(asked(**BUDGET), 20_000)

    assert (said.thinking_tokens, said.tokens) == (1024, 20_000)


def test_the_least_of_thinking_is_one_token(asked):
    said = reply(asked(**ADAPTIVE), 1)

    assert (kinds(said), said.tokens) == (["Thinking"], 1)


def test_it_thinks_before_a_tool_and_before_json(asked):
    calling = reply(asked("get_weather", tools=[TOOL], **ADAPTIVE))
    structured = reply(asked(output_config={"format": FORMAT}, **ADAPTIVE))

    assert (kinds(calling), kinds(structured)) == (["Thinking", "ToolUse"], ["Thinking", "Text"])
    assert calling.thinking_tokens == pytest.approx(calling.tokens / 4, abs=1)


@pytest.mark.parametrize(
    ("model", "display", "shown"),
    [
        ("claude-sonnet-4-6", None, True),
        ("claude-sonnet-4-6", "summarized", True),
        ("claude-sonnet-4-6", "omitted", False),
        ("claude-opus-4-8", None, False),
        ("claude-opus-4-8", "omitted", False),
        ("claude-opus-4-8", "summarized", True),
    ],
)
def test_thinking_is_shown_as_the_request_or_the_model_has_it(asked, model, display, shown):
    thinking = {"type": "adaptive"} | ({"display": display} if display else {})

    [thought, _] = reply(asked(model=model, thinking=thinking)).blocks

    assert thought.shown is shown
    assert bool(thought.whole()["thinking"]) is shown
    assert signature.valid(thought.whole()["thinking"], thought.signature)


def test_what_is_hidden_takes_the_same_tokens(asked):
    shown, hidden = (
        reply(asked(model="claude-opus-4-8", thinking={"type": "adaptive", "display": display}))
        for display in ("summarized", "omitted")
    )

    assert (shown.thinking_tokens, shown.tokens) == (hidden.thinking_tokens, hidden.tokens)


@pytest.mark.parametrize(
    ("model", "thinks"),
    [("claude-haiku-4-5", False), ("claude-sonnet-5", False), ("claude-opus-5", False), ("claude-opus-5-5", True)],
)
def test_unasked_only_those_models_think_that_cannot_do_without(asked, model, thinks):
    assert (reply(asked(model=model)).thinking_tokens is not None) is thinks


def test_disabled_is_disabled(asked):
    assert reply(asked(model="claude-sonnet-4-6", thinking={"type": "disabled"})).thinking_tokens is None


def test_between_tools_it_thinks_about_a_result_alone(asked):
    fields = {"model": "claude-sonnet-5-5", "thinking": {"type": "between_tools"}, "tools": [TOOL]}
    called = reply(asked("get_weather", **fields))
    call = called.blocks[0].whole()
    answer = {"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"}
    messages = [
        {"role": "user", "content": "get_weather"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [answer]},
    ]

    assert kinds(called) == ["ToolUse"]
    assert kinds(reply(asked(**fields, messages=messages))) == ["Thinking", "Text"]


@pytest.mark.parametrize(("exactly", "found"), [(30, 30), (0, None), (100, 100)])
def test_how_much_is_thinking_may_be_said(asked, exactly, found):
    said = reply(asked(**ADAPTIVE), 100, thinking=exactly)

    assert (said.thinking_tokens, said.tokens) == (found, 100)


def test_a_text_cites_its_documents(asked):
    source = {"type": "text", "media_type": "text/plain", "data": "The sky is blue."}
    document = {"type": "document", "source": source, "citations": {"enabled": True}}
    messages = [{"role": "user", "content": [document, {"type": "text", "text": "Why?"}]}]

    [block] = reply(asked(messages=messages)).blocks

    assert [one["cited_text"] for one in block.citations] == ["The sky is blue."]


def test_the_same_draw_says_the_same_and_another_something_else(asked):
    asks = [
        asked(),
        asked("get_weather", tools=[TOOL]),
        asked(output_config={"format": FORMAT}),
        asked(**ADAPTIVE),
    ]
    for ask in asks:
        assert reply(ask) == reply(ask)
        assert reply(ask) != reply(ask, seed=2)


def test_whether_it_thinks_does_not_change_what_it_calls(asked):
    plain = asked("get_weather", tools=[TOOL], model="claude-sonnet-4-6")
    thinking = asked("get_weather", tools=[TOOL], **ADAPTIVE)

    assert isinstance(reply(plain).blocks[0], script.ToolUse)
    assert reply(plain).blocks[0] == reply(thinking).blocks[1]
