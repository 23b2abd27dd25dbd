"""Attempts without a request's id: whose they are counted for."""

from loadtests.judging import anonymous
from loadtests.sample import Row, Sample


def request(name: str, sent: float, ended: float, outcome: str = "complete", text: int = 0, tokens: int = 0) -> Sample:
    pieces = {"first_delta": sent, "text_bytes": (text,), "wire_bytes": (text,)} if text else {}
    return Sample(name, sent, sent, ended, outcome, output_tokens=tokens, **pieces)


def attempt(t: float, ended: float, outcome: str = "complete", text: int = 0, tokens: int = 0) -> Row:
    sent = [[0.1, text]] if text else []
    return {"request_id": None, "t": t, "ended": ended, "outcome": outcome, "sent": sent, "output_tokens": tokens}


def owners(samples: list[Sample], journal: list[Row]) -> list[str | None]:
    return [row["request_id"] for row in anonymous.attributed(samples, journal)]


def test_a_stream_is_known_by_its_text_whatever_its_order():
    samples = [request("a", 1.0, 4.0, text=30), request("b", 1.1, 3.0, text=20)]

    assert owners(samples, [attempt(1.15, 2.9, text=20), attempt(1.2, 3.9, text=30)]) == ["b", "a"]


def test_a_whole_answer_is_known_by_its_tokens():
    samples = [request("a", 1.0, 4.0, tokens=30), request("b", 1.1, 3.0, tokens=20)]

    assert owners(samples, [attempt(1.15, 2.9, tokens=20), attempt(1.2, 3.9, tokens=30)]) == ["b", "a"]


def test_the_same_text_at_another_time_is_anothers():
    samples = [request("a", 1.0, 2.0, text=30), request("b", 5.0, 6.0, text=30)]

    assert owners(samples, [attempt(1.1, 1.9, text=30), attempt(5.1, 5.9, text=30)]) == ["a", "b"]


def test_two_that_said_the_same_at_the_same_time_are_one_each():
    samples = [request("a", 1.0, 4.0, text=30), request("b", 1.1, 4.0, text=30)]

    assert sorted(map(str, owners(samples, [attempt(1.2, 3.0, text=30), attempt(1.3, 3.0, text=30)]))) == ["a", "b"]


def test_what_failed_counts_for_an_open_request_that_has_none_yet_then_for_the_last_that_began():
    samples = [request("a", 1.0, 9.0, "timeout"), request("b", 2.0, 9.0, "timeout")]
    failed = [attempt(at, at, "turned_away") for at in (2.1, 2.2, 2.3, 2.4)]

    assert owners(samples, failed) == ["a", "b", "b", "b"]


def test_retries_of_a_request_that_succeeded_in_the_end_are_its_own_when_nobody_else_is_open():
    samples = [request("a", 1.0, 3.0, text=30), request("b", 8.0, 9.0, text=30)]
    journal = [attempt(1.1, 1.1, "turned_away"), attempt(1.5, 2.9, text=30), attempt(8.1, 8.9, text=30)]

    assert owners(samples, journal) == ["a", "a", "b"]


def test_an_answer_that_tells_of_nothing_is_that_of_the_first_request_that_ended_after_it():
    samples = [request("slow", 1.0, 9.0), request("quick", 2.0, 3.0)]

    assert owners(samples, [attempt(2.1, 2.9), attempt(8.0, 8.9)]) == ["quick", "slow"]


def test_what_came_before_the_load_is_nobodys_and_the_order_is_that_of_coming():
    found = anonymous.attributed([request("a", 5.0, 6.0)], [attempt(5.5, 5.6), attempt(0.5, 0.6)])

    assert [(row["t"], row["request_id"]) for row in found] == [(0.5, None), (5.5, "a")]
