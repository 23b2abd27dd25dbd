"""What the commands share: exit codes, and how a bad configuration is said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

import typer

from mockclaude import settings

COULD_NOT_RUN = 2
INTERRUPTED = 130


def complain(error: settings.ConfigError, name: str) -> None:
    """A line for each problem, on standard error."""
    for problem in error.problems:
        typer.echo(f"{name}: {problem}", err=True)


def give_up(name: str, why: object) -> NoReturn:
    """Say why `name` could not run, and end."""
    typer.echo(f"{name}: {why}", err=True)
    raise typer.Exit(COULD_NOT_RUN)


def chosen(name: str, known: Iterable[str], only: str) -> list[str]:
    """Of what there is what `--only` names, or all; `name` gives up where it names what is not there."""
    there = list(dict.fromkeys(known))
    named = only.split(",") if only else there
    unknown = [one for one in named if one not in there]
    if unknown:
        give_up(name, f"--only {only}: got {', '.join(unknown)}, expected some of {', '.join(there)}")
    return [one for one in there if one in named]
