"""What the control room draws, second by second."""

import pytest

from loadtests.control import live
from loadtests.control.live import KEPT, SETTLED, AtClaude, Live
from loadtests.experiment.scenario import Slo
from loadtests.sample import Sample

METRICS = """\
# HELP gateway_retry_budget_tokens Retries that are paid for
# TYPE gateway_retry_budget_tokens gauge
gateway_retry_budget_tokens 7.5
gateway_inflight 3.0
gateway_breaker_state{model="claude-haiku-4-5",state="closed"} 1.0
gateway_breaker_state{model="claude-haiku-4-5",state="open"} 0.0
gateway_breaker_state{model="other",state="closed"} 0.0
gateway_breaker_state{model="other",state="half_open"} 1.0
"""
AT_MOCK = """\
# TYPE mockclaude_attempts counter
mockclaude_attempts_total{model="a",outcome="complete",status="200"} 4.0
mockclaude_attempts_total{model="a",outcome="fault",status="529"} 2.0
mockclaude_fault_share{fault="status"} 0.5
"""


def ended(
    at: float, outcome: str = "complete", *, took: float = 0.5, gaps: tuple[float, ...] = (), name: str = "n0"
) -> Sample:
    return Sample(name, at - took, at - took, at, outcome, first_delta=at - took / 2, gaps=gaps)


def offered(*times: float) -> dict[str, float]:
    return {f"n{number}": at for number, at in enumerate(times)}


def moment(t: float, attempts: int = 0) -> AtClaude:
    return AtClaude(t, attempts, running=2, queued=1, slots=4, faults={})


def test_a_second_holds_what_was_offered_in_it_and_what_ended_in_it():
    found = Live(offered(0.1, 0.2, 1.5), Slo(e2e=1.0))

    for sample in (ended(0.9), ended(1.2, took=1.1), ended(1.3, "overloaded")):
        found.take(sample)
    found.look(moment(2.1), {})

    lines = found.columns(0)
    assert lines["t"] == [0, 1]
    assert lines["offered"] == [2, 1]
    assert lines["goodput"] == [1, 0]  # the second was too late, the third failed
    assert lines["outcomes"] == {"complete": [1, 1], "overloaded": [0, 1]}
    assert lines["e2e_p50"] == [0.5, pytest.approx(1.1)]


def test_a_second_that_is_not_over_is_not_shown():
    found = Live(offered(0.1), Slo())

    found.look(moment(0.9), {})

    assert found.columns(0)["t"] == []


def test_attempts_are_the_growth_of_the_mocks_count():
    found = Live(offered(), Slo(), before=40)

    for t, attempts in ((0.5, 43), (1.5, 45), (2.5, 52)):
        found.look(moment(t, attempts), {})

    assert found.columns(0)["attempts"] == [3, 2]  # the last seven came in the second that is not over


def test_in_flight_is_what_was_offered_and_has_not_ended():
    found = Live(offered(0.1, 0.2, 0.3, 9.0), Slo())

    found.take(ended(0.9))
    found.look(moment(1.0), {"budget": 7.0})
    found.look(moment(2.0), {})

    assert found.inflight == 2
    assert found.columns(0)["inflight"] == [None, 2]
    assert found.columns(0)["budget"] == [None, 7.0]


def test_a_percentile_follows_samples_that_come_late():
    found = Live(offered(), Slo())
    found.take(ended(0.9, took=0.2))
    found.look(moment(3.0), {})
    before = found.columns(0)["e2e_p50"]

    found.take(ended(0.95, took=0.6))

    assert (before[0], found.columns(0)["e2e_p50"][0]) == (0.2, pytest.approx(0.4))


def test_the_gaps_of_complete_requests_alone_are_between_tokens():
    found = Live(offered(), Slo())

    found.take(ended(0.5, gaps=(0.01, 0.03)))
    found.take(ended(0.6, "truncated", gaps=(5.0,)))
    found.look(moment(1.0), {})

    assert found.columns(0)["itl_p50"] == [0.02]


def test_only_what_is_asked_for_is_given():
    found = Live(offered(), Slo())

    found.look(moment(9.0), {})

    assert found.columns(6)["t"] == [6, 7, 8]


def test_latencies_of_long_ago_are_settled_and_their_values_let_go():
    found = Live(offered(), Slo())
    found.take(ended(0.5))
    for second in range(1, SETTLED + 5):
        found.look(moment(second), {})

    found.take(ended(0.6, took=0.3))

    assert found.columns(0)["e2e_p50"][0] == 0.5
    assert found.columns(0)["outcomes"]["complete"][0] == 2
    assert found.held[1] == 0


def test_an_hour_is_remembered_and_no_more():
    found = Live(offered(), Slo())

    for second in range(0, KEPT + 500, 5):
        found.take(ended(second + 0.5))
        found.look(moment(second + 1), {})

    assert len(found.columns(0)["t"]) == KEPT
    seconds, values = found.held
    assert seconds <= KEPT + 2
    assert values <= 2 * (SETTLED + 2)  # an E2E and a TTFT each


def test_the_mocks_figures_are_read_with_what_is_still_open():
    stats = {"t": 3.5, "running": 2, "queued": 1, "slots": 4, "open": 3}

    found = live.at_claude(stats, AT_MOCK)

    assert found == AtClaude(3.5, 9, 2, 1, 4, {"status": 0.5})


def test_the_gateways_levels_are_those_of_the_patterns_that_are_on_and_its_worst_breaker():
    assert live.levels_of(METRICS) == {"budget": 7.5, "attempts_open": 3.0, "breaker": 1.0}


def test_what_follows_from_an_answer_is_known_when_it_has_ended():
    found = Live(offered(0.1), Slo())

    found.take(ended(0.6))
    found.take(ended(1.8, took=0.5, name="n0-2"))
    found.look(moment(2.0), {})

    assert found.columns(0)["offered"] == [1, 1]
    assert found.inflight is None
