"""A section of a scenario, read into the value it describes, or the one thing wrong with it and where."""

import dataclasses
import functools
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

import pydantic
from pydantic import ConfigDict, TypeAdapter
from pydantic_core import ErrorDetails

from loadtests.documents import document

T = TypeVar("T")
Loc = tuple[str | int, ...]

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
"""What a dataclass that is read here says of itself, as `__pydantic_config__`: no unknown keys, no infinities."""

WORDS = {
    "Input should be ": "",
    "a valid integer": "a whole number",
    "List should have": "a list of",
    "String should match": "text of the",
}
"""How pydantic says what it expected, and how we do."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """What a number counts, for the message about a bad one: `Annotated[int, Unit("milliseconds")]`."""

    name: str


class Problem(ValueError):
    """`loc` is the path inside the section that was read; the message says what was got and what was expected."""

    def __init__(self, loc: Loc, message: str) -> None:
        super().__init__(f"{'.'.join(map(str, loc))}: {message}" if loc else message)
        self.loc = loc
        self.message = message


def read(kind: type[T], data: object, loc: Loc = ()) -> T:
    """Read `data` as the dataclass `kind`. Raises Problem with a place below `loc`; an unknown key is named first."""
    try:
        found: T = _adapter(kind).validate_python(data)  # type: ignore[arg-type]  # a class can be hashed
        return found
    except pydantic.ValidationError as error:
        problems = sorted(error.errors(), key=lambda problem: not _is_unknown_key(problem))
        inner = tuple(problems[0]["loc"])
        raise Problem((*loc, *inner), _explain(kind, problems[0], inner)) from None


@functools.cache
def _adapter(kind: type[object]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _is_unknown_key(problem: ErrorDetails) -> bool:
    return problem["type"] in ("extra_forbidden", "unexpected_keyword_argument")


def _explain(kind: type[object], problem: ErrorDetails, inner: Loc) -> str:
    if _is_unknown_key(problem):
        hints = typing.get_type_hints(_dataclass_at(kind, inner[:-1]))
        known = [name for name in hints if not name.startswith("_")]
        return f"unknown key; {document.did_you_mean(str(inner[-1]), known) if known else 'there is none to set here'}"
    if problem["type"] == "missing":
        return "is missing"
    got = document.shown(problem["input"])
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    if problem["type"] in ("dataclass_type", "dataclass_exact_type"):
        return f"got {got}, expected a mapping of keys to values"
    said = problem["msg"].partition(" after validation")[0]
    for theirs, ours in WORDS.items():
        said = said.replace(theirs, ours)
    unit = _unit(_dataclass_at(kind, inner[:-1]), inner[-1]) if inner else None
    return f"got {got}, expected {said}" + (f" ({unit})" if unit else "")


def _dataclass_at(kind: type[object], inner: Sequence[str | int]) -> type[object]:
    """The dataclass that stands at `inner`, or the nearest one around it."""
    for step in inner:
        hint = typing.get_type_hints(kind).get(str(step))
        candidates = [one for one in (hint, *typing.get_args(hint)) if isinstance(one, type)]
        kind = next((one for one in candidates if dataclasses.is_dataclass(one)), kind)
    return kind


def _unit(kind: type[object], field: str | int) -> str | None:
    hint = typing.get_type_hints(kind, include_extras=True).get(str(field))
    return next((one.name for one in getattr(hint, "__metadata__", ()) if isinstance(one, Unit)), None)
