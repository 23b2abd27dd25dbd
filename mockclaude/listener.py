"""How a mock listens: uvicorn, whose connections the sender may write to itself."""

from __future__ import annotations

import asyncio
import socket

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mockclaude import connection

ROOM = 16 * 1024
"""Bytes that wait in the process for a reader who is slow, and as many in the kernel.

With what goes out in one write (`stream.JOINED`) he holds at most 64 KB: the kernel alone would take megabytes, and a
reader who stopped would not be noticed for thousands of tokens.
"""

KEEP_ALIVE = 75
"""Longer than any client keeps an idle connection, so that it is never the mock that closes one under a request."""


class Protocol(HttpToolsProtocol):
    """uvicorn's, which tells each request the line it came in on."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client has come."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=ROOM)
        plain: socket.socket | None = transport.get_extra_info("socket")
        if plain is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, ROOM)
        self._line = connection.Line(transport, self.flow)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = {connection.EXTENSION: {"line": self._line}}

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        super().connection_lost(exc)
        self._line.lost()
