from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from annotated_types import Ge
from pydantic import ConfigDict, Strict

from mockclaude import settings


class Inner(settings.Section):
    slots: Annotated[int, Strict(), Ge(0)] | None = None
    queue: int | None = None


class Outer(settings.Section):
    inner: Inner | None = None
    many: list[Inner] | None = None
    must: int


@dataclass(frozen=True)
class Value:
    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    share: float = 1.0


def problems_of(kind: type, section: object, loc: settings.Loc = ()) -> list[settings.Problem]:
    with pytest.raises(settings.ConfigError) as caught:
        settings.read(kind, section, loc)
    return list(caught.value.problems)


def test_a_good_section_is_read():
    read = settings.read(Outer, {"inner": {"slots": 3}, "must": 1})

    assert read.inner is not None
    assert read.inner.slots == 3


@pytest.mark.parametrize(
    ("section", "loc", "message"),
    [
        ({"must": 1, "inner": {"slots": -1}}, ("inner", "slots"), "expected greater than or equal to 0, got -1"),
        ({"must": 1, "inner": {"slots": 1.5}}, ("inner", "slots"), "expected a valid integer, got 1.5"),
        ({"must": 1, "inner": {"slots": True}}, ("inner", "slots"), "expected a valid integer, got True"),
        ({"must": 1, "inner": 7}, ("inner",), "expected a mapping, got 7"),
        ({}, ("must",), "is missing"),
    ],
    ids=["too small", "not whole", "a truth", "not a mapping", "missing"],
)
def test_a_problem_says_where_what_was_got_and_what_was_expected(section, loc, message):
    assert problems_of(Outer, section) == [settings.Problem(loc, message)]


def test_a_misspelt_key_is_answered_with_the_nearest_one():
    [problem] = problems_of(Outer, {"must": 1, "inner": {"slot": 1}})

    assert problem.loc == ("inner", "slot")
    assert 'did you mean "slots"?' in problem.message
    assert "known: slots, queue" in problem.message


def test_a_misspelt_key_in_a_list_has_its_index_as_a_number():
    [problem] = problems_of(Outer, {"must": 1, "many": [{}, {"quue": 1}]}, loc=("top",))

    assert problem.loc == ("top", "many", 1, "quue")
    assert 'did you mean "queue"?' in problem.message


def test_a_misspelt_key_of_a_dataclass_is_answered_too():
    [problem] = problems_of(Value, {"shre": 0.5})

    assert problem == settings.Problem(("shre",), 'unknown key; did you mean "share"? (known: share)')


def test_all_problems_are_told_at_once():
    found = problems_of(Outer, {"inner": {"slots": -1, "queue": "x"}})

    assert [problem.loc for problem in found] == [("inner", "slots"), ("inner", "queue"), ("must",)]


def test_a_long_value_is_shown_shortened():
    [problem] = problems_of(Inner, {"queue": "x" * 1000})

    assert len(problem.message) < 200


def test_a_problem_reads_as_dotted_path_and_reason():
    assert str(settings.Problem(("timeline", 0, "for"), "is missing")) == "timeline.0.for: is missing"
    assert str(settings.Problem((), "no file")) == "no file"


def test_an_empty_document_is_an_empty_configuration():
    assert settings.load("") == {}
    assert settings.load("# nothing yet") == {}


def test_broken_yaml_names_line_and_column():
    with pytest.raises(settings.ConfigError, match="line 2, column 9: not valid YAML"):
        settings.load("seed: 1\nlimits: }")


def test_a_document_that_is_no_mapping_is_refused():
    with pytest.raises(settings.ConfigError, match="expected a mapping of sections, got \\[1, 2\\]"):
        settings.load("[1, 2]")


def test_a_file_that_is_not_there_is_a_problem_not_a_traceback(tmp_path: Path):
    with pytest.raises(settings.ConfigError, match="cannot read"):
        settings.load_file(tmp_path / "nowhere.yaml")


def test_a_file_is_read(tmp_path: Path):
    file = tmp_path / "mock.yaml"
    file.write_text("capacity: {slots: 2}")

    assert settings.load_file(file) == {"capacity": {"slots": 2}}
