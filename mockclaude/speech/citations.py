"""What Claude cites: one passage of each document and search result that wants citations, quoted as it stands there."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

SENTENCE = re.compile(r"\S[^.!?\n]*[.!?]?\s?")
SHOWN_IN_PDF = re.compile(rb"\(((?:[^()\\]|\\.){3,})\)\s*Tj")
PDF_LOOKED_AT = 1_000_000


def cited(messages: Sequence[Json], rng: random.Random) -> tuple[Json, ...]:
    """A citation for each that asks for it; documents and search results are counted over the whole request."""
    found = list(_sources(messages))
    documents = [block for block in found if block["type"] == "document"]
    results = [block for block in found if block["type"] == "search_result"]
    from_documents = [_of_document(block, index, rng) for index, block in enumerate(documents) if _wanted(block)]
    from_results = [_of_result(block, index, rng) for index, block in enumerate(results) if _wanted(block)]
    return tuple(one for one in (*from_documents, *from_results) if one is not None)


def _sources(messages: Sequence[Json]) -> Iterator[Json]:
    """Documents and search results in the order they came, those inside tool results too."""
    for message in messages:
        for block in _blocks(message.get("content")):
            inner = block.get("content") if block.get("type") == "tool_result" else ()
            for one in (block, *_blocks(inner)):
                if one.get("type") in ("document", "search_result"):
                    yield one


def wanted(messages: Sequence[Json]) -> bool:
    """Whether anything in them asks to be cited."""
    listed = [message for message in messages if isinstance(message.get("content"), list)]
    return any(map(_wanted, _sources(listed)))


def _wanted(block: Json) -> bool:
    asked = block.get("citations")
    return isinstance(asked, Mapping) and asked.get("enabled") is True


def _of_document(block: Json, index: int, rng: random.Random) -> Json | None:
    """None where the text cannot be seen: a URL, a file."""
    source = block.get("source")
    title = block.get("title")
    if not isinstance(source, Mapping):
        return None
    match source.get("type"):
        case "text":
            start, end, text = _sentence(source.get("data"), rng)
            return None if not text else _document("char", text, index, title, "char_index", start, end)
        case "base64":
            return _document("page", _shown(source.get("data")), index, title, "page_number", 1, 2)
        case "content":
            start, text = _block(source.get("content"), rng)
            return None if not text else _document("content_block", text, index, title, "block_index", start, start + 1)
    return None


def _document(kind: str, text: str, index: int, title: object, unit: str, start: int, end: int) -> Json:
    return {
        "type": f"{kind}_location",
        "cited_text": text,
        "document_index": index,
        "document_title": title,
        f"start_{unit}": start,
        f"end_{unit}": end,
    }


def _of_result(block: Json, index: int, rng: random.Random) -> Json | None:
    start, text = _block(block.get("content"), rng)
    if not text:
        return None
    return {
        "type": "search_result_location",
        "cited_text": text,
        "source": block.get("source"),
        "title": block.get("title"),
        "search_result_index": index,
        "start_block_index": start,
        "end_block_index": start + 1,
    }


def _sentence(text: object, rng: random.Random) -> tuple[int, int, str]:
    """A sentence among the first of `text`: where it begins and ends, and itself."""
    found = (
        [match for match, _ in zip(SENTENCE.finditer(text), range(50), strict=False)] if isinstance(text, str) else []
    )
    if not found:
        return 0, 0, ""
    match = rng.choice(found)
    return match.start(), match.end(), match.group()


def _block(content: object, rng: random.Random) -> tuple[int, str]:
    """A text block, whole, and its index; a bare string is one block."""
    if isinstance(content, str):
        return 0, content
    texts = [(index, str(block.get("text") or "")) for index, block in enumerate(_blocks(content))]
    texts = [(index, text) for index, text in texts if text]
    return rng.choice(texts) if texts else (0, "")


def _shown(data: object) -> str:
    """The first text of a PDF that stores it plainly; compressed ones are not opened."""
    try:
        raw = base64.b64decode(str(data)[: PDF_LOOKED_AT // 3 * 4])
    except ValueError:
        return ""
    found = SHOWN_IN_PDF.search(raw)
    return re.sub(rb"\\(.)", rb"\1", found[1]).decode("latin-1") if found else ""


def _blocks(content: object) -> list[Json]:
    return [one for one in content if isinstance(one, Mapping)] if isinstance(content, list) else []
