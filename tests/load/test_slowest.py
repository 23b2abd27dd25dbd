"""The slowest requests and their attempts."""

from typing import Any

import pytest

from loadtests.judging import slowest
from loadtests.sample import Sample

JUDGED = {"before": (10.0, 20.0), "after": (30.0, 40.0)}


def asked(number: int, intended: float, e2e: float, outcome: str = "complete", late: float = 0.0) -> Sample:
    return Sample(f"r{number}", intended, intended + late, intended + e2e, outcome)


def attempt(t: float, ended: float, **fields: Any) -> dict[str, Any]:
    known = {"queued": 0.0, "outcome": "complete", "status": 200, "output_tokens": 120}
    return known | {"t": t, "ended": ended} | fields


def test_the_ten_that_took_longest_come_first_whatever_came_of_them():
    samples = [asked(n, 11.0, 0.1 * n) for n in range(20)] + [asked(99, 12.0, 15.0, "timeout", late=0.5)]

    found = slowest.of(samples, {}, JUDGED)

    assert [each.request_id for each in found] == ["r99", *(f"r{n}" for n in range(19, 10, -1))]
    assert (found[0].phase, found[0].outcome, found[0].late, found[0].steps) == ("before", "timeout", 0.5, ())


def test_what_was_not_judged_and_what_we_aborted_is_not_among_them():
    samples = [asked(1, 5.0, 9.0), asked(2, 25.0, 9.0), asked(3, 31.0, 9.0, "aborted"), asked(4, 31.0, 1.0)]

    assert [each.request_id for each in slowest.of(samples, {}, JUDGED)] == ["r4"]


def test_attempts_are_told_in_order_from_the_intended_start():
    attempts = [attempt(14.0, 15.0), attempt(11.5, 13.5, queued=1.5, outcome="left")]

    [found] = slowest.of([asked(1, 11.0, 4.2)], {"r1": attempts}, JUDGED)

    assert [(step.came, step.began, step.ended, step.how, step.tokens) for step in found.steps] == [
        (0.5, 2.0, 2.5, "left", 120),
        (3.0, 3.0, 4.0, "complete", 120),
    ]
    assert found.steps[0].waited == 1.5


@pytest.mark.parametrize(
    ("fields", "how"),
    [
        ({}, "complete"),
        ({"outcome": "turned_away", "status": 529}, "529"),
        ({"outcome": "left", "read": False, "status": None}, "left in the queue"),
        ({"outcome": "fault", "fault": "cut"}, "fault: cut"),
    ],
)
def test_an_attempt_says_how_it_ended(fields: dict[str, Any], how: str):
    [found] = slowest.of([asked(1, 11.0, 1.0)], {"r1": [attempt(11.0, 12.0, **fields)]}, JUDGED)

    assert found.steps[0].how == how
