"""The detector, on streams that went through a known hold."""

import itertools
import random

import pytest

from loadtests.judging import detector
from loadtests.judging.detector import Arrived, Sent, Trace

RATE, SIZE = 50.0, 150


def spoken(pieces: int = 200, rate: float = RATE, size: int = SIZE, start: float = 10.0) -> list[Sent]:
    return [Sent(start + k / rate, size) for k in range(pieces)]


def at_once(sent: list[Sent], delay: float = 0.001) -> list[Arrived]:
    return [Arrived(piece.at + delay, piece.size) for piece in sent]


def through_buffer(sent: list[Sent], buffer: int, head: int = 200, reads: bool = True) -> list[Arrived]:
    """What a buffer of `buffer` bytes lets through when it is full, the first with `head` bytes of headers in it; as
    one read, or as the events that it completes."""
    found, room, filled = [], buffer - head, 0
    completed: list[Sent] = []
    for piece in sent:
        filled += piece.size
        while filled >= room:
            at = piece.at + 0.0005
            if reads:
                found.append(Arrived(at, room))
            else:
                found += [Arrived(at, done.size) for done in completed]
                completed = []
            filled, room = filled - room, buffer
        completed.append(piece)
    end = sent[-1].at + 0.0005
    return found + ([Arrived(end, filled)] if reads else [Arrived(end, done.size) for done in completed])


def at_the_end(sent: list[Sent]) -> list[Arrived]:
    return [Arrived(sent[-1].at + 0.001, sum(piece.size for piece in sent))]


def every(seconds: float, sent: list[Sent]) -> list[Arrived]:
    """What a timer lets through."""
    groups = itertools.groupby(sent, key=lambda piece: int(piece.at / seconds))
    return [Arrived((tick + 1) * seconds, sum(piece.size for piece in group)) for tick, group in groups]


def test_a_stream_that_comes_as_it_was_sent_was_held_nowhere():
    found = detector.judge([Trace(spoken(), at_once(spoken()))])

    assert found is not None
    assert found.cause == "none"
    assert found.lag_max == pytest.approx(0, abs=1e-9)
    assert str(found).startswith("nothing was held")


@pytest.mark.parametrize("reads", [True, False], ids=["seen as reads", "seen as events"])
@pytest.mark.parametrize("buffer", [1024, 4096, 16384])
def test_a_full_buffer_is_known_by_its_size_and_by_its_interval(buffer: int, reads: bool):
    sent = spoken(pieces=700)

    found = detector.judge([Trace(sent, through_buffer(sent, buffer, reads=reads))])

    predicted = buffer / (RATE * SIZE)
    assert found is not None
    assert (found.cause, found.buffer) == ("full buffer", buffer)
    assert found.predicted_interval == pytest.approx(predicted, rel=0.01)
    assert found.batch_interval == pytest.approx(predicted, rel=0.1)
    assert found.batch_bytes == pytest.approx(buffer, rel=0.06)
    assert found.lag_max == pytest.approx(predicted, rel=0.2)
    assert found.lag_p50 == pytest.approx(predicted / 2, rel=0.2)
    assert f"{predicted * 1000:.1f} ms" in str(found) or f"{predicted:.2f} s" in str(found)


def test_a_full_buffer_is_known_though_events_differ_in_size_and_a_busy_machine_reads_late():
    rng = random.Random(7)
    sent = [Sent(10 + k / RATE, rng.randint(80, 220)) for k in range(600)]
    late = [piece._replace(at=piece.at + rng.random() * 0.01) for piece in through_buffer(sent, 4096)]

    found = detector.judge([Trace(sent, late)])

    assert found is not None
    assert (found.cause, found.buffer) == ("full buffer", 4096)


def test_a_busy_caller_that_finds_two_buffers_at_once_does_not_hide_their_size():
    sent = spoken(pieces=700)
    arrived = through_buffer(sent, 1024)
    merged = [piece._replace(at=arrived[k + 1].at) if k % 4 == 0 else piece for k, piece in enumerate(arrived[:-1])]

    found = detector.judge([Trace(sent, [*merged, arrived[-1]])])

    assert found is not None
    assert (found.cause, found.buffer, found.batch_bytes) == ("full buffer", 1024, 1024)
    assert found.batch_interval == pytest.approx(1024 / (RATE * SIZE), rel=0.05)


def test_text_and_framing_may_differ_the_buffer_is_measured_on_the_wire():
    sent = [Sent(piece.at, 20) for piece in spoken()]
    framed = through_buffer(spoken(), 4096, reads=False)
    arrived = [Arrived(piece.at, 20, wire=SIZE) for piece in framed]

    found = detector.judge([Trace(sent, arrived)])

    assert found is not None
    assert (found.cause, found.buffer) == ("full buffer", 4096)
    assert found.predicted_interval == pytest.approx(4096 / (RATE * SIZE), rel=0.01)


@pytest.mark.parametrize(("encoding", "cause"), [("gzip", "gzip"), ("br", "gzip"), ("", "end of stream")])
def test_one_burst_at_the_end_is_compression_where_the_headers_say_so(encoding: str, cause: str):
    found = detector.judge([Trace(spoken(), at_the_end(spoken()), encoding)])

    assert found is not None
    assert found.cause == cause
    assert found.lag_max == found.first_lag == pytest.approx(199 / RATE)


def test_compression_that_lets_each_event_through_holds_nothing():
    found = detector.judge([Trace(spoken(), at_once(spoken()), "gzip")])

    assert found is not None
    assert found.cause == "none"


def test_even_batches_that_no_buffer_explains_are_a_timers():
    found = detector.judge([Trace(spoken(), every(0.25, spoken()))])

    assert found is not None
    assert found.cause == "timer"
    assert found.batch_interval == pytest.approx(0.25, rel=0.05)


def test_a_timer_is_known_by_batches_that_differ_though_half_of_them_have_the_size_of_a_buffer():
    totals = [1024, 700, 1024, 1400, 1024, 600, 1024, 1300] * 5
    sent = [Sent(10 + k / 100, totals[k // 10] // 10) for k in range(10 * len(totals))]

    found = detector.judge([Trace(sent, every(0.1, sent))])

    assert found is not None
    assert found.cause == "timer"


def test_bursts_after_stalls_of_any_length_are_the_ways():
    rng = random.Random(5)
    sent, arrived, until = spoken(pieces=600), [], 0.0
    for piece in sent:
        until = until if until > piece.at else piece.at + rng.uniform(0.05, 0.8)
        arrived.append(Arrived(until, piece.size))

    found = detector.judge([Trace(sent, arrived)])

    assert found is not None
    assert found.cause == "tcp"


def test_lateness_without_a_pattern_is_the_ways():
    rng = random.Random(3)
    times = sorted(piece.at + rng.random() * 0.4 for piece in spoken())
    arrived = [Arrived(at, SIZE) for at in times]

    found = detector.judge([Trace(spoken(), arrived)])

    assert found is not None
    assert found.cause == "tcp"


def test_a_narrow_pipe_is_the_ways_too():
    arrived = [Arrived(10 + (piece.at - 10) * 2, piece.size) for piece in spoken()]

    found = detector.judge([Trace(spoken(), arrived)])

    assert found is not None
    assert (found.cause, found.lag_max) == ("tcp", pytest.approx(199 / RATE))


def test_a_narrow_pipe_that_slices_evenly_is_no_buffer_and_no_timer():
    """Toxiproxy's `bandwidth` lets through slices of 100 ms each."""
    sent = spoken(pieces=400, rate=200)
    arrived = [Arrived(10.1 + k / 10, 1024) for k in range(400 * SIZE // 1024)]

    found = detector.judge([Trace(sent, arrived)])

    assert found is not None
    assert found.cause == "tcp"


def test_clocks_that_differ_are_set_by_the_least_delay_of_all_replies():
    near, far = spoken(), spoken(start=20)
    arrived = [[piece._replace(at=piece.at - 1000 + late) for piece in at_once(far)] for late in (0.0, 0.2)]

    found = detector.judge([Trace(far, arrived[0]), Trace(far, arrived[1])])

    assert found is not None
    assert found.lag_max == pytest.approx(0.2)
    assert found.share == 0.5
    assert near


def test_a_known_offset_shows_what_delays_all_alike():
    found = detector.judge([Trace(spoken(), at_once(spoken(), delay=0.3))], offset=0.0)

    assert found is not None
    assert found.lag_p50 == pytest.approx(0.3)
    assert found.cause == "tcp"


def test_a_reply_that_broke_off_is_judged_as_far_as_it_came():
    found = detector.judge([Trace(spoken(), at_once(spoken())[:50])])

    assert found is not None
    assert (found.cause, found.lost) == ("none", 150)


@pytest.mark.parametrize("hold", [at_once, lambda sent: through_buffer(sent, 4096), at_the_end])
def test_to_know_the_beginning_of_what_was_sent_is_enough(hold):
    sent = spoken(pieces=400)
    arrived = hold(sent)

    beginning, whole = detector.judge([Trace(sent[:120], arrived)]), detector.judge([Trace(sent, arrived)])

    assert beginning is not None
    assert whole is not None
    assert beginning.cause == whole.cause
    assert (beginning.buffer, beginning.lost) == (whole.buffer, 0)
    if whole.batch_interval:
        assert beginning.batch_interval == pytest.approx(whole.batch_interval, rel=0.05)
        assert beginning.predicted_interval == pytest.approx(whole.predicted_interval, rel=0.05)


def test_a_gateway_may_join_events():
    joined = [
        Arrived(second.at, first.size + second.size)
        for first, second in zip(spoken()[::2], spoken()[1::2], strict=True)
    ]

    found = detector.judge([Trace(spoken(), joined)])

    assert found is not None
    assert found.lag_max == pytest.approx(1 / RATE)
    assert (found.cause, found.lost) == ("none", 0)


def test_one_bad_reply_among_many_does_not_name_the_cause_and_most_do():
    good, bad = Trace(spoken(), at_once(spoken())), Trace(spoken(), through_buffer(spoken(), 4096))

    few, most = detector.judge([good] * 200 + [bad]), detector.judge([good] + [bad] * 3)

    assert few is not None
    assert most is not None
    assert (few.cause, few.replies) == ("none", 201)
    assert (most.cause, most.share) == ("full buffer", 0.75)


def test_replies_too_short_to_show_a_pattern_do_not_outvote_one_that_does():
    short, long = spoken(pieces=70), spoken(pieces=300)
    traces = [Trace(short, through_buffer(short, 4096))] * 3 + [Trace(long, through_buffer(long, 4096))]

    found = detector.judge(traces)

    assert found is not None
    assert (found.cause, found.buffer) == ("full buffer", 4096)


@pytest.mark.parametrize(("replies", "cause"), [(5, "full buffer"), (4, "tcp")])
def test_many_short_replies_show_a_pattern_together(replies: int, cause: str):
    short = spoken(pieces=70)
    assert len(through_buffer(short, 4096)) == 3

    found = detector.judge([Trace(short, through_buffer(short, 4096))] * replies)

    assert found is not None
    assert found.cause == cause
    if cause == "full buffer":
        assert found.batch_interval == pytest.approx(4096 / (RATE * SIZE), rel=0.05)


@pytest.mark.parametrize(
    "trace",
    [
        pytest.param(Trace([], []), id="nothing at all"),
        pytest.param(Trace(spoken(), []), id="nothing arrived"),
        pytest.param(Trace([Sent(0, 0)], [Arrived(1, 10)]), id="no text was sent"),
    ],
)
def test_where_nothing_can_be_compared_there_is_no_finding(trace: Trace):
    assert detector.judge([trace]) is None
    assert detector.judge([]) is None


def test_one_piece_alone_and_pieces_without_text_are_no_trouble():
    sent = [Sent(1.0, 0), Sent(2.0, 10), Sent(3.0, 0)]

    found = detector.judge([Trace(sent, [Arrived(2.1, 10)])])

    assert found is not None
    assert (found.cause, found.lag_max) == ("none", 0.0)
