"""What the commands share: exit codes, and how a bad configuration is said."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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


@contextlib.contextmanager
def or_give_up(name: str, *errors: type[Exception]) -> Iterator[None]:
    """Where the block raises one of these, `name` says so, and ends."""
    try:
        yield
    except errors as error:
        give_up(name, error)
