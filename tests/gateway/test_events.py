"""Server-sent events are the same wherever their bytes were cut."""

import pytest

from gateway_under_test.events import Event, Events

STREAM = (
    b'event: message_start\ndata: {"a": 1}\n\n'
    b": a comment\n\n"
    b'event: ping\ndata: {"type": "ping"}\n\n'
    b"data: no name\n\n"
    b"event:no space\ndata:no space\nid: 7\n\n"
    b"event: two lines\ndata: one\ndata: two\n\n"
    b"data: before\nevent: its name\n\n"
    b"\n\nevent: after empty lines\ndata: \xe2\x82\xac\n\n"
    b"event: without data\n\n"
    b"event: without an end\ndata: x"
)
TOLD = [
    Event(b"message_start", b'{"a": 1}'),
    Event(b"", b""),
    Event(b"ping", b'{"type": "ping"}'),
    Event(b"", b"no name"),
    Event(b"no space", b"no space"),
    Event(b"two lines", b"one\ntwo"),
    Event(b"its name", b"before"),
    Event(b"after empty lines", b"\xe2\x82\xac"),
    Event(b"without data", b""),
]


def told(*parts: bytes) -> list[Event]:
    events = Events()
    return [event for part in parts for event in events.read(part)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["newline", "carriage return and newline"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_events_are_the_same_wherever_the_bytes_were_cut(size, end):
    stream = STREAM.replace(b"\n", end)

    assert told(*(stream[at : at + size] for at in range(0, len(stream), size))) == TOLD


def test_a_carriage_return_alone_ends_a_line_too():
    assert told(STREAM.replace(b"\n", b"\r")) == TOLD


def test_an_event_is_told_with_the_byte_that_ends_it():
    events = Events()

    assert events.read(b"event: a\ndata: b\n") == []
    assert events.read(b"\n") == [Event(b"a", b"b")]
    assert events.held == 0


def test_what_is_held_of_an_event_can_be_forgotten():
    events = Events()
    events.read(b"data: " + b"x" * 1000)
    assert events.held == 1006

    events.forget()

    assert events.held == 0
    assert events.read(b"y\n\nevent: a\ndata: b\n\n")[-1] == Event(b"a", b"b")
