"""What can be typed after `loadtests`; what each command does is in `commands`."""

from collections.abc import Callable
from importlib import metadata
from typing import Annotated

import typer

from loadtests.commands import (
    agreeing,
    benching,
    comparing,
    listing,
    mapping,
    reporting,
    running,
    standing,
    steering,
    writing,
)

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
    "new": writing.new,
    "run": running.run,
    "ui": steering.ui,
    "up": standing.up,
    "map": mapping.draw_map,
    "agree": agreeing.agree,
    "report": reporting.report,
    "compare": comparing.compare_runs,
    "doctor": standing.diagnose,
    "schema": writing.schema,
}
EXAMPLES = {
    "show": ("loadtests show retry_storm", "loadtests show retry_storm --set load.rate=4 > mine.yaml"),
    "new": ("loadtests new my_scenario", "loadtests run my_scenario.yaml --clock virtual"),
    "run": (
        "loadtests run smoke",
        "loadtests run retry_storm --clock virtual --variant naive --set load.rate=5",
        "loadtests run smoke --gate 'ttft.p95 < 1.5' --junit junit.xml",
        "loadtests run smoke --repeat 5 --out repeats",
        "loadtests run smoke --target my_gateway.yaml",
    ),
    "ui": ("loadtests ui retry_storm --variant naive",),
    "map": ("loadtests map retry_storm --x load.rate=2:14:8 --y phases.dip.seconds=1:15:8",),
    "agree": ("loadtests agree smoke",),
    "report": ("loadtests report runs/20261120-101500-smoke --markdown run.md",),
    "compare": (
        "loadtests compare runs/20261119-101500-smoke runs/20261120-101500-smoke",
        "loadtests compare baseline.json repeats --markdown run.md",
    ),
    "schema": ("loadtests schema scenario > scenario.schema.json",),
}
for name, command in COMMANDS.items():
    shown = EXAMPLES.get(name)
    app.command(name, epilog="\n\n".join(("Examples:", *shown)) if shown else None)(command)
app.add_typer(benching.app, name="bench")


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
