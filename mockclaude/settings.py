"""What a user may set: reading a configuration, and saying exactly what is wrong with it.

Each section of a configuration is parsed by the module that owns it; what they share is here: strict reading into a
type, and problems that carry the exact place (`loc`), what was found there and what was expected.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

Loc = tuple[str | int, ...]
T = TypeVar("T")

STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
SHOWN = 60
DEEPEST = 8
"""How far down in a configuration a responder may stand."""


@dataclass(frozen=True)
class Settings:
    """What `create_app` needs: a configuration as written by the user, and a seed that overrides the one in it.

    With `keys`, any other is refused; with `strict_betas`, names in `anthropic-beta` that nobody knows. /_mock/* wants
    `admin_token`, and answers only on `admin_port`, where they are given.
    """

    config: Mapping[str, object] = field(default_factory=dict)
    seed: int | None = None
    keys: frozenset[str] = frozenset()
    strict_betas: bool = False
    admin_token: str | None = None
    admin_port: int | None = None


class Problem(NamedTuple):
    """One thing wrong with a configuration, and the exact path to it."""

    loc: Loc
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.loc))}: {self.message}" if self.loc else self.message


class ConfigError(ValueError):
    """A configuration that cannot be used; `problems` has every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


class Section(BaseModel):
    """Base of the pydantic models in which sections come in: no unknown keys, no infinities."""

    model_config = STRICT


def read(kind: type[T], section: object, loc: Loc = ()) -> T:
    """Read `section` as a `kind` (a `Section` or a dataclass); raises `ConfigError` with places below `loc`."""
    try:
        whole: T = _adapter(kind).validate_python(section)  # type: ignore[arg-type]  # a class can be hashed
        return whole
    except ValidationError as error:
        raise ConfigError([_problem(kind, detail, loc) for detail in error.errors()]) from None


@functools.cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Made once for each kind: making one costs a hundred times what it does."""
    return TypeAdapter(kind)


def load(text: str) -> Mapping[str, object]:
    """Read a YAML (or JSON) document that must be a mapping; an empty one is an empty configuration."""
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError([Problem((), _yaml_message(error))]) from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError([Problem((), f"expected a mapping of sections, got {_shown(loaded)}")])
    return loaded


def load_file(path: Path) -> Mapping[str, object]:
    """Read a configuration file; raises `ConfigError` when it cannot be read or is not YAML."""
    return with_recordings(load(read_text(path)), path.parent)


def read_text(path: Path, loc: Loc = ()) -> str:
    """What is in a file; raises `ConfigError`."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(loc, f"cannot read {path}: {error}")]) from None


def with_recordings(config: Mapping[str, object], folder: Path, inside: bool = False) -> Mapping[str, object]:
    """The configuration with what is in the files that recorded replies and measured numbers name, from `folder` on.

    Only those name files, and only here is one read: whoever parses a configuration touches no disk. A file may have to
    be `inside` the folder, when somebody else names it. Raises `ConfigError`.
    """

    def found(file: str, loc: Loc) -> dict[str, object]:
        path = folder / file
        if inside and not path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError([Problem(loc, f"expected a file below the working directory, got {file!r}")])
        return {"file": str(path), "text": read_text(path, loc)}

    return {name: _inlined(section, found, (name,)) for name, section in config.items()}


def _inlined(section: object, found: Callable[[str, Loc], dict[str, object]], loc: Loc) -> object:
    if len(loc) > DEEPEST:
        return section
    if isinstance(section, list):
        return [_inlined(one, found, (*loc, place)) for place, one in enumerate(section)]
    if not isinstance(section, dict):
        return section
    file = section.get("file")
    measured = loc[-1] == "recorded" or section.get("distribution") == "empirical"
    if measured and isinstance(file, str) and "text" not in section:
        return section | found(file, (*loc, "file"))
    return {name: _inlined(one, found, (*loc, name)) for name, one in section.items()}


def _problem(kind: object, detail: ErrorDetails, loc: Loc) -> Problem:
    inner = tuple(detail["loc"])
    return Problem(loc + inner, _message(kind, detail, inner))


def _message(kind: object, detail: ErrorDetails, inner: Loc) -> str:
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return unknown(str(inner[-1]), _fields(_type_at(kind, inner[:-1])))
    if detail["type"] == "missing":
        return "is missing"
    if detail["type"] in ("model_type", "dataclass_type"):
        return f"expected a mapping, got {_shown(detail['input'])}"
    said = detail["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    said = said.replace("a valid tuple", "a list").replace("Tuple should have", "expected")
    return f"{said}, got {_shown(detail['input'])}"


def unknown(key: str, known: Sequence[str]) -> str:
    """What to say of a key nobody knows, with the nearest one that exists."""
    near = difflib.get_close_matches(key, known, n=1)
    guess = f'; did you mean "{near[0]}"?' if near else ""
    return f"unknown key{guess} (known: {', '.join(known)})"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _yaml_message(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{place}not valid YAML: {getattr(error, 'problem', None) or error}"


def _type_at(kind: object, loc: Loc) -> object:
    """The type that pydantic validated at `loc` inside `kind`: what its siblings may be called."""
    for step in loc:
        kind = _bare(kind)
        kind = typing.get_args(kind)[0] if isinstance(step, int) else _hints(kind).get(step)
    return _bare(kind)


def _bare(kind: object) -> object:
    """`X` of `X | None`."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next(arg for arg in typing.get_args(kind) if arg is not types.NoneType)
    return kind


def _hints(kind: object) -> dict[str, object]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {item.alias or name: item.annotation for name, item in kind.model_fields.items()}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return {item.name: hints[item.name] for item in dataclasses.fields(kind)}
    return {}


def _fields(kind: object) -> list[str]:
    return list(_hints(kind))
