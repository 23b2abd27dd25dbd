"""The `mockclaude` command: serve a mock, or check a configuration without starting one."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import typer

from mockclaude import __version__, settings, timeline

COULD_NOT_RUN = 2
INTERRUPTED = 130
BACKLOG = 2048
KEEP_ALIVE = 75
"""Longer than any client keeps an idle connection, so that it is never the mock that closes one under a request."""

app = typer.Typer(
    help="A fake Anthropic Messages API whose overload is a consequence of load.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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


@app.command()
def serve(
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(8100, min=0, max=65535, help="Port to listen on; 0 picks a free one."),
    seed: int | None = typer.Option(None, help="Seed of replies and latencies; wins over the configuration's."),
    config: Path | None = typer.Option(None, help="YAML configuration, as `mockclaude check` accepts it."),
    fd: int | None = typer.Option(None, hidden=True, help="Serve on this inherited listening socket."),
) -> None:
    """Serve until interrupted."""
    try:
        chosen = settings.Settings({} if config is None else settings.load_file(config), seed)
        timeline.parse(chosen.config)
    except settings.ConfigError as error:
        _complain(error, str(config))
        raise typer.Exit(COULD_NOT_RUN) from None
    try:
        listener = _listen(host, port) if fd is None else socket.socket(fileno=fd)
    except OSError as error:
        typer.echo(f"mockclaude: cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}", err=True)
        raise typer.Exit(COULD_NOT_RUN) from None
    with listener:
        _run(chosen, listener)


@app.command()
def check(
    file: str = typer.Argument(help="Configuration file, or - for standard input."),
    as_json: bool = typer.Option(False, "--json", help="Print problems as JSON, with their exact places."),
) -> None:
    """Check a configuration without starting anything; exit 2 when it has problems."""
    try:
        timeline.parse(settings.load(sys.stdin.read()) if file == "-" else settings.load_file(Path(file)))
    except settings.ConfigError as error:
        if as_json:
            typer.echo(json.dumps([{"loc": list(loc), "message": message} for loc, message in error.problems]))
        else:
            _complain(error, file)
        raise typer.Exit(COULD_NOT_RUN) from None
    typer.echo("[]" if as_json else f"{file}: ok")


def _complain(error: settings.ConfigError, name: str) -> None:
    for problem in error.problems:
        typer.echo(f"{name}: {problem}", err=True)


def _listen(host: str, port: int) -> socket.socket:
    """Bind before anything is printed, so that a busy port is one clear line.

    By its descriptor once more, because a socket made that way knows that it is TCP: asyncio turns Nagle off only then.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.socket(fileno=socket.create_server((host, port), family=family, backlog=BACKLOG).detach())


def _run(chosen: settings.Settings, listener: socket.socket) -> None:
    import uvicorn

    from mockclaude.app import create_app

    server = uvicorn.Server(
        uvicorn.Config(
            create_app(chosen),
            log_level="critical",  # uvicorn calls every stream cut at shutdown an error
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=1,
        )
    )
    _greet(listener, chosen.config)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again when it has ended: that is no failure
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _greet(listener: socket.socket, config: Mapping[str, object]) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    typer.echo(f"mockclaude {__version__} on {url}" + (f" ({', '.join(config)} configured)" if config else ""))
    typer.echo(f"export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=any-key")
    sys.stdout.flush()
