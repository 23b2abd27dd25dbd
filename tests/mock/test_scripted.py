import json
import re

import pytest

from mockclaude import settings, wire
from mockclaude.draw import Draw
from mockclaude.settings import ConfigError
from mockclaude.speech import scripted, signature

BASE58 = "[1-9A-HJ-NP-Za-km-z]"


def parsed(**section):
    found = settings.read(scripted.Scripted, section, ("scripted",))
    found.check(("scripted",))
    return found


def said(ask, **section):
    return parsed(**section).script(ask, Draw(1, b"digest", 0), 100)


def problems_of(**section):
    with pytest.raises(ConfigError) as caught:
        parsed(**section)
    return [str(problem) for problem in caught.value.problems]


SEARCH = [
    {"type": "server_tool_use", "name": "web_search", "input": {"query": "weather"}},
    {"type": "web_search_tool_result", "content": [{"type": "web_search_result", "url": "https://example.com"}]},
    {"type": "text", "text": "Sunny.", "citations": [{"type": "web_search_result_location"}]},
]


def test_what_is_written_is_said(asked):
    found = said(asked(), content=[{"type": "text", "text": "Hello"}, {"type": "redacted_thinking", "data": "abc"}])

    assert [block.whole() for block in found.blocks] == [
        {"type": "text", "text": "Hello"},
        {"type": "redacted_thinking", "data": "abc"},
    ]
    assert (found.stop_reason, found.tokens) == ("end_turn", 3)


@pytest.mark.parametrize(
    ("block", "prefix"),
    [
        ({"type": "tool_use", "name": "look"}, "toolu_01"),
        ({"type": "server_tool_use", "name": "web_search"}, "srvtoolu_01"),
        ({"type": "mcp_tool_use", "name": "look", "server_name": "files"}, "mcptoolu_01"),
    ],
    ids=["the caller's", "Claude's", "an MCP server's"],
)
def test_a_call_gets_an_id_of_its_kind(asked, block, prefix):
    [made] = said(asked(), content=[block]).blocks
    [kept] = said(asked(), content=[block | {"id": "toolu_mine", "input": {"a": 1}}]).blocks

    assert re.fullmatch(f"{prefix}{BASE58}{{22}}", made.whole()["id"])
    assert (kept.whole()["id"], kept.whole()["input"]) == ("toolu_mine", {"a": 1})


def test_a_result_belongs_to_the_call_before_it(asked):
    call, result, text = said(asked(), content=SEARCH).blocks

    assert result.whole()["tool_use_id"] == call.whole()["id"]
    assert result.start() == result.whole()
    assert text.whole()["citations"] == [{"type": "web_search_result_location"}]


def test_claudes_own_searches_are_counted(asked):
    assert said(asked(), content=SEARCH).server_tools == {"web_search_requests": 1, "web_fetch_requests": 0}
    assert said(asked(), content=SEARCH[2:]).server_tools is None


def test_thinking_is_signed(asked):
    shown, hidden = said(
        asked(), content=[{"type": "thinking", "thinking": "Hm."}, {"type": "thinking", "thinking": ""}]
    ).blocks

    assert signature.valid("Hm.", shown.signature)
    assert signature.valid("", hidden.signature)


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"content": [{"type": "tool_use", "name": "x"}]}, "tool_use"),
        ({"content": SEARCH}, "end_turn"),
        ({"content": SEARCH, "stop_reason": "pause_turn"}, "pause_turn"),
        ({"stop_sequence": "END"}, "stop_sequence"),
        ({"stop_reason": "model_context_window_exceeded"}, "model_context_window_exceeded"),
    ],
)
def test_the_stop_reason_follows_from_the_content_unless_it_is_said(asked, section, reason):
    assert said(asked(), **section).stop_reason == reason


def test_a_refusal_has_details(asked):
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}

    assert said(asked(), stop_reason="refusal", stop_details=details).stop_details == details
    assert said(asked(), stop_reason="refusal").stop_details == {
        "type": "refusal",
        "category": None,
        "explanation": None,
    }


def test_an_error_is_raised_in_claudes_envelope(asked):
    section = {"error": {"status": 400, "message": "No.", "details": {"error_code": "thread_not_found"}}}

    with pytest.raises(wire.ApiError) as caught:
        said(asked(), **section)

    error = json.loads(caught.value.body("req_1"))["error"]
    assert error == {"type": "invalid_request_error", "message": "No.", "details": {"error_code": "thread_not_found"}}


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"content": [{"text": "x"}]}, "scripted.content.0.type: is missing (known: text, "),
        ({"content": [{"type": "text", "text": "x"}, {"type": "txt"}]}, "scripted.content.1.type: no block is called"),
        ({"content": [{"type": "text"}]}, "scripted.content.0.text: is missing"),
        ({"content": [{"type": "text", "text": 3}]}, "scripted.content.0.text: expected text, got 3"),
        ({"content": [{"type": "tool_use"}]}, "scripted.content.0.name: is missing"),
        (
            {"content": [{"type": "tool_use", "name": "x", "input": 3}]},
            "scripted.content.0.input: expected a mapping, got 3",
        ),
        ({"content": ["x"]}, "scripted.content.0: expected a valid dictionary, got 'x'"),
        ({"content": 3}, "scripted.content: "),
        (
            {"error": {"type": "x", "status": 529}},
            "scripted.error.type: unknown key (known: status, message, details)",
        ),
        ({"contents": []}, 'scripted.contents: unknown key; did you mean "content"?'),
        ({"stop_reason": "done"}, "scripted.stop_reason: "),
        ({"error": {"status": 418}}, "scripted.error.status: expected one of 400, 401, "),
        ({"error": {}}, "scripted.error.status: is missing"),
        ({"error": {"status": 400}, "content": SEARCH}, 'scripted: expected "content" or "error", got both'),
    ],
)
def test_a_mistake_is_named_with_its_place(section, problem):
    [found] = problems_of(**section)

    assert found.startswith(problem)


def test_all_mistakes_are_named_at_once():
    assert len(problems_of(content=[{"type": "text"}, {"type": "no"}, {"type": "mcp_tool_use"}])) == 4


def test_it_can_be_shown_and_read_back():
    section = {"content": SEARCH, "stop_reason": "pause_turn", "container": {"id": "container_1"}}

    shown = parsed(**section).as_config()

    assert json.loads(json.dumps(shown)) == section
    assert parsed(error={"status": 529}).as_config() == {"error": {"status": 529}}


def test_a_scripted_call_begins_with_a_thought_where_thinking_is_on(asked):
    thinking = {"type": "enabled", "budget_tokens": 2000}
    call = {"type": "tool_use", "name": "Read", "input": {}}

    thought, _ = said(asked(thinking=thinking, max_tokens=3000), content=[call]).blocks

    assert thought.whole()["type"] == "thinking"
    assert signature.valid(thought.text, thought.signature)
    assert len(said(asked(), content=[call]).blocks) == 1
