"""`mockclaude bench growth`, `memory`: what the mock costs, against whatever may grow and whatever has been."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import typer

from mockclaude.bench import asked, contender, endings, flat, plot, process, report, series
from mockclaude.bench import growth as growing
from mockclaude.bench.contender import CouldNotRun
from mockclaude.commands import console

NAME = "mockclaude bench"


def growth(
    only: str = typer.Option("", help=f"Measure only these, separated by commas: {', '.join(series.SERIES)}."),
    largest: int | None = typer.Option(None, "--up-to", min=1, help="No size above this one."),
    saved: Path | None = typer.Option(
        None, "--json", help="Write everything into this file, with machine and versions."
    ),
    picture: Path | None = typer.Option(None, "--plot", help="Draw it into this file, as SVG."),
) -> None:
    """Cost against streams, rate, prompt, journal, timeline, callers, limits: does any grow faster than linearly?"""
    found: list[growing.Curve] = []
    counts = {name: one.counts for name, one in series.SERIES.items()}
    with console.or_give_up(NAME, CouldNotRun, OSError):
        asked.place("--json", saved)
        asked.place("--plot", picture)
        chosen = {name: series.SERIES[name].up_to(largest) for name in asked.names(series.SERIES, only)}
        loads = [one.load(size) for one in chosen.values() for size in one.sizes]
        if not loads:
            raise CouldNotRun(f"--up-to {largest}: {', '.join(chosen)} has no size so small")
        contender.ready([contender.OURS], loads)
        for name, one in chosen.items():
            points = series.measured(one, lambda said: typer.echo(said, err=True))
            curves = growing.curves(name, points)
            found += curves
            for line in growing.table(curves, counts):
                typer.echo(line)
    document = report.document("growth", [], []) | {"curves": growing.document(found)}
    if saved is not None:
        saved.write_text(json.dumps(document, indent=1))
    for line in (*growing.verdicts(found), *report.warning(document)):
        typer.echo(line)
    if picture is not None:
        picture.write_text(plot.svg(found, {name: counts[name] for name in chosen}))
    if code := report.exit_code([curve.verdict for curve in found]):
        raise typer.Exit(code)


def memory(
    attempts: int = typer.Option(1_000_000, min=1, help="How many, told ten times on the way."),
    only: str = typer.Option("", help=f"Only attempts that end so, separated by commas: {', '.join(endings.ENDINGS)}."),
    saved: Path | None = typer.Option(
        None, "--json", help="Write everything into this file, with machine and versions."
    ),
) -> None:
    """Attempts that end in every way there is, and the memory of the mock meanwhile: is it flat?"""
    readings: list[flat.Reading] = []
    with console.or_give_up(NAME, CouldNotRun, OSError):
        asked.place("--json", saved)
        chosen = {name: endings.ENDINGS[name] for name in asked.names(endings.ENDINGS, only)}
        server_core, own_core = contender.cores()
        with (
            contender.on(own_core),
            contender.running(contender.OURS, series.AT_ONCE, server_core) as server,
            contextlib.closing(endings.Callers(server.port, chosen)) as callers,
        ):
            for done in sorted({attempts * (tenth + 1) // 10 for tenth in range(10)}):
                callers.ask(done - (readings[-1].attempts if readings else 0))
                readings.append(flat.Reading(done, process.usage(server.pid or 0).memory))
                for line in flat.table(readings[-1:]):
                    typer.echo(line)
    judged = flat.judge(readings)
    if saved is not None:
        found = {"readings": [one._asdict() for one in readings], "goals": [judged._asdict()]}
        saved.write_text(json.dumps(report.document("memory", [], []) | found, indent=1))
    typer.echo(flat.told(judged))
    if code := report.exit_code([judged.verdict]):
        raise typer.Exit(code)
