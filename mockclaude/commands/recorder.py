"""`mockclaude record` and `mockclaude fit`: from real replies to a latency profile."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from mockclaude import __version__, guard, settings
from mockclaude.commands import serving
from mockclaude.commands.console import COULD_NOT_RUN, complain
from mockclaude.recordings import fit as fitting


def record(
    upstream: str = typer.Option(help="Base URL to pass requests on to, as ANTHROPIC_BASE_URL would name it."),
    out: Path = typer.Option(help="File to append one JSON line per exchange to."),
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(8101, min=0, max=65535, help="Port to listen on; 0 picks a free one."),
    keep_text: bool = typer.Option(False, "--keep-text", help="Record what was said; keys are left out all the same."),
    allow_remote: bool = typer.Option(False, "--allow-remote", help="The upstream may be another machine."),
    i_will_pay: bool = typer.Option(False, "--i-will-pay", help="The upstream may be one that costs money."),
) -> None:
    """Pass requests on to an upstream and record its replies with their timing; text is redacted."""
    import uvicorn

    try:
        from mockclaude.recordings import record as proxy
    except ModuleNotFoundError as error:
        if error.name != "httpx2":
            raise
        typer.echo('mockclaude: record needs an HTTP client: pip install "mockclaude[record]"', err=True)
        raise typer.Exit(COULD_NOT_RUN) from None
    try:
        target = guard.check(upstream, allow_remote=allow_remote, i_will_pay=i_will_pay)
        file = proxy.opened(out)
    except (guard.Refused, settings.ConfigError) as error:
        typer.echo(f"mockclaude: {'--upstream' if isinstance(error, guard.Refused) else out}: {error}", err=True)
        raise typer.Exit(COULD_NOT_RUN) from None
    recorder = proxy.Recorder(target, file.write, keep_text)
    with file, serving.listen(host, port) as listener:
        url = serving.url(listener)
        typer.echo(f"mockclaude {__version__} on {url} records {target} to {out}")
        typer.echo(f"export ANTHROPIC_BASE_URL={url}")
        sys.stdout.flush()
        try:
            serving.until_interrupted(
                proxy.create_app(recorder), [listener], uvicorn.Server, server_header=False, date_header=False
            )
        finally:
            typer.echo(f"{out}: {recorder.recorded} exchanges recorded from {target}")


def fit(
    file: str = typer.Argument(help="A recording, CSV with ttft and tokens_per_second, samples.jsonl; - is stdin."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Turn measured replies into a latency section, ready to paste into a configuration."""
    try:
        text = sys.stdin.read() if file == "-" else settings.read_text(Path(file))
        report = fitting.report(text)
    except settings.ConfigError as error:
        complain(error, file)
        raise typer.Exit(COULD_NOT_RUN) from None
    typer.echo(json.dumps(report.as_json()) if as_json else fitting.as_yaml(report), nl=as_json)
