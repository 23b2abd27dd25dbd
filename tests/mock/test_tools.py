import jsonschema
import pytest

from mockclaude.draw import Draw
from mockclaude.speech import tools

WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
        "required": ["city"],
    },
}
TIME = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
READ = {"type": "custom", "name": "Read", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
OFFERED = [WEATHER, TIME, READ, SEARCH]


def user(*content):
    return {"role": "user", "content": content[0] if len(content) == 1 else list(content)}


def used(*calls):
    blocks = [{"type": "tool_use", "id": call_id, "name": name, "input": {}} for call_id, name in calls]
    return {"role": "assistant", "content": blocks}


def result(*ids, text=None):
    blocks = [{"type": "tool_result", "tool_use_id": call_id, "content": "sunny"} for call_id in ids]
    return {"role": "user", "content": blocks + ([{"type": "text", "text": text}] if text else [])}


def wanted(*messages, **body):
    found = tools.wanted({"messages": list(messages), "tools": OFFERED} | body)
    return [tool["name"] for tool in found]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("hello", []),
        ("use get_weather", ["get_weather"]),
        ("GET_WEATHER!", ["get_weather"]),
        ("get_time, then get_weather", ["get_weather", "get_time"]),
        ("(Read) it", ["Read"]),
        ("read it already", []),
        (
            [
                {"type": "text", "text": "<system-reminder>Read, get_time</system-reminder>"},
                {"type": "text", "text": "hi"},
            ],
            [],
        ),
        ("get_weather_now", []),
        ("web_search for it", []),
    ],
)
def test_a_tool_is_called_when_the_user_names_it_and_not_when_a_reminder_does(text, names):
    assert wanted(user(text)) == names
    assert wanted(user(text), tool_choice={"type": "auto"}) == names


def test_a_tool_is_called_until_its_result_has_come():
    asking = user("get_weather and get_time")

    assert wanted(asking, used(("a", "get_weather")), result("a")) == ["get_time"]
    assert wanted(asking, used(("a", "get_weather"), ("b", "get_time")), result("a", "b")) == []


def test_a_new_turn_may_name_it_again():
    done = [user("get_weather"), used(("a", "get_weather")), result("a"), {"role": "assistant", "content": "Sunny."}]

    assert wanted(*done, user("thanks")) == []
    assert wanted(*done, user("get_weather again")) == ["get_weather"]


def test_text_beside_results_is_heard_but_begins_no_turn():
    asking = [user("get_weather"), used(("a", "get_weather"))]

    assert wanted(*asking, result("a", text="remember get_weather and get_time")) == ["get_time"]
    more = [*asking, result("a", text="remember get_time"), used(("b", "get_time"))]
    assert wanted(*more, result("b", text="remember get_time")) == []


@pytest.mark.parametrize(
    ("choice", "text", "names"),
    [
        ({"type": "none"}, "get_weather", []),
        ({"type": "any"}, "hello", ["get_weather"]),
        ({"type": "any"}, "get_time", ["get_time"]),
        ({"type": "tool", "name": "get_time"}, "get_weather", ["get_time"]),
        ({"type": "auto", "disable_parallel_tool_use": True}, "get_time get_weather", ["get_weather"]),
        ({"type": "any", "disable_parallel_tool_use": True}, "get_time get_weather", ["get_weather"]),
    ],
    ids=lambda case: case.get("type") if isinstance(case, dict) else None,
)
def test_tool_choice_decides(choice, text, names):
    assert wanted(user(text), tool_choice=choice) == names


def test_a_forced_tool_is_called_even_after_its_result():
    done = [user("get_weather"), used(("a", "get_weather")), result("a")]

    assert wanted(*done, tool_choice={"type": "tool", "name": "get_weather"}) == ["get_weather"]


def test_an_answer_that_has_begun_calls_nothing():
    assert wanted(user("get_weather"), {"role": "assistant", "content": "It is"}) == []


def test_without_tools_nothing_is_called():
    assert not tools.wanted({"messages": [user("get_weather")]})


@pytest.mark.parametrize(
    ("kind", "name", "arguments"),
    [
        ("bash_20250124", "bash", {"command": "ls"}),
        ("text_editor_20250728", "str_replace_based_edit_tool", {"command": "view", "path": "/"}),
        ("computer_20251124", "computer", {"action": "screenshot"}),
        ("memory_20250818", "memory", {"command": "view", "path": "/memories"}),
    ],
)
def test_claudes_own_tools_that_the_caller_runs_are_called_harmlessly(asked, kind, name, arguments):
    [call] = tools.calls(asked(f"use {name}", tools=[{"type": kind, "name": name}]), Draw(1, b"", 0))

    assert (call.name, call.input) == (name, arguments)


def test_arguments_satisfy_the_tools_schema(asked):
    for seed in range(30):
        [call] = tools.calls(asked("get_weather", tools=[WEATHER]), Draw(seed, b"", 0))
        jsonschema.validate(call.input, WEATHER["input_schema"])


def test_a_call_has_claudes_shape(asked):
    first, second = tools.calls(asked("get_weather and get_time", tools=OFFERED), Draw(1, b"", 0))

    assert list(first.whole()) == ["type", "id", "name", "input", "caller"]
    assert first.start() == {**first.whole(), "input": {}}
    assert first.id.startswith("toolu_01") and len(first.id) == 30
    assert first.id != second.id
    assert first.tokens > second.tokens > 0


def test_a_model_with_more_tokens_makes_more_of_a_call(asked):
    old, new = (
        tools.calls(asked("get_weather", tools=[WEATHER], model=model), Draw(1, b"", 0))[0].tokens
        for model in ("claude-haiku-4-5", "claude-opus-4-8")
    )

    assert new == pytest.approx(old * 1.3, abs=2)
