"""The words of gates and expectations."""

import pytest

from loadtests.experiment import gates

VARIANTS, PHASES = ["naive", "fixed"], ["baseline", "after", "started"]


@pytest.mark.parametrize(
    ("text", "variant", "phase", "metric", "op", "bound"),
    [
        ("ttft.p95 < 1.5", None, None, "ttft.p95", "<", 1.5),
        ("error_ratio<0.01", None, None, "error_ratio", "<", 0.01),
        ("after.goodput_ratio > 0.9", None, "after", "goodput_ratio", ">", 0.9),
        ("naive.after.e2e.p99 >= 4", "naive", "after", "e2e.p99", ">=", 4),
        ("fixed.recovery_s <= 3", "fixed", None, "recovery_s", "<=", 3),
        ("outcomes.timeout == 0", None, None, "outcomes.timeout", "==", 0),
        ("started > 10", None, None, "started", ">", 10),
        ("started.started > 10", None, "started", "started", ">", 10),
    ],
)
def test_a_gate_is_read_as_variant_phase_metric_op_number(text, variant, phase, metric, op, bound):
    gate = gates.parse(text, VARIANTS, PHASES)

    assert (gate.variant, gate.phase, gate.metric, gate.op, gate.bound) == (variant, phase, metric, op, bound)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ttft.p95", "expected"),
        ("ttft.p95 < fast", "expected"),
        ("ttft.p96 < 1", 'is called "ttft.p96"'),
        ("afer.goodput_ratio > 0.9", 'is called "afer.goodput_ratio"'),
        ("after.recovery_s < 3", "of a whole variant"),
        ("naive < 3", 'is called "naive"'),
        ("p(95) < 3", "expected"),
    ],
)
def test_a_gate_that_makes_no_sense_says_what_was_expected(text: str, said: str):
    with pytest.raises(ValueError) as raised:
        gates.parse(text, VARIANTS, PHASES)

    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("op", "holds_below", "holds_at", "holds_above"),
    [("<", 1, 0, 0), ("<=", 1, 1, 0), (">", 0, 0, 1), (">=", 0, 1, 1), ("==", 0, 1, 0)],
)
def test_a_gate_holds_on_its_side_of_the_bound(op: str, holds_below: int, holds_at: int, holds_above: int):
    gate = gates.parse(f"ttft.p95 {op} 2", VARIANTS, PHASES)

    assert [gate.holds(value) for value in (1.9, 2.0, 2.1)] == [holds_below, holds_at, holds_above]


def test_what_was_not_measured_does_not_hold():
    assert not gates.parse("ttft.p95 < 2", VARIANTS, PHASES).holds(None)
    assert not gates.met({"at_most": 1.0}, None)


@pytest.mark.parametrize(
    ("expectation", "measured", "met"),
    [
        ({"predicted": 0.0, "at_most": 0.5}, 0.5, True),
        ({"predicted": 0.0, "at_most": 0.5}, 0.51, False),
        ({"predicted": 4.0, "at_least": 2.0}, 2.0, True),
        ({"predicted": 4.0, "at_least": 2.0}, 1.99, False),
        ({"predicted": 4.0, "tolerance": 0.1}, 4.35, True),
        ({"predicted": 4.0, "tolerance": 0.1}, 3.5, False),
        ({"predicted": 0.0, "tolerance": 0.1}, 0.05, True),
        ({"predicted": 0.0, "tolerance": 0.1}, 0.2, False),
    ],
)
def test_an_expectation_is_met_within_its_bound(expectation: dict[str, float], measured: float, met: bool):
    assert gates.met(expectation, measured) is met


def test_the_value_of_an_outcome_that_did_not_happen_is_zero():
    figures = {"outcomes": {"complete": 3}, "ttft": {"p95": None}, "offered": 4}

    assert gates.value(figures, "outcomes.timeout") == 0
    assert gates.value(figures, "outcomes.complete") == 3
    assert gates.value(figures, "ttft.p95") is None
    assert gates.value(figures, "offered") == 4


def test_for_ever_is_above_every_bound():
    gate = gates.parse("e2e_adjusted.p95 < 4", VARIANTS, PHASES)
    storm = gates.parse("e2e_adjusted.p95 > 4", VARIANTS, PHASES)

    measured = gates.value({"e2e_adjusted": {"p95": "inf"}}, "e2e_adjusted.p95")

    assert (gate.holds(measured), storm.holds(measured)) == (False, True)
