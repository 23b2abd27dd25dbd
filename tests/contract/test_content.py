"""What Claude says, judged by the SDK: every feature in JSON and as a stream, and sent back in the next turn."""

import base64
import json

import anthropic
import pydantic
import pytest
from anthropic import beta_tool

from mockclaude.speech import signature
from mockclaude.testing import MockClaude

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER = {"name": "get_weather", "description": "The weather.", "input_schema": CITY}
TIME = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
TOOLS = {"tools": [WEATHER, TIME]}
BOTH = [{"role": "user", "content": "get_weather and get_time, please"}]
FORMAT = {"output_config": {"format": {"type": "json_schema", "schema": CITY}}}
THINKS = {"model": "claude-sonnet-4-6", "thinking": {"type": "adaptive"}}
HIDES = {"model": "claude-opus-4-8", "thinking": {"type": "adaptive"}}
PDF = base64.b64encode(b"%PDF-1.4\nBT (Sales rose.) Tj ET").decode()


def document(source, **fields):
    return {"type": "document", "source": source, "citations": {"enabled": True}} | fields


DOCUMENTS = [
    document({"type": "text", "media_type": "text/plain", "data": "The sky is blue. Grass is green."}, title="Nature"),
    document({"type": "base64", "media_type": "application/pdf", "data": PDF}),
    document({"type": "content", "content": [{"type": "text", "text": "One block."}]}),
    {
        "type": "search_result",
        "source": "https://example.com",
        "title": "Found",
        "content": [{"type": "text", "text": "A result."}],
        "citations": {"enabled": True},
    },
]
CITED = [{"role": "user", "content": [*DOCUMENTS, {"type": "text", "text": "What is known?"}]}]
SEARCHED = [
    {"type": "text", "text": "Let me look."},
    {"type": "server_tool_use", "name": "web_search", "input": {"query": "weather in Paris"}},
    {
        "type": "web_search_tool_result",
        "content": [
            {
                "type": "web_search_result",
                "url": "https://example.com",
                "title": "Weather",
                "encrypted_content": "abc",
                "page_age": None,
            }
        ],
    },
    {
        "type": "text",
        "text": "It is sunny.",
        "citations": [
            {
                "type": "web_search_result_location",
                "cited_text": "sunny",
                "encrypted_index": "x",
                "title": "Weather",
                "url": "https://example.com",
            }
        ],
    },
]
REFUSAL = {"type": "refusal", "category": "cyber", "explanation": "This cannot be answered."}

FEATURES = {
    "text": {},
    "a short answer": {"max_tokens": 1},
    "no answer": {"max_tokens": 0},
    "stop sequence": {"stop_sequences": ["e"]},
    "tools": {**TOOLS, "messages": BOTH},
    "a tool without arguments": {"tools": [TIME], "tool_choice": {"type": "any"}},
    "forced tool": {**TOOLS, "tool_choice": {"type": "tool", "name": "get_weather"}},
    "structured output": FORMAT,
    "thinking": THINKS,
    "thinking cut off": {**THINKS, "max_tokens": 1},
    "thinking on a budget": {
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "max_tokens": 2000,
    },
    "thinking omitted": HIDES,
    "thinking and tools": {**THINKS, **TOOLS, "messages": BOTH},
    "citations": {"messages": CITED},
}
SAID = {
    "searched": {"content": SEARCHED},
    "refusal": {
        "content": [{"type": "text", "text": "I"}],
        "stop_reason": "refusal",
        "stop_details": REFUSAL,
    },
    "pause": {"content": SEARCHED[:3], "stop_reason": "pause_turn"},
    "window": {"content": [{"type": "text", "text": "And so"}], "stop_reason": "model_context_window_exceeded"},
    "every kind": {
        "content": [
            {"type": "thinking", "thinking": "Hm."},
            {"type": "redacted_thinking", "data": "EmwKAhgB"},
            {"type": "server_tool_use", "name": "bash_code_execution", "input": {"command": "ls"}},
            {
                "type": "bash_code_execution_tool_result",
                "content": {
                    "type": "bash_code_execution_result",
                    "stdout": "a",
                    "stderr": "",
                    "return_code": 0,
                    "content": [],
                },
            },
            {"type": "container_upload", "file_id": "file_011"},
            {"type": "tool_use", "name": "look", "input": {"at": ["é", {"deep": True}]}},
        ],
        "container": {"id": "container_011", "expires_at": "2026-12-01T00:00:00Z"},
    },
}


@pytest.fixture
def mock():
    """A mock that takes no time."""
    at_once = {"ttft": {"p50": 0.0, "p95": 0.0}, "tokens_per_second": 1e6, "prefill": False}
    with MockClaude(seed=1, latency=at_once) as running:
        yield running


@pytest.fixture
def strict(mock):
    """The SDK in the mode in which it takes nothing it does not know."""
    with anthropic.Anthropic(base_url=mock.url, api_key="a", max_retries=0, _strict_response_validation=True) as client:
        yield client


@pytest.fixture
def both(strict, mock, ask):
    """The reply to one request as JSON, once it is seen that the stream says the same."""

    def asked(text="hi", **fields):
        mock.reset()
        whole = strict.messages.create(**ask(text, **{"max_tokens": 300} | fields))
        mock.reset()
        with strict.messages.stream(**ask(text, **{"max_tokens": 300} | fields)) as stream:
            streamed = stream.get_final_message()
        assert as_sent(streamed) == as_sent(whole)
        return whole

    return asked


def as_sent(message):
    """A message without what the SDK's stream helper adds to it."""
    told = json.loads(message.to_json())
    for block in told["content"]:
        block.pop("parsed_output", None)
    return told


@pytest.mark.parametrize("fields", FEATURES.values(), ids=FEATURES)
def test_a_stream_makes_the_message_that_json_is(both, fields):
    message = both(**fields)

    assert message.stop_reason is not None
    assert (message.content == []) is (fields.get("max_tokens") == 0)


@pytest.mark.parametrize("section", SAID.values(), ids=SAID)
def test_a_scripted_stream_makes_the_message_that_json_is(both, mock, section):
    mock.configure(responders=[{"scripted": section}])

    message = both(max_tokens=1000)

    assert [block.type for block in message.content] == [block["type"] for block in section["content"]]


def test_a_tool_round_trip(client, ask):
    question = {"role": "user", "content": "get_weather in Paris"}

    called = client.messages.create(**ask(messages=[question], max_tokens=300, tools=[WEATHER]))
    [use] = called.content
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
    answer = client.messages.create(
        **ask(
            messages=[question, called.to_param(), {"role": "user", "content": [result]}],
            tools=[WEATHER],
        )
    )

    assert (called.stop_reason, use.name, set(use.input)) == ("tool_use", "get_weather", {"city", "days"})
    assert [block.type for block in answer.content] == ["text"]


def test_parallel_tools_are_called_at_once_unless_that_is_off(client, ask):
    fields = TOOLS | {"messages": BOTH, "max_tokens": 300}
    off = {"type": "auto", "disable_parallel_tool_use": True}

    parallel = client.messages.create(**ask(**fields))
    single = client.messages.create(**ask(**fields, tool_choice=off))

    assert [block.name for block in parallel.content] == ["get_weather", "get_time"]
    assert [block.name for block in single.content] == ["get_weather"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_tool_runner_falls_back_to_whole_conversations_and_ends(client, mock, stream):
    calls = []

    @beta_tool
    def get_weather(city: str, days: int) -> str:
        """The weather.

        Args:
            city: Where.
            days: For how long.
        """
        calls.append((city, days))
        return "sunny"

    runner = client.beta.messages.tool_runner(
        model="claude-haiku-4-5",
        max_tokens=300,
        tools=[get_weather],
        messages=[{"role": "user", "content": "get_weather in Paris"}],
        stream=stream,
    )
    final = runner.until_done()

    assert len(calls) == 1
    assert isinstance(calls[0][0], str) and isinstance(calls[0][1], int)
    assert [block.type for block in final.content] == ["text"]
    assert [record["status"] for record in mock.journal()] == [400, 200, 200]


class City(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=3)
    inhabitants: int = pydantic.Field(gt=0)
    twin: "City | None" = None
    tags: list[str]


def test_parse_gives_a_pydantic_model(client, ask):
    parsed = client.messages.parse(**ask("a city", max_tokens=1000), output_format=City)

    assert isinstance(parsed.parsed_output, City)


def test_the_stream_helper_parses_too(client, ask):
    with client.messages.stream(**ask("a city", max_tokens=1000), output_format=City) as stream:
        assert isinstance(stream.get_final_message().parsed_output, City)


@pytest.mark.parametrize(("fields", "shown"), [(THINKS, True), (HIDES, False)], ids=["shown", "omitted"])
def test_thinking_is_accepted_when_it_comes_back(client, ask, fields, shown):
    question = {"role": "user", "content": "get_weather"}
    fields = fields | {"tools": [WEATHER], "max_tokens": 400}

    called = client.messages.create(**ask(**fields, messages=[question]))
    thought, use = called.content
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
    answer = client.messages.create(
        **ask(**fields, messages=[question, called.to_param(), {"role": "user", "content": [result]}])
    )

    assert (thought.type, bool(thought.thinking)) == ("thinking", shown)
    assert 320 <= len(thought.signature) <= 1688
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert 0 < answer.usage.output_tokens_details.thinking_tokens < answer.usage.output_tokens


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"thinking": "Something else."}, "blocks in the latest assistant message cannot be modified"),
        ({"signature": "RXJ=" * 100}, "Invalid `signature` in `thinking` block"),
    ],
    ids=["text", "signature"],
)
def test_thinking_that_was_altered_is_refused(client, ask, change, why):
    thought = client.messages.create(**ask(**THINKS, max_tokens=100)).content[0]
    altered = {"type": "thinking", "thinking": thought.thinking, "signature": thought.signature} | change
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [altered, {"type": "text", "text": "Hello."}]},
        {"role": "user", "content": "and?"},
    ]

    with pytest.raises(anthropic.BadRequestError, match=why):
        client.messages.create(**ask(**THINKS, messages=messages))


def test_hidden_thinking_streams_its_signature_alone(client, ask):
    with client.messages.create(**ask(**HIDES, max_tokens=200), stream=True) as events:
        deltas = [event.delta for event in events if event.type == "content_block_delta"]

    kinds = [delta.type for delta in deltas]
    assert kinds[0] == "signature_delta"
    assert set(kinds[1:]) == {"text_delta"}
    assert signature.valid("", deltas[0].signature)


def test_every_document_that_asks_is_cited_in_its_own_shape(both):
    [block] = both(messages=CITED).content

    text, pdf, custom, found = block.citations
    assert text.cited_text == "The sky is blue. Grass is green."[text.start_char_index : text.end_char_index]
    assert (text.type, text.document_index, text.document_title) == ("char_location", 0, "Nature")
    assert (pdf.type, pdf.document_index, pdf.cited_text) == ("page_location", 1, "Sales rose.")
    assert (custom.type, custom.document_index, custom.cited_text) == ("content_block_location", 2, "One block.")
    assert (found.type, found.search_result_index, found.cited_text) == ("search_result_location", 0, "A result.")


def test_a_refusal_says_why(both, mock):
    mock.configure(responders=[{"scripted": SAID["refusal"]}])

    message = both()

    assert (message.stop_reason, message.stop_details.category) == ("refusal", "cyber")
    assert message.stop_details.explanation == "This cannot be answered."


def test_a_paused_turn_goes_on_when_it_is_sent_back(client, mock, ask):
    mock.configure(responders=[{"match": {"nth": [1]}, "scripted": SAID["pause"]}])
    question = {"role": "user", "content": "Search the web."}
    search = {"type": "web_search_20250305", "name": "web_search"}

    paused = client.messages.create(**ask(messages=[question], tools=[search]))
    done = client.messages.create(**ask(messages=[question, paused.to_param()], tools=[search]))

    assert paused.stop_reason == "pause_turn"
    assert paused.usage.server_tool_use.web_search_requests == 1
    assert paused.content[1].id.startswith("srvtoolu_01")
    assert paused.content[2].tool_use_id == paused.content[1].id
    assert done.stop_reason in ("end_turn", "max_tokens")


def test_blocks_of_the_beta_can_be_scripted(mock, ask):
    content = [
        {"type": "mcp_tool_use", "name": "look", "server_name": "files", "input": {"path": "/"}},
        {"type": "mcp_tool_result", "is_error": False, "content": [{"type": "text", "text": "a file"}]},
    ]
    mock.configure(responders=[{"scripted": {"content": content}}])

    with anthropic.Anthropic(base_url=mock.url, api_key="a", _strict_response_validation=True) as client:
        whole = client.beta.messages.create(**ask(max_tokens=100))
        mock.reset()
        with client.beta.messages.stream(**ask(max_tokens=100)) as stream:
            streamed = stream.get_final_message()

    use, result = whole.content
    assert use.id.startswith("mcptoolu_01") and use.input == {"path": "/"}
    assert result.tool_use_id == use.id
    assert as_sent(streamed)["content"] == as_sent(whole)["content"]


def test_each_responder_answers_where_its_rule_matches(client, mock, ask):
    mock.configure(
        responders=[
            {"match": {"text": "/^fixed/"}, "fixed": "Always this."},
            {"match": {"text": "/^echo/"}, "echo": {}},
            {"match": {"header": {"x-tenant": "acme"}}, "scripted": {"content": [{"type": "text", "text": "Acme."}]}},
            {"match": {"text": "/^fail/", "nth": [1]}, "scripted": {"error": {"status": 529, "message": "Busy."}}},
            {"match": {"tool": "get_time"}, "generated": {"output_tokens": 3}},
        ]
    )

    def said(text, **fields):
        return client.messages.create(**ask(text, **fields)).content[0].text

    assert said("fixed") == "Always this."
    assert said("echo this") == "echo this"
    assert said("hi", extra_headers={"x-tenant": "acme"}) == "Acme."
    with pytest.raises(anthropic.OverloadedError, match=r"Busy\."):
        said("fail")
    assert said("fail")
    assert client.messages.create(**ask(tools=[TIME])).usage.output_tokens == 3


def test_text_that_is_no_ascii_comes_back_whole(both, mock):
    mock.configure(responders=[{"echo": {}}])
    text = "Grüße, 世界 😀 — “so” " * 5

    assert both(text).content[0].text == text


def test_a_stop_sequence_ends_the_reply_and_is_named(both, mock):
    mock.configure(responders=[{"fixed": "One, two, three."}])

    message = both(stop_sequences=["three", " two"])

    assert message.content[0].text == "One,"
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", " two")


def test_applied_edits_are_told_of_when_context_management_is_asked_for(client, ask):
    fields = ask(betas=["context-management-2025-06-27"], context_management={"edits": []})

    with client.beta.messages.stream(**fields) as stream:
        streamed = stream.get_final_message()
    whole = client.beta.messages.create(**fields)

    assert whole.context_management.applied_edits == streamed.context_management.applied_edits == []
    assert "context_management" not in client.messages.create(**ask()).to_dict()
