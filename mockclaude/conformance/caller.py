"""A caller from the standard library alone: it sends a request as it is and brings back every byte of the answer."""

from __future__ import annotations

import http.client
import socket
import time
from urllib.parse import urlsplit

from mockclaude.conformance.exchange import Exchange, NoAnswer, Request

LONGEST = 8_000_000
"""Bytes of an answer; nothing that is asked here has a longer one."""
PIECE = 65_536
PATIENCE = 60.0
"""Seconds of `retry-after` that are waited for: a minute's quota may be smaller than the number of requests."""


class Caller:
    """Sends requests to `base`, a URL, each on a connection of its own, and waits `timeout` seconds for each answer.

    Redirects are not followed and proxies not used. Only after a 429 that says when to come back is a request sent
    again, once. `requests` counts what was sent.
    """

    def __init__(self, base: str, timeout: float) -> None:
        parts = urlsplit(base)
        self.requests = 0
        self._prefix = parts.path.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._timeout = timeout

    def send(self, request: Request) -> Exchange:
        """One exchange; raises `NoAnswer`."""
        answer = self._once(request)
        wait = answer.header("retry-after") or ""
        if answer.status != 429 or not wait.isdecimal() or int(wait) > PATIENCE:
            return answer
        time.sleep(int(wait))
        return self._once(request)

    def _once(self, request: Request) -> Exchange:
        self.requests += 1
        ends = time.monotonic() + self._timeout
        connection = self._connection()
        try:
            connection.connect()
            sock = connection.sock
            connection.request(request.method, self._prefix + request.path, request.data, dict(request.headers))
            response = connection.getresponse()
            body = _read(response, sock, ends)
            return Exchange(request, response.status, tuple(response.getheaders()), body)
        except TimeoutError:
            raise NoAnswer(f"no whole answer within {self._timeout:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoAnswer(_reason(error)) from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout)


def _read(response: http.client.HTTPResponse, sock: socket.socket, ends: float) -> bytes:
    """The body, before the clock shows `ends`."""
    whole = bytearray()
    piece = b" "
    while piece:
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if sock.fileno() >= 0:
            sock.settimeout(left)
        piece = response.read1(PIECE)
        whole += piece
        if len(whole) > LONGEST:
            raise NoAnswer(f"an answer of more than {LONGEST} bytes")
    if response.length:
        raise http.client.IncompleteRead(bytes(whole), response.length)
    return bytes(whole)


def _reason(error: Exception) -> str:
    match error:
        case http.client.IncompleteRead():
            return "the connection ended in the middle of the answer"
        case http.client.RemoteDisconnected():
            return "the connection was closed without an answer"
        case http.client.BadStatusLine() | http.client.UnknownProtocol():
            return "what answers there does not speak HTTP"
        case OSError(strerror=str(said)):
            return said
    return str(error) or type(error).__name__
