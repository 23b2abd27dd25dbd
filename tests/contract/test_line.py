"""A stream that is written past ASGI's send is the same stream, byte for byte, and holds no more than it may."""

import contextlib
import random
import socket
import struct
import threading
import time

import pytest
import uvicorn

from mockclaude import connection, listener
from mockclaude.app import EDGE, create_app
from mockclaude.settings import Settings
from mockclaude.testing import MockClaude

SPEED = {"ttft": {"p50": 0.01, "p95": 0.01}, "tokens_per_second": 2000, "tokens_per_delta": 1, "prefill": False}
AT_ONCE = SPEED | {"ttft": {"p50": 0.0, "p95": 0.0}, "tokens_per_second": 1e9}
ASKED = b'{"model":"claude-haiku-4-5","max_tokens":%d,"stream":true,"messages":[{"role":"user","content":"x"}]}'


class Through:
    """Middleware that looks at every message on its way out."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def seen(message):
            await send(message)

        await self.app(scope, receive, seen)


def outside(app):
    return Through(app)


def inside(app):
    app.add_middleware(Through)
    return app


WAYS = {
    "line": ({"http": listener.Protocol}, lambda app: app),
    "asyncio's loop": ({"http": listener.Protocol, "loop": "asyncio"}, lambda app: app),
    "httptools": ({"http": "httptools"}, lambda app: app),
    "h11": ({"http": "h11"}, lambda app: app),
    "middleware outside": ({"http": listener.Protocol}, outside),
    "middleware inside": ({"http": listener.Protocol}, inside),
}


@contextlib.contextmanager
def served(options, wrap, speed=SPEED, **more):
    app = create_app(Settings({"seed": 1, "latency": speed, **more}))
    config = uvicorn.Config(wrap(app), log_level="critical", access_log=False, headers=EDGE, **options)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def request(tokens=30, version=b"1.1", headers=b"", body=None):
    body = body or ASKED % tokens
    return (
        b"POST /v1/messages HTTP/%b\r\nhost: x\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n"
        b"%bconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (version, headers, len(body), body)
    )


def said(port, *asked):
    """Head without its date, and body without its chunks."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
        caller.sendall(request(*asked))
        raw = b"".join(iter(lambda: caller.recv(65536), b""))
    head, _, rest = raw.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    named = sorted((name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines))
    kept = [status, *(line for line in named if line[0] != b"date")]
    return kept, joined(rest) if (b"transfer-encoding", b"chunked") in kept else rest


def joined(rest):
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body, end, rest = body + rest[:length], rest[length : length + 2], rest[length + 2 :]
        assert end == b"\r\n"
        assert length or not rest
    return body


FAULTS = [
    "",
    "split_packets;seconds=0",
    "cut;after=4",
    "truncate;after=4",
    "error_event;after=4",
    "split_packets",
    "missing_event;after=3",
]


@pytest.fixture(scope="module")
def through_the_line():
    options, wrap = WAYS["line"]
    with served(options, wrap) as port:
        return [said(port, 30, b"1.1", header(fault)) for fault in FAULTS]


def header(fault):
    return f"x-mockclaude-fault: {fault}\r\n".encode() if fault else b""


@pytest.mark.parametrize("way", [name for name in WAYS if name != "line"])
def test_every_other_way_out_says_the_same(way, through_the_line):
    with served(*WAYS[way]) as port:
        answers = [said(port, 30, b"1.1", header(fault)) for fault in FAULTS]

    assert answers == through_the_line


def test_a_packet_with_nothing_in_it_does_not_end_the_answer():
    """Split once more, a packet that begins inside a character is split before its first byte."""
    twice = {"faults": [{"name": "split_packets", "seconds": 0.02}], "responders": [{"fixed": "é" * 40}]}

    with served(*WAYS["line"], SPEED | {"tokens_per_second": 50}, **twice) as port:
        _, body = said(port, 30, b"1.1", header("split_packets;seconds=0.01"))

    assert body.endswith(b"\n\n") and b"event: message_stop" in body


def test_an_older_http_gets_the_same_events(through_the_line):
    with served(*WAYS["line"]) as port:
        _, body = said(port, 30, b"1.0")

    assert body == through_the_line[0][1]


def test_the_line_is_what_a_stream_goes_out_on():
    written = []

    class Noted(connection.Line):
        def write(self, data):
            written.append(data)
            return super().write(data)

    class Watched(listener.Protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            self._line = Noted(transport, self.flow)

    with served({"http": Watched}, lambda app: app, SPEED | {"tokens_per_second": 100}) as port:
        _, body = said(port)

    assert len(written) > 5
    assert b"".join(written) in body


def open_sockets(mock):
    return [protocol.transport for protocol in list(mock._server.server_state.connections)]


def test_a_reader_who_stops_holds_little_and_the_journal_says_how_long(wait_for):
    with MockClaude(latency=AT_ONCE) as mock, socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.connect(("127.0.0.1", int(mock.url.rpartition(":")[2])))
        caller.sendall(request(10_000))
        wait_for(lambda: any(one.get_write_buffer_size() for one in open_sockets(mock)))
        time.sleep(0.5)

        held = [one.get_write_buffer_size() for one in open_sockets(mock)]
        while caller.recv(1 << 20):
            pass
        wait_for(mock.journal)

        [record] = mock.journal()
        assert 0 < max(held) <= 64 * 1024
        assert record["outcome"] == "complete"
        assert record["stalled"] >= 0.5


def test_a_reader_who_keeps_up_is_not_said_to_stall(mock):
    said(int(mock.url.rpartition(":")[2]))

    [record] = mock.journal()
    assert record["stalled"] < 0.05


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_client_who_leaves_while_it_is_written_to_ends_its_own_stream_alone(how, wait_for):
    linger = struct.pack("ii", 1, 0)
    with MockClaude(latency=SPEED | {"tokens_per_second": 200}) as mock:
        port = int(mock.url.rpartition(":")[2])
        leaving = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for one in leaving:
            one.sendall(request(400))
        random.Random(1).shuffle(leaving)
        for one in leaving:
            one.recv(100)
            if how == "rst":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            one.close()
        _, body = said(port, 50)

        assert body.count(b'"text_delta"') == 50
        assert body.endswith(b"}\n\n")
        wait_for(lambda: len(mock.journal()) == 21)
        assert sorted(record["outcome"] for record in mock.journal()) == ["complete"] + ["left"] * 20
