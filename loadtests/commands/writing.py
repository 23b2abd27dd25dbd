"""`loadtests new` and `schema`: a scenario to begin with, and what may stand in a file."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from loadtests.errors import CannotRun
from loadtests.experiment import schemas
from loadtests.telling import display

TEMPLATE = Path(__file__).with_name("new.yaml")
SCHEMA = "scenario.schema.json"
SCHEMAS = {"scenario": schemas.scenario, "target": schemas.target, "summary": schemas.summary}


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called: NAME.yaml, in this folder.")],
) -> None:
    """Write a commented scenario that runs, and beside it the schema that lets an editor complete it."""
    title = name.removesuffix(".yaml")
    if not re.fullmatch(r"[A-Za-z][\w-]*", title):
        raise CannotRun(f'new: got "{name}", expected a name: a letter, then letters, digits, - or _')
    path = Path(f"{title}.yaml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.read_text(encoding="utf-8").replace("NAME", title))
        Path(SCHEMA).write_text(_as_text(schemas.scenario()), encoding="utf-8")
    except FileExistsError:
        raise CannotRun(f"new: {path} is there already; give another name") from None
    except OSError as error:
        raise CannotRun(f"new: {error.filename}: {error.strerror}") from None
    display.console().print(f"{path} and {SCHEMA}   run it: loadtests run {path} --clock virtual", soft_wrap=True)


def schema(
    of: Annotated[Literal["scenario", "target", "summary"], typer.Argument(help="Of which kind of file.")],
) -> None:
    """The JSON Schema of a scenario, of a target, or of summary.json."""
    print(_as_text(SCHEMAS[of]()), end="")


def _as_text(found: dict[str, object]) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
