"""`mockclaude check` and `mockclaude theory`: what a configuration means, without starting anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import typer

from mockclaude import catalog, latency, settings, sketch, timeline
from mockclaude import theory as theories
from mockclaude import verify as verification
from mockclaude.commands.console import COULD_NOT_RUN, complain


def check(
    file: str = typer.Argument(help="Configuration file, or - for standard input."),
    as_json: bool = typer.Option(False, "--json", help="Print problems as JSON, with their exact places."),
) -> None:
    """Check a configuration without starting anything, and draw its timeline; exit 2 when it has problems."""
    try:
        plan = timeline.parse(_from_stdin() if file == "-" else settings.load_file(Path(file)))
    except settings.ConfigError as error:
        if as_json:
            typer.echo(json.dumps([{"loc": list(loc), "message": message} for loc, message in error.problems]))
        else:
            complain(error, file)
        raise typer.Exit(COULD_NOT_RUN) from None
    typer.echo("[]" if as_json else "\n".join([f"{file}: ok", *sketch.draw(plan)]))


def _from_stdin() -> Mapping[str, object]:
    return settings.with_recordings(settings.load(sys.stdin.read()), Path())


def theory(
    config: Path | None = typer.Option(None, help="YAML configuration whose capacity and latency are meant."),
    model: str = typer.Option("claude-haiku-4-5", help="Whose latency."),
    output_tokens: int = typer.Option(120, min=0, help="Tokens of a mean reply."),
    prompt_tokens: int = typer.Option(0, min=0, help="Tokens of a mean prompt."),
    rate: float | None = typer.Option(None, min=0, help="Requests per second; the default uses 80 % of the slots."),
    timeout: float = typer.Option(30.0, min=0.001, help="Seconds a caller waits for an attempt."),
    attempts: int = typer.Option(3, min=1, help="Tries of one request."),
    verify: bool = typer.Option(False, "--verify", help="Check the capacity model against theory instead (V1-V13)."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Print what queueing theory says of these settings; exit 1 when a check of --verify fails."""
    if verify:
        raise typer.Exit(print_checks((result for check in verification.CHECKS for result in check()), as_json))
    family = catalog.family(model)
    if family is None:
        typer.echo(f"--model: Claude has no model {model!r}", err=True)
        raise typer.Exit(COULD_NOT_RUN)
    try:
        conditions = timeline.parse({} if config is None else settings.load_file(config)).at(0.0)
    except settings.ConfigError as error:
        complain(error, str(config))
        raise typer.Exit(COULD_NOT_RUN) from None
    profile = latency.profile(conditions.latency, family)
    service = theories.mean_service(profile, output_tokens, prompt_tokens)
    if service == 0 or conditions.capacity.slots == 0:
        typer.echo("an attempt that takes no time, or no slots at all: there is nothing to foretell", err=True)
        raise typer.Exit(COULD_NOT_RUN)
    load = 0.8 * conditions.capacity.slots / service if rate is None else rate
    lines = theories.forecast(conditions.capacity, service, load, timeout, attempts)
    if as_json:
        typer.echo(json.dumps({line.name: {"value": line.value, "because": line.because} for line in lines}))
        return
    for line in lines:
        typer.echo(f"{line.name:28}  {line.value:28}  {line.because}")


def print_checks(checks: Iterable[verification.Check], as_json: bool) -> int:
    """Print a line each; 0 when all hold, else 1."""
    failed = 0
    for check in checks:
        failed += not check.passed
        if as_json:
            typer.echo(json.dumps(check._asdict()))
            continue
        error = "" if check.error is None else f"± {check.error:.2g}"
        measured = f"{check.measured:.5g} {error}"
        word = "pass" if check.passed else "FAIL"
        typer.echo(f"{check.name:4} {word}  {check.predicted:<8.5g} {measured:20} {check.what}")
    return 1 if failed else 0
