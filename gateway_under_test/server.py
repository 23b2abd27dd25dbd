"""The process: a listening socket, uvicorn on it, and an end that cuts no answer silently."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import signal
import socket
from types import FrameType

import uvicorn

from gateway_under_test import app, connection, logs, settings
from gateway_under_test.parts import Parts

LAST_WORDS = 1  # seconds that requests get to say that they are cut
KEEP_ALIVE = 75  # longer than callers and proxies keep an idle connection: it is never us who close one under a request
CUT = "ASGI callable returned without completing response."  # uvicorn's words; it closes the connection then


class Server(uvicorn.Server):
    """uvicorn that says when it listens, tells the gateway at the signal, and lets what it cuts have the last word.

    From the signal on nobody new is let in (the port is closed within 0.2 s, idle connections at once); who is inside
    has `drain` seconds to finish, and is then cancelled. The process ends when all have been told, or `LAST_WORDS`
    later.
    """

    def __init__(self, config: uvicorn.Config, parts: Parts, drain: float) -> None:
        super().__init__(config)
        self._parts = parts
        self._log = parts.log
        self._drain = drain
        self.parent: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Nobody shall look through what was imported for garbage again: with 40 streams that is twice a minute, and a
        # quarter of a second each time in which nothing is sent.
        gc.collect()
        gc.freeze()
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            where = f"[{host}]" if ":" in host else host
            self._log.info("listening", url=f"http://{where}:{port}", pid=os.getpid())
        if self.parent is not None:
            asyncio.get_running_loop().add_reader(self.parent, self._hear, self.parent)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._log.info("draining", seconds=self._drain, requests=len(self.server_state.tasks))
        cut = asyncio.get_running_loop().call_later(self._drain, self._cut)
        try:
            await super().shutdown(sockets)
        finally:
            cut.cancel()

    def _cut(self) -> None:
        if self.server_state.tasks:
            self._log.warning("cut", requests=len(self.server_state.tasks))
        for task in self.server_state.tasks:
            task.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._parts.drain()
        super().handle_exit(sig, frame)

    def _hear(self, parent: int) -> None:
        if not os.read(parent, 1):  # the end of the pipe
            asyncio.get_running_loop().remove_reader(parent)
            self.handle_exit(signal.SIGTERM, None)


def serve(chosen: settings.Settings, listener: socket.socket, *, parent: int | None = None) -> int:
    """Serve until a signal, which is raised again at the end; raises SystemExit (3) when a start-up step fails.

    `parent` is the descriptor of a pipe: when its other end closes, the gateway stops.
    """
    log = logs.make(secrets=app.secrets_of(chosen))
    if parent is None:
        settings.warn_of_strangers(log)
    application = app.create_app(chosen, log=log)
    theirs = logging.getLogger("uvicorn.error")
    theirs.addFilter(_is_news)
    theirs.addHandler(_Lines(log))
    config = uvicorn.Config(
        application,
        http="h11" if chosen.http_parser == "h11" else connection.patient(chosen.body_timeout),
        ws="none",
        access_log=False,
        proxy_headers=False,  # a caller could write any address into them
        server_header=False,  # else it stood beside Claude's own
        log_config=None,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(chosen.drain + LAST_WORDS),
        lifespan="on",
    )
    server = Server(config, application.state.parts, chosen.drain)
    server.parent = parent
    server.run(sockets=[listener])
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


def _is_news(record: logging.LogRecord) -> bool:
    """Our log has a line for a request cut at the end of the drain, and for an answer cut where Claude's was."""
    cancelled = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cancelled and record.getMessage() != CUT
