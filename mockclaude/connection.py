"""The one seam below HTTP: the connection a request came in on, so that a fault can cut it."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Literal

from starlette.types import Scope, Send

KEY = "mockclaude.transport"
NO_LINGER = struct.pack("ii", 1, 0)
"""Close at once and throw away what is unsent: the peer gets a RST (socket(7), SO_LINGER)."""


def remember(scope: Scope, send: Send) -> None:
    """Keep the transport below `send`, where the server is one whose `send` has it (uvicorn's)."""
    cycle = getattr(send, "__self__", None)
    scope[KEY] = getattr(cycle, "transport", None)


def cut(scope: Scope, how: Literal["fin", "rst"]) -> None:
    """Close the connection below HTTP, or reset it; without a transport the server is left to notice."""
    transport: asyncio.Transport | None = scope.get(KEY)
    if transport is None:
        return
    if how == "fin":
        transport.close()
        return
    plain: socket.socket | None = transport.get_extra_info("socket")
    if plain is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()
