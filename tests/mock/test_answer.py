"""An answer by itself: how it is framed, and what becomes of one that fails while it is sent."""

import asyncio

import pytest

from mockclaude.answer import Answer
from mockclaude.capacity import Capacity, Size
from mockclaude.clock import Clock
from mockclaude.pacer import Pacer
from mockclaude.reply import Chunk, Reply


class Held:
    """A slot that was granted at once, and an attempt's record with what an answer writes into it."""

    n = 7
    status = first_byte = first_token = None
    stalled = arrived = 0.0
    begun = -1000.0

    def __init__(self, run):
        self.granted = asyncio.get_running_loop().create_future()
        self.granted.set_result(None)
        self.reply = Reply(0.0, 0.1, 1, run)
        self.refused = None
        self.attempt = self
        self.ends = []

    def says(self, text, now):
        self.text = text

    def complete(self):
        self.ends.append("complete")

    def fail(self):
        self.ends.append("fault")

    def leave(self):
        self.ends.append("left")


def spoilt(whole):
    yield Chunk(0.0, b"event: message_start\n\n")
    if not whole:
        raise ZeroDivisionError


async def answered(slot):
    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    sent = []
    answer = Answer(
        slot,
        {"request-id": "req_1", "content-type": "text/plain"},
        Pacer(Clock(), Capacity(Size())),
        lambda error: None,
    )
    await answer({"type": "http"}, receive, send)
    return sent


async def test_a_reply_that_comes_to_its_end_is_complete():
    slot = Held(spoilt(whole=True))

    assert [message["type"] for message in await answered(slot)] == ["http.response.start", "http.response.body"]
    assert slot.ends[0] == "complete"


async def test_a_failure_of_the_mock_itself_is_not_taken_for_a_client_that_left(caplog):
    slot = Held(spoilt(whole=False))

    with pytest.raises(ZeroDivisionError):
        await answered(slot)

    assert (slot.ends[0], slot.status) == ("fault", 500)
    assert "attempt 7: the mock itself failed" in caplog.text


@pytest.mark.parametrize(
    ("parts", "length"), [([b"whole"], [(b"content-length", b"5")]), ([b"in ", b"two"], [])], ids=["one", "two"]
)
async def test_how_a_reply_is_framed_does_not_hang_on_how_late_the_machine_is(parts: list[bytes], length: list):
    """All of it is due at once here, as for a machine that stood still: only one chunk has a length in advance."""
    slot = Held(iter([Chunk(float(at), part) for at, part in enumerate(parts)]))

    head, body = await answered(slot)

    assert [pair for pair in head["headers"] if pair[0] == b"content-length"] == length
    assert (body["body"], body["more_body"]) == (b"".join(parts), False)
