"""The shape of a request body: every field Claude knows, and its exact words for one that is wrong.

Strict where Claude is known to be, open where it is only guessed. Nothing is converted: a valid body is used as it was
sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, NoReturn, Required

from pydantic import BeforeValidator, Discriminator, Field, Tag, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

from mockclaude.request.blocks import CLOSED, HIDDEN, OPEN, Cached, Content, Free, Texts
from mockclaude.tokens import Json
from mockclaude.wire import ApiError

VERSIONS = ("2023-06-01", "2026-10-21")
SERVER_TOOLS = Literal[
    "advisor_20260301",
    "bash_20241022",
    "bash_20250124",
    "browser_toolset_20260801",
    "code_execution_20250522",
    "code_execution_20250825",
    "code_execution_20260120",
    "code_execution_20260521",
    "computer_20241022",
    "computer_20250124",
    "computer_20251124",
    "computer_toolset_20260801",
    "mcp_toolset",
    "memory_20250818",
    "text_editor_20241022",
    "text_editor_20250124",
    "text_editor_20250429",
    "text_editor_20250728",
    "tool_search_tool_bm25",
    "tool_search_tool_bm25_20251119",
    "tool_search_tool_regex",
    "tool_search_tool_regex_20251119",
    "web_fetch_20250910",
    "web_fetch_20260209",
    "web_fetch_20260309",
    "web_fetch_20260318",
    "web_search_20250305",
    "web_search_20260209",
    "web_search_20260318",
]
TURN, SYSTEM = "\0turn", "\0system"


@with_config(CLOSED)
class _Turn(TypedDict):
    role: str
    content: Content


@with_config(CLOSED)
class _SystemTurn(TypedDict, total=False):
    """An instruction in mid-conversation; in a beta it may be a change of effort and nothing else."""

    role: Required[str]
    content: Content
    clear_at: str | None
    output_config: Free | None


def _whose(value: object) -> str:
    return SYSTEM if isinstance(value, Mapping) and value.get("role") == "system" else TURN


Message = Annotated[Annotated[_Turn, Tag(TURN)] | Annotated[_SystemTurn, Tag(SYSTEM)], Discriminator(_whose)]


@with_config(OPEN)
class _InputSchema(TypedDict, total=False):
    type: Required[Literal["object"]]
    properties: Free | None
    required: list[str] | None


@with_config(CLOSED)
class _Custom(Cached, total=False):
    type: Required[Literal["custom"]]
    name: Required[Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]]
    input_schema: Required[_InputSchema]
    description: str | None
    strict: bool | None
    defer_loading: bool | None
    allowed_callers: list[str] | None
    eager_input_streaming: bool | None
    input_examples: list[Free] | None


@with_config(OPEN)
class _ServerTool(Cached, total=False):
    type: Required[SERVER_TOOLS]


def _typed(tool: object) -> object:
    """A tool without a type is the caller's own."""
    return {**tool, "type": "custom"} if isinstance(tool, dict) and tool.get("type") is None else tool


Tool = Annotated[_Custom | _ServerTool, Discriminator("type"), BeforeValidator(_typed)]


class _Shown(TypedDict, total=False):
    display: Literal["summarized", "omitted", "updates"] | None
    block_binding: Free | None


@with_config(CLOSED)
class _ThinkingEnabled(_Shown, total=False):
    type: Required[Literal["enabled"]]
    budget_tokens: Required[Annotated[int, Field(ge=1024)]]


@with_config(CLOSED)
class _ThinkingAdaptive(_Shown, total=False):
    type: Required[Literal["adaptive"]]


@with_config(CLOSED)
class _ThinkingOther(TypedDict):
    type: Literal["disabled", "between_tools"]


@with_config(CLOSED)
class _Choice(TypedDict, total=False):
    type: Required[Literal["auto", "any"]]
    disable_parallel_tool_use: bool | None


@with_config(CLOSED)
class _ChoiceOfTool(TypedDict, total=False):
    type: Required[Literal["tool"]]
    name: Required[str]
    disable_parallel_tool_use: bool | None


@with_config(OPEN)
class _ChoiceOfNone(TypedDict, total=False):
    type: Required[Literal["none"]]


@with_config(OPEN)
class _Format(TypedDict, total=False):
    type: Required[Literal["json_schema"]]
    schema: Required[Free]


@with_config(CLOSED)
class _OutputConfig(TypedDict, total=False):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None
    format: _Format | None
    task_budget: Free | None


@with_config(CLOSED)
class _Metadata(TypedDict, total=False):
    user_id: str | None


@with_config(CLOSED)
class Counted(Cached, total=False):
    """What `count_tokens` takes."""

    model: Required[str]
    messages: Required[Annotated[list[Message], Field(max_length=100_000)]]
    system: Texts
    tools: list[Tool] | None
    tool_choice: Annotated[_Choice | _ChoiceOfTool | _ChoiceOfNone, Discriminator("type")] | None
    thinking: Annotated[_ThinkingEnabled | _ThinkingAdaptive | _ThinkingOther, Discriminator("type")] | None
    output_config: _OutputConfig | None
    speed: Literal["standard", "fast"] | None
    billing_policy: Free | None
    compaction: Free | None
    context_management: Free | None
    mcp_servers: list[Free] | None


@with_config(CLOSED)
class Created(Counted, total=False):
    """What makes a message, since 2026-10-21."""

    max_tokens: Required[Annotated[int, Field(ge=0)]]
    metadata: _Metadata | None
    stream: bool | None
    stop_sequences: list[str] | None
    service_tier: Literal["auto", "standard_only"] | None
    inference_geo: str | None
    container: object
    diagnostics: Free | None
    fallback_credit_token: object
    fallbacks: object
    thread: Free | None
    output_format: Free | None


@with_config(CLOSED)
class Sampled(Created, total=False):
    """What makes a message in the API version before: with sampling."""

    temperature: float | None
    top_p: float | None
    top_k: int | None


CREATED: Mapping[str, Callable[[object], object]] = {
    VERSIONS[0]: TypeAdapter(Sampled).validator.validate_python,
    VERSIONS[1]: TypeAdapter(Created).validator.validate_python,
}
COUNTED = TypeAdapter(Counted).validator.validate_python


def created(data: object, version: str) -> Json:
    """The body of a request for a message, once its shape is found good; raises a 400 in Claude's words."""
    return _validated(data, CREATED[version])


def counted(data: object) -> Json:
    """The body of a request to count tokens, the same."""
    return _validated(data, COUNTED)


def _validated(data: object, validate: Callable[[object], object]) -> Json:
    try:
        validate(data)
    except ValidationError as error:
        _refuse(error.errors(include_url=False, include_input=False)[0])
    assert isinstance(data, dict)  # what the shape of every body is
    return data


def _refuse(detail: ErrorDetails) -> NoReturn:
    """Claude names one field, the first."""
    steps = [str(step) for step in detail["loc"] if not str(step).startswith(HIDDEN)]
    if "cache_control" in steps[:-1] and steps[-1] != "type":  # the only kind, but an arm of a union in Claude's paths
        steps.insert(steps.index("cache_control") + 1, "ephemeral")
    if detail["type"] == "union_tag_not_found":
        steps.append("type")
    place = ".".join(steps)
    raise ApiError(400, f"{place}: {_words(detail)}" if place else _words(detail))


def _words(detail: ErrorDetails) -> str:
    """Pydantic's words as it has them for JSON [B], whatever it was that it read."""
    kind, said = detail["type"], detail["msg"]
    if kind == "union_tag_not_found":
        return "Field required"
    if kind == "union_tag_invalid" and detail["loc"][0] == "tools":  # in the order of the alphabet [B]
        known = detail["ctx"]["expected_tags"]
        return said.replace(known, ", ".join(sorted(known.split(", "))))
    if kind in ("dict_type", "model_attributes_type"):
        return "Input should be an object"
    return "Input should be a valid array" if kind == "list_type" else said
