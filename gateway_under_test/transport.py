"""The connections to Claude: aiohttp's, below the interface of httpx2, which is what the SDK speaks through.

Reading a stream through aiohttp costs a third of what it costs through httpx2's own transport: its parser is C, and
between the socket and us there is one buffer instead of six generators. What goes out is written here and not by
aiohttp, for two reasons. A caller's request has to arrive as it came: aiohttp would write its path and its headers
anew, and those that are not UTF-8 not at all. And who counts attempts has to know whether one has left: the request's
extension `sent` is called when its bytes have been given to the socket, and never otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import AsyncGenerator, Iterator
from contextvars import ContextVar
from typing import Self

import aiohttp
import httpx2
import yarl
from aiohttp.connector import Connection

IDLE = 3.0
"""Seconds for which an idle connection may be used again. A server closes it some day (uvicorn after 5 s), and what is
sent at that very moment is a lost attempt: ours expire earlier."""
LONGEST = 100 * 1024
"""Bytes of a header of an answer."""
MOST = 1000
"""Headers of an answer."""
TARGET = re.compile(rb"[\x21-\x7e]+")
NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
NOT_IN_A_VALUE = re.compile(rb"[\x00\n\v\f\r]")

# aiohttp makes its request itself, of what it knows; what is to be written it does not
_current: ContextVar[_Letter] = ContextVar("letter")


class Transport(httpx2.AsyncBaseTransport):
    """As many connections as are needed (the limiter is the cap), each made within the request's `connect` timeout."""

    def __init__(self) -> None:
        self._tls = httpx2.create_ssl_context()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE, ssl=self._tls),
            request_class=_Written,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=LONGEST,
            max_field_size=LONGEST,
            max_headers=MOST,
        )
        return self

    async def aclose(self) -> None:
        await self._session.close()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        letter = _Letter(request, await request.aread())
        connect = request.extensions.get("timeout", {}).get("connect")
        within = aiohttp.ClientTimeout(total=None, connect=connect, ceil_threshold=math.inf)
        token = _current.set(letter)
        try:
            with _as_httpx2():
                # POST whatever it is: a GET that was lost aiohttp would send again, below everybody who counts
                response = await self._session.request("POST", letter.where, allow_redirects=False, timeout=within)
        except BaseException:
            letter.let_go()
            raise
        finally:
            _current.reset(token)
        body = Body(response, letter)
        # twice, because httpx2 puts a generator around what it calls the stream
        return httpx2.Response(response.status, headers=response.raw_headers, stream=body, extensions={"body": body})


class _Letter:
    """A request, as the bytes it is; raises LocalProtocolError if it cannot be one."""

    def __init__(self, request: httpx2.Request, body: bytes) -> None:
        url = request.url
        self.where = yarl.URL.build(scheme=url.scheme, host=url.host, port=url.port)
        self._sent = request.extensions.get("sent")
        self._transport: asyncio.WriteTransport | None = None
        target: bytes = request.extensions.get("target", url.raw_path)
        if not TARGET.fullmatch(target):
            raise httpx2.LocalProtocolError(f"got the target {target!r}, expected visible ASCII")
        lines = [b"%b %b HTTP/1.1" % (request.method.encode(), target)]
        for name, value in request.headers.raw:
            if not NAME.fullmatch(name) or NOT_IN_A_VALUE.search(value):
                raise httpx2.LocalProtocolError(f"got the header {name!r}, expected a name and a value of one line")
            lines.append(b"%b: %b" % (name, value))
        self._bytes = b"\r\n".join([*lines, b"", body])

    def write(self, transport: asyncio.WriteTransport | None) -> None:
        """Give it to the socket; raises if that is closed."""
        if transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("the connection was closed before anything was sent")
        self._transport = transport
        transport.write(self._bytes)
        if self._sent is not None:
            self._sent()

    def let_go(self) -> None:
        """Nobody waits for the answer: what Claude has not read of the request it need not read."""
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._transport.abort()


class _Written(aiohttp.ClientRequest):
    """aiohttp's request, but it goes out as it is written here."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        protocol = conn.protocol
        assert protocol is not None
        _current.get().write(protocol.transport)
        response = self.response_class(
            self.method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=self._timer,
            request_info=self.request_info,
            traces=[],
            loop=self.loop,
            session=self._session,
            stream_writer=aiohttp.http.StreamWriter(protocol, self.loop),
        )
        return response


class Body(httpx2.AsyncByteStream):
    """The bytes of an answer as they come."""

    def __init__(self, response: aiohttp.ClientResponse, letter: _Letter) -> None:
        self._response = response
        self._letter = letter

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        content = self._response.content
        with _as_httpx2():
            try:
                while part := await content.readany():
                    yield part
            except aiohttp.ClientError:
                if content._buffer:  # what came before it broke
                    yield b"".join(content._buffer)
                raise

    async def aclose(self) -> None:
        self._letter.let_go()
        self._response.release()  # which closes the connection unless all was read


@contextlib.contextmanager
def _as_httpx2() -> Iterator[None]:
    """aiohttp's errors as those of httpx2: whether there was a connection is what matters."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ClientConnectorDNSError) as error:
        raise httpx2.ConnectError(str(error)) from error
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx2.ConnectTimeout(str(error)) from error
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientResponseError) as error:
        raise httpx2.RemoteProtocolError(str(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx2.ReadError(str(error)) from error
