"""`loadtests list` and `show`: which scenarios there are, and what is in one."""

import json
from typing import Annotated

import typer

from loadtests.commands.options import Assignments, NameOrFile
from loadtests.experiment import scenario
from loadtests.telling import display


def list_scenarios(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON: what each is about, by its name.")] = False,
) -> None:
    """The scenarios that come with the product."""
    abouts = {name: scenario.load(name)[0].about for name in scenario.names()}
    if as_json:
        print(json.dumps(abouts, indent=2, ensure_ascii=False))
        return
    console, width = display.console(), max(map(len, abouts))
    for name, about in abouts.items():
        console.print(f"[bold]{name:<{width}}[/]  {about}", soft_wrap=True)


def show(
    name: NameOrFile,
    assignments: Assignments = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON instead of YAML.")] = False,
) -> None:
    """A scenario as it would run, with all its defaults."""
    experiment, _ = scenario.load(name, assignments or [])
    if as_json:
        print(experiment.model_dump_json(indent=2, exclude_none=True))
    else:
        print(scenario.to_yaml(experiment), end="")
