import base64
import random

import pytest

from mockclaude.speech import citations

PLAIN = "The grass is green. The sky is blue!\nWater is wet"
PDF = b"%PDF-1.4\n4 0 obj\n<< /Length 44 >>\nstream\nBT /F1 24 Tf (Sales rose \\(a lot\\).) Tj ET\nendstream"


def document(source, title="Nature", enabled=True):
    return {"type": "document", "source": source, "title": title, "citations": {"enabled": enabled}}


def text_source(data=PLAIN):
    return {"type": "text", "media_type": "text/plain", "data": data}


def pdf_source(data=PDF):
    return {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(data).decode()}


def search_result(*texts, enabled=True):
    content = [{"type": "text", "text": text} for text in texts]
    return {
        "type": "search_result",
        "source": "https://example.com",
        "title": "Found",
        "content": content,
        "citations": {"enabled": enabled},
    }


def cited(*blocks, seed=1):
    messages = [{"role": "user", "content": [*blocks, {"type": "text", "text": "Why?"}]}]
    return citations.cited(messages, random.Random(seed))


def test_a_text_is_cited_by_characters_that_are_really_there():
    for seed in range(20):
        [one] = cited(document(text_source()), seed=seed)

        assert PLAIN[one["start_char_index"] : one["end_char_index"]] == one["cited_text"] != ""
        assert {**one, "cited_text": 0, "start_char_index": 0, "end_char_index": 0} == {
            "type": "char_location",
            "cited_text": 0,
            "document_index": 0,
            "document_title": "Nature",
            "start_char_index": 0,
            "end_char_index": 0,
        }


def test_which_sentence_is_a_matter_of_chance():
    assert len({cited(document(text_source()), seed=seed)[0]["cited_text"] for seed in range(20)}) == 3


def test_a_pdf_is_cited_by_its_page():
    [one] = cited(document(pdf_source()))

    assert one == {
        "type": "page_location",
        "cited_text": "Sales rose (a lot).",
        "document_index": 0,
        "document_title": "Nature",
        "start_page_number": 1,
        "end_page_number": 2,
    }


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7 nothing to see"], ids=["empty", "compressed"])
def test_a_pdf_that_shows_no_text_is_cited_without(data):
    assert cited(document(pdf_source(data)))[0]["cited_text"] == ""


def test_what_is_no_base64_is_no_harm():
    assert cited(document({"type": "base64", "media_type": "application/pdf", "data": "ü?"}))[0]["cited_text"] == ""


def test_custom_content_is_cited_by_whole_blocks():
    blocks = [{"type": "text", "text": "First."}, {"type": "image"}, {"type": "text", "text": "Second."}]
    for seed in range(10):
        [one] = cited(document({"type": "content", "content": blocks}, title=None), seed=seed)

        assert blocks[one["start_block_index"]]["text"] == one["cited_text"]
        assert one["end_block_index"] == one["start_block_index"] + 1
        assert (one["type"], one["document_title"]) == ("content_block_location", None)


def test_custom_content_may_be_one_text():
    [one] = cited(document({"type": "content", "content": "All of it."}))

    assert (one["cited_text"], one["start_block_index"], one["end_block_index"]) == ("All of it.", 0, 1)


def test_a_search_result_is_cited_by_whole_blocks():
    [one] = cited(search_result("Only this."))

    assert one == {
        "type": "search_result_location",
        "cited_text": "Only this.",
        "source": "https://example.com",
        "title": "Found",
        "search_result_index": 0,
        "start_block_index": 0,
        "end_block_index": 1,
    }


def test_every_one_that_asks_is_cited_and_all_are_counted():
    found = cited(
        document(text_source(), enabled=False),
        search_result("a", enabled=False),
        document(text_source()),
        search_result("b"),
        document(pdf_source()),
    )

    indexes = [(one["type"], one.get("document_index", one.get("search_result_index"))) for one in found]
    assert indexes == [("char_location", 1), ("page_location", 2), ("search_result_location", 1)]


def test_what_a_tool_found_is_cited_too():
    answer = {"type": "tool_result", "tool_use_id": "t", "content": [search_result("From a tool.")]}

    assert cited(answer)[0]["cited_text"] == "From a tool."


@pytest.mark.parametrize(
    "block",
    [
        document({"type": "url", "url": "https://example.com/a.pdf"}),
        document({"type": "file", "file_id": "file_x"}),
        document(text_source("")),
        document({"type": "content", "content": []}),
        search_result(),
        document(text_source(), enabled=False),
        {"type": "document", "source": text_source()},
        {"type": "document", "citations": {"enabled": True}},
    ],
    ids=["url", "file", "empty", "no blocks", "no results", "off", "not said", "no source"],
)
def test_what_cannot_be_seen_or_does_not_ask_is_not_cited(block):
    assert cited(block) == ()
