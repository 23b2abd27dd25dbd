"""A caller's connection: uvicorn's, but it closes on who does not come to the point.

uvicorn waits for ever for a request's head, however long it grows, and for the rest of a body whose request has been
answered. A connection that is only held open costs memory and a descriptor, and a thousand of them cost a thousand.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD = 64 * 1024
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(HttpToolsProtocol):
    """`patience`: seconds to a whole head, from the connection or the first byte after an answer; None: no end."""

    patience: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _in_head = False
    _in_body = False
    _head_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(self.patience)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._head_size = self._head_size + len(data) if self._in_head else 0
        if self.transport.is_closing():
            return
        if self._head_size > LONGEST_HEAD:
            self.transport.write(TOO_LONG)
            self.transport.close()
        elif self.cycle is None or self.cycle.response_complete:
            # uvicorn has just stopped its own timer of an idle connection
            unfinished = self._in_head or self._in_body
            self._wait(self.patience if unfinished else self.timeout_keep_alive)

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        self._stop_waiting()
        super().on_message_complete()

    def _wait(self, seconds: float | None) -> None:
        """Close in so many seconds, or earlier if that was said before."""
        if self.patience is None or seconds is None:
            return
        if self._timer is None or self._timer.when() > self.loop.time() + seconds:
            self._stop_waiting()
            self._timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def patient(seconds: float | None) -> type[Connection]:
    """Connections with this patience."""

    class Patient(Connection):
        patience = seconds

    return Patient
