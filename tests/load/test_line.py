"""An answer as its bytes come, and the request before it."""

import time

import gevent
import pytest
from gevent import socket
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

from loadtests.protocol.client import Call
from loadtests.sending import line
from loadtests.sending.line import Answer

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nx-empty:\r\ntransfer-encoding: chunked\r\n\r\n"


class Told:
    """What was handed on."""

    def __init__(self):
        self.heads, self.body, self.times = [], b"", []

    def head(self, status, content_type, encoding):
        self.heads.append((status, content_type, encoding))

    def feed(self, data, now):
        self.body += data
        self.times.append(now)


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer(clock=lambda: 0.0):
    told = Told()
    return told, Answer(told, clock)


@pytest.mark.parametrize("size", [1, 7, 1000], ids=["a byte at a time", "in pieces", "at once"])
def test_an_answer_is_the_same_however_its_bytes_come(size):
    told, coming = answer()
    whole = HEAD + chunk(b"one") + chunk(b"two") + chunk(b"")

    over = [coming.take(whole[at : at + size]) for at in range(0, len(whole), size)]

    assert told.heads == [(200, "text/event-stream", "")]
    assert (told.body, coming.size) == (b"onetwo", 6)
    assert over == [False] * (len(over) - 1) + [True]
    assert coming.clean


def test_what_came_in_one_read_came_at_one_moment():
    ticks = iter([1.0, 2.0])
    told, coming = answer(lambda: next(ticks))

    coming.take(HEAD)
    coming.take(chunk(b"one") + chunk(b"two"))

    assert (told.body, told.times) == (b"onetwo", [2.0])


def test_an_interim_answer_is_none():
    told, coming = answer()

    over = coming.take(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + HEAD + chunk(b"one") + chunk(b""))

    assert (told.heads, told.body, over) == ([(200, "text/event-stream", "")], b"one", True)


@pytest.mark.parametrize(
    ("came", "error"),
    [(b"", HTTPConnectionClosed), (HEAD[:40], HTTPParseError), (HEAD + chunk(b"one"), HTTPParseError)],
    ids=["before an answer", "in the head", "in the body"],
)
def test_a_connection_that_ends_too_soon_says_where(came, error):
    _, coming = answer()
    if came:
        coming.take(came)

    with pytest.raises(error) as raised:
        coming.take(b"")

    assert type(raised.value) is error
    assert not coming.clean


def test_an_answer_may_end_with_its_connection_which_then_is_not_used_again():
    told, coming = answer()
    coming.take(b"HTTP/1.1 200 OK\r\n\r\none")

    assert coming.take(b"")
    assert (told.body, coming.clean) == (b"one", False)


def test_a_connection_on_which_more_came_than_was_asked_for_is_not_used_again():
    _, coming = answer()

    coming.take(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")

    assert coming.over and not coming.clean


def test_a_line_break_in_a_header_is_no_request():
    with pytest.raises(ValueError, match="line break"):
        line.send(None, Call("GET", "/", {"x-request-id": "a\r\nhost: b"}, b""), "h")


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (Call("GET", "/a", {}, b""), b"GET /a HTTP/1.1\r\nhost: h\r\nuser-agent: loadtests\r\n\r\n"),
        (
            Call("POST", "/a", {"host": "b", "user-agent": "c"}, b"{}"),
            b"POST /a HTTP/1.1\r\nhost: b\r\nuser-agent: c\r\ncontent-length: 2\r\n\r\n{}",
        ),
    ],
    ids=["a question", "with a body, and headers of its own"],
)
def test_a_request_goes_out_as_it_was_made(ends, call, said):
    line.send(ends[0], call, "h")

    assert ends[1].recv(1000) == said


def test_the_loop_reads_while_its_greenlet_sleeps(ends):
    told, coming = answer(time.monotonic)
    reader = gevent.spawn(line.read, ends[0], coming)

    for part in (HEAD, chunk(b"one"), chunk(b"two"), chunk(b"")):
        ends[1].sendall(part)
        gevent.sleep(0.001)
    reader.get(timeout=1)

    assert (told.body, len(told.times)) == (b"onetwo", 2)
    assert line.idle(ends[0])


@pytest.fixture
def stamping():
    """A kernel that stamps: it begins some time after the first socket asks, and ends with the last. Not every one does
    (a sandbox's, macOS')."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as ours:
        line.stamp(ours)
        theirs, _ = listener.accept()
        with theirs:
            for _ in range(1000):
                theirs.sendall(b".")
                time.sleep(0.001)
                _, notes, _, _ = ours.recvmsg(1, line.ROOM)
                if line._age(notes) > 0.0005:
                    break
            else:
                pytest.skip("this kernel does not say when something came")
            yield


def test_what_waited_to_be_read_came_when_the_kernel_had_it(stamping):
    told, coming = answer(time.monotonic)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as ours:
        line.stamp(ours)
        theirs, _ = listener.accept()
        reader = gevent.spawn(line.read, ours, coming)
        gevent.sleep(0)
        with theirs:
            sent = time.monotonic()
            theirs.sendall(HEAD + chunk(b"one") + chunk(b""))
            while time.monotonic() < sent + 0.1:
                pass  # too busy to read
            reader.get(timeout=1)

    assert told.times[0] == coming.came
    assert sent - 0.001 < told.times[0] < sent + 0.05


def test_what_breaks_off_is_raised_where_it_was_asked_for(ends):
    _, coming = answer()
    reader = gevent.spawn(line.read, ends[0], coming)
    ends[1].sendall(HEAD)
    ends[1].close()

    reader.join(1)

    assert isinstance(reader.exception, HTTPParseError)


def test_who_is_no_longer_waited_for_is_not_read(ends):
    told, coming = answer()
    reader = gevent.spawn(line.read, ends[0], coming)
    gevent.sleep(0)
    reader.kill()

    ends[1].sendall(HEAD + chunk(b"one"))
    gevent.sleep(0.001)

    assert told.heads == []
    assert not line.idle(ends[0])


def test_who_reads_by_hand_takes_no_more_at_once_than_it_wants(ends):
    told, coming = answer()
    sizes = []
    ends[1].sendall(HEAD)

    reader = gevent.spawn(line.read_by_hand, ends[0], coming, 10, sizes.append)
    gevent.sleep(0.001)
    ends[1].sendall(chunk(b"x" * 25) + chunk(b""))
    reader.get(timeout=1)

    assert told.body == b"x" * 25
    assert max(sizes) <= 10
