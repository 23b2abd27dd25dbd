"""A caller from the standard library alone: it sends a request as it is and brings back every byte of the answer."""

from __future__ import annotations

import http.client
import socket
import time
from urllib.parse import urlsplit

from mockclaude.exchange import Exchange, Request

LONGEST = 8_000_000
"""Bytes of an answer; nothing that is asked here has a longer one."""
PIECE = 65_536


class NoAnswer(Exception):
    """There is no whole answer: not reachable, too slow, broken off, or not HTTP."""


class Caller:
    """Sends requests to `base`, a URL, each on a connection of its own, and none for longer than `timeout` seconds.

    Redirects are not followed, proxies not used, and nothing is sent again.
    """

    def __init__(self, base: str, timeout: float) -> None:
        parts = urlsplit(base)
        self._prefix = parts.path.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._timeout = timeout

    def send(self, request: Request) -> Exchange:
        """One exchange; raises `NoAnswer`."""
        ends = time.monotonic() + self._timeout
        connection = self._connection()
        try:
            connection.connect()
            connection.request(request.method, self._prefix + request.path, request.data, dict(request.headers))
            response = connection.getresponse()
            body = _read(response, connection.sock, ends)
            return Exchange(request, response.status, tuple(response.getheaders()), body)
        except TimeoutError:
            raise NoAnswer(f"no whole answer within {self._timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(_reason(error)) from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout)


def _read(response: http.client.HTTPResponse, sock: socket.socket | None, ends: float) -> bytes:
    """The body, before the clock shows `ends`; the socket is gone where the server has closed it."""
    whole = bytearray()
    while True:
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if sock is not None and sock.fileno() >= 0:
            sock.settimeout(left)
        piece = response.read1(PIECE)
        whole += piece
        if len(whole) > LONGEST:
            raise NoAnswer(f"an answer of more than {LONGEST} bytes")
        if not piece:
            break
    if response.length:
        raise http.client.IncompleteRead(bytes(whole), response.length)
    return bytes(whole)


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended in the middle of the answer"
    if isinstance(error, http.client.BadStatusLine | http.client.UnknownProtocol):
        return "what answers there does not speak HTTP" if str(error) else "the connection was closed without an answer"
    said = error.strerror if isinstance(error, OSError) else None
    return said or str(error) or type(error).__name__
