"""What the commands share: exit codes, and how a bad configuration is said."""

from __future__ import annotations

import typer

from mockclaude import settings

COULD_NOT_RUN = 2
INTERRUPTED = 130


def complain(error: settings.ConfigError, name: str) -> None:
    """A line for each problem, on standard error."""
    for problem in error.problems:
        typer.echo(f"{name}: {problem}", err=True)
