"""What is wrong with a scenario, in words: what was got, what was expected, and where it stands."""

from collections.abc import Iterator
from typing import Any, get_args

import pydantic

from loadtests.documents import document
from loadtests.documents.document import Document
from loadtests.errors import ScenarioError

Path_ = tuple[str | int, ...]

PATTERNS = {
    "^[": "a name: a letter, then letters, digits, - or _",
    "^/": 'a path that starts with "/"',
}
"""What is expected where a pattern begins like this."""


def first(
    error: pydantic.ValidationError, model: type[pydantic.BaseModel], source: Document, root: tuple[str, ...] = ()
) -> ScenarioError:
    """One typo may make an unknown key and a missing field: the unknown key is the one to name. `root`: where in the
    file stands what was read as a `model`."""
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    path = tuple(step for step in problems[0]["loc"] if step != "[key]")
    where = (*root, *path)
    return ScenarioError(source.place(where), f"{dotted(where, source)}{_explain(problems[0], path, model)}")


def dotted(path: Path_, source: Document) -> str:
    """`phases.dip.seconds` rather than `phases.2.seconds`, where the item has a name."""
    told: list[str] = []
    value: Any = source.data
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = None
        name = value.get("name") if isinstance(value, dict) and isinstance(step, int) else None
        told.append(str(name or step))
    return ".".join(told)


def _explain(problem: Any, path: Path_, model: type[pydantic.BaseModel]) -> str:
    got = problem.get("input")
    match problem["type"]:
        case "extra_forbidden":
            return f": unknown key; {document.did_you_mean(str(path[-1]), _section(model, path[:-1]).model_fields)}"
        case "missing":
            return f" is missing; every {_section(model, path[:-1]).__name__.lower()} needs it"
        case "value_error":
            return f": {problem['ctx']['error']}"
        case "string_pattern_mismatch":
            return f': got "{got}", expected {PATTERNS[problem["ctx"]["pattern"][:2]]}'
        case "model_type" | "dict_type":
            return f": got {document.shown(got)}, expected a mapping of keys to values"
        case _:
            return f": got {document.shown(got)}, expected: {problem['msg'].removeprefix('Input should be ')}"


def _section(model: type[pydantic.BaseModel], path: Path_) -> type[pydantic.BaseModel]:
    """The section of `model` that `path` leads into."""
    for step in path:
        if isinstance(step, str) and step in model.model_fields:
            model = next(_models_in(model.model_fields[step].annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
