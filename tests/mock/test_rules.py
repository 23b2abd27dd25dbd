"""What Claude refuses though its shape is good."""

import base64
import random

import pytest

from mockclaude import catalog, wire
from mockclaude.request import dialogue, rules
from mockclaude.speech import signature

OLD, NEW = "2023-06-01", "2026-10-21"
CAP = "which is the maximum allowed number of output tokens for"
ASKED = {"role": "user", "content": "hi"}
ANSWERED = {"role": "assistant", "content": "hello"}
WEATHER = {"name": "weather", "input_schema": {"type": "object"}}
EPHEMERAL = {"type": "ephemeral"}
HOUR = EPHEMERAL | {"ttl": "1h"}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": signature.sign("hm", random.Random(1))}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(10)).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(10)).decode()


def said(model="claude-haiku-4-5", version=OLD, betas=(), messages=(ASKED,), **fields):
    """The refusal of a body with these fields, or None."""
    found = catalog.find(model)
    body = {"model": model, "max_tokens": 10, "messages": list(messages)} | fields
    try:
        rules.check(body, found, version, frozenset(betas))
    except wire.ApiError as error:
        assert error.status == 400
        return error.message
    return None


def use(name="a", kind="tool_use"):
    return {"type": kind, "id": f"toolu_{name}", "name": "weather", "input": {}}


def result(name="a", content="x"):
    return {"type": "tool_result", "tool_use_id": f"toolu_{name}", "content": content}


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def claude(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def text(words, **more):
    return {"type": "text", "text": words, **more}


@pytest.mark.parametrize(
    ("model", "asked", "refusal"),
    [
        ("claude-haiku-4-5", 64_000, None),
        ("claude-haiku-4-5", 64_001, f"max_tokens: 64001 > 64000, {CAP} claude-haiku-4-5-20251001"),
        ("claude-opus-5", 128_001, f"max_tokens: 128001 > 128000, {CAP} claude-opus-5"),
        ("claude-opus-5", 0, None),
    ],
)
def test_a_reply_has_its_longest_length(model, asked, refusal):
    assert said(model, max_tokens=asked) == refusal


BOTH = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."


@pytest.mark.parametrize(
    ("model", "fields", "refusal"),
    [
        ("claude-haiku-4-5", {"temperature": 0.5}, None),
        ("claude-haiku-4-5", {"temperature": 1.1}, "temperature: range: -1 or 0..1"),
        ("claude-haiku-4-5", {"temperature": -0.1}, "temperature: range: -1 or 0..1"),
        ("claude-haiku-4-5", {"top_p": 2}, "top_p: range: -1 or 0..1"),
        ("claude-haiku-4-5", {"temperature": 0.5, "top_p": 0.9}, BOTH),
        ("claude-sonnet-4-6", {"temperature": 0.5, "top_p": 0.9}, BOTH),
        ("claude-sonnet-4-0", {"temperature": 0.5, "top_p": 0.9}, None),
        ("claude-haiku-4-5", {"temperature": 0.5, "top_p": None, "top_k": 5}, None),
        ("claude-opus-4-7", {"temperature": 0.5}, "`temperature` is deprecated for this model."),
        ("claude-opus-5", {"top_p": 0.5}, "`top_p` is deprecated for this model."),
        ("claude-opus-5", {"top_k": 5}, "`top_k` is deprecated for this model."),
        ("claude-opus-5", {"temperature": 1}, None),
    ],
)
def test_sampling(model, fields, refusal):
    assert said(model, **fields) == refusal


BUDGET = {"type": "enabled", "budget_tokens": 2000}
ADAPTIVE = {"type": "adaptive"}
LATER = "when thinking is enabled or in adaptive mode."


@pytest.mark.parametrize(
    ("model", "fields", "refusal"),
    [
        ("claude-haiku-4-5", {"thinking": BUDGET, "max_tokens": 2001}, None),
        ("claude-haiku-4-5", {"thinking": BUDGET, "max_tokens": 2000},
            "`max_tokens` must be greater than `thinking.budget_tokens`."),
        ("claude-haiku-4-5", {"thinking": ADAPTIVE}, "adaptive thinking is not supported on this model"),
        ("claude-haiku-4-5", {"thinking": {"type": "disabled"}}, None),
        ("claude-3-5-haiku-latest", {"thinking": BUDGET}, "'claude-3-5-haiku-20241022' does not support thinking."),
        ("claude-sonnet-4-6", {"thinking": BUDGET, "max_tokens": 4000}, None),
        ("claude-sonnet-4-6", {"thinking": ADAPTIVE}, None),
        ("claude-opus-4-7", {"thinking": BUDGET, "max_tokens": 4000},
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'),
        ("claude-opus-5", {"thinking": {"type": "between_tools"}}, None),
        ("claude-fable-5", {"thinking": {"type": "disabled"}},
            '"thinking.type.disabled" is not supported for this model. Thinking defaults to adaptive mode when not '
            'specified; use "thinking.type.enabled" with "budget_tokens" for extended thinking.'),
        ("claude-sonnet-4-6", {"thinking": ADAPTIVE, "temperature": 0.5},
            f"`temperature` may only be set to 1 {LATER}"),
        ("claude-sonnet-4-6", {"thinking": ADAPTIVE, "temperature": 1}, None),
        ("claude-sonnet-4-6", {"thinking": ADAPTIVE, "top_p": 0.5},
            f"`top_p` must be greater than or equal to 0.95 or unset {LATER}"),
        ("claude-sonnet-4-6", {"thinking": ADAPTIVE, "top_k": 5}, f"`top_k` must be unset {LATER}"),
        ("claude-haiku-4-5", {"thinking": BUDGET, "max_tokens": 4000, "tool_choice": {"type": "any"},
            "tools": [WEATHER]}, "Thinking may not be enabled when tool_choice forces tool use."),
        ("claude-sonnet-4-6", {"thinking": ADAPTIVE, "tool_choice": {"type": "any"}, "tools": [WEATHER]}, None),
    ],
)  # fmt: skip
def test_thinking(model, fields, refusal):
    told = said(model, **fields)

    assert told == refusal or told.startswith(refusal)


def test_interleaved_thinking_may_have_a_budget_beyond_the_reply():
    assert said(thinking=BUDGET, max_tokens=1000, betas=["interleaved-thinking-2025-05-14"]) is None


@pytest.mark.parametrize(
    ("model", "effort", "refusal"),
    [
        ("claude-opus-5", "xhigh", None),
        ("claude-haiku-4-5", "low", "This model does not support the effort parameter."),
        ("claude-sonnet-4-6", "xhigh",
            "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium."),
        ("claude-opus-4-5", "max",
            "This model does not support effort level 'max'. Supported levels: high, low, medium."),
    ],
)  # fmt: skip
def test_effort(model, effort, refusal):
    assert said(model, output_config={"effort": effort}) == refusal


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"tools": [WEATHER, WEATHER]}, "tools: Tool names must be unique."),
        ({"tools": [WEATHER, {"type": "bash_20250124", "name": "weather"}]}, "tools: Tool names must be unique."),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "Tool 'x' not found in provided tools"),
        ({"tool_choice": {"type": "tool", "name": "x"}}, "Tool 'x' not found in provided tools"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "weather"}}, None),
        ({"tools": [{"type": "mcp_toolset"}], "tool_choice": {"type": "tool", "name": "x"}}, None),
        ({"tools": [WEATHER | {"input_schema": {"type": "object", "anyOf": []}}]},
            "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"),
        ({"tools": [{"type": "memory_20250818", "name": "m", "input_schema": 7}]}, None),
        ({"stop_sequences": ["END", "\n"]}, "stop_sequences: each stop sequence must contain non-whitespace"),
        ({"stop_sequences": ["END"]}, None),
    ],
)  # fmt: skip
def test_tools_and_stop_sequences(fields, refusal):
    assert said(**fields) == refusal


def test_a_thread_is_refused_so_that_clients_send_the_whole_conversation():
    with pytest.raises(wire.ApiError) as caught:
        rules.check({"thread": {"type": "create"}}, catalog.find("claude-opus-5"), NEW, frozenset())

    assert caught.value.details == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


NO_SYSTEM = (
    'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an '
    "input message role."
)
NON_EMPTY = "all messages must have non-empty content except for the optional final assistant message"
NO_PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."
SYSTEM = {"role": "system", "content": "be brief"}


@pytest.mark.parametrize(
    ("model", "messages", "refusal"),
    [
        ("claude-haiku-4-5", [], "messages: at least one message is required"),
        ("claude-haiku-4-5", [ANSWERED, ASKED], 'messages: first message must use the "user" role'),
        ("claude-haiku-4-5", [ASKED, ASKED, ANSWERED, ANSWERED, ASKED], None),
        ("claude-haiku-4-5", [ASKED, SYSTEM], NO_SYSTEM),
        ("claude-sonnet-5", [ASKED, SYSTEM], NO_SYSTEM),
        ("claude-opus-4-8", [ASKED, SYSTEM, ANSWERED, ASKED], None),
        ("claude-opus-5", [ASKED, {"role": "system", "output_config": {"effort": "low"}}], None),
        ("claude-opus-5", [SYSTEM, ASKED], 'messages: first message must use the "user" role'),
        ("claude-opus-5", [ASKED, {"role": "tool", "content": "x"}],
            'messages: Unexpected role "tool". Allowed roles are "user" or "assistant". For instructions on how to '
            "use tools, see https://docs.claude.com/en/docs/tool-use"),
        ("claude-opus-5", [ASKED, {"role": "model", "content": "x"}],
            'messages: Unexpected role "model". Allowed roles are "user" or "assistant".'),
        ("claude-haiku-4-5", [{"role": "user", "content": ""}], f"messages.0: {NON_EMPTY}"),
        ("claude-haiku-4-5", [ASKED, claude(), ASKED], f"messages.1: {NON_EMPTY}"),
        ("claude-haiku-4-5", [ASKED, claude()], None),
        ("claude-haiku-4-5", [{"role": "user", "content": " \n"}],
            "messages: text content blocks must contain non-whitespace text"),
        ("claude-haiku-4-5", [user(text(""))], "messages: text content blocks must be non-empty"),
        ("claude-haiku-4-5", [user(text(" "))], "messages: text content blocks must contain non-whitespace text"),
        ("claude-haiku-4-5", [user(text("a"), text("", cache_control=EPHEMERAL))],
            "messages.0.content.1.text: cache_control cannot be set for empty text blocks"),
        ("claude-haiku-4-5", [ASKED, {"role": "assistant", "content": "The answer is"}], None),
        ("claude-haiku-4-5", [ASKED, {"role": "assistant", "content": "The answer is "}],
            "messages: final assistant content cannot end with trailing whitespace"),
        ("claude-haiku-4-5", [ASKED, claude(text("The answer\n"))],
            "messages: final assistant content cannot end with trailing whitespace"),
        ("claude-sonnet-4-6", [ASKED, ANSWERED], NO_PREFILL),
        ("claude-opus-5", [ASKED, ANSWERED, SYSTEM], NO_PREFILL),
        ("claude-opus-5", [ASKED, claude({"type": "server_tool_use", "id": "srvtoolu_1"})], None),
    ],
)  # fmt: skip
def test_who_may_speak_and_what_must_be_said(model, messages, refusal):
    assert said(model, messages=messages) == refusal


WITHOUT = (
    "`tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a "
    "corresponding `tool_result` block in the next message."
)
UNEXPECTED = (
    "unexpected `tool_use_id` found in `tool_result` blocks: {}. Each `tool_result` block must have a corresponding "
    "`tool_use` block in the previous message."
)


@pytest.mark.parametrize(
    ("messages", "refusal"),
    [
        ([ASKED, claude(use()), user(result())], None),
        ([ASKED, claude(use("a"), use("b")), user(result("b"), result("a"), text("and?"))], None),
        ([ASKED, claude(use("a"), use("b")), user(result("a")), user(result("b"))], None),
        ([ASKED, claude(use("a")), claude(use("b")), user(result("a"), result("b"))], None),
        ([ASKED, claude(use()), user(result()), claude(use("b")), user(result("b"))], None),
        ([ASKED, claude(use()), ASKED], "messages.1: " + WITHOUT.format("toolu_a")),
        ([ASKED, claude(use())], "messages.1: " + WITHOUT.format("toolu_a")),
        ([ASKED, claude(use("a"), use("b")), user(result("b"))], "messages.1: " + WITHOUT.format("toolu_a")),
        ([ASKED, claude(use("a"), use("b")), ASKED], "messages.1: " + WITHOUT.format("toolu_a, toolu_b")),
        ([ASKED, claude(use()), user(text("first"), result())], "messages.1: " + WITHOUT.format("toolu_a")),
        ([user(result("x"))], "messages.0.content.0: " + UNEXPECTED.format("toolu_x")),
        ([ASKED, claude(use()), user(result(), result("x"))],
            "messages.2.content.1: " + UNEXPECTED.format("toolu_x")),
        ([ASKED, claude(use()), user(result()), ANSWERED, user(result())],
            "messages.4.content.0: " + UNEXPECTED.format("toolu_a")),
        ([ASKED, claude(use()), user(result(), result())],
            "messages.2.content.1: each tool_use must have a single result. Found multiple `tool_result` blocks with "
            "id: toolu_a"),
        ([ASKED, claude(use()), user(result()), claude(use()), user(result())],
            "messages.3.content.0: `tool_use` ids must be unique"),
        ([user(use())], "messages.0: `tool_use` blocks can only be in `assistant` messages"),
        ([ASKED, claude(result())], "messages.1: `tool_result` blocks can only be in `user` messages"),
        ([ASKED, claude(use()), user(result(content=[text("")]))], "messages: text content blocks must be non-empty"),
    ],
)  # fmt: skip
def test_uses_of_tools_and_their_results_belong_together(messages, refusal):
    assert said(messages=messages) == refusal


ALTERED = SIGNED | {"thinking": "hm, hm"}
HIDDEN = SIGNED | {"thinking": ""}
FORGED = SIGNED | {"signature": "c2ln"}
INVALID = "Invalid `signature` in `thinking` block"


@pytest.mark.parametrize(
    ("messages", "refusal"),
    [
        ([ASKED, claude(SIGNED, text("a")), ASKED], None),
        ([ASKED, claude(HIDDEN, text("a")), ASKED], None),
        ([ASKED, claude(FORGED, text("a")), ASKED], f"messages.1.content.0: {INVALID}"),
        ([ASKED, claude(ALTERED, text("a")), ASKED], f"messages.1.content.0: {dialogue.UNMODIFIED}"),
        ([ASKED, claude(ALTERED, text("a")), ASKED, ANSWERED, ASKED], f"messages.1.content.0: {INVALID}"),
    ],
    ids=["as sent", "hidden", "forged", "altered in the latest turn", "altered before"],
)
def test_thinking_comes_back_as_it_was_sent(messages, refusal):
    assert said(messages=messages) == refusal


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([ASKED, claude(SIGNED, use()), user(result())], None),
        ([ASKED, claude({"type": "redacted_thinking", "data": "x"}, use()), user(result())], None),
        ([ASKED, claude(SIGNED, use()), user(result()), claude(use("b")), user(result("b"))], None),
        ([ASKED, claude(use()), user(result()), ANSWERED, ASKED], None),
        ([ASKED, claude(use()), user(result())], "messages.1.content.0.type: Expected `thinking` or "
            "`redacted_thinking`, but found `tool_use`."),
        ([ASKED, claude(text("a"), use()), user(result())], "messages.1.content.0.type: Expected `thinking` or "
            "`redacted_thinking`, but found `text`."),
        ([ASKED, ANSWERED], "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`."),
    ],
)  # fmt: skip
def test_with_a_budget_a_turn_of_tools_begins_with_thinking(messages, found):
    told = said(messages=messages, thinking=BUDGET, max_tokens=4000)

    assert told is None if found is None else told.startswith(found)


def test_adaptive_thinking_does_not_ask_for_it():
    messages = [ASKED, claude(use()), user(result())]

    assert said("claude-sonnet-4-6", messages=messages, thinking=ADAPTIVE) is None


def image(data, media_type="image/png"):
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


SOURCE = "messages.0.content.0.image.source.base64"


@pytest.mark.parametrize(
    ("block", "refusal"),
    [
        (image(PNG), None),
        (image(JPEG, "image/jpeg"), None),
        (image(base64.b64encode(b"GIF89a").decode(), "image/gif"), None),
        (image(base64.b64encode(b"RIFF\0\0\0\0WEBP").decode(), "image/webp"), None),
        ({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}, None),
        (image("not base64"), "Could not process image"),
        (image(""), "Could not process image"),
        (image("AAAA"), "Could not process image"),
        (image(JPEG), f"{SOURCE}: The image was specified using the image/png media type, but the image appears to be "
            "a image/jpeg image"),
        (image("A" * 7562460), f"{SOURCE}: image exceeds 5 MB maximum: 7562460 bytes > 5242880 bytes"),
    ],
    ids=["png", "jpeg", "gif", "webp", "url", "no base64", "nothing", "no image", "another kind", "large"],
)  # fmt: skip
def test_images(block, refusal):
    assert said(messages=[user(block)]) == refusal


def test_an_image_in_a_result_is_judged_too():
    messages = [ASKED, claude(use()), user(result(content=[image(JPEG)]))]

    assert said(messages=messages).startswith("messages.2.content.0.tool_result.content.0.image.source.base64: ")


def cached(words="x", control=EPHEMERAL):
    return text(words, cache_control=control)


ORDER = (
    "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are processed "
    "in the following order: `tools`, `system`, `messages`."
)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"messages": [user(*[cached()] * 4)]}, None),
        ({"messages": [user(*[cached()] * 5)]}, "A maximum of 4 blocks with cache_control may be provided. Found 5."),
        ({"messages": [user(cached())], "system": [cached()] * 2, "tools": [WEATHER | {"cache_control": EPHEMERAL}],
            "cache_control": EPHEMERAL}, "A maximum of 4 blocks with cache_control may be provided. Found 5."),
        ({"messages": [ASKED, claude(use()), user(result(content=[cached()] * 5))]},
            "A maximum of 4 blocks with cache_control may be provided. Found 5."),
        ({"messages": [user({"type": "document", "source": {"type": "content", "content": [cached()] * 5}})]},
            "A maximum of 4 blocks with cache_control may be provided. Found 5."),
        ({"messages": [user(text("a", cache_control=None), cached(control=HOUR), cached())]}, None),
        ({"messages": [user(cached(), cached(control=HOUR))]}, f"messages.0.content.1.cache_control.ttl: {ORDER}"),
        ({"tools": [WEATHER | {"cache_control": EPHEMERAL}], "system": [cached(control=HOUR)]},
            f"system.0.cache_control.ttl: {ORDER}"),
        ({"messages": [user(cached())], "cache_control": HOUR}, f"cache_control.ttl: {ORDER}"),
    ],
)  # fmt: skip
def test_caching(fields, refusal):
    assert said(**fields) == refusal


CITED = text("a", citations=[{"type": "char_location"}])
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
SEARCHED = {"type": "search_result", "source": "s", "title": "t", "content": [CITED]}


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([ASKED, claude(DOCUMENT), ASKED], "messages.1.content.0"),
        ([user(CITED)], "messages.0.content.0.text.citations"),
        ([user(SEARCHED)], "messages.0.content.0.search_result.content.0.text.citations"),
        ([user(DOCUMENT, text("a", citations=[]))], None),
        ([ASKED, claude(CITED), ASKED], None),
    ],
)
def test_the_new_version_has_two_rules_on_content(messages, place):
    assert said(messages=messages, version=OLD) is None
    told = said(messages=messages, version=NEW)
    assert told is None if place is None else told.startswith(f"{place}: ")


@pytest.mark.parametrize(
    ("model", "size", "asked", "betas", "refusal"),
    [
        ("claude-haiku-4-5", 190_000, 10_000, (), None),
        ("claude-haiku-4-5", 213_462, 10, (), "prompt is too long: 213462 tokens > 200000 maximum"),
        ("claude-haiku-4-5", 188_240, 21_333, (), "input length and `max_tokens` exceed context limit: 188240 + 21333 "
            "> 200000, decrease input length or `max_tokens` and try again"),
        ("claude-haiku-4-5", 188_240, 21_333, ("model-context-window-exceeded-2025-08-26",), None),
        ("claude-opus-5", 990_000, 128_000, (), None),
        ("claude-opus-5", 1_000_001, 1, (), "prompt is too long: 1000001 tokens > 1000000 maximum"),
        ("claude-sonnet-4-5", 213_462, 10, ("context-1m-2025-08-07",), None),
    ],
)  # fmt: skip
def test_the_prompt_must_fit_into_the_context(model, size, asked, betas, refusal):
    try:
        rules.fits({"max_tokens": asked}, catalog.find(model), size, frozenset(betas))
    except wire.ApiError as error:
        assert error.message == refusal
    else:
        assert refusal is None


def test_a_long_conversation_is_judged_in_linear_time():
    messages = [ASKED]
    for k in range(20_000):
        messages += [claude(SIGNED, use(f"{k}")), user(result(f"{k}"))]

    assert said(messages=messages) is None
