"""When a gate cannot hold any more, whatever the rest of a run brings."""

from collections.abc import Callable
from typing import Any

import pytest

from loadtests.control.vigil import Vigil
from loadtests.experiment import gates, scenario
from loadtests.experiment.scenario import Scenario
from loadtests.judging import hopeless
from loadtests.judging.hopeless import SoFar
from loadtests.record.rundir import About, RunDir
from loadtests.sample import Sample

VARIANTS, PHASES = ["naive", "fixed"], ["warmup", "before", "dip", "after"]
STARTS = {f"r{n}": 2.0 + n / 10 for n in range(40)}
"""Of forty requests, all in the phase `before`, which lasts from 2 to 6 s."""


def gone(outcomes: dict[str, int], seconds: float = 1.0) -> list[Sample]:
    names = [outcome for outcome, count in outcomes.items() for _ in range(count)]
    return [
        Sample(request_id, at, at, at + seconds, name)
        for (request_id, at), name in zip(STARTS.items(), names, strict=False)
    ]


def failed(
    text: str, small: Scenario, samples: list[Sample], *, now: float = 5.0, known: bool = True, attempts: int = 0
) -> Any:
    gate = gates.parse(text, VARIANTS, PHASES)
    attempt = {"t": 2.0, "queued": 0.0, "ended": 3.0, "outcome": "left", "status": None, "model": "claude-haiku-4-5"}
    attempt |= {"input_tokens": 1, "output_tokens": 1, "wasted_tokens": 1, "request_id": "r0"}
    journal = [attempt] * attempts
    return hopeless.find([gate], SoFar(now, STARTS, samples, journal, known), small)


@pytest.mark.parametrize(
    ("text", "outcomes", "best"),
    [
        pytest.param("before.goodput_ratio > 0.9", {"timeout": 4}, 0.9, id="goodput"),
        pytest.param("before.error_ratio < 0.1", {"timeout": 4}, 0.1, id="errors"),
        pytest.param("before.outcomes.shed <= 3", {"shed": 4}, 4, id="an outcome"),
        pytest.param("before.e2e.p90 < 0.5", {"complete": 5}, 0.1, id="a percentile"),
        pytest.param("before.e2e_adjusted.p90 < 10", {"timeout": 4}, "inf", id="a percentile that failures reach"),
    ],
)
def test_a_gate_is_beyond_hope_when_the_best_of_all_ends_would_not_save_it(text, outcomes, best, small):
    one_less = {name: count - 1 for name, count in outcomes.items()}

    found = failed(text, small, gone(outcomes))

    assert found is not None and found.at == 5.0
    if text != "before.e2e.p90 < 0.5":
        assert found.to_row()["measured"] == best
    assert failed(text, small, gone(one_less)) is None


def test_attempts_that_were_made_are_not_unmade(small: Scenario):
    assert failed("before.amplification < 1.5", small, gone({"timeout": 1}), attempts=60) is not None
    assert failed("before.amplification < 1.5", small, gone({"timeout": 1}), attempts=59) is None


@pytest.mark.parametrize("text", ["before.itl.p95 < 0.1", "before.e2e.mean < 0.1", "before.amplification > 3"])
def test_a_figure_without_a_best_case_waits_for_the_end_of_its_phase(text: str, small: Scenario):
    whole = gone({"complete": 40})

    assert failed(text, small, whole[:39], now=7.0) is None
    assert failed(text, small, whole, now=5.9) is None
    assert failed(text, small, whole, now=6.0) is not None


def test_nobody_is_counted_on_who_only_comes_when_an_answer_was_there(small: Scenario):
    samples = gone({"timeout": 40})

    assert failed("before.error_ratio < 0.1", small, samples, now=10.0, known=False) is None
    assert failed("before.error_ratio < 0.1", small, samples, now=11.0, known=False) is not None


def test_a_gate_that_holds_ends_nothing(small: Scenario):
    assert failed("before.error_ratio < 0.1", small, gone({"complete": 40}), now=60.0) is None


def test_a_gate_says_by_itself_that_it_ends_the_run():
    assert gates.parse("error_ratio < 0.1 abort_on_fail", VARIANTS, PHASES).abort_on_fail
    assert not gates.parse("error_ratio < 0.1", VARIANTS, PHASES).abort_on_fail


@pytest.fixture
def watched(tmp_path, write: Callable[[str], str], text: str) -> tuple[RunDir, Scenario]:
    gate = "before.error_ratio < 0.1 abort_on_fail"
    experiment = scenario.load(write(text), more_gates=[gate])[0]
    run = RunDir(tmp_path / "run")
    run.create(experiment, About("small", 1, ["naive", "fixed"], "", {}, {}))
    return run, experiment


def test_a_vigil_reads_what_the_run_writes_and_calls_it_off_once(watched: tuple[RunDir, Scenario]):
    run, experiment = watched
    vigil = Vigil(run, experiment, "naive", 1)
    arrivals = [arrival for arrival in experiment.arrivals(1, "naive") if 2 <= arrival.at < 6]

    vigil.look(3.0)
    with run.samples.open("a") as file:
        for arrival in arrivals[:2]:
            file.write(Sample(arrival.request_id, arrival.at, arrival.at, 4.0, "timeout").to_json("naive") + "\n")
    for now in (4.0, 5.0):
        vigil._next = 0.0
        vigil.look(now)

    assert vigil.failed is not None
    assert [(row["event"], row["at"]) for row in run.events_of("naive")] == [("called_off", 4.0)]


def test_a_vigil_looks_at_gates_of_its_own_variant_alone(watched: tuple[RunDir, Scenario]):
    run, experiment = watched
    other = experiment.model_copy(update={"gates": ["naive.before.completed > 99 abort_on_fail"]})
    own, others = Vigil(run, other, "naive", 1), Vigil(run, other, "fixed", 1)

    own.look(99.0)
    others.look(99.0)

    assert own.failed is not None
    assert others.failed is None
