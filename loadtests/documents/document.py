"""A YAML file that remembers on which line each value stands, so that an error can say where."""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from loadtests.errors import CannotRun, ScenarioError

Tree = dict[str, Any]
"""Plain YAML data: mappings, lists, scalars."""

Path_ = tuple[str | int, ...]


@dataclasses.dataclass
class Document:
    """`data` is plain YAML data; `places` says where each path in it was written: `file:line`, or a `--set`."""

    name: str
    data: Tree
    places: dict[Path_, str]

    def place(self, path: Sequence[str | int]) -> str:
        """Where `path` was written, or the nearest thing around it."""
        path = tuple(path)
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.name)

    def set(self, assignment: str) -> None:
        """Apply one `--set KEY=VALUE`. A list's item is named by its index or by its `name`. Raises CannotRun."""
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise CannotRun(f'--set {assignment}: expected KEY=VALUE, such as "load.rate=4"')
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise CannotRun(f"--set {assignment}: {text!r} is not a YAML value") from None
        *parents, last = key.split(".")
        container: Any = self.data
        path: Path_ = ()
        for step in parents:
            container, path = _step_into(container, path, step, assignment)
            self.places.setdefault(path, f"--set {assignment}")
        index = _index(container, last, assignment)
        container[index] = value
        path = (*path, index)
        self.places = {place: where for place, where in self.places.items() if place[: len(path)] != path}
        self.places[path] = f"--set {assignment}"

    def append(self, key: str, item: object, where: str) -> None:
        """One more item for the list under `key`; what is no list there is left for its own check to name."""
        if self.data.get(key) is None:
            self.data[key] = []
        items = self.data[key]
        if isinstance(items, list):
            items.append(item)
            self.places[key, len(items) - 1] = where


def read(path: Path) -> Document:
    """The file at `path`. Raises CannotRun when it cannot be read, ScenarioError when it is not a YAML mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRun(f"{path}: {error}") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ScenarioError(f"{path}:{line}", f"this is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise CannotRun(f"{path}: this is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(data, dict) or root is None:
        raise ScenarioError(f"{path}:1", "expected a mapping with the keys of a scenario")
    places: dict[Path_, str] = {}
    _walk(root, (), str(path), places)
    return Document(str(path), data, places)


def shown(value: object) -> str:
    """A value as a message tells it."""
    return "nothing" if value is None else f'"{value}"' if isinstance(value, str) else repr(value)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean "slots"?)`, or what is known when nothing comes near."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else f"expected one of: {', '.join(names)}"


def merge(base: Tree, over: Tree) -> Tree:
    """`over` laid on `base`, mapping by mapping; neither is changed."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if both else value
    return result


def _walk(node: yaml.Node, path: Path_, name: str, places: dict[Path_, str]) -> None:
    places.setdefault(path, f"{name}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            step = (*path, key.value)
            if step in places:
                raise ScenarioError(f"{name}:{key.start_mark.line + 1}", f'"{key.value}" is given twice')
            places[step] = f"{name}:{key.start_mark.line + 1}"
            _walk(value, step, name, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*path, index), name, places)


def _step_into(container: Any, path: Path_, step: str, assignment: str) -> tuple[Any, Path_]:
    index = _index(container, step, assignment)
    if isinstance(container, dict) and container.get(index) is None:
        container[index] = {}
    return container[index], (*path, index)


def _index(container: Any, step: str, assignment: str) -> Any:
    if isinstance(container, dict):
        return step
    if not isinstance(container, list):
        raise CannotRun(f'--set {assignment}: there is nothing under "{step}" to set')
    if re.fullmatch(r"\d+", step) and int(step) < len(container):
        return int(step)
    names = [item.get("name") for item in container if isinstance(item, dict)]
    if step in names:
        return names.index(step)
    known = [str(name) for name in names if name] or [f"0 to {len(container) - 1}"]
    raise CannotRun(f'--set {assignment}: no item "{step}"; {did_you_mean(step, known)}')
