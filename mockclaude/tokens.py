"""How many tokens something is: one documented estimate, used everywhere.

A token is 3.5 bytes of UTF-8; models from 4.7 on make 30 % more tokens of the same text (`scale`). A prompt is read in
Claude's order (tools, system, messages) and rounded up once, as a whole: [C] what Claude adds around a message or a
tool is not known and not counted. An image is one token for each 28 x 28 pixels once it fits into the model's largest
picture; a page of a PDF is 2,000 tokens (platform.claude.com/docs: vision, pdf-support).
"""

from __future__ import annotations

import binascii
import functools
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import imagesize
import orjson

Json = Mapping[str, Any]

BYTES_PER_TOKEN = 3.5
EXACT = 1e-9
"""Taken off before rounding up: 30 % more than 10 tokens are 13, whatever floating point makes of it."""

TILE = 28
"""Pixels; an image is cut into squares of this side, a token each."""
PAGE = 2_000
"""[C] Tokens of a PDF's page: the documentation says 1,500 to 3,000 for its text, and its picture beside."""
LARGEST = (1_568, 1_568)
LARGEST_NOW = (2_576, 4_784)
"""The longest side in pixels and the most tokens of one image, until 4.6 and from 4.7 on."""
UNSEEN = 1_568
"""[C] Tokens of an image or a document that is not in the body: by URL, by file id, or unreadable."""

HEADER = 128 * 1024
"""Characters of base64 within which an image's size is looked for."""
IMAGES = (b"\x89PNG\r\n\x1a\n", b"GIF8", b"\xff\xd8\xff", b"RIFF")
PAGES = re.compile(rb"/Type\s*/Page\b")
CONTAINERS = ("tool_result", "search_result", "document")
NESTED = 3
"""Levels of content inside content that are read block by block; what lies deeper counts as its JSON."""


class Weight(NamedTuple):
    """What some content weighs: bytes of text, and tokens that stand for no text."""

    size: int = 0
    flat: int = 0

    def plus(self, other: Weight) -> Weight:
        """Both together."""
        return Weight(self.size + other.size, self.flat + other.flat)

    def tokens(self, scale: float) -> int:
        """As a count of tokens, rounded up."""
        return of_bytes(self.size, scale) + self.flat


class Part(NamedTuple):
    """One block of a prompt, where it stands (`tools`, `system`, or the role of its message), and what it weighs."""

    place: str
    block: Json
    weight: Weight


def count(text: str, scale: float = 1.0) -> int:
    """Estimate the tokens of `text`, rounded up."""
    return of_bytes(_length(text), scale)


def of_bytes(size: int, scale: float = 1.0) -> int:
    """The tokens of `size` bytes of text, rounded up."""
    return math.ceil(size / BYTES_PER_TOKEN * scale - EXACT)


def fitting(tokens: int, scale: float = 1.0) -> int:
    """The most bytes of text that are `tokens` tokens."""
    return math.floor(tokens * BYTES_PER_TOKEN / scale + EXACT)


def of_body(body: Json, scale: float = 1.0, keeps_thinking: bool = False) -> int:
    """The tokens of a whole prompt."""
    return of_parts(parts(body, scale, keeps_thinking), scale)


def of_parts(all_parts: Iterable[Part], scale: float = 1.0) -> int:
    """The tokens of a whole prompt that has been read."""
    size = flat = 0
    for part in all_parts:
        size += part.weight.size
        flat += part.weight.flat
    return Weight(size, flat).tokens(scale)


def parts(body: Json, scale: float = 1.0, keeps_thinking: bool = False) -> Iterator[Part]:
    """The blocks of a prompt in the order in which Claude reads them.

    What an assistant thought before the last turn of the user is not read again, but by models that keep it
    (platform.claude.com/docs: extended thinking). A turn that only brings results of tools goes on with the last one.
    """
    for tool in _listed(body.get("tools")):
        bare = {name: value for name, value in tool.items() if name != "cache_control"}
        yield Part("tools", tool, Weight(_written(bare)))
    for block in blocks(body.get("system")):
        yield Part("system", block, _weight(block, scale))
    messages = _listed(body.get("messages"))
    turn = 0 if keeps_thinking else _last_turn(messages)
    for index, message in enumerate(messages):
        for block in blocks(message.get("content")):
            if index >= turn or block.get("type") not in ("thinking", "redacted_thinking"):
                yield Part(str(message.get("role")), block, _weight(block, scale))


def blocks(content: object) -> Sequence[Json]:
    """The blocks of a content; a plain string is one of text."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else _listed(content)


def _last_turn(messages: Sequence[Json]) -> int:
    """Where the user last said something that is not the result of a tool."""
    for index in range(len(messages) - 1, -1, -1):
        said = messages[index].get("content")
        if messages[index].get("role") == "user" and (isinstance(said, str) or any(map(_is_own, blocks(said)))):
            return index
    return 0


def _is_own(block: Json) -> bool:
    return block.get("type") != "tool_result"


def _weight(block: Json, scale: float, depth: int = 0) -> Weight:
    kind = block.get("type")
    if kind == "text":
        return Weight(_length(block.get("text")))
    if kind == "image":
        return _picture(block.get("source"), scale)
    if kind == "thinking":
        return _texts(block, "thinking")
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        return Weight(_length(block.get("name")) + _written(block.get("input")))
    if kind in CONTAINERS and depth < NESTED:
        return _document(block, scale, depth) if kind == "document" else _result(block, scale, depth)
    return Weight(_written({name: value for name, value in block.items() if name != "cache_control"}))


def _inside(content: object, scale: float, depth: int) -> Weight:
    weights = (_weight(block, scale, depth + 1) for block in blocks(content))
    return functools.reduce(Weight.plus, weights, Weight())


def _texts(block: Json, *names: str) -> Weight:
    return Weight(sum(_length(block.get(name)) for name in names))


def _result(block: Json, scale: float, depth: int) -> Weight:
    return _inside(block.get("content"), scale, depth).plus(_texts(block, "title", "source"))


def _document(block: Json, scale: float, depth: int) -> Weight:
    source, about = block.get("source"), _texts(block, "title", "context")
    kind = source.get("type") if isinstance(source, Mapping) else None
    if not isinstance(source, Mapping) or kind not in ("text", "content", "base64"):
        return about.plus(Weight(0, UNSEEN))
    if kind == "text":
        return about.plus(_texts(source, "data"))
    if kind == "content":
        return about.plus(_inside(source.get("content"), scale, depth))
    pages = sum(1 for _ in PAGES.finditer(_decoded(source.get("data"))))
    return about.plus(Weight(0, max(1, pages) * PAGE))


def _picture(source: object, scale: float) -> Weight:
    data = source.get("data") if isinstance(source, Mapping) else None
    width, height = _pixels(_decoded(data[:HEADER])) if isinstance(data, str) else (-1, -1)
    if width <= 0 or height <= 0:
        return Weight(0, UNSEEN)
    return Weight(0, _tiles(width, height, *(LARGEST if scale == 1.0 else LARGEST_NOW)))


def _tiles(width: int, height: int, longest: int, most: int) -> int:
    """The squares of an image, shrunk where it is larger than the model can see."""
    shrunk = min(1.0, longest / max(width, height))
    return min(most, math.ceil(width * shrunk / TILE - EXACT) * math.ceil(height * shrunk / TILE - EXACT))


def _pixels(data: bytes) -> tuple[int, int]:
    """Width and height; (-1, -1) for what is no image that Claude takes. No other format is so much as parsed."""
    if not data.startswith(IMAGES):
        return -1, -1
    try:
        width, height = imagesize.get(io.BytesIO(data), exif_rotation=False)
        return int(width), int(height)
    except Exception:  # a parser of untrusted bytes: whatever it trips over, there is no size
        return -1, -1


def _decoded(data: object) -> bytes:
    try:
        return binascii.a2b_base64(data[: len(data) // 4 * 4]) if isinstance(data, str) else b""
    except ValueError:
        return b""


def _length(text: object) -> int:
    """Bytes of UTF-8; nothing for what is no text."""
    if not isinstance(text, str):
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _written(value: object) -> int:
    """Bytes of a value's JSON; nothing for what is none."""
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:  # too deep for it, perhaps
        return _length(_deep(value))


def _deep(value: object) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return ""


def _listed(value: object) -> Sequence[Json]:
    """The mappings of a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
