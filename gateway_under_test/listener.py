"""The listening socket: bound here, or inherited from who started us."""

from __future__ import annotations

import socket


class CannotListen(Exception):
    """Says where, and why not."""


def listen(host: str, port: int) -> socket.socket:
    """A TCP socket bound to `host` and `port`; raises CannotListen, also when the port is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        # the protocol is named, because asyncio turns Nagle off only for sockets that say they are TCP
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # a name that cannot be written for DNS is a UnicodeError
        raise CannotListen(f"cannot listen on {host}:{port}: {_why(error)}; expected an address of ours") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(2048)  # here, so that a port in use is found before anything starts
    except OSError as error:
        listener.close()
        text = f"cannot listen on {host}:{port}: {_why(error)}; --port 0 picks a free one"
        raise CannotListen(text) from None
    return listener


def adopt(fd: int) -> socket.socket:
    """An inherited listening socket; not through uvicorn's `fd`, which takes it for AF_UNIX and leaves Nagle on.

    Raises CannotListen when the descriptor is no such thing.
    """
    try:
        listener = socket.socket(fileno=fd)
        listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise CannotListen(f"cannot listen on fd {fd}: {_why(error)}; expected a listening socket") from None
    if not listening:
        listener.detach()
        raise CannotListen(f"cannot listen on fd {fd}: it does not listen; expected a listening socket")
    return listener


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
