"""Bodies as they come in, compressed or not."""

import gzip
import tracemalloc
import zlib

import pytest

from mockclaude.request.intake import LIMIT, Intake
from mockclaude.wire import ApiError

PLAIN = b'{"model": "claude-haiku-4-5"}' * 50
BARE = zlib.compressobj(wbits=-15)
RAW_DEFLATE = BARE.compress(PLAIN) + BARE.flush()


def taken(data, encoding="", size=7, limit=LIMIT):
    intake = Intake(encoding, limit)
    for at in range(0, len(data), size):
        intake.take(data[at : at + size])
    return intake


def refused(intake):
    with pytest.raises(ApiError) as caught:
        intake.body()
    return caught.value.status, (caught.value.details or {}).get("error_code")


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("", PLAIN),
        ("identity", PLAIN),
        ("gzip", gzip.compress(PLAIN)),
        ("GZIP", gzip.compress(PLAIN)),
        ("x-gzip", gzip.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN)),
        ("deflate", RAW_DEFLATE),
    ],
    ids=["none", "identity", "gzip", "capitals", "x-gzip", "deflate", "bare deflate"],
)
def test_a_body_is_decoded_however_it_is_cut(encoding, data, size):
    assert taken(data, encoding, size).body() == PLAIN


def test_no_body_is_an_empty_one():
    assert Intake().body() == b""


def test_more_than_a_step_of_decoded_bytes_comes_whole():
    large = bytes(range(256)) * 20_000

    assert taken(gzip.compress(large), "gzip", size=1 << 16).body() == large


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, deflate", "nonsense"])
def test_an_encoding_nobody_decodes_is_unsupported(encoding):
    assert refused(taken(PLAIN, encoding)) == (400, "request_body_encoding_unsupported")


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", PLAIN),
        ("gzip", gzip.compress(PLAIN)[:-9]),
        ("gzip", gzip.compress(PLAIN) + b"more"),
        ("gzip", gzip.compress(PLAIN)[:-5] + b"\0\0\0\0\0"),
        ("deflate", b"\xff" * 40),
        ("deflate", zlib.compress(PLAIN)[:-5]),
    ],
    ids=["plain", "cut off", "something follows", "wrong checksum", "nonsense", "deflate cut off"],
)
def test_what_is_not_what_it_says_is_invalid(encoding, data):
    assert refused(taken(data, encoding)) == (400, "request_body_encoding_invalid")


def test_a_byte_over_the_limit_is_cloudflares_413():
    assert taken(b"x" * 100, limit=100).body() == b"x" * 100
    assert refused(taken(b"x" * 101, limit=100)) == (413, None)


def test_a_byte_over_the_limit_after_decoding_is_claudes_413():
    assert taken(gzip.compress(b"x" * 1000), "gzip", limit=1000).body() == b"x" * 1000
    assert refused(taken(gzip.compress(b"x" * 1001), "gzip", limit=1000)) == (
        413,
        "request_body_too_large_after_decoding",
    )


def test_a_bomb_costs_no_more_memory_than_the_limit():
    compressor = zlib.compressobj(9, wbits=31)
    bomb = b"".join(compressor.compress(bytes(1 << 24)) for _ in range(20)) + compressor.flush()  # 320 MB from 0.3
    tracemalloc.start()

    intake = taken(bomb, "gzip", size=1 << 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert refused(intake) == (413, "request_body_too_large_after_decoding")
    assert peak < LIMIT * 1.3


def test_after_a_refusal_nothing_is_kept():
    intake = taken(b"x" * 200, limit=100)
    for _ in range(100):
        intake.take(b"x" * 100_000)

    assert refused(intake) == (413, None)
    assert not intake._kept
