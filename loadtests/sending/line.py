"""One request on one connection, and its answer as it comes, read by the loop itself.

Why not `recv`, as gevent has it? A greenlet that reads is woken for every token: a read that finds nothing, an
exception that says so, a switch to the loop and one back, which together cost more than the token. Here nobody is
woken: the loop calls when something is there, takes it, and hands it on. The greenlet sleeps until its answer is over
or has broken off, or its patience is at an end.

Nor is it this process that says when something came, for it may have been busy: the kernel does, where it can
(SO_TIMESTAMPNS). Of what waited together to be read it says when the last came.

Some read in their greenlet all the same: behind TLS, where what is on the socket is nothing of the answer yet, and
whoever reads slowly or may stop reading.
"""

import contextlib
import struct
import time
from collections.abc import Callable, Sequence
from socket import CMSG_SPACE, MSG_PEEK, SOL_SOCKET
from typing import Any, Protocol

import gevent
from gevent.hub import Waiter
from gevent.ssl import SSLSocket
from geventhttpclient._parser import HTTPParseError, HTTPResponseParser
from geventhttpclient.response import HTTPConnectionClosed

from loadtests.protocol.client import Call

BLOCK = 1 << 16
ENOUGH_FOR_A_HEAD = 4096
READABLE = 1
SO_TIMESTAMPNS = 35  # Linux; the module socket has no name for it
TIMESPEC = struct.Struct("qq")
STAMP = (SOL_SOCKET, SO_TIMESTAMPNS, TIMESPEC.size)
ROOM = CMSG_SPACE(TIMESPEC.size)
AGENT = "loadtests"


class Taker(Protocol):
    """Whose answer it is."""

    def head(self, status: int, content_type: str, encoding: str) -> None: ...
    def feed(self, data: bytes, now: float) -> None: ...


class Answer(HTTPResponseParser):
    """What llhttp finds in the bytes of an answer, handed on: its head once, its body as it comes.

    `size` is what there is of the body by now, `came` when the last read of it did.
    """

    def __init__(self, taker: Taker, clock: Callable[[], float]) -> None:
        super().__init__()
        self.headed = self.over = False
        self.size = 0
        self.came = 0.0
        self._taker, self._clock = taker, clock
        self._begun = self._spoilt = False
        self._head: list[str] = []
        self._in_name = False
        self._body = b""

    @property
    def clean(self) -> bool:
        """Whether the connection is as it was before."""
        return self.over and not self._spoilt and self.should_keep_alive()

    def take(self, data: bytes, age: float = 0.0) -> bool:
        """What one read brought, or b"" at the end of the connection, `age` seconds after it came; whether the answer
        is over with it. Raises HTTPParseError."""
        self.came = self._clock() - age
        if not data and not self._begun:
            raise HTTPConnectionClosed("connection closed.")
        self._begun = True
        self.feed(data)
        if self._body:
            body, self._body = self._body, b""
            self.size += len(body)
            self._taker.feed(body, self.came)
        if not data and not self.over:
            raise HTTPParseError("connection closed before end of the answer")
        return self.over

    def _on_message_begin(self) -> None:
        self._spoilt = self.over

    def _on_status(self, text: str) -> None:
        pass

    def _on_header_field(self, text: str) -> None:
        """A name, or the rest of one of which a read brought only the beginning."""
        if self._in_name:
            self._head[-1] += text
        else:
            self._head.append(text)
            self._in_name = True

    def _on_header_value(self, text: str) -> None:
        if self._in_name:
            self._head.append(text)
            self._in_name = False
        else:
            self._head[-1] += text

    def _on_headers_complete(self) -> None:
        status = self.get_code()
        if status >= 200:
            said = dict(zip(map(str.lower, self._head[::2]), self._head[1::2], strict=True))
            self.headed = True
            self._taker.head(status, said.get("content-type", ""), said.get("content-encoding", ""))
        self._head = []

    def _on_body(self, data: bytearray) -> None:
        self._body += data

    def _on_message_complete(self) -> None:
        self.over = self.get_code() >= 200


def send(sock: Any, call: Call, host: str) -> None:
    """One write, if the kernel takes it. Raises ValueError for what is no header. A server that will not hear the rest
    may have answered already: reading tells."""
    fields = {"host": host, "user-agent": AGENT, **call.headers}
    if call.body or call.method != "GET":
        fields["content-length"] = str(len(call.body))
    head = "\r\n".join((f"{call.method} {call.path} HTTP/1.1", *map(": ".join, fields.items())))
    if head.count("\n") != len(fields):
        raise ValueError(f"{call.method} {call.path}: got a line break in the head of a request")
    data = f"{head}\r\n\r\n".encode("latin-1") + call.body
    try:
        if (gone := sock.send(data)) < len(data):
            sock.sendall(data[gone:])
    except (ConnectionResetError, BrokenPipeError):
        pass


def stamp(sock: Any) -> None:
    """Have the kernel say of what comes when it came, where it can: it begins a moment after the first socket asks."""
    with contextlib.suppress(OSError):
        sock.setsockopt(SOL_SOCKET, SO_TIMESTAMPNS, 1)


def read(sock: Any, answer: Answer) -> None:
    """Return when the answer is over. Raises OSError, HTTPParseError."""
    receive = sock._sock.recvmsg
    waiter: Waiter[None] = Waiter()

    def readable() -> None:
        try:
            data, notes, _, _ = receive(BLOCK, ROOM)
            if answer.take(data, _age(notes)):
                waiter.switch(None)
        except BlockingIOError:
            pass
        except Exception as error:  # it is the greenlet's, not the loop's
            waiter.throw(error)

    watcher = gevent.get_hub().loop.io(sock.fileno(), READABLE)
    watcher.start(readable)
    try:
        waiter.get()
    finally:
        watcher.stop()
        watcher.close()


def _age(notes: Sequence[tuple[int, int, bytes]]) -> float:
    """By the kernel's stamp, which is of the wall clock; 0 without one."""
    for level, kind, data in notes:
        if (level, kind, len(data)) == STAMP:
            stamped: tuple[int, int] = TIMESPEC.unpack(data)
            return max(0.0, time.time() - stamped[0] - stamped[1] * 1e-9)
    return 0.0


def read_by_hand(sock: Any, answer: Answer, most: int, taken: Callable[[int], None]) -> None:
    """The same by as many bytes at a time as its caller wants; `taken` is told how many a read brought of the body, and
    may wait. Raises OSError, HTTPParseError."""
    size = 0
    while not answer.take(sock.recv(most if answer.headed else ENOUGH_FOR_A_HEAD)):
        if answer.size > size:
            taken(answer.size - size)
            size = answer.size


def idle(sock: Any) -> bool:
    """Whether a connection that was kept is as it should be: open, and with nothing to read."""
    try:
        sock._sock.recv(1, MSG_PEEK)
    except BlockingIOError:
        return True
    except (OSError, ValueError):
        pass
    return False


def encrypted(sock: Any) -> bool:
    return isinstance(sock, SSLSocket)
