"""`loadtests list` and `show`: which scenarios there are, and what is in one."""

from loadtests import display, scenario
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
