"""A latency, percentile by percentile."""

from loadtests.judging import curves
from loadtests.sample import Sample


def asked(seconds: float, outcome: str = "complete", late: float = 0.0) -> Sample:
    return Sample("r", 10.0, 10.0 + late, 10.0 + seconds, outcome)


def test_the_tail_has_as_much_room_as_the_body_and_ends_where_the_requests_do():
    found = curves.of([asked(n / 100) for n in range(1, 101)])

    assert found["nines"][:2] + found["nines"][-1:] == [0.0, 0.1, 2.0]
    e2e = dict(zip(found["nines"], found["lines"]["e2e"], strict=True))
    assert (e2e[0.0], e2e[1.0]) == (0.01, 0.901)


def test_both_clocks_differ_by_how_late_a_request_was_sent():
    lines = curves.of([asked(1.0, late=0.25)] * 10)["lines"]

    assert set(lines["e2e"]) == {1.0}
    assert set(lines["service_time"]) == {0.75}
    assert "ttft" not in lines


def test_with_failures_a_line_ends_where_they_begin():
    found = curves.of([asked(1.0)] * 50 + [asked(5.0, "timeout")] * 50 + [asked(0.1, "left")] * 7)

    adjusted = dict(zip(found["nines"], found["lines"]["e2e_adjusted"], strict=True))
    assert (adjusted[0.2], adjusted[0.4]) == (1.0, None)  # 37 % and 60 %
    assert found["lines"]["e2e"][-1] is None  # the 99th percentile of fifty answers is nobody's


def test_nothing_makes_no_lines():
    assert curves.of([]) == {"nines": [], "lines": {}}
    assert curves.of([asked(1.0, "shed")])["lines"] == {}
