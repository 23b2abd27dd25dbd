"""Who may ask: the keys in the settings and in a file, rotation without a restart, and names that tell no key."""

import asyncio
import re
from pathlib import Path

import pytest

from gateway_under_test import auth, errors
from gateway_under_test.settings import Settings, SettingsError
from tests.gateway.lines import Lines


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("filed\n")
    return path


def keys(lines: Lines, *given: str, file: Path | None = None) -> auth.Keys:
    return auth.Keys(Settings(valid_api_keys=given, valid_api_keys_file=file and str(file)), lines)


def refused(known: auth.Keys, key: str | None) -> int | None:
    try:
        known.check(key)
    except errors.Rejected as error:
        return error.status
    return None


async def test_a_key_is_one_of_those_we_know(lines):
    known = keys(lines, "good", "better")

    assert [refused(known, key) for key in ("good", "better", None, "", "goo", "goodd", "g\xf6\xf6d")] == [
        None,
        None,
        401,
        401,
        403,
        403,
        403,
    ]


@pytest.mark.parametrize(
    ("key", "authorization", "told"),
    [
        pytest.param("good", None, None, id="key"),
        pytest.param(None, "Bearer good", None, id="token"),
        pytest.param(None, "bearer  good ", None, id="token written otherwise"),
        pytest.param("bad", "Bearer good", None, id="one of both"),
        pytest.param("good", "Bearer bad", None, id="the other of both"),
        pytest.param(None, None, "x-api-key header is required", id="none"),
        pytest.param("", "Basic good", "x-api-key header is required", id="no bearer"),
        pytest.param("bad", None, "invalid x-api-key", id="wrong key"),
        pytest.param(None, "Bearer bad", "Invalid bearer token", id="wrong token"),
    ],
)
async def test_where_we_speak_as_claude_does_a_key_comes_in_either_header(lines, key, authorization, told):
    known = keys(lines, "good")

    if told is None:
        assert known.check_as_claude(key, authorization) == auth.name_of("good")
    else:
        with pytest.raises(errors.Rejected, match=told) as error:
            known.check_as_claude(key, authorization)
        assert error.value.status == 401


async def test_the_name_of_a_holder_is_always_the_same_and_not_the_key(lines):
    known = keys(lines, "good", "better")

    names = [known.check(key) for key in ("good", "better", "good")]

    assert names[0] == names[2] != names[1]
    assert all(re.fullmatch(r"key-[0-9a-f]{6}", name) for name in names)


def test_a_file_holds_one_key_a_line_and_comments():
    text = "\ufeffone\n\n  # two\n three  # of the third team\r\nfo#ur\n#\n"

    assert auth.parse(text.removeprefix("\ufeff")) == ["one", "three", "fo#ur"]


async def test_keys_of_the_settings_and_of_the_file_count(lines, file):
    file.write_bytes(b"\xef\xbb\xbffiled\n")  # some editors begin a file so

    known = keys(lines, "good", file=file)

    assert [refused(known, key) for key in ("good", "filed", "# filed")] == [None, None, 403]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(None, "VALID_API_KEYS_FILE: .*No such file.*; expected a file with one key a line", id="no file"),
        pytest.param(b"# none yet\n", "VALID_API_KEYS_FILE: .*holds no key; expected", id="no key"),
        pytest.param(b"\xff\xfe", "VALID_API_KEYS_FILE: .*can't decode", id="no text"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_at_the_start(lines, tmp_path, text, told):
    path = tmp_path / "keys"
    if text is not None:
        path.write_bytes(text)

    with pytest.raises(SettingsError, match=told):
        keys(lines, "good", file=path)


async def test_keys_are_rotated_without_a_restart(lines, file):
    known = keys(lines, "good", file=file)
    known.check("filed")

    new = file.with_name("new")
    new.write_text("rotated\n")
    new.rename(file)
    await asyncio.sleep(0.9)
    at_first = [refused(known, key) for key in ("filed", "rotated", "good")]
    await asyncio.sleep(0.2)

    assert at_first == [None, 403, None]  # the file is looked at once a second
    assert [refused(known, key) for key in ("filed", "rotated", "good")] == [403, None, None]
    assert lines.all == [{"event": "keys_read", "file": str(file), "keys": 2}]


async def test_a_file_that_vanishes_or_is_emptied_changes_nothing_and_is_told_once(lines, file):
    known = keys(lines, file=file)
    seen = []

    for text in (None, "", b"\xff", "other\n"):
        if text is None:
            file.unlink()
        else:
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
        for _ in range(3):
            await asyncio.sleep(1.1)
            seen.append(refused(known, "filed"))

    assert seen == [None] * 9 + [403] * 3
    assert [line["event"] for line in lines.all] == ["keys_kept"] * 3 + ["keys_read"]
    assert "No such file" in lines.all[0]["error"]
    assert lines.all[1]["error"].endswith("holds no key")
    assert "filed" not in str([{**line, "file": ""} for line in lines.all])
