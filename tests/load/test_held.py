"""Samples and journal joined: which attempt's text it was, and how late each piece of it came."""

import itertools

import pytest

from loadtests.experiment.scenario import Slo, Span
from loadtests.judging import held, metrics
from loadtests.judging.detector import Arrived, Sent
from loadtests.judging.metrics import Observed
from loadtests.sample import Row, Sample

SPAN = Span("after", 0, 100, True)
RATE, SIZE, FRAMED = 50, 10, 150


def attempt(sent: list[tuple[float, int]], t: float = 1.0, outcome: str = "complete", request: str = "r1") -> Row:
    tokens = {"input_tokens": 1, "output_tokens": 1, "wasted_tokens": 0}
    ended = {"status": 200, "outcome": outcome, "queued": 0.0, "ended": t + 9, **tokens}
    return {"request_id": request, "t": t, "sent": [list(one) for one in sent], **ended}


def stream(
    at: float = 2.0, gaps: tuple[float, ...] = (0.1,), text: tuple[int, ...] = (3, 4), **fields: object
) -> Sample:
    row = {"request_id": "r1", "intended": 1.0, "sent": 1.0, "ended": 9.0, "outcome": "complete", "status": 200}
    wire = {"wire_bytes": tuple(size + 100 for size in text)}
    return Sample(**{**row, "first_delta": at, "gaps": gaps, "text_bytes": text, **wire, **fields})


def figures(samples: list[Sample], journal: list[Row]) -> Row:
    return metrics.phase_figures(Observed([1.0], samples, journal), [SPAN], Slo())


def through_a_buffer(buffer: int, pieces: int = 600) -> tuple[Sample, Row]:
    """A stream whose framed pieces come when a buffer is full of them: what a proxy does to it."""
    due = [k / RATE for k in range(pieces)]
    full = [min(pieces - 1, -(-((k * FRAMED) // buffer + 1) * buffer // FRAMED) - 1) for k in range(pieces)]
    came = [1.0 + due[k] for k in full]
    gaps = tuple(later - earlier for earlier, later in itertools.pairwise(came))
    sample = stream(came[0], gaps, (SIZE,) * pieces, wire_bytes=(FRAMED,) * pieces)
    return sample, attempt([(at, SIZE) for at in due])


def test_a_stream_is_joined_with_the_attempt_that_it_came_of():
    found = held.traces([stream(encoding="gzip")], {"r1": [attempt([(0.5, 3), (0.6, 4)])]})

    assert list(found) == ["r1"]
    assert found["r1"].sent == [Sent(1.5, 3), Sent(1.6, 4)]
    assert found["r1"].arrived == [Arrived(2.0, 3, 103), Arrived(2.1, 4, 104)]
    assert found["r1"].encoding == "gzip"


@pytest.mark.parametrize(
    "attempts",
    [
        pytest.param([attempt([(0.1, 3)], outcome="fault"), attempt([(0.5, 3), (0.6, 4)])], id="a retry"),
        pytest.param([attempt([(0.5, 3), (0.6, 4)]), attempt([(0.2, 3)], outcome="left")], id="a hedge that lost"),
        pytest.param([attempt([(0.5, 3), (0.6, 4)]), attempt([(0.2, 9)], t=2.0)], id="a hedge that came too late"),
        pytest.param([attempt([(0.1, 1)], outcome="left"), attempt([(0.5, 6)])], id="a gateway that trims"),
        pytest.param([attempt([]), attempt([(0.5, 7)])], id="one that was refused"),
    ],
)
def test_of_several_attempts_it_is_the_one_whose_text_came(attempts: list[Row]):
    found = held.traces([stream()], {"r1": attempts})

    assert found["r1"].sent[0].at == 1.5


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(stream(outcome="truncated"), id="not complete"),
        pytest.param(Sample("r1", 1.0, 1.0, 2.0, "complete"), id="no stream"),
        pytest.param(stream(text=(0, 0)), id="no text"),
        pytest.param(stream(request_id="r2"), id="no attempt"),
    ],
)
def test_what_says_nothing_of_the_way_is_left_out(sample: Sample):
    assert held.traces([sample], {"r1": [attempt([(0.5, 7)])]}) == {}


@pytest.mark.parametrize(("late", "expected"), [(0.2, 0.0), (-0.003, -0.003)], ids=["a slow way", "a late zero"])
def test_the_clocks_are_apart_only_as_far_as_something_came_before_it_was_sent(late: float, expected: float):
    found = held.traces([stream(at=1.5 + late)], {"r1": [attempt([(0.5, 3), (0.6, 4)])]})

    assert held.offset(found.values()) == pytest.approx(expected)


def test_a_lag_that_all_pieces_share_is_a_lag():
    found = figures([stream(at=1.7)], [attempt([(0.5, 3), (0.6, 4)])])

    assert (found["added_lag"]["p50"], found["added_lag"]["n"]) == (pytest.approx(0.2), 2)
    assert (found["held_ratio"], found["batch_interval"], found["batch_bytes"]) == (1.0, None, None)


def test_a_clock_that_began_late_makes_no_piece_come_before_it_was_sent():
    found = figures([stream(at=1.497, gaps=(0.11,))], [attempt([(0.5, 3), (0.6, 4)])])

    assert (found["added_lag"]["mean"], found["added_lag"]["max"]) == (pytest.approx(0.005), pytest.approx(0.01))


@pytest.mark.parametrize("buffer", [1024, 4096, 16384])
def test_a_full_buffer_shows_in_the_figures_of_a_phase(buffer: int):
    sample, record = through_a_buffer(buffer)

    found = figures([sample], [record])

    interval = buffer / (RATE * FRAMED)
    assert found["batch_interval"] == pytest.approx(interval, rel=0.1)
    assert found["batch_bytes"] == pytest.approx(buffer, rel=0.05)
    assert found["added_lag"]["p50"] == pytest.approx(interval / 2, rel=0.2)
    assert found["added_lag"]["max"] == pytest.approx(interval, abs=1 / RATE)
    assert found["held_ratio"] == 1.0


def test_pieces_that_came_in_one_read_count_on_the_wire_once():
    sample, record = through_a_buffer(4096)
    first = [at == 0 or sample.gaps[at - 1] > 0 for at in range(len(sample.text_bytes))]
    reads = [4096 if starts else 0 for starts in first]

    found = figures([stream(sample.first_delta, sample.gaps, sample.text_bytes, wire_bytes=tuple(reads))], [record])

    assert found["batch_bytes"] == 4096


def test_without_streams_there_is_nothing_to_say():
    found = figures([Sample("r1", 1.0, 1.0, 2.0, "complete")], [attempt([])])

    assert (found["held_ratio"], found["batch_interval"], found["added_lag"]["n"]) == (None, None, 0)
