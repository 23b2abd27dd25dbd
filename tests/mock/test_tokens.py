import base64
import json
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockclaude import tokens

NOW = 1.3
"""The scale of models from 4.7 on."""


def user(*content):
    return {"messages": [{"role": "user", "content": list(content)}]}


def text(said):
    return {"type": "text", "text": said}


def base64ed(data, media_type):
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}


def png(width, height):
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\2\0\0\0crc."


def gif(width, height):
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0"


def jpeg(width, height):
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 9000) + b"." * 9000
    frame = b"\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + b"\3\1\x11\0\2\x11\1\3\x11\1"
    return b"\xff\xd8" + comment + frame + b"\xff\xd9"


def webp(width, height):
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + canvas + b"\0" * 8


def image(data):
    return {"type": "image", "source": base64ed(data, "image/png")}


def pdf(pages):
    one = b"<< /Type /Page /Parent 1 0 R >>\n"
    return b"%PDF-1.4\n<< /Type /Pages /Kids [] >>\n<</Type/Catalog>>\n" + one * pages


@pytest.mark.parametrize(
    ("said", "old", "new"),
    [("", 0, 0), ("hi", 1, 1), ("a" * 35, 10, 13), ("a" * 36, 11, 14), ("é" * 35, 20, 26), ("a" * 3500, 1000, 1300)],
)
def test_a_token_is_three_and_a_half_bytes_and_newer_models_make_more_of_them(said, old, new):
    assert (tokens.count(said), tokens.count(said, NOW)) == (old, new)
    assert (tokens.of_body(user(text(said))), tokens.of_body(user(text(said)), NOW)) == (old, new)


@given(size=st.integers(0, 10**9), scale=st.sampled_from([1.0, NOW]))
def test_what_fits_into_tokens_is_no_more_than_them(size, scale):
    fitting = tokens.fitting(size, scale)

    assert tokens.of_bytes(fitting, scale) <= size < tokens.of_bytes(fitting + 1, scale)


def test_a_prompt_is_rounded_up_once():
    body = user(*[text("abcd")] * 10)

    assert tokens.of_body(body) == 12


def test_the_prompt_is_read_in_claudes_order():
    body = {
        "messages": [{"role": "user", "content": "d"}, {"role": "assistant", "content": [text("e")]}],
        "system": [text("b"), text("c")],
        "tools": [{"name": "a"}],
    }

    parts = list(tokens.parts(body))

    assert [part.place for part in parts] == ["tools", "system", "system", "user", "assistant"]
    assert [part.block for part in parts[1:]] == [text("b"), text("c"), text("d"), text("e")]


@pytest.mark.parametrize(
    ("block", "size"),
    [
        (text("x" * 350), 350),
        ({"type": "thinking", "thinking": "x" * 350, "signature": "s" * 99}, 350),
        ({"type": "tool_use", "id": "i" * 99, "name": "abcde", "input": {"a": "b"}}, 5 + len('{"a":"b"}')),
        ({"type": "tool_result", "tool_use_id": "i" * 99, "content": "x" * 350}, 350),
        ({"type": "tool_result", "tool_use_id": "i", "content": [text("x" * 50), text("y" * 300)]}, 350),
        ({"type": "tool_result", "tool_use_id": "i"}, 0),
        ({"type": "search_result", "title": "t" * 5, "source": "s" * 5, "content": [text("x" * 340)]}, 350),
        ({"type": "document", "title": "t" * 50, "source": {"type": "text", "data": "x" * 300}}, 350),
        ({"type": "document", "source": {"type": "content", "content": "x" * 350}}, 350),
        ({"type": "document", "source": {"type": "content", "content": [text("x" * 350)]}}, 350),
        ({"type": "container_upload", "file_id": "f"}, len('{"type":"container_upload","file_id":"f"}')),
        ({"type": "unheard_of", "cache_control": {"type": "ephemeral"}}, len('{"type":"unheard_of"}')),
    ],
    ids=lambda value: str(value.get("type")) if isinstance(value, dict) else None,
)
def test_every_kind_of_block_counts(block, size):
    assert tokens.of_body(user(block)) == tokens.of_bytes(size)
    assert tokens.of_body(user(block), NOW) == tokens.of_bytes(size, NOW)


def test_tools_count_as_their_json_without_what_only_marks_them():
    tool = {"name": "get", "description": "é", "input_schema": {"type": "object"}}
    size = len(json.dumps(tool, separators=(",", ":"), ensure_ascii=False).encode())

    marked = {"tools": [tool | {"cache_control": {"type": "ephemeral"}}], "messages": []}

    assert tokens.of_body(marked) == tokens.of_body({"tools": [tool], "messages": []}) == tokens.of_bytes(size)


@pytest.mark.parametrize("form", [png, gif, jpeg, webp])
@pytest.mark.parametrize(
    ("width", "height", "old", "new"),
    [(1, 1, 1, 1), (280, 140, 50, 50), (1000, 1000, 1296, 1296), (1568, 784, 1568, 1568), (4000, 2000, 1568, 4232)],
)
def test_an_image_is_a_token_for_each_tile_that_the_model_sees(form, width, height, old, new):
    body = user(image(form(width, height)))

    assert (tokens.of_body(body), tokens.of_body(body, NOW)) == (old, new)


@pytest.mark.parametrize(("scale", "most"), [(1.0, 1_568), (NOW, 4_784)])
def test_no_image_is_more_than_the_models_largest(scale, most):
    assert tokens.of_body(user(image(png(8000, 8000))), scale) == most


@pytest.mark.parametrize(
    "source",
    [
        {"type": "url", "url": "https://example.com/a.png"},
        {"type": "file", "file_id": "file_011"},
        base64ed(b"no image at all", "image/png"),
        base64ed(png(0, 10), "image/png"),
        base64ed(b"<svg width='10' height='10'/>", "image/png"),
        base64ed(b"\xff\xd8\xff\xe0", "image/jpeg"),
        {"type": "base64", "data": "%%%"},
        {"type": "base64", "data": 7},
        None,
    ],
    ids=["url", "file", "text", "no width", "svg", "cut jpeg", "no base64", "number", "nothing"],
)
def test_an_image_that_cannot_be_seen_counts_flat(source):
    assert tokens.of_body(user({"type": "image", "source": source})) == 1_568


@pytest.mark.parametrize(("pages", "counted"), [(0, 1), (1, 1), (3, 3), (100, 100)])
def test_a_pdf_counts_by_its_pages(pages, counted):
    block = {"type": "document", "source": base64ed(pdf(pages), "application/pdf")}

    assert tokens.of_body(user(block)) == tokens.of_body(user(block), NOW) == counted * 2_000


@pytest.mark.parametrize(
    "source", [{"type": "url", "url": "https://a.b/c.pdf"}, {"type": "file", "file_id": "f"}, None]
)
def test_a_document_that_is_elsewhere_counts_flat(source):
    assert tokens.of_body(user({"type": "document", "source": source})) == 1_568


def test_images_and_pages_in_the_result_of_a_tool_count_too():
    page = {"type": "document", "source": base64ed(pdf(2), "application/pdf")}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image(png(280, 140)), page, text("x" * 35)]}

    assert tokens.of_body(user(result)) == 50 + 4_000 + 10


THOUGHT = {"type": "thinking", "thinking": "x" * 350, "signature": "s"}
CALL = {"type": "tool_use", "id": "t", "name": "", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": ""}


def turns(*contents):
    return {"messages": [{"role": "user" if k % 2 == 0 else "assistant", "content": c} for k, c in enumerate(contents)]}


@pytest.mark.parametrize(
    ("body", "counted"),
    [
        (turns([text("")], [THOUGHT, CALL], [RESULT]), 1),
        (turns([text("")], [THOUGHT, CALL], [RESULT], [THOUGHT, CALL], [RESULT]), 2),
        (turns([text("")], [THOUGHT, text("")], [text("")]), 0),
        (turns([text("")], [THOUGHT, CALL], [RESULT, text("")]), 0),
        (turns([text("")], [THOUGHT, text("")], [text("")], [THOUGHT, CALL], [RESULT]), 1),
    ],
    ids=["in use of a tool", "twice", "new turn", "result and more", "only the last turn"],
)
def test_thoughts_of_earlier_turns_are_not_read_again(body, counted):
    arguments = sum(len("{}") for message in body["messages"] if CALL in message["content"])

    assert tokens.of_body(body) == tokens.of_bytes(350 * counted + arguments)


def test_models_that_keep_their_thoughts_read_all_of_them():
    body = turns([text("")], [THOUGHT, text("")], [text("")])

    assert tokens.of_body(body, keeps_thinking=True) == 100


LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
NAMES = st.sampled_from(
    ["type", "text", "thinking", "content", "source", "data", "name", "input", "title", "cache_control"]
)
KINDS = st.sampled_from(
    ["text", "image", "thinking", "tool_use", "tool_result", "search_result", "document", "base64", "content", "new"]
)
GARBAGE = st.recursive(
    LEAF | KINDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=20
)


@given(content=GARBAGE, system=GARBAGE, tools=GARBAGE)
def test_no_garbage_is_too_strange_to_be_counted(content, system, tools):
    body = {"messages": [{"role": "user", "content": content}], "system": system, "tools": tools}

    assert tokens.of_body(body) >= 0


def test_content_inside_content_counts_however_deep_it_goes():
    block = text("x" * 35)
    for _ in range(300):
        block = {"type": "tool_result", "tool_use_id": "t", "content": [block]}

    assert tokens.of_body(user(block)) > 10


def test_counting_takes_time_in_proportion_to_the_prompt():
    def seconds(blocks):
        body = user(*[text("x" * 100)] * blocks)
        began = time.perf_counter()
        tokens.of_body(body)
        return time.perf_counter() - began

    small, large = (min(seconds(blocks) for _ in range(5)) for blocks in (1_000, 20_000))

    assert large < 20 * small * 4
    assert small < 0.010  # 115 KB
