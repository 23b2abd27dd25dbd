"""From raw rows to figures, on numbers small enough to check by hand."""

import dataclasses
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.experiment import gates
from loadtests.experiment.scenario import Scenario, Slo, Span
from loadtests.judging import metrics
from loadtests.judging.metrics import Observed
from loadtests.record.usage import Lag
from loadtests.sample import Attempt, Sample
from loadtests.schedule import rate


def sample(number: int, at: float, seconds: float = 1.0, outcome: str = "complete", lag: float = 0.0) -> Sample:
    return Sample(f"r{number}", at, at + lag, at + seconds, outcome)


def attempt(request: int, t: float, *, queued: float = 0.0, seconds: float = 1.0, wasted: int = 0) -> Attempt:
    return {
        "request_id": f"r{request}",
        "t": t,
        "queued": queued,
        "ended": t + queued + seconds,
        "outcome": "left" if wasted else "complete",
        "status": 200,
        "input_tokens": 100,
        "output_tokens": 10,
        "wasted_tokens": wasted,
    }


SPAN = Span("after", 8, 16, True)


def test_a_cohort_is_the_requests_meant_to_start_in_the_phase_with_all_their_attempts():
    observed = Observed(
        offered=[7.9, 8.0, 15.9, 16.0],
        samples=[sample(1, 7.9), sample(2, 8.0), sample(3, 15.9, seconds=9.0), sample(4, 16.0)],
        journal=[attempt(1, 8.5), attempt(2, 8.1), attempt(3, 16.0, wasted=4), attempt(3, 20.0), attempt(4, 16.0)],
    )

    figures = metrics.phase_figures(observed, [SPAN], Slo(e2e=2.0))

    assert (figures["offered"], figures["started"], figures["completed"], figures["goodput"]) == (2, 2, 2, 1)
    assert (figures["attempts"], figures["amplification"]) == (3, 1.5)
    assert (figures["output_tokens"], figures["wasted_output_tokens"]) == (30, 4)
    assert (figures["goodput_ratio"], figures["not_sent"]) == (0.5, 0)


def test_outcomes_sum_to_the_requests_started_and_errors_leave_out_those_who_left():
    outcomes = ["complete", "complete", "left", "timeout", "shed"]
    observed = Observed(
        offered=[9.0] * 6, samples=[sample(n, 9.0, outcome=name) for n, name in enumerate(outcomes)], journal=[]
    )

    figures = metrics.phase_figures(observed, [SPAN], Slo())

    assert sum(figures["outcomes"].values()) == figures["started"] == 5
    assert figures["not_sent"] == 1
    assert figures["error_ratio"] == 0.4
    assert figures["goodput_ratio"] == pytest.approx(2 / 6, abs=1e-6)


def test_latency_is_of_the_complete_and_the_dispatch_lag_of_all():
    observed = Observed(
        offered=[9.0, 9.0],
        samples=[sample(1, 9.0, seconds=1.0), sample(2, 9.0, seconds=5.0, outcome="timeout", lag=0.3)],
        journal=[],
    )

    figures = metrics.phase_figures(observed, [SPAN], Slo())

    assert figures["e2e"] == {"mean": 1, "p50": 1, "p90": 1, "p95": 1, "p99": 1, "p999": 1, "max": 1, "n": 1}
    assert figures["dispatch_lag"]["max"] == 0.3
    assert figures["ttft"] == {
        "mean": None,
        "p50": None,
        "p90": None,
        "p95": None,
        "p99": None,
        "p999": None,
        "max": None,
        "n": 0,
    }


def test_the_wait_in_claudes_queue_is_of_the_attempts_that_were_let_in():
    refused = {**attempt(3, 9.0), "outcome": "turned_away", "status": 529}
    waits = [attempt(1, 9.0), attempt(2, 9.0, queued=0.5), attempt(2, 9.5, queued=1.0, wasted=4), refused]
    observed = Observed([9.0] * 3, [sample(n, 9.0) for n in (1, 2, 3)], waits)

    figures = metrics.phase_figures(observed, [SPAN], Slo())

    assert figures["waited_ratio"] == pytest.approx(2 / 3, abs=1e-6)
    assert (figures["queue_wait"]["n"], figures["queue_wait"]["mean"], figures["queue_wait"]["max"]) == (3, 0.5, 1.0)


def test_rates_count_what_happened_during_the_phase_whichever_cohort_it_was_of():
    observed = Observed(
        offered=[7.0, 7.5, 9.0, 15.0],
        samples=[
            sample(1, 7.0, seconds=2),
            sample(5, 7.5),
            sample(2, 9.0),
            sample(3, 15.0, seconds=2),
            sample(4, 9.0, outcome="reset"),
        ],
        journal=[attempt(1, 7.9), attempt(1, 8.0), attempt(2, 9.0), attempt(9, 15.9), attempt(3, 16.0)],
    )

    figures = metrics.phase_figures(observed, [SPAN], Slo(e2e=1.5))

    assert figures["throughput"] == 3 / 8  # one of its own cohort, two of the one before
    assert figures["goodput_rate"] == 1 / 8  # of its own cohort, the second alone was in time
    assert figures["attempts_per_second"] == 3 / 8  # whoever sent them: a probe's, too


@pytest.mark.parametrize(
    ("times", "peak"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([9.0], 10, id="one"),
        pytest.param([9.0, 9.05, 9.099], 30, id="three in a window"),
        pytest.param([9.0, 9.05, 9.1, 9.14], 30, id="a window may begin anywhere, and leaves its end out"),
        pytest.param([7.98, 7.99, 8.0, 8.01], 20, id="no window reaches out of the phase at its begin"),
        pytest.param([15.95, 15.99, 16.0, 16.01], 20, id="nor at its end"),
    ],
)
def test_the_peak_is_the_most_attempts_of_a_tenth_of_a_second_per_second(times: list[float], peak: float):
    observed = Observed([], [], [attempt(1, at) for at in times])

    assert metrics.phase_figures(observed, [SPAN], Slo())["peak_attempts"] == peak


def test_a_tenth_of_a_second_later_is_not_within_it_whatever_floating_point_makes_of_it():
    observed = Observed([], [], [attempt(1, at) for at in (1.1, 1.2)])  # 1.1 + 0.1 > 1.2

    assert metrics.phase_figures(observed, [Span("early", 1, 2, True)], Slo())["peak_attempts"] == 10


def test_what_claude_refused_cost_an_attempt_but_read_no_prompt():
    refusals = [
        {**attempt(1, 9.0), "outcome": "turned_away", "status": 529, "output_tokens": 0},
        {**attempt(1, 9.1), "outcome": "rejected", "status": 400, "output_tokens": 0},
        {**attempt(1, 9.2), "outcome": "fault", "status": 500, "output_tokens": 0},
    ]
    read = [
        {**attempt(1, 9.3), "cached_input_tokens": 80},
        {**attempt(1, 9.4, wasted=4), "status": None, "cached_input_tokens": 20},
    ]
    observed = Observed([9.0], [sample(1, 9.0)], [*refusals, *read])

    figures = metrics.phase_figures(observed, [SPAN], Slo())

    assert (figures["attempts"], figures["refused_attempts"], figures["refused_ratio"]) == (5, 3, 0.6)
    assert (figures["input_tokens"], figures["cached_input_tokens"]) == (200, 100)
    assert (figures["output_tokens"], figures["wasted_ratio"]) == (20, 0.2)


@pytest.mark.parametrize(
    ("outcome", "status", "hidden"),
    [
        pytest.param("overloaded", 503, 0.0, id="said as what it is"),
        pytest.param("overloaded", 200, 1.0, id="an error event is all the stream there was"),
        pytest.param("error_event", 200, 1.0, id="an error event after some text"),
        pytest.param("truncated", 200, 1.0, id="a stream that merely stops"),
        pytest.param("complete", 200, 0.0, id="no failure"),
        pytest.param("timeout", 200, 0.0, id="the caller ended it"),
        pytest.param("refused", None, 0.0, id="no answer"),
    ],
)
def test_an_error_is_hidden_when_the_status_said_success(outcome: str, status: int | None, hidden: float):
    observed = Observed([9.0], [dataclasses.replace(sample(1, 9.0, outcome=outcome), status=status)], [])

    assert metrics.phase_figures(observed, [SPAN], Slo())["hidden_error_ratio"] == hidden


@pytest.mark.parametrize(
    ("outcome", "told", "wasted"),
    [
        pytest.param("complete", 10, 0, id="its caller has it"),
        pytest.param("timeout", 0, 10, id="its caller has left, and the gateway has not"),
        pytest.param("throttled", 6, 4, id="a batch that is answered in part"),
        pytest.param("complete", 30, 0, id="most of it was cached"),
    ],
)
def test_tokens_are_wasted_that_no_caller_got_whatever_claude_knows_of_that(outcome: str, told: int, wasted: int):
    asked = dataclasses.replace(sample(1, 9.0, outcome=outcome), output_tokens=told)
    observed = Observed([9.0], [asked], [attempt(1, 9.0)])

    figures = metrics.phase_figures(observed, [SPAN], Slo())

    assert (figures["output_tokens"], figures["wasted_output_tokens"]) == (10, wasted)
    assert figures["wasted_ratio"] == wasted / 10


def test_connections_are_told_by_the_port_they_come_from():
    peers = [{**attempt(number, 9.0), "peer": port} for number, port in [(1, 5001), (2, 5001), (3, 5002), (4, 5001)]]
    observed = Observed([9.0] * 4, [sample(number, 9.0) for number in (1, 2, 3, 4)], peers)
    unknown = Observed([9.0], [sample(1, 9.0)], [{**attempt(1, 9.0), "peer": 0}, attempt(1, 9.1)])

    figures, without = (metrics.phase_figures(each, [SPAN], Slo()) for each in (observed, unknown))

    assert (figures["connections"], figures["connections_per_request"]) == (2, 0.5)
    assert (without["connections"], without["connections_per_request"]) == (None, None)


@pytest.mark.parametrize(
    ("lags", "longest"),
    [
        pytest.param(None, None, id="not known"),
        pytest.param([], 0.0, id="none worth a line"),
        pytest.param([Lag(9, 0.5), Lag(10, 2), Lag(12, 1)], 2, id="the longest"),
        pytest.param([Lag(7.5, 0.7), Lag(17, 3)], 0.7, id="one that reaches in"),
        pytest.param([Lag(6, 2), Lag(16, 1)], 0.0, id="before and after"),
    ],
)
def test_the_gateways_lag_is_the_longest_that_met_the_phase(lags: list[Lag] | None, longest: float | None):
    figures = metrics.phase_figures(Observed([], [], [], lags), [SPAN], Slo())

    assert gates.value(figures, "gateway_lag.max") == longest


def test_every_metric_can_be_read_from_the_figures():
    figures = metrics.phase_figures(Observed([], [], []), [SPAN], Slo())

    of_a_phase = gates.METRICS - set(gates.OF_A_VARIANT)
    assert {metric.partition(".")[0] for metric in of_a_phase} == set(figures)
    assert all(gates.value(figures, metric) in (0, None, 8) for metric in of_a_phase)


def test_an_empty_phase_has_no_ratios():
    figures = metrics.phase_figures(Observed([], [], []), [SPAN], Slo())

    assert {figures[name] for name in gates.RATIOS} == {None}


@pytest.mark.parametrize(
    ("slo", "good"),
    [
        (Slo(), True),
        (Slo(e2e=1.0), True),
        (Slo(e2e=0.99), False),
        (Slo(ttft=0.5), True),
        (Slo(ttft=0.49), False),
        (Slo(e2e=1.0, ttft=0.49), False),
    ],
)
def test_goodput_is_complete_within_every_slo(slo: Slo, good: bool):
    answer = Sample("r", 1.0, 1.0, 2.0, "complete", first_delta=1.5)

    assert metrics.is_good(answer, slo) is good


@given(st.lists(st.floats(0, 1000), min_size=2, max_size=50))
def test_percentiles_are_those_of_the_standard_library(values: list[float]):
    ours = [metrics.percentile(sorted(values), q / 100) for q in (25, 50, 75)]

    assert ours == pytest.approx(statistics.quantiles(values, n=4, method="inclusive"))


def steady(small: Scenario, bad_from: float, bad_to: float) -> Observed:
    """Four requests a second, all good but those meant to start in a stretch."""
    times = [n / 4 for n in range(1, 64)]
    samples = [
        sample(n, at, outcome="timeout" if bad_from <= at < bad_to else "complete") for n, at in enumerate(times)
    ]
    return Observed(times, samples, [])


@pytest.mark.parametrize(
    ("bad_from", "bad_to", "seconds"),
    [
        pytest.param(6, 8, 0.0, id="well at once"),
        pytest.param(6, 10, 2.0, id="two seconds later"),
        pytest.param(6, 16, None, id="never"),
        pytest.param(11, 11.6, 4.0, id="well, then ill again: counts from the last illness"),
        pytest.param(15.5, 16, None, id="ill at the very end"),
        pytest.param(3, 4, 0.0, id="ill before the trigger"),
    ],
)
def test_recovery_is_the_first_second_from_which_every_window_is_good(small, bad_from, bad_to, seconds):
    assert metrics.recovery(steady(small, bad_from, bad_to), small) == seconds


def test_without_a_trigger_there_is_nothing_to_recover_from(small: Scenario):
    calm = small.model_copy(update={"mock": {}})

    assert metrics.recovery(steady(small, 0, 0), calm) is None


def test_the_series_counts_rates_and_averages_levels(small: Scenario):
    observed = Observed(
        offered=[0.5, 1.2, 1.4],
        samples=[sample(1, 0.5, seconds=1.0), sample(2, 1.2, seconds=3.0)],
        journal=[attempt(1, 0.5, queued=0.25, seconds=0.5), attempt(2, 1.2, seconds=2.0)],
    )

    series = metrics.series(observed, small)

    assert series["offered"][:3] == [1, 2, 0]
    assert series["goodput"][:3] == [1, 0, 0]  # the second took 3 s, over the SLO of 2
    assert series["attempts"][:3] == [1, 1, 0]
    assert series["inflight"][:5] == [0.5, 1.3, 1, 1, 0.2]
    assert series["queued"][:2] == [0.25, 0]
    assert series["running"][:4] == [0.25, 1.05, 1, 0.2]
    assert series["e2e_p50"][:3] == [1.0, 3.0, None]
    assert {len(series[name]) for name in ("t", "offered", "slots", "ttft_p95")} == {16}


def test_the_series_knows_the_slots_and_the_fault_windows_of_the_timeline(small: Scenario):
    series = metrics.series(Observed([], [], []), small)

    assert series["slots"][5:9] == [3, 1, 1, 3]
    assert series["faults"] == [{"start": 6.0, "end": 8.0, "label": "capacity: slots 1"}]
    assert series["phases"][0] == {"name": "warmup", "start": 0.0, "end": 2.0, "judge": False}


@pytest.mark.parametrize(
    ("outcomes", "p50", "p95", "n"),
    [
        pytest.param(["complete"] * 20, 1.0, 1.0, 20, id="none failed"),
        pytest.param(["complete"] * 19 + ["timeout"], 1.0, "inf", 20, id="one in twenty reaches up to p95"),
        pytest.param(["complete"] * 9 + ["shed"] * 11, "inf", "inf", 20, id="most failed"),
        pytest.param(["complete"] * 9 + ["left"] * 11, 1.0, 1.0, 9, id="who left on purpose did not fail"),
        pytest.param(["failed"], "inf", "inf", 1, id="all failed"),
        pytest.param([], None, None, 0, id="nothing"),
    ],
)
def test_adjusted_percentiles_count_a_failure_as_for_ever(outcomes: list[str], p50: object, p95: object, n: int):
    observed = Observed([], [sample(n, 9.0, outcome=outcome) for n, outcome in enumerate(outcomes)], [])

    figures = metrics.phase_figures(observed, [SPAN], Slo())

    adjusted = figures["e2e_adjusted"]
    assert (adjusted["p50"], adjusted["p95"], adjusted["n"]) == (p50, p95, n)
    assert figures["e2e"]["n"] == outcomes.count("complete")
    assert "mean" not in adjusted


def test_who_does_not_stream_waits_for_no_first_word_and_so_not_for_ever():
    failed = sample(1, 9.0, outcome="timeout")
    streamed = dataclasses.replace(sample(2, 9.0), first_delta=9.5)

    whole = metrics.phase_figures(Observed([], [failed], []), [SPAN], Slo())
    stream = metrics.phase_figures(Observed([], [failed, streamed], []), [SPAN], Slo())

    assert (whole["ttft_adjusted"]["n"], whole["ttft_adjusted"]["max"]) == (0, None)
    assert (stream["ttft_adjusted"]["n"], stream["ttft_adjusted"]["max"]) == (2, "inf")


def test_steps_of_a_rate_break_where_the_answers_no_longer_come_in_time():
    """Three phases of 100 requests each, 5, 10 and 20 a second; from the 20 on they are late."""
    spans = [Span("five", 0, 20, True), Span("ten", 20, 30, True), Span("twenty", 30, 35, True)]
    steps = rate.stretches(5.0, [(0, 20, None), (20, 30, 10.0), (30, 35, 20.0)])
    offered = list(rate.moments(map(float, range(1, 300)), steps))
    samples = [Sample(str(at), at, at, at + (3.0 if at >= 30 else 1.0), "complete") for at in offered]
    observed = Observed(offered, samples, [], rates=steps)

    whole = metrics.phase_figures(observed, spans, Slo(e2e=2.0))
    alone = metrics.phase_figures(observed, spans[1:2], Slo(e2e=2.0))

    assert whole["breakpoint"] == {"rate": 10, "low": 10, "high": 20}
    assert alone["breakpoint"] == {"rate": None, "low": None, "high": None}


def test_no_percentile_is_drawn_of_a_phase_that_could_not_be_measured():
    lines: list[float | None] = [0.1, 0.2, 0.3, 0.4]
    series = dict.fromkeys(("ttft_p50", "ttft_p95", "e2e_p50", "e2e_p95"), lines) | {
        "t": [0, 1, 2, 3],
        "offered": lines,
    }

    found = metrics.silenced(series, [Span("load", 1.0, 3.0, True)])

    assert found["e2e_p95"] == found["ttft_p50"] == [0.1, None, None, 0.4]
    assert found["offered"] == lines
