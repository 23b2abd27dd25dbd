"""The shape of a request body, field by field."""

import pytest

from mockclaude import wire
from mockclaude.request import body

OLD, NEW = body.VERSIONS
HI = {"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
EPHEMERAL = {"type": "ephemeral"}
TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def refused(data, version=OLD):
    with pytest.raises(wire.ApiError) as caught:
        body.created(data, version)
    assert caught.value.status == 400
    return caught.value.message


def user(*blocks):
    return {"messages": [{"role": "user", "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": "10"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 1.5}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"model": 7}, "model: Input should be a valid string"),
        ({"foo": 1}, "foo: Extra inputs are not permitted"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"system": None}, "system: Input should be a valid array"),
        ({"system": [{"type": "text"}]}, "system.0.text: Field required"),
        ({"messages": 7}, "messages: Input should be a valid array"),
        ({"messages": [7]}, "messages.0: Input should be an object"),
        ({"messages": [{"content": "x"}]}, "messages.0.role: Field required"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content: Input should be a valid array"),
        ({"messages": [{"role": "user", "content": "", "n": 1}]}, "messages.0.n: Extra inputs are not permitted"),
        (user({"text": "x"}), "messages.0.content.0.type: Field required"),
        (user("x"), "messages.0.content.0: Input should be an object"),
        (user({"type": "text"}), "messages.0.content.0.text.text: Field required"),
        (user({"type": "text", "text": 7}), "messages.0.content.0.text.text: Input should be a valid string"),
        (
            user({"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "2m"}}),
            "messages.0.content.0.text.cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
        ),
        (
            user({"type": "thinking", "thinking": "a", "signature": "", "cache_control": EPHEMERAL}),
            "messages.0.content.0.thinking.cache_control: Extra inputs are not permitted",
        ),
        (
            user({"type": "redacted_thinking", "data": "a", "cache_control": EPHEMERAL}),
            "messages.0.content.0.redacted_thinking.cache_control: Extra inputs are not permitted",
        ),
        (
            user({"type": "image", "source": {"type": "base64", "media_type": "image/bmp", "data": ""}}),
            "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', "
            "'image/gif' or 'image/webp'",
        ),
        (
            user({"type": "document", "source": {"type": "base64", "media_type": "text/csv", "data": ""}}),
            "messages.0.content.0.document.source.base64.media_type: Input should be 'application/pdf'",
        ),
        (
            user({"type": "tool_result", "tool_use_id": "a b", "content": "x"}),
            "messages.0.content.0.tool_result.tool_use_id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        ),
        (
            user({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}),
            "messages.0.content.0.tool_result.content.0.text.text: Field required",
        ),
        (
            user({"type": "tool_use", "id": "a", "name": "x", "input": "{}"}),
            "messages.0.content.0.tool_use.input: Input should be an object",
        ),
        (
            user({"type": "server_tool_use", "id": "toolu_1", "name": "x", "input": {}}),
            "messages.0.content.0.server_tool_use.id: String should match pattern '^srvtoolu_[a-zA-Z0-9_]+$'",
        ),
        ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]},
            "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"),
        ({"tools": [{"name": "a"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [{"name": "a", "input_schema": {}}]}, "tools.0.custom.input_schema.type: Field required"),
        ({"tools": [{"name": "a", "input_schema": {"type": "array"}}]},
            "tools.0.custom.input_schema.type: Input should be 'object'"),
        ({"tools": [TOOL | {"foo": 1}]}, "tools.0.custom.foo: Extra inputs are not permitted"),
        ({"tools": [7]}, "tools.0: Input should be an object"),
        ({"tool_choice": "auto"}, "tool_choice: Input should be an object"),
        ({"tool_choice": {"type": "required"}}, "tool_choice: Input tag 'required' found using 'type' does not match "
            "any of the expected tags: 'auto', 'any', 'tool', 'none'"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}},
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"),
        ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
        ({"thinking": {}}, "thinking.type: Field required"),
        ({"thinking": {"type": "adaptive", "budget_tokens": 2000}},
            "thinking.adaptive.budget_tokens: Extra inputs are not permitted"),
        ({"output_config": {"effort": "huge"}},
            "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"),
        ({"service_tier": "gold"}, "service_tier: Input should be 'auto' or 'standard_only'"),
        ({"speed": "slow"}, "speed: Input should be 'standard' or 'fast'"),
        ({"stop_sequences": [7]}, "stop_sequences.0: Input should be a valid string"),
        ({"metadata": {"tenant": "x"}}, "metadata.tenant: Extra inputs are not permitted"),
        ({"temperature": "0.5"}, "temperature: Input should be a valid number"),
        ({"cache_control": {"type": "ephemeral", "ttl": 5}},
            "cache_control.ephemeral.ttl: Input should be '5m' or '1h'"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_in_claudes_words(change, message):
    assert refused(HI | change) == message


@pytest.mark.parametrize("field", ["model", "max_tokens", "messages"])
def test_a_missing_field_is_named(field):
    assert refused({name: value for name, value in HI.items() if name != field}) == f"{field}: Field required"


def test_an_unknown_block_is_told_what_there_is():
    said = refused(HI | user({"type": "text", "text": "a"}, {"type": "video"}))

    assert said.startswith(
        "messages.0.content.1: Input tag 'video' found using 'type' does not match any of the expected tags: "
        "'text', 'image', 'document', "
    )


def test_an_unknown_tool_is_told_what_there_is_in_order():
    said = refused(HI | {"tools": [{"type": "function", "name": "x"}]})
    tags = said.partition("expected tags: ")[2].split(", ")

    assert said.startswith("tools.0: Input tag 'function' found using 'type' does not match any of the expected tags: ")
    assert tags == sorted(tags)
    assert {"'custom'", "'bash_20250124'", "'web_search_20260318'"} <= set(tags)


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k"])
def test_sampling_is_a_field_of_the_old_version_only(field):
    assert body.created(HI | {field: 1}, OLD)[field] == 1
    assert refused(HI | {field: 1}, NEW) == f"{field}: Extra inputs are not permitted"


@pytest.mark.parametrize("number", [10**30, 10**400, -1e308])
def test_numbers_beyond_all_measure_are_refused_or_taken_never_a_crash(number):
    for field in ("temperature", "top_k", "max_tokens"):
        try:
            body.created(HI | {field: number}, OLD)
        except wire.ApiError as error:
            assert error.status == 400


PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
CITATION = {"type": "char_location", "cited_text": "x", "document_index": 0, "start_char_index": 0, "end_char_index": 1}
BLOCKS = {
    "text": {"type": "text", "text": "x", "cache_control": EPHEMERAL | {"ttl": "1h"}},
    "text as the SDK sends it back": {"type": "text", "text": "x", "citations": None},
    "text with citations": {"type": "text", "text": "x", "citations": [CITATION]},
    "image": {"type": "image", "source": PNG, "cache_control": EPHEMERAL},
    "image by url": {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
    "image by file": {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
    "document": {"type": "document", "source": PDF, "title": "T", "context": None, "citations": {"enabled": True}},
    "document of text": {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
    "document of blocks": {
        "type": "document",
        "source": {"type": "content", "content": [{"type": "text", "text": "x"}, {"type": "image", "source": PNG}]},
    },
    "document of one text": {"type": "document", "source": {"type": "content", "content": "x"}},
    "document by url": {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
    "document by file": {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
    "search_result": {
        "type": "search_result",
        "source": "s",
        "title": "t",
        "content": [{"type": "text", "text": "x"}],
        "citations": {"enabled": True},
    },
    "thinking": {"type": "thinking", "thinking": "", "signature": "EqQB"},
    "redacted_thinking": {"type": "redacted_thinking", "data": "EqQB"},
    "tool_use": {"type": "tool_use", "id": "toolu_1", "name": "x", "input": {}},
    "tool_use as replies have it": {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "x",
        "input": {"a": [1]},
        "caller": {"type": "direct"},
    },
    "tool_use of an old SDK": {"type": "tool_use", "id": "toolu_1", "name": "x", "input": {}, "caller": None},
    "tool_use of a toolset": {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "click",
        "input": {},
        "toolset_name": "computer",
    },
    "tool_result": {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x", "is_error": False},
    "tool_result without content": {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True},
    "tool_result of blocks": {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [
            {"type": "text", "text": "x"},
            {"type": "image", "source": PNG},
            {"type": "tool_reference", "tool_name": "x"},
            {"type": "browser_state", "tabs": []},
        ],
    },
    "server_tool_use": {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
    "web_search_tool_result": {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [{"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "e"}],
        "caller": {"type": "direct"},
    },
    "web_fetch_tool_result": {"type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_1", "content": {}},
    "code_execution_tool_result": {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_1", "content": {}},
    "bash result": {"type": "bash_code_execution_tool_result", "tool_use_id": "srvtoolu_1", "content": {}},
    "editor result": {"type": "text_editor_code_execution_tool_result", "tool_use_id": "srvtoolu_1", "content": {}},
    "tool_search_tool_result": {"type": "tool_search_tool_result", "tool_use_id": "srvtoolu_1", "content": {}},
    "container_upload": {"type": "container_upload", "file_id": "file_1"},
    "mcp_tool_use": {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "x", "server_name": "s", "input": {}},
    "mcp_tool_result": {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "content": "x", "is_error": False},
    "mcp_tool_listing": {"type": "mcp_tool_listing", "mcp_server_name": "s", "tools": []},
    "compaction": {"type": "compaction", "content": None},
    "fallback": {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}},
    "advisor_tool_result": {"type": "advisor_tool_result", "tool_use_id": "srvtoolu_1", "content": {}},
}


@pytest.mark.parametrize("version", body.VERSIONS)
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_every_block_claude_knows_has_a_good_shape(block, version):
    data = HI | {"messages": [{"role": "assistant", "content": [block]}]}

    assert body.created(data, version) is data


FIELDS = {
    "everything plain": {
        "metadata": {"user_id": "u"},
        "service_tier": "auto",
        "speed": "fast",
        "inference_geo": "us",
        "stop_sequences": ["END"],
        "system": [{"type": "text", "text": "x", "cache_control": EPHEMERAL | {"scope": "global"}}],
        "container": "container_1",
        "diagnostics": {"previous_message_id": None},
        "cache_control": EPHEMERAL,
    },
    "container with skills": {"container": {"id": None, "skills": [{"type": "anthropic", "skill_id": "pdf"}]}},
    "nulls of clients": {
        "metadata": None,
        "tools": None,
        "tool_choice": None,
        "thinking": None,
        "stop_sequences": None,
    },
    "thinking enabled": {"thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}},
    "thinking adaptive": {"thinking": {"type": "adaptive", "display": "updates", "block_binding": {}}},
    "thinking between tools": {"thinking": {"type": "between_tools"}},
    "thinking disabled": {"thinking": {"type": "disabled"}},
    "structured output": {
        "output_config": {
            "effort": "high",
            "format": {"type": "json_schema", "schema": {"type": "object"}},
            "task_budget": {"type": "tokens", "total": 5000},
        },
        "output_format": {"type": "json_schema", "schema": {}},
    },
    "betas": {
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "mcp_servers": [{"type": "url", "url": "https://example.com", "name": "s"}],
        "fallbacks": "default",
        "thread": {"type": "create"},
        "billing_policy": {},
        "compaction": {"type": "summarize"},
        "fallback_credit_token": "t",
    },
    "tools of all kinds": {
        "tools": [
            TOOL,
            TOOL | {"type": "custom", "strict": True, "defer_loading": True, "input_examples": [{}]},
            TOOL | {"type": None, "allowed_callers": ["direct"], "eager_input_streaming": None},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "web_search_20260318", "name": "web_search", "max_uses": 3, "cache_control": EPHEMERAL},
            {"type": "browser_toolset_20260801", "configs": {}},
            {"type": "mcp_toolset", "mcp_server_name": "s"},
        ],
        "tool_choice": {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
    },
    "an instruction in mid-conversation": {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "system", "content": "be brief", "clear_at": "never", "output_config": {"effort": "low"}},
            {"role": "system", "output_config": {"effort": "high"}},
        ]
    },
}


@pytest.mark.parametrize("version", body.VERSIONS)
@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def test_every_field_clients_send_is_taken(fields, version):
    data = HI | fields

    assert body.created(data, version) is data


def test_counting_takes_the_prompt_alone():
    prompt = {"model": "claude-haiku-4-5", "messages": HI["messages"], "tools": [TOOL], "system": "x"}

    assert body.counted(prompt) is prompt
    with pytest.raises(wire.ApiError, match="max_tokens: Extra inputs are not permitted"):
        body.counted(HI)


def test_a_field_that_is_called_like_a_part_of_our_own_paths_keeps_its_name():
    assert refused(HI | {"str": 1}) == "str: Extra inputs are not permitted"
