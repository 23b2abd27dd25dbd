"""The process: a listening socket, uvicorn on it, and an end within two seconds of SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from gateway_under_test import app, logs, settings
from gateway_under_test.upstream import Upstream

GRACE = 1  # seconds that open requests get after SIGTERM
KEEP_ALIVE = 75  # longer than callers and proxies keep an idle connection: it is never us who close one under a request
CUT = "ASGI callable returned without completing response."  # uvicorn's words; it closes the connection then


class Server(uvicorn.Server):
    """uvicorn that says when it listens, and tells the gateway at the signal and not after the grace period."""

    def __init__(self, config: uvicorn.Config, upstream: Upstream, log: logs.Log) -> None:
        super().__init__(config)
        self._upstream = upstream
        self._log = log

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            self._log.info("listening", url=f"http://{host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._upstream.drain()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """A TCP socket bound to `host` and `port`; raises OSError, also when the port is taken."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )[0]
    # the protocol is named, because asyncio turns Nagle off only for sockets that say they are TCP
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(2048)  # here, so that a port in use is found before anything starts
    except OSError:
        listener.close()
        raise
    return listener


def adopt(fd: int) -> socket.socket:
    """An inherited listening socket; not through uvicorn's `fd`, which takes it for AF_UNIX and leaves Nagle on."""
    return socket.socket(fileno=fd)


def serve(chosen: settings.Settings, listener: socket.socket) -> int:
    """Serve until a signal; returns or exits with 0 on SIGTERM, 130 on SIGINT."""
    for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        signal.signal(number, _exit_with(code))  # uvicorn raises the signal again when it has finished
    log = logs.make()
    app.warn_of_strangers(log)
    application = app.create_app(chosen, log=log)
    theirs = logging.getLogger("uvicorn.error")
    theirs.addFilter(_is_news)
    theirs.addHandler(_Lines(log))
    config = uvicorn.Config(
        application,
        access_log=False,
        server_header=False,  # else it stood beside Claude's own
        log_config=None,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        lifespan="on",
    )
    Server(config, application.state.upstream, log).run(sockets=[listener])
    return 0


class _Lines(logging.Handler):
    """uvicorn's warnings as lines of our log: a file of JSON lines has nothing else in it."""

    def __init__(self, log: logs.Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        trace = self.formatter or logging.Formatter()
        error = trace.formatException(record.exc_info) if record.exc_info else None
        self._log.warning("server", message=record.getMessage(), error=error)


def _exit_with(code: int) -> Callable[[int, FrameType | None], None]:
    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(code)

    return leave


def _is_news(record: logging.LogRecord) -> bool:
    """Our log has a line for a request cut at the end of the grace period, and for an answer cut where Claude's was."""
    cancelled = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cancelled and record.getMessage() != CUT
