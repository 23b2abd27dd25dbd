"""Whether what is measured of known streams is good enough to measure a gateway."""

import itertools

import pytest

from loadtests.errors import InvalidRun
from loadtests.protocol import client
from loadtests.protocol.reading import Exchange
from loadtests.sample import Sample
from loadtests.sending import known
from loadtests.sending.known import Off

SENT = {f"known-{n}": [10.0 + n + 0.01 * number for number in range(known.TEXTS)] for n in range(known.STREAMS)}
GOOD, BAD = Off(0.0004, 0.0001), Off(0.0004, 0.0031)


def read(name: str, arrivals: list[float], outcome: str = "complete") -> Sample:
    gaps = tuple(after - before for before, after in itertools.pairwise(arrivals))
    return Sample(name, 9.0, 9.0, 20.0, outcome, 200, first_delta=arrivals[0], gaps=gaps)


def test_what_is_read_as_it_comes_is_off_by_the_way_it_took():
    samples = [read(name, [at + 0.0005 for at in times]) for name, times in SENT.items()]

    found = known.off(samples, SENT)

    assert found == pytest.approx((0.0005, 0.0), abs=1e-9)


def test_a_reader_that_waits_for_a_kilobyte_is_found_out():
    """As locust's `iter_lines` does: nothing until the tenth text is there, then all of them at once."""
    samples = [read(name, [times[9]] * 10 + [times[19]] * 10) for name, times in SENT.items()]

    found = known.off(samples, SENT)

    assert found.ttft == pytest.approx(0.09)
    assert found.itl == pytest.approx(0.01)


@pytest.mark.parametrize("outcome", ["truncated", "timeout", "refused"])
def test_one_stream_that_is_not_whole_spoils_the_measurement(outcome: str):
    whole = [read(name, times) for name, times in SENT.items()]

    assert known.off([read("known-0", SENT["known-0"], outcome), *whole[1:]], SENT) == Off()
    assert known.off(whole[1:], SENT) == Off()


def test_the_known_stream_is_one_of_the_gateways():
    exchange = Exchange(client.KINDS["stream"].dialect)
    exchange.head(200, "text/event-stream", "")

    for at in range(known.TEXTS):
        exchange.feed(unchunked(known.text(at)), float(at))
    exchange.feed(unchunked(known.end()), 30.0)

    assert exchange.outcome() == "complete"
    assert (len(exchange.gaps), exchange.output_tokens) == (known.TEXTS - 1, known.TEXTS)


def unchunked(data: bytes) -> bytes:
    return data.partition(b"\r\n")[2].partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("tries", "taken"),
    [pytest.param([GOOD], 1, id="at once"), pytest.param([BAD, Off(), GOOD], 3, id="at the third try")],
)
def test_one_good_measurement_of_three_is_enough(tries: list[Off], taken: int):
    left = iter(tries)

    assert known.prove(lambda: next(left)) == GOOD
    assert list(left) == tries[taken:]


def test_three_bad_ones_say_what_was_measured_and_what_was_expected():
    tries = iter([BAD, Off(), Off(0.0041, 0.0), GOOD])

    with pytest.raises(
        InvalidRun, match=r"TTFT off by 0\.4 ms, ITL by 3\.1 ms at best of 3 tries, expected at most 2 ms"
    ):
        known.prove(lambda: next(tries))
