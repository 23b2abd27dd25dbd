"""What the gateway logged around a moment."""

from typing import Any

from loadtests.judging import excerpt
from loadtests.sample import Sample


def row(second: float, event: str = "request", name: str = "r1", **fields: Any) -> dict[str, Any]:
    stamp = f"1970-01-01T00:01:{second:06.3f}Z"
    return {"request_id": name, "event": event, "level": "info", "timestamp": stamp, **fields}


def test_lines_are_on_the_clock_of_the_run_and_in_its_order():
    found = excerpt.lines([row(52), row(45, outcome="shed", sends=1, tenant="t")], wall=100.0)

    assert [(line.at, line.rest) for line in found] == [(5.0, "outcome=shed"), (12.0, "")]


def test_a_line_without_a_time_is_nowhere():
    assert excerpt.lines([{"event": "request"}, {"event": "request", "timestamp": "soon"}], wall=0.0) == []


def test_around_a_moment_are_the_last_before_it_and_the_first_after():
    lines = excerpt.lines([row(n) for n in range(59)], wall=60.0)

    found = excerpt.around(lines, 30.0)

    assert [line.at for line in found] == [*range(25, 30), *range(30, 50)]


def test_what_happened_half_a_minute_away_has_nothing_to_do_with_it():
    assert excerpt.around(excerpt.lines([row(1), row(59)], wall=60.0), 31.5) == excerpt.lines([row(59)], wall=60.0)


def test_without_times_a_line_stands_where_its_request_or_attempt_ended():
    samples = [Sample("r1", 1.0, 1.0, 9.0, "complete")]
    attempts = {"r1": [{"t": 1.0}, {"t": 5.0}]}
    rows = [
        row(0, name="canary"),
        row(0, "attempt", duration_ms=3000.0),
        row(0, "attempt", duration_ms=0.0, sent=False),
        row(0, "attempt", duration_ms=2000.0),
        row(0, "attempt", duration_ms=2000.0),
        row(0, "request"),
    ]

    found = excerpt.lines_of_requests(rows, samples, attempts)

    assert [(line.at, line.event) for line in found] == [
        (4.0, "attempt"),
        (7.0, "attempt"),
        (9.0, "attempt"),
        (9.0, "request"),
    ]
