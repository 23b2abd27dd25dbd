"""The content blocks a request may hold, in messages, in results of tools and in the system prompt.

Strict where Claude is known to be, open where it is only guessed: blocks of betas and of Claude's own tools are taken
as they come. Fields: the parameter types of the official SDK.
"""

from __future__ import annotations

from typing import Annotated, Literal, Required

from pydantic import ConfigDict, Discriminator, Field, Tag, with_config
from typing_extensions import TypedDict

SERVER_BLOCKS = Literal[
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "container_upload",
    "mcp_tool_use",
    "mcp_tool_result",
    "mcp_tool_listing",
    "compaction",
    "fallback",
    "advisor_tool_result",
    "tool_addition",
    "tool_removal",
    "mid_conv_system",
]
"""Blocks of Claude's own tools and of betas: open, whatever they hold."""
CLOSED = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
OPEN = ConfigDict(extra="allow", strict=True)
HIDDEN = "\0"
"""Begins the names of union arms that Claude's paths do not show."""
ONE, MANY = "\0one", "\0many"

Free = dict[str, object]
"""An object of which nothing is known."""
ToolId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")]


def arm(value: object) -> str:
    """Whether content is one text or many blocks."""
    return ONE if isinstance(value, str) else MANY


@with_config(CLOSED)
class _CacheControl(TypedDict, total=False):
    type: Required[Literal["ephemeral"]]
    ttl: Literal["5m", "1h"]
    scope: str


class Cached(TypedDict, total=False):
    """What may be a cache breakpoint."""

    cache_control: _CacheControl | None


@with_config(CLOSED)
class Text(Cached, total=False):
    """Text; citations are what a reply of Claude had."""

    type: Required[Literal["text"]]
    text: Required[str]
    citations: list[Free] | None


@with_config(CLOSED)
class _ImageData(TypedDict):
    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str


@with_config(CLOSED)
class _PdfData(TypedDict):
    type: Literal["base64"]
    media_type: Literal["application/pdf"]
    data: str


@with_config(CLOSED)
class _PlainText(TypedDict):
    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


@with_config(CLOSED)
class _Url(TypedDict):
    type: Literal["url"]
    url: str


@with_config(CLOSED)
class _File(TypedDict):
    type: Literal["file"]
    file_id: str


@with_config(CLOSED)
class _Image(Cached, total=False):
    type: Required[Literal["image"]]
    source: Required[Annotated[_ImageData | _Url | _File, Discriminator("type")]]
    transformations: object


Parts = Annotated[Text | _Image, Discriminator("type")]


@with_config(CLOSED)
class _ContentSource(TypedDict):
    type: Literal["content"]
    content: Annotated[Annotated[str, Tag(ONE)] | Annotated[list[Parts], Tag(MANY)], Discriminator(arm)]


@with_config(CLOSED)
class _CitationsConfig(TypedDict, total=False):
    enabled: bool


@with_config(CLOSED)
class _Document(Cached, total=False):
    type: Required[Literal["document"]]
    source: Required[Annotated[_PdfData | _PlainText | _ContentSource | _Url | _File, Discriminator("type")]]
    citations: _CitationsConfig | None
    context: str | None
    title: str | None


@with_config(CLOSED)
class _SearchResult(Cached, total=False):
    type: Required[Literal["search_result"]]
    source: Required[str]
    title: Required[str]
    content: Required[list[Text]]
    citations: _CitationsConfig | None


@with_config(CLOSED)
class _Thinking(TypedDict):
    type: Literal["thinking"]
    thinking: str
    signature: str


@with_config(CLOSED)
class _RedactedThinking(TypedDict):
    type: Literal["redacted_thinking"]
    data: str


@with_config(CLOSED)
class _ToolUse(Cached, total=False):
    type: Required[Literal["tool_use"]]
    id: Required[ToolId]
    name: Required[Annotated[str, Field(min_length=1, max_length=200)]]
    input: Required[Free]
    caller: object
    toolset_name: str | None


@with_config(OPEN)
class _ResultPart(Cached, total=False):
    type: Required[Literal["tool_reference", "browser_state"]]


ResultParts = Annotated[Text | _Image | _SearchResult | _Document | _ResultPart, Discriminator("type")]


@with_config(CLOSED)
class _ToolResult(Cached, total=False):
    type: Required[Literal["tool_result"]]
    tool_use_id: Required[ToolId]
    content: Annotated[Annotated[str, Tag(ONE)] | Annotated[list[ResultParts], Tag(MANY)], Discriminator(arm)]
    is_error: bool | None
    toolset_name: str | None


@with_config(OPEN)
class _ServerToolUse(Cached, total=False):
    type: Required[Literal["server_tool_use"]]
    id: Required[Annotated[str, Field(pattern=r"^srvtoolu_[a-zA-Z0-9_]+$")]]
    name: Required[str]
    input: Required[Free]


@with_config(OPEN)
class _ServerBlock(Cached, total=False):
    type: Required[SERVER_BLOCKS]


Block = Annotated[
    Text
    | _Image
    | _Document
    | _SearchResult
    | _Thinking
    | _RedactedThinking
    | _ToolUse
    | _ToolResult
    | _ServerToolUse
    | _ServerBlock,
    Discriminator("type"),
]
Content = Annotated[Annotated[str, Tag(ONE)] | Annotated[list[Block], Tag(MANY)], Discriminator(arm)]
Texts = Annotated[Annotated[str, Tag(ONE)] | Annotated[list[Text], Tag(MANY)], Discriminator(arm)]
