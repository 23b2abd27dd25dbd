"""The prompts of our own endpoints: a file of named prompts, each in versions that can be compared and rolled back.

A prompt has `versions`, and maybe a pin (`latest: v1`) or `shares` (`{v2: 0.1}`: that part of the callers gets v2, the
rest the latest). The file is read again when it changes; a broken one is told in the log, and the prompts stay.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from gateway_under_test import errors, logs, settings, watched

LATEST = "latest"
SHIPPED = Path(__file__).with_name("prompts.yaml")
FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")


def _named(template: str) -> str:
    names = FIELD.findall(template)
    if strangers := sorted(set(names) - {"text"}):
        raise ValueError(f"unknown field {{{strangers[0]}}}; the only one is {{text}}")
    if not names:
        raise ValueError("expected {text} where the caller's text goes")
    return template


class Version(BaseModel):
    """One wording of a prompt."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    system: str | None = Field(None, min_length=1)
    user_template: Annotated[str, AfterValidator(_named)]

    def text(self, text: str) -> str:
        """What the user says; braces in `text` are its own."""
        return FIELD.sub(lambda field: text, self.user_template)


class Versions(BaseModel):
    """A prompt in all its versions, and who gets which."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    versions: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")], Version] = Field(min_length=1)
    latest: str | None = None
    shares: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if LATEST in self.versions:
            raise ValueError(f'"{LATEST}" is not the name of a version')
        for name in (*self.shares, *filter(None, [self.latest])):
            if name not in self.versions:
                raise ValueError(f'there is no version "{name}", only {", ".join(self.versions)}')
        if sum(self.shares.values()) > 1 + 1e-9:
            raise ValueError(f"the shares are {sum(self.shares.values()):g} together, expected 1 at most")
        return self

    def choose(self, version: str, subject: str) -> str | None:
        """The version asked for by name, or as `latest` that of the subject; None if there is no such."""
        if version != LATEST:
            return version if version in self.versions else None
        place = _place(subject)
        for name, share in self.shares.items():
            if place < share:
                return name
            place -= share
        return self.latest or max(self.versions, key=_natural)


class Chosen(NamedTuple):
    """A prompt as it goes to Claude, and the version that it is."""

    version: str
    system: str | None
    text: str


class Prompts:
    """The registry in a file, by default the one shipped; raises SettingsError if it is wrong at the start."""

    def __init__(self, path: str | None, log: logs.Log) -> None:
        self._log = log
        self._file = watched.Watched(path or SHIPPED)
        try:
            self._prompts = parse(self._file.read(), str(self._file.path))
        except (OSError, UnicodeDecodeError) as error:
            raise settings.SettingsError([settings.Problem(("GATEWAY_PROMPTS",), str(error))]) from None

    def make(self, name: str, version: str, subject: str, text: str) -> Chosen:
        """The prompt with the caller's text in it; raises Rejected (404) for a version that is not there.

        One `subject` gets one version as long as the file stays the same.
        """
        self._look()
        prompt = self._prompts.get(name)
        if prompt is None:
            raise errors.Configuration(f'there is no prompt "{name}" in the registry; tell its operator')
        found = prompt.choose(version, subject)
        if found is None:
            known = ", ".join([LATEST, *sorted(prompt.versions, key=_natural)])
            raise errors.Rejected(f'there is no version "{version[:64]}" of {name}, only {known}', status=404)
        wording = prompt.versions[found]
        return Chosen(found, wording.system, wording.text(text))

    def _look(self) -> None:
        try:
            text = self._file.news(asyncio.get_running_loop().time())
            if text is None:
                return
            self._prompts = parse(text, str(self._file.path))
        except (OSError, ValueError) as error:  # a SettingsError is a ValueError
            self._log.warning("prompts_kept", file=str(self._file.path), error=str(error))
        else:
            self._log.info("prompts_read", file=str(self._file.path), prompts=sorted(self._prompts))


def parse(text: str, name: str) -> dict[str, Versions]:
    """The prompts in the YAML `text`; raises SettingsError with the line of every problem in the file `name`."""
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        double = next(_doubles(root), None)
        found = None if root is None else loader.construct_document(root)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or " ".join(str(error).split())
        raise _wrong(name, mark and mark.line, f"is not YAML: {why}") from None
    if double is not None:
        raise _wrong(name, double.start_mark.line, f'"{double.value}" is there twice')
    try:
        return _FILE.validate_python(found)
    except ValidationError as error:
        raise settings.SettingsError(
            settings.Problem((f"{name}:{_line(root, problem['loc']) + 1}",), _said(problem["loc"], problem))
            for problem in error.errors(include_url=False)
        ) from None


_FILE = TypeAdapter(Annotated[dict[str, Versions], Field(min_length=1)], config=ConfigDict(strict=True))


def _wrong(name: str, line: int | None, message: str) -> settings.SettingsError:
    where = name if line is None else f"{name}:{line + 1}"
    return settings.SettingsError([settings.Problem((where,), message)])


def _said(loc: Sequence[str | int], problem: Mapping[str, object]) -> str:
    where = ".".join(str(part) for part in loc if part != "[key]") or "the file"
    kind, got, said = problem["type"], problem["input"], str(problem["msg"])
    if kind == "missing":
        return f"{where} is missing"
    if kind == "extra_forbidden":
        return f"{where} is not known here"
    if kind == "value_error":  # one of ours
        return f"{where}: {said.removeprefix('Value error, ')}"
    shown = json.dumps(got) if isinstance(got, str) else repr(got)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return f"{where}: got {shown}, expected {said.removeprefix('Input should be ').removeprefix('a valid ')}"


def _line(root: yaml.Node | None, loc: Sequence[str | int]) -> int:
    """The line, from 0, where the path `loc` begins, or the last part of it that is there."""
    line, at = 0, root
    for part in loc:
        pairs = at.value if isinstance(at, yaml.MappingNode) else []
        for key, value in pairs:
            if key.value == str(part):
                line, at = key.start_mark.line, value
                break
        else:
            break
    return line


def _doubles(root: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """Keys that a mapping has twice: YAML would take the last and say nothing."""
    todo, done = [root], set()
    while todo:
        node = todo.pop()
        if isinstance(node, yaml.MappingNode) and id(node) not in done:
            done.add(id(node))
            seen = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        yield key
                    seen.add(key.value)
                todo.append(value)


def _natural(name: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


def _place(subject: str) -> float:
    """Where from 0 to 1 the subject stands, the same for ever."""
    return int.from_bytes(hashlib.sha256(subject.encode()).digest()[:8]) / 2**64
