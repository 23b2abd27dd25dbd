"""`loadtests list`, `show` and `schema`: which scenarios there are, what is in one, what may be."""

import json
from typing import Annotated, Literal

import typer

from loadtests import display, scenario, schemas
from loadtests.commands.options import Assignments, NameOrFile


def list_scenarios() -> None:
    """The scenarios that come with the product."""
    console = display.console()
    width = max(map(len, scenario.names()))
    for name in scenario.names():
        about = scenario.load(name)[0].about
        console.print(f"[bold]{name:<{width}}[/]  {about}", soft_wrap=True)


def show(name: NameOrFile, assignments: Assignments = None) -> None:
    """A scenario as it would run, with all its defaults."""
    experiment, _ = scenario.load(name, assignments or [])
    print(scenario.to_yaml(experiment), end="")


def schema(
    of: Annotated[
        Literal["scenario", "target", "summary"],
        typer.Argument(metavar="scenario|target|summary", help="Which file."),
    ],
) -> None:
    """The JSON Schema of a scenario's file, a target's or of summary.json, for editors and pipelines."""
    found = {"scenario": schemas.scenario, "target": schemas.target, "summary": schemas.summary}[of]()
    print(json.dumps(found, indent=2))
