"""What can be typed after `loadtests`; what each command does is in `commands`."""

from collections.abc import Callable
from importlib import metadata
from typing import Annotated

import typer

from loadtests.commands import agreeing, comparing, listing, mapping, reporting, running, standing, steering

app = typer.Typer(
    help="Rehearse an overload of Claude offline, and see which defence fixes it.",
    epilog="Exit codes: 0 pass, 1 a gate or expectation failed, 2 could not run, 3 invalid run, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "list": listing.list_scenarios,
    "show": listing.show,
    "schema": listing.schema,
    "run": running.run,
    "agree": agreeing.agree,
    "map": mapping.draw_map,
    "ui": steering.ui,
    "up": standing.up,
    "report": reporting.report,
    "doctor": standing.diagnose,
    "compare": comparing.compare_runs,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"loadtests {metadata.version('mockclaude')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print it.")
    ] = False,
) -> None:
    """Rehearse an overload of Claude offline, and see which defence fixes it."""
