"""The sender by itself: what goes out when it is looked at, and what is left for the answer to send."""

import asyncio

import pytest

from mockclaude import faults, reply, stream
from mockclaude.journal import Journal
from mockclaude.reply import Chunk
from mockclaude.stream import Left, Stream

DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta"}\n\n'


class Line:
    """A connection whose other side reads, until it does not."""

    def __init__(self) -> None:
        self.reads = True
        self.written: list[bytes] = []

    def write(self, data: bytes) -> bool:
        if self.reads:
            self.written.append(data)
        return self.reads


@pytest.fixture
def attempt():
    return Journal("witness").open({}, 100.0, 0.0)


@pytest.fixture
def line():
    return Line()


@pytest.fixture
def begun(attempt, line):
    """A stream that begins to send a run at 100 s, on its line."""

    def begin(run):
        sender = Stream(attempt)
        sender.line = line
        sender.begin(iter(run), 100.0)
        return sender

    return begin


def test_what_is_due_goes_out_together_and_the_rest_when_it_is_due(begun, line):
    sender = begun([Chunk(0.1, b"a"), Chunk(0.2, b"b"), Chunk(0.3, b"c"), Chunk(0.4, b"d")])

    nexts = [sender.look(now, now) for now in (100.05, 100.2, 100.3)]

    assert nexts == pytest.approx([100.1, 100.3, 100.4])
    assert line.written == [b"ab", b"c"]


def test_the_end_is_left_to_the_answer(begun, line):
    sender = begun([Chunk(0.1, b"a"), Chunk(0.2, b"b")])

    assert (sender.look(100.1, 100.1), sender.look(100.2, 100.2)) == (100.2, None)

    assert (line.written, sender.due, sender.whole) == ([b"a"], Chunk(0.2, b"b"), True)


def test_what_the_other_side_does_not_take_is_left_to_the_answer_and_nothing_more_becomes_due(begun, line):
    sender = begun([Chunk(0.1, b"a"), Chunk(0.2, b"b"), Chunk(0.3, b"c")])
    line.reads = False

    assert sender.look(100.1, 100.1) is None

    assert (sender.due, sender.over) == (Chunk(0.1, b"a"), False)


def test_one_write_has_not_much_more_than_so_many_bytes(begun, line):
    part = bytes(stream.JOINED // 2 + 1)
    sender = begun([Chunk(0.1, part), Chunk(0.2, part), Chunk(0.3, part), Chunk(0.4, b"end")])

    for _ in range(2):
        sender.look(100.3, 100.3)

    assert [len(one) for one in line.written] == [2 * len(part), len(part)]


def test_the_journal_hears_when_text_went_out_and_when_its_first_was_due(begun, attempt):
    sender = begun([Chunk(0.1, b"head"), Chunk(0.2, DELTA, 5), Chunk(0.3, DELTA, 7), Chunk(0.4, b"end")])

    for now in (100.1, 100.25, 100.35):
        sender.look(now, now)

    assert attempt.first_token == 100.25
    assert list(attempt.sent) == [(0.25, 5), (0.35, 7)]


@pytest.mark.parametrize("ending", [reply.Broken(0.2, "rst"), faults.Injected(529)], ids=["broken", "an error"])
def test_a_reply_that_ends_otherwise_says_how_when_that_is_due(begun, line, ending):
    def run():
        yield Chunk(0.1, b"a")
        ending.at = 0.2
        raise ending

    sender = begun(run())

    assert sender.look(100.1, 100.1) == pytest.approx(100.2)
    assert not sender.over
    assert sender.look(100.2, 100.2) is None
    assert (sender.over, sender.whole, sender.ending, line.written) == (True, False, ending, [b"a"])


def test_who_has_left_is_sent_nothing(begun, line):
    sender = begun([Chunk(0.1, b"a"), Chunk(0.2, b"b")])

    sender.leave()

    assert (sender.look(100.1, 100.1), line.written) == (None, [])


async def test_the_answer_is_woken_once_there_is_something_to_do(begun, line):
    sender = begun([Chunk(0.1, b"a"), Chunk(0.2, b"b")])
    waiting = asyncio.create_task(sender.woken())
    await asyncio.sleep(0)

    sender.look(100.1, 100.1)
    await asyncio.sleep(0)
    assert not waiting.done()

    sender.look(100.2, 100.2)
    await waiting


async def test_the_answer_hears_that_its_client_left_or_that_looking_failed(begun):
    gone, failed = begun([Chunk(0.1, b"a")]), begun([Chunk(0.1, b"a")])

    gone.leave()
    failed.fail(ZeroDivisionError())

    with pytest.raises(Left):
        await gone.woken()
    with pytest.raises(ZeroDivisionError):
        await failed.woken()
