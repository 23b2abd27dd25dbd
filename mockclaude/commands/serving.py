"""`mockclaude serve`, and how any server of ours listens and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mockclaude import __version__, settings, timeline
from mockclaude.commands.console import COULD_NOT_RUN, INTERRUPTED, complain

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

BACKLOG = 2048
ONE_PROCESS = (
    "one process is one mock: slots, limits, prompt cache and journal are counted in one place. "
    "For more, start several, each on a port and with a key (--keys) of its own"
)


def serve(
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(8100, min=0, max=65535, help="Port to listen on; 0 picks a free one."),
    seed: int | None = typer.Option(None, help="Seed of replies and latencies; wins over the configuration's."),
    config: Path | None = typer.Option(None, help="YAML configuration, as `mockclaude check` accepts it."),
    keys: str = typer.Option("", help="Accept only these keys, separated by commas; any key if none is named."),
    strict_betas: bool = typer.Option(False, "--strict-betas", help="Refuse unknown names in anthropic-beta."),
    admin_token: str | None = typer.Option(None, envvar="MOCKCLAUDE_ADMIN_TOKEN", help="What /_mock/* wants to see."),
    admin_port: int | None = typer.Option(None, min=1, max=65535, help="Answer /_mock/* and /metrics there only."),
    workers: int = typer.Option(1, min=1, help="1: one process is one mock."),
    fd: int | None = typer.Option(None, hidden=True, help="Serve on this inherited listening socket."),
) -> None:
    """Serve until interrupted."""
    if workers > 1:
        typer.echo(f"mockclaude: --workers {workers}: {ONE_PROCESS}", err=True)
        raise typer.Exit(COULD_NOT_RUN)
    try:
        known = frozenset(key.strip() for key in keys.split(",") if key.strip())
        written = {} if config is None else settings.load_file(config)
        chosen = settings.Settings(written, seed, known, strict_betas, admin_token, admin_port)
        timeline.parse(chosen.config)
    except settings.ConfigError as error:
        complain(error, str(config))
        raise typer.Exit(COULD_NOT_RUN) from None
    with contextlib.ExitStack() as open_sockets:
        listener = listen(host, port) if fd is None else socket.socket(fileno=fd)
        listeners = [open_sockets.enter_context(listener)]
        if admin_port is not None:
            listeners.append(open_sockets.enter_context(listen(host, admin_port)))
        _run(chosen, listeners)


def listen(host: str, port: int) -> socket.socket:
    """Bind before anything is printed, so that a busy port is one clear line.

    By its descriptor once more, because a socket made that way knows that it is TCP: asyncio turns Nagle off only then.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.socket(fileno=socket.create_server((host, port), family=family, backlog=BACKLOG).detach())
    except OSError as error:
        typer.echo(f"mockclaude: cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}", err=True)
        raise typer.Exit(COULD_NOT_RUN) from None


def _run(chosen: settings.Settings, listeners: list[socket.socket]) -> None:
    from mockclaude import garbage, listener
    from mockclaude.app import EDGE, create_app

    mock = create_app(chosen)
    _greet(listeners[0], chosen.config)
    until_interrupted(mock, listeners, garbage.Server, headers=EDGE, http=listener.Protocol)


def until_interrupted(
    application: ASGIApp, listeners: list[socket.socket], server: type[uvicorn.Server], **options: Any
) -> None:
    """Serve on `listeners`; raises `Exit` 130 when it was Ctrl-C that ended it."""
    import uvicorn

    from mockclaude import listener

    running = server(
        uvicorn.Config(
            application,
            log_level="critical",  # uvicorn calls every stream cut at shutdown an error
            access_log=False,
            proxy_headers=False,  # the journal's peer is the connection that a request came on
            timeout_keep_alive=listener.KEEP_ALIVE,
            timeout_graceful_shutdown=1,
            **options,
        )
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again when it has ended: that is no failure
    try:
        running.run(sockets=listeners)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def url(listener: socket.socket) -> str:
    """Where a listening socket can be reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _greet(listener: socket.socket, config: Mapping[str, object]) -> None:
    where = url(listener)
    typer.echo(f"mockclaude {__version__} on {where}" + (f" ({', '.join(config)} configured)" if config else ""))
    typer.echo(f"export ANTHROPIC_BASE_URL={where} ANTHROPIC_API_KEY=any-key")
    sys.stdout.flush()
