"""The prompt registry: versions, who gets which, a file that changes, and what is said of a wrong one."""

import asyncio
import collections
import os
from pathlib import Path

import pytest

from gateway_under_test import errors, prompts, settings

FILE = """\
summarize:
  versions:
    v1: {system: be brief, user_template: "one {text}"}
    v9: {user_template: "nine {text}"}
    v10: {user_template: "ten {text}"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.yaml"
    path.write_text(FILE)
    return path


def registry(more: str = "", text: str = FILE) -> prompts.Versions:
    return prompts.parse(text + more, "prompts.yaml")["summarize"]


def test_the_latest_version_is_the_highest_in_natural_order():
    assert registry().choose("latest", "anyone") == "v10"


@pytest.mark.parametrize(("version", "chosen"), [("v1", "v1"), ("v9", "v9"), ("v2", None), ("", None), ("V1", None)])
def test_a_version_can_be_named(version, chosen):
    assert registry("  latest: v9\n  shares: {v10: 1.0}\n").choose(version, "anyone") == chosen


def test_the_latest_can_be_pinned_to_an_earlier_one():
    assert registry("  latest: v9\n").choose("latest", "anyone") == "v9"


def test_shares_split_the_callers_and_the_rest_get_the_latest():
    split = registry("  latest: v9\n  shares: {v1: 0.1, v10: 0.3}\n")

    counted = collections.Counter(split.choose("latest", f"caller {n}") for n in range(10_000))

    assert counted["v1"] == pytest.approx(1000, abs=100)
    assert counted["v10"] == pytest.approx(3000, abs=150)
    assert counted["v9"] == pytest.approx(6000, abs=150)


def test_shares_that_make_one_leave_nobody_to_the_latest():
    split = registry("  shares: {v1: 0.9, v9: 0.1}\n")

    assert {split.choose("latest", f"caller {n}") for n in range(1000)} == {"v1", "v9"}


def test_who_is_who_stays_the_same_for_ever():
    split = registry("  shares: {v1: 0.5}\n")

    assert [split.choose("latest", name) for name in ("ann", "bob", "eve", "joe")] == ["v1", "v10", "v10", "v1"]


@pytest.mark.parametrize(
    "text",
    ["{text}", "{0}", "{system} {x.__class__}", "{{}}", "\\1 \\g<0> %s $text", "{", ""],
)
def test_the_callers_text_goes_in_as_it_is(text):
    version = prompts.Version(user_template='{text} and {"json": {"a": [1]}} and {text.__class__} and {} {0}')

    assert version.text(text) == text + ' and {"json": {"a": [1]}} and {text.__class__} and {} {0}'


PROBLEMS = {
    "empty": ("", "p.yaml:1: the file: got None, expected dictionary"),
    "a list": ("- a\n", "p.yaml:1: the file: got ['a'], expected dictionary"),
    "no prompt": ("{}\n", "p.yaml:1: the file: got {}, expected Dictionary should have at least 1 item"),
    "not YAML": ("a:\n  b: [1,\n", "p.yaml:3: is not YAML: expected the node content"),
    "a tab": ("a:\n\tb: 1\n", "p.yaml:2: is not YAML: found character '\\t' that cannot start any token"),
    "no such date": ("a: 2026-99-99\n", "p.yaml: is not YAML: month must be in 1..12"),
    "not text": ("a: \x00\n", "p.yaml: is not YAML: unacceptable character"),
    "too deep": ("a: " + "[" * 5000, "p.yaml: is not YAML: maximum recursion depth exceeded"),
    "twice": (FILE + "    v1: {user_template: '{text}'}\n", 'p.yaml:6: "v1" is there twice'),
    "a typo": (FILE + "  lates: v1\n", "p.yaml:6: summarize.lates is not known here"),
    "a typo below": (
        "a:\n  versions:\n    v1:\n      user_template: '{text}'\n      sistem: x\n",
        "p.yaml:5: a.versions.v1.sistem is not known here",
    ),
    "no versions": ("a:\n  latest: v1\n", "p.yaml:1: a.versions is missing"),
    "no version": ("a: {versions: {}}\n", "p.yaml:1: a.versions: got {}, expected Dictionary should have at least 1"),
    "no template": ("a:\n  versions:\n    v1: {system: x}\n", "p.yaml:3: a.versions.v1.user_template is missing"),
    "a number": (
        "a:\n  versions:\n    v1:\n      user_template: 3\n",
        "p.yaml:4: a.versions.v1.user_template: got 3, expected string",
    ),
    "an empty system prompt": (
        "a: {versions: {v1: {system: '', user_template: '{text}'}}}\n",
        'p.yaml:1: a.versions.v1.system: got "", expected String should have at least 1 character',
    ),
    "a version that is no text": ("a:\n  versions:\n    1: {}\n", "p.yaml:3: a.versions.1: got 1, expected string"),
    "a version with a space": (
        "a:\n  versions:\n    v 1: {user_template: '{text}'}\n",
        "p.yaml:3: a.versions.v 1: got",
    ),
    "no place for the text": (
        "a:\n  versions:\n    v1: {user_template: say something}\n",
        "p.yaml:3: a.versions.v1.user_template: expected {text} where",
    ),
    "an unknown field": (
        "a:\n  versions:\n    v1: {user_template: '{text} {txet}'}\n",
        "user_template: unknown field {txet}; the only one is {text}",
    ),
    "a pin to nothing": (FILE + "  latest: v2\n", 'there is no version "v2", only v1, v9, v10'),
    "a share of nothing": (FILE + "  shares: {v2: 0.1}\n", 'there is no version "v2", only v1, v9, v10'),
    "too much": (
        FILE + "  shares: {v1: 0.9, v9: 0.2}\n",
        "p.yaml:1: summarize: the shares are 1.1 together, expected 1 at most",
    ),
    "less than nothing": (FILE + "  shares: {v1: -1}\n", "p.yaml:6: summarize.shares.v1: got -1, expected"),
    "not a number": (
        FILE + "  shares: {v1: .nan}\n",
        "p.yaml:6: summarize.shares.v1: got nan, expected a finite number",
    ),
    "called latest": ("a: {versions: {latest: {user_template: '{text}'}}}\n", '"latest" is not the name of a version'),
    "its own child": ("a: &a\n  versions: {v1: *a}\n", "p.yaml:2: a.versions.v1"),
}


@pytest.mark.parametrize(("text", "said"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_a_wrong_file_is_told_line_by_line(text, said):
    with pytest.raises(settings.SettingsError) as told:
        prompts.parse(text, "p.yaml")

    assert said in str(told.value)


def test_every_problem_is_told():
    with pytest.raises(settings.SettingsError) as told:
        prompts.parse("a:\n  versions:\n    v1: {}\n    v2: {}\nb: {}\n", "p.yaml")

    assert [problem.loc for problem in told.value.problems] == [("p.yaml:3",), ("p.yaml:4",), ("p.yaml:5",)]


def test_versions_may_share_text_as_yaml_has_it():
    text = "a:\n  versions:\n    v1: &v1 {system: s, user_template: '{text}'}\n    v2: {<<: *v1, system: t}\n"

    versions = prompts.parse(text, "p.yaml")["a"].versions

    assert (versions["v2"].system, versions["v2"].user_template) == ("t", "{text}")


async def test_the_prompts_shipped_are_fine(lines):
    shipped = prompts.Prompts(None, lines)

    for name in ("summarize", "analyze"):
        assert "a {text} of {braces}" in shipped.make(name, "latest", "anyone", "a {text} of {braces}").text


def test_a_file_that_is_not_there_is_an_error_at_the_start(lines, tmp_path):
    with pytest.raises(settings.SettingsError, match=r"GATEWAY_PROMPTS: .*No such file.*none\.yaml"):
        prompts.Prompts(str(tmp_path / "none.yaml"), lines)


def test_a_wrong_file_is_an_error_at_the_start(lines, file):
    file.write_bytes(b"a: \xff\n")

    with pytest.raises(settings.SettingsError, match=r"GATEWAY_PROMPTS: .*can't decode"):
        prompts.Prompts(str(file), lines)


async def test_an_unknown_version_is_told_with_those_there_are(lines, file):
    with pytest.raises(errors.Rejected) as told:
        prompts.Prompts(str(file), lines).make("summarize", "v2", "anyone", "hi")

    assert told.value.status == 404
    assert told.value.message == 'there is no version "v2" of summarize, only latest, v1, v9, v10'


async def test_a_changed_file_is_read_within_a_second(lines, file):
    changing = prompts.Prompts(str(file), lines)
    changing.make("summarize", "latest", "anyone", "hi")

    file.write_text(FILE + "  latest: v1\n")
    await asyncio.sleep(0.9)
    at_first = changing.make("summarize", "latest", "anyone", "hi")
    await asyncio.sleep(0.2)

    assert at_first == ("v10", None, "ten hi")
    assert changing.make("summarize", "latest", "anyone", "hi") == ("v1", "be brief", "one hi")
    assert lines.all == [{"event": "prompts_read", "file": str(file), "prompts": ["summarize"]}]


async def test_a_file_that_becomes_wrong_changes_nothing_and_is_told_once(lines, file):
    changing = prompts.Prompts(str(file), lines)
    seen = []

    for text in ("summarize: {}\n", None, FILE.replace("ten", "TEN")):
        file.unlink() if text is None else file.write_text(text)
        for _ in range(3):
            await asyncio.sleep(1.1)
            seen.append(changing.make("summarize", "latest", "anyone", "hi").text)

    assert seen == ["ten hi"] * 6 + ["TEN hi"] * 3
    assert [line["event"] for line in lines.all] == ["prompts_kept", "prompts_kept", "prompts_read"]
    assert lines.all[0]["error"] == f"{file}:1: summarize.versions is missing"
    assert "No such file" in lines.all[1]["error"]


async def test_a_file_of_the_same_size_and_time_is_noticed_when_it_is_another(lines, file):
    changing = prompts.Prompts(str(file), lines)
    other = file.with_name("other.yaml")
    other.write_text(FILE.replace("ten", "TEN"))
    was = file.stat()
    os.utime(other, ns=(was.st_atime_ns, was.st_mtime_ns))

    other.rename(file)

    assert changing.make("summarize", "latest", "anyone", "hi").text == "TEN hi"
