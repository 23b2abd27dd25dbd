"""`mockclaude bench growth`: what the mock costs, against whatever may grow."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from mockclaude.bench import growth as growing
from mockclaude.bench import plot, report, series
from mockclaude.bench.contender import CouldNotRun
from mockclaude.commands.console import COULD_NOT_RUN

FAILED = 1


def growth(
    only: str = typer.Option("", help=f"Measure only these, separated by commas: {', '.join(series.SERIES)}."),
    largest: int | None = typer.Option(None, "--up-to", min=1, help="No size above this one."),
    saved: Path | None = typer.Option(
        None, "--json", help="Write everything into this file, with machine and versions."
    ),
    picture: Path | None = typer.Option(None, "--plot", help="Draw it into this file, as SVG."),
) -> None:
    """Cost against streams, rate, prompt, journal, timeline, callers, limits: does any grow faster than linearly?"""
    chosen = _chosen(only, largest)
    found: list[growing.Curve] = []
    counts = {name: one.counts for name, one in chosen.items()}
    try:
        for name, one in chosen.items():
            points = series.measured(one, lambda said: typer.echo(said, err=True))
            curves = growing.curves(name, points)
            found += curves
            for line in growing.table(curves, counts):
                typer.echo(line)
    except CouldNotRun as error:
        typer.echo(f"mockclaude bench: {error}", err=True)
        raise typer.Exit(COULD_NOT_RUN) from None
    for line in growing.verdicts(found):
        typer.echo(line)
    if picture is not None:
        picture.write_text(plot.svg(found, counts))
    if saved is not None:
        saved.write_text(json.dumps(report.document("growth", [], []) | {"curves": growing.document(found)}, indent=1))
    if any(curve.verdict == "missed" for curve in found):
        raise typer.Exit(FAILED)


def _chosen(only: str, largest: int | None) -> dict[str, series.Series]:
    names = only.split(",") if only else list(series.SERIES)
    unknown = [name for name in names if name not in series.SERIES]
    if unknown:
        known = ", ".join(series.SERIES)
        typer.echo(f"mockclaude bench: --only {only}: got {', '.join(unknown)}, expected some of {known}", err=True)
        raise typer.Exit(COULD_NOT_RUN)
    return {name: series.SERIES[name].up_to(largest) for name in names}
