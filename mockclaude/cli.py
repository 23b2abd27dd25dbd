"""The `mockclaude` command; what it can do is in `commands`."""

from __future__ import annotations

import typer

from mockclaude import __version__
from mockclaude.commands import benching, checking, conforming, ctl, recorder, serving

app = typer.Typer(
    help="A fake Anthropic Messages API whose overload is a consequence of load.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    serving.serve,
    checking.check,
    checking.theory,
    conforming.conform,
    recorder.record,
    recorder.fit,
):
    app.command()(command)
app.add_typer(ctl.app, name="ctl")
app.add_typer(benching.app, name="bench")


def main() -> None:
    """Entry point of the `mockclaude` command."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mockclaude {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print it and exit."),
) -> None:
    """A fake Anthropic Messages API whose overload is a consequence of load."""
