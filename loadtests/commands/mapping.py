"""`loadtests map`: a plane of settings, and where it collapses."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from loadtests import runner
from loadtests.commands import rehearsing
from loadtests.commands.options import Assignments, NameOrFile, Out
from loadtests.errors import EXIT_FAIL, EXIT_PASS
from loadtests.experiment import scenario
from loadtests.telling import display


def draw_map(
    name: NameOrFile,
    x: Annotated[str | None, typer.Option(metavar="KEY=FROM:TO:STEPS", help="load.rate=2:14:8")] = None,
    y: Annotated[str | None, typer.Option(metavar="KEY=FROM:TO:STEPS", help="phases.dip.seconds=1:15:8")] = None,
    variant: Annotated[str | None, typer.Option(metavar="V", help="The variant to map; default the map's own.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Rehearsals of each cell.")] = 5,
    confirm: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="Repeat N cells for real, from both sides of the line."),
    ] = None,
    assignments: Assignments = None,
    out: Out = None,
) -> None:
    """Rehearse a plane of settings on virtual time, and draw where it collapses. Without axes: the scenario's maps."""
    with rehearsing.installed("gateway,maps"):
        from loadtests.mapping import confirm as cells
        from loadtests.mapping import maps

    console, changes = display.console(), assignments or []
    experiment, _ = scenario.load(name, changes)
    planes = maps.planes(experiment, x, y, variant)
    for plane in planes:
        maps.check(name, changes, plane)
    chosen = [cells.choose(plane, confirm) if confirm else [] for plane in planes]
    found = []
    for plane in planes:
        work = maps.jobs(name, changes, plane, seeds)
        title = f"{plane.variant}: {plane.x.key} x {plane.y.key}"
        goodput = list(display.track(console, maps.run_all(work), title, len(work)))
        found.append((plane, maps.result(Path(name).stem, plane, seeds, goodput)))
        console.print(display.map_of(found[-1][1]))
    folder = out or runner.unused(runner.folder_of(f"{Path(name).stem}-map"))
    page = maps.write(folder, experiment.about, shlex.join(rehearsing.command()), found)
    if confirm:
        for number, ((plane, row), numbers) in enumerate(zip(found, chosen, strict=True), start=1):
            tried = cells.rehearse(folder / f"map-{number}-real", name, changes, plane, row, numbers)
            row["confirmed"] = list(display.track(console, tried, f"{plane.variant}, for real", len(numbers)))
        maps.write(folder, experiment.about, shlex.join(rehearsing.command()), found, again=True)
        console.print(*(display.confirmed(row) for _, row in found), sep="\n")
    console.print(f"pictures, data and page: {page.parent}   {page}", soft_wrap=True)
    raise typer.Exit(EXIT_FAIL if any(cells.disagrees(row) for _, row in found) else EXIT_PASS)
