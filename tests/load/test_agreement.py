"""Two clocks agree, or the figure that does not is named."""

import copy

import pytest

from loadtests.judging import agreement
from loadtests.sample import Row

PHASE: Row = {
    "offered": 100,
    "started": 100,
    "goodput_ratio": 0.9,
    "error_ratio": 0.1,
    "amplification": 2.0,
    "output_tokens": 10_000,
    "wasted_output_tokens": 4_000,
    "e2e": {"p50": 1.0, "p90": 1.5, "p95": 2.0, "n": 90},
    "not_sent": 0,
    "completed": 90,
    "goodput": 90,
    "attempts": 200,
    **{name: {"p50": 1.0, "p90": 1.5, "p95": 2.0, "n": 90} for name in ("service_time", "itl", "tpot", "ttft_sent")},
    "queue_wait": {"p50": 1.0, "p90": 1.5, "p95": 2.0, "n": 90},
    "waited_ratio": 0.5,
    "ttft": {"p50": 0.2, "p90": 0.4, "p95": 0.5, "n": 90},
}


def summary(**changed: object) -> Row:
    phase = {**copy.deepcopy(PHASE), **changed}
    return {"variants": {"naive": {"recovery_s": 4.0, "phases": {"warmup": {}, "after": phase}}}}


def apart(virtual: Row, real: Row) -> list[str]:
    return [figure.metric for figure in agreement.compare(virtual, real, ["after"]) if not figure.agrees]


def test_the_same_figures_agree_and_all_judged_ones_are_compared():
    figures = list(agreement.compare(summary(), summary(), ["after"]))

    assert all(figure.agrees for figure in figures)
    assert {figure.metric for figure in figures} == {*agreement.TOLERANCES, "recovery_s"}
    assert {figure.where for figure in figures} == {"naive.after", "naive"}


@pytest.mark.parametrize(
    ("metric", "within", "beyond"),
    [
        ("offered", 100, 101),
        ("started", 100, 99),
        ("goodput_ratio", 0.86, 0.84),
        ("error_ratio", 0.14, 0.16),
        ("waited_ratio", 0.54, 0.56),
        ("not_sent", 0, 1),
        ("completed", 94, 95),
        ("attempts", 219, 221),
        ("amplification", 2.19, 2.21),
        ("output_tokens", 10_900, 11_100),
        ("wasted_output_tokens", 4_700, 4_900),
    ],
)
def test_a_figure_may_differ_by_its_tolerance_and_no_more(metric: str, within: float, beyond: float):
    assert apart(summary(), summary(**{metric: within})) == []
    assert apart(summary(), summary(**{metric: beyond})) == [metric]


def test_latency_may_differ_by_a_tenth_or_the_noise_of_a_shared_machine():
    def with_latency(name: str, quantile: str, value: float) -> Row:
        return summary(**{name: {**PHASE[name], quantile: value}})

    assert apart(summary(), with_latency("e2e", "p95", 2.19)) == []
    assert apart(summary(), with_latency("e2e", "p95", 2.21)) == ["e2e.p95"]
    assert apart(summary(), with_latency("ttft", "p50", 0.255)) == []
    assert apart(summary(), with_latency("ttft", "p50", 0.265)) == ["ttft.p50"]


def test_a_percentile_of_few_answers_is_not_compared():
    few = summary(e2e={"p50": 9.0, "p90": 9.0, "p95": 9.0, "n": 19})

    assert apart(summary(), few) == []


def test_what_one_clock_measured_and_the_other_did_not_differs():
    never = summary()
    never["variants"]["naive"]["recovery_s"] = None

    assert apart(summary(), never) == ["recovery_s"]
    assert apart(never, never) == []
