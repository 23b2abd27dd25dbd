import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockclaude import wire
from mockclaude.aim import Facts
from mockclaude.draw import Draw
from mockclaude.recordings import recording
from mockclaude.request.ask import open_letter, parse
from mockclaude.settings import ConfigError
from mockclaude.speech import responders

TOOL = {"name": "get_weather", "input_schema": {"type": "object"}}
RECORDED = json.dumps(
    {
        "recorded_at": "2026-11-12T10:00:00Z",
        "request": {"model": "claude-haiku-4-5", "stream": False},
        "status": 200,
        "headers": {},
        "ttfb": 0.5,
        "ended": "complete",
        "at": 0.5,
        "body": {
            "model": "claude-haiku-4-5",
            "id": "msg_01x",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": "As recorded."}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "output_tokens": 4},
        },
    }
)
ALL = [
    {"match": {"nth": [1, 2], "text": "weather", "tool": "get_weather"}, "scripted": {"error": {"status": 529}}},
    {"match": {"model": "claude-haiku*", "header": {"x-tenant": "acme"}}, "fixed": "Hello"},
    {"match": {"text": "/^say/"}, "echo": {}},
    {"match": {"stream": True}, "recorded": {"text": RECORDED}},
    {"generated": {"output_tokens": 50, "thinking_tokens": 7}},
]


def problems_of(section):
    with pytest.raises(ConfigError) as caught:
        responders.parse(section)
    return [str(problem) for problem in caught.value.problems]


def answers(rules, ask, counts=None, headers=None, length=100):
    counts = Counter() if counts is None else counts
    return responders.reply(rules, counts, Facts(0, ask, headers or {}), Draw(1, b"digest", 0), length)


def answerer(match, ask, headers=None, counts=None):
    """Which of two rules answers: the one that is tried, or the one after it."""
    rules = responders.parse([{"match": match, "fixed": "first"}, {"fixed": "second"}])
    return answers(rules, ask, counts, headers).blocks[0].text


def test_without_rules_the_reply_is_generated(asked):
    assert answers((), asked()).tokens == 100


def test_the_first_rule_that_matches_answers(asked):
    rules = responders.parse([{"match": {"text": "b"}, "fixed": "B"}, {"match": {"text": "a"}, "fixed": "A"}])

    said = [answers(rules, asked(text)).blocks[0].text for text in ("a", "b", "ab")]

    assert said == ["A", "B", "B"]
    assert answers(rules, asked("c")).tokens == 100


@pytest.mark.parametrize(
    ("match", "holds"),
    [
        ({}, True),
        (None, True),
        ({"model": "claude-haiku-4-5-20251001"}, True),
        ({"model": "claude-haiku-4-5"}, True),
        ({"model": "claude-h*"}, True),
        ({"model": "claude-opus*"}, False),
        ({"text": "weather in P"}, True),
        ({"text": "Weather"}, False),
        ({"text": "/weather .* Paris$/"}, True),
        ({"text": "/(?i)WEATHER/"}, True),
        ({"text": "/^weather/"}, False),
        ({"text": "/"}, False),
        ({"system": "a clerk"}, True),
        ({"system": "/^You are .*clerk/"}, True),
        ({"system": "a cook"}, False),
        ({"tool": "get_weather"}, True),
        ({"tool": "get"}, False),
        ({"header": {"x-tenant": "ac*"}}, True),
        ({"header": {"x-tenant": "b*"}}, False),
        ({"header": {"x-other": "*?"}}, False),
        ({"stream": False}, True),
        ({"model": "claude-h*", "text": "weather", "tool": "other"}, False),
    ],
    ids=str,
)
def test_a_rule_matches_when_all_of_it_holds(asked, match, holds):
    ask = asked("the weather in Paris", tools=[TOOL], system=[{"type": "text", "text": "You are a clerk."}])

    said = answerer(match, ask, {"x-tenant": "acme"})

    assert said == ("first" if holds else "second")


def test_nth_counts_the_requests_the_rest_of_the_rule_is_for(asked):
    counts = Counter()
    match = {"text": "a", "nth": [1, 3]}

    said = [answerer(match, asked(text), counts=counts) for text in ("b", "a", "a", "b", "a", "a")]

    assert said == ["second", "first", "second", "second", "first", "second"]


def test_each_rule_counts_for_itself(asked):
    rules = responders.parse([{"match": {"nth": [n]}, "fixed": str(n)} for n in (2, 1)] + [{"fixed": "none"}])
    counts = Counter()

    said = [answers(rules, asked(), counts).blocks[0].text for _ in range(3)]

    assert said == ["1", "2", "none"]


def test_echo_says_the_last_user_text(asked):
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "second"},
        {"role": "user", "content": [{"type": "text", "text": "third"}, {"type": "text", "text": "fourth"}]},
    ]
    rules = responders.parse([{"echo": None}])

    said = answers(rules, asked(messages=messages))

    assert (said.blocks[0].text, said.stop_reason) == ("third\nfourth", "end_turn")


def test_a_text_is_counted_as_the_model_counts(asked):
    rules = responders.parse([{"fixed": "x" * 350}])

    assert answers(rules, asked(max_tokens=200)).tokens == 100
    assert answers(rules, asked(max_tokens=200, model="claude-opus-4-8")).tokens == 130


def test_max_tokens_and_stop_sequences_hold_for_every_responder(asked):
    for section in ({"fixed": "one two three"}, {"scripted": {"content": [{"type": "text", "text": "one two three"}]}}):
        rules = responders.parse([section])
        assert answers(rules, asked(max_tokens=2)).stop_reason == "max_tokens"
        assert answers(rules, asked(stop_sequences=["two"])).stop_sequence == "two"
        assert answers(rules, asked(max_tokens=0)).blocks == ()


def test_an_empty_text_is_no_block(asked):
    assert answers(responders.parse([{"fixed": ""}]), asked()).blocks == ()


def test_the_length_of_generated_text_may_be_set(asked):
    fields = {"model": "claude-sonnet-4-6", "thinking": {"type": "adaptive"}}
    rules = responders.parse([{"generated": {"output_tokens": 50, "thinking_tokens": 7}}])

    assert answers(rules, asked(**fields)).tokens == 50
    assert answers(rules, asked(**fields)).thinking_tokens == 7
    assert answers(rules, asked()).thinking_tokens is None
    assert answers(rules, asked(max_tokens=30)).tokens == 30


def test_a_scripted_error_is_an_error(asked):
    rules = responders.parse([{"scripted": {"error": {"status": 402}}}])

    with pytest.raises(wire.ApiError) as caught:
        answers(rules, asked())
    assert (caught.value.status, caught.value.kind) == (402, "billing_error")


def test_what_was_recorded_is_left_as_it_was(asked):
    rules = responders.parse([{"recorded": {"text": RECORDED}}])

    said = answers(rules, asked(max_tokens=1, stop_sequences=["As"]))

    assert said.take is not None
    assert said.take.whole == recording.load(RECORDED)[0].body


def test_applied_edits_are_told_of_only_when_asked_for(asked):
    edited = {"context_management": {"edits": []}}
    headers = {"anthropic-beta": "context-management-2025-06-27"}

    assert answers((), asked(headers=headers, **edited)).extras == {"context_management": {"applied_edits": []}}
    assert answers((), asked()).extras is None


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("fixed", "responders: expected a list of rules, got 'fixed'"),
        ({"fixed": "x"}, "responders: expected a list of rules, got {'fixed': 'x'}"),
        (["fixed"], "responders.0: expected a mapping, got 'fixed'"),
        ([{}], "responders.0: expected exactly one of generated, echo, fixed, scripted, recorded, got none"),
        ([{"fixed": "x", "echo": {}}], "responders.0: expected exactly one of generated, "),
        ([{"fixt": "x"}], 'responders.0.fixt: unknown key; did you mean "fixed"? (known: match, generated, '),
        ([{"echo": {}}, {"fixed": 3}], "responders.1.fixed: expected a mapping, got 3"),
        ([{"fixed": {}}], "responders.0.fixed.text: is missing"),
        ([{"echo": {"text": "x"}}], "responders.0.echo.text: unknown key"),
        ([{"generated": {"output_tokens": -1}}], "responders.0.generated.output_tokens: "),
        (
            [{"generated": {"output_token": 1}}],
            'responders.0.generated.output_token: unknown key; did you mean "output',
        ),
        (
            [{"match": {"modle": "x"}, "echo": {}}],
            'responders.0.match.modle: unknown key; did you mean "model"? (known:',
        ),
        ([{"match": {"nth": [0]}, "echo": {}}], "responders.0.match.nth.0: expected"),
        ([{"match": {"text": "/(/"}, "echo": {}}], "responders.0.match.text: no regular expression ("),
        ([{"match": {"header": "x"}, "echo": {}}], "responders.0.match.header: "),
        ([{"scripted": {"content": [{"type": "text", "text": "x"}, {}]}}], "responders.0.scripted.content.1.type: is"),
        ([{"recorded": {}}], 'responders.0.recorded: expected "file" or "text"'),
        ([{"recorded": "file.jsonl"}], "responders.0.recorded: expected a mapping"),
    ],
    ids=str,
)
def test_a_mistake_is_named_with_its_place(section, problem):
    [found] = problems_of(section)

    assert found.startswith(problem)


def test_the_mistakes_of_all_rules_are_named_at_once():
    found = problems_of([{"fixed": 3}, {"echo": {}}, {"scripted": {"content": [{}]}, "match": {}}])

    assert [problem.split(":")[0] for problem in found] == [
        "responders.0.fixed",
        "responders.2.scripted.content.0.type",
    ]


def test_rules_can_be_shown_and_read_back():
    rules = responders.parse(ALL)

    shown = json.loads(json.dumps(responders.as_config(rules)))

    assert shown == ALL
    assert responders.parse(shown) == rules


async def test_rules_answer_and_can_be_changed_while_it_runs(mocked):
    async with mocked(responders=[{"fixed": "before"}]) as claude:
        before = (await claude.asked()).json["content"][0]["text"]
        await claude.call("PUT", "/_mock/config", {"responders": [{"match": {"text": "hi"}, "fixed": "after"}]})
        after = (await claude.asked()).json["content"][0]["text"]
        config = await claude.call("GET", "/_mock/config")

    assert (before, after) == ("before", "after")
    assert config["responders"] == [{"match": {"text": "hi"}, "fixed": "after"}]


async def test_a_reset_counts_from_one_again(mocked):
    async with mocked(responders=[{"match": {"nth": [1]}, "fixed": "first"}, {"fixed": "later"}]) as claude:
        said = [(await claude.asked()).json["content"][0]["text"] for _ in range(2)]
        await claude.call("PUT", "/_mock/config", {"limits": {}})
        said.append((await claude.asked()).json["content"][0]["text"])
        await claude.call("POST", "/_mock/reset")
        said.append((await claude.asked()).json["content"][0]["text"])

    assert said == ["first", "later", "later", "first"]


async def test_a_bad_rule_is_refused_and_changes_nothing(mocked):
    async with mocked(responders=[{"fixed": "kept"}]) as claude:
        sent = json.dumps({"responders": [{"scripted": {"content": [{"type": "txt"}]}}]}).encode()
        refused = await claude.send("PUT", "/_mock/config", sent).ended()
        said = (await claude.asked()).json["content"][0]["text"]

    assert refused.status == 400
    assert b"responders" in refused.body and b"no block is called" in refused.body
    assert said == "kept"


async def test_a_scripted_error_takes_no_slot_and_is_recorded(mocked):
    rule = {"scripted": {"error": {"status": 529, "message": "Busy."}}}
    async with mocked(capacity={"slots": 1}, responders=[rule]) as claude:
        refused = await claude.asked()
        [record] = await claude.journal()
        stats = await claude.call("GET", "/_mock/stats")

    assert (refused.status, refused.error["message"]) == (529, "Busy.")
    assert (record["status"], stats["running"], stats["arrived"]) == (529, 0, 0)


async def test_rules_may_change_with_the_timeline(mocked, steady):
    during = {"at": 10, "for": 5, "responders": [{"fixed": "Closed."}]}
    async with mocked(latency=steady, timeline=[during]) as claude:
        usual = (await claude.asked(max_tokens=90)).json  # it takes ten seconds
        then = (await claude.asked()).json

    assert usual["usage"]["output_tokens"] == 90
    assert then["content"][0]["text"] == "Closed."


async def test_a_container_is_told_of_in_json_and_in_the_stream(mocked):
    rule = {"scripted": {"content": [{"type": "text", "text": "x"}], "container": {"id": "container_1"}}}
    async with mocked(responders=[rule]) as claude:
        whole = (await claude.asked()).json
        streamed = (await claude.asked(stream=True)).body

    assert list(whole)[-2:] == ["container", "usage"] and whole["container"] == {"id": "container_1"}
    assert b'"stop_details":null,"container":{"id":"container_1"}}' in streamed


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["#", "object", "array", "string", "(", "a"]),
    lambda inner: st.dictionaries(
        st.sampled_from(["type", "properties", "items", "enum", "$ref", "anyOf", "allOf", "pattern", "required", "a"]),
        inner | st.lists(inner, max_size=3),
        max_size=4,
    ),
    max_leaves=8,
)


@given(odd=ODD)
@settings(max_examples=150, deadline=None)
def test_whatever_the_schemas_there_is_an_answer_or_claudes_refusal(odd):
    body = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"x-api-key": "a", "anthropic-version": "2023-06-01"}
    forced = {"tools": [{"name": "look", "input_schema": odd}], "tool_choice": {"type": "any"}}
    for more in (forced, {"output_config": {"format": {"type": "json_schema", "schema": odd}}}):
        try:
            ask = parse(open_letter(json.dumps(body | more).encode()), headers)
        except wire.ApiError as refusal:
            assert refusal.status == 400
        else:
            assert answers((), ask).blocks
