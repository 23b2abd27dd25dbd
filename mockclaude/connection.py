"""The seam below HTTP: the connection a request came in on, so that a fault can cut it and a stream write to it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from starlette.types import Scope, Send

TRANSPORT = "mockclaude.transport"
LINE = "mockclaude.line"
EXTENSION = "mockclaude"
NO_LINGER = struct.pack("ii", 1, 0)
"""Close at once and throw away what is unsent: the peer gets a RST (socket(7), SO_LINGER)."""


class Flow(Protocol):
    """Whether the other side reads."""

    write_paused: bool


def nobody() -> None:
    """Whom `Line.lost` tells while no answer is on its way."""


class Line:
    """A connection whose answers are chunked (RFC 9112, 7.1), and who wants to know when it is lost.

    It is for what stands between the first and the last bytes of an answer: those are the web server's to send.
    """

    def __init__(self, transport: asyncio.Transport, flow: Flow) -> None:
        self._transport = transport
        self._flow = flow
        self.lost: Callable[[], object] = nobody

    @property
    def closed(self) -> bool:
        """Whether nobody is there any more."""
        return self._transport.is_closing()

    def unnoticed(self) -> None:
        """Tell nobody any more."""
        self.lost = nobody

    def write(self, data: bytes) -> bool:
        """Send one chunk, if there is anything in it: an empty one would end the answer.

        False, and nothing sent, when the other side has not kept up with reading or has gone.
        """
        if self._flow.write_paused or self._transport.is_closing():
            return False
        if data:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True


def remember(scope: Scope, send: Send, *, bare: bool) -> None:
    """Keep the transport below `send`, and the line where the server gave one (`mockclaude.listener`).

    Only what is sent through the server's own `send`, `bare` of middleware, may go past it, and as HTTP/1.1 has it.
    """
    cycle = getattr(send, "__self__", None)
    scope[TRANSPORT] = getattr(cycle, "transport", None)
    if scope["type"] == "http" and bare and cycle is not None and scope["http_version"] == "1.1":
        scope[LINE] = scope.get("extensions", {}).get(EXTENSION, {}).get("line")


def line(scope: Scope) -> Line | None:
    """The line of a request, or None: then ASGI's `send` is all there is."""
    found: Line | None = scope.get(LINE)
    return found


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def cut(scope: Scope, how: Literal["fin", "rst"]) -> None:
    """Close the connection below HTTP, or reset it; without a transport the server is left to notice."""
    transport: asyncio.Transport | None = scope.get(TRANSPORT)
    if transport is None:
        return
    if how == "fin":
        transport.close()
        return
    plain: socket.socket | None = transport.get_extra_info("socket")
    if plain is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()
