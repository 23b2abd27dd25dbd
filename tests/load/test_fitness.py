"""Whether the generator was fit to measure, and what is told of a phase in which it was not."""

import pytest

from loadtests.experiment.scenario import Slo, Span
from loadtests.judging import fitness
from loadtests.judging.metrics import Observed, phase_figures
from loadtests.sample import Row, Sample

FIRST, SECOND = Span("first", 0.0, 10.0, True), Span("second", 10.0, 20.0, True)


def pulses(program: str = "generator", cpu: float = 0.3, lag: float = 0.002, sockets: int = 50) -> list[Row]:
    """What a process told of itself in the second phase."""
    row = {"event": "pulse", "program": program, "cpu": cpu, "lag": lag, "sockets": sockets}
    return [{**row, "t": 10.5 + second} for second in range(5)]


def phases(late: float = 0.0) -> dict[str, Row]:
    """The second phase has a request that left so late."""
    sample = Sample(
        "a", intended=11.0, sent=11.0 + late, ended=12.0 + late, outcome="complete", first_delta=11.5 + late
    )
    observed = Observed([11.0], [sample], [])
    return {span.name: phase_figures(observed, [span], Slo(e2e=2.0)) for span in (FIRST, SECOND)}


@pytest.mark.parametrize(
    ("events", "late", "said"),
    [
        pytest.param(pulses(cpu=0.97), 0, "the generator took 97% of a core in second", id="no time left"),
        pytest.param(pulses(lag=0.15), 0, "the loop of the generator was over 0.15 s late", id="a slow loop"),
        pytest.param(pulses("load worker 2", cpu=1.0), 0, "the load worker 2 took 100%", id="one of the workers"),
        pytest.param([], 0.3, "a twentieth by over 0.30 s: the generator could not keep up", id="sent late"),
        pytest.param(
            [{"event": "starved", "program": "generator", "t": 12.0, "message": "Too many open files"}],
            0,
            "ran out of sockets in second: Too many open files",
            id="no sockets",
        ),
    ],
)
def test_a_generator_beyond_its_limits_is_unfit_in_that_phase(events: list[Row], late: float, said: str):
    found = fitness.reasons(events, phases(late), [FIRST, SECOND], late=True)

    assert list(found) == ["second"]
    assert said in found["second"]


@pytest.mark.parametrize(
    ("events", "late"),
    [
        pytest.param(pulses(cpu=0.9, lag=0.05), 0.2, id="just within"),
        pytest.param(pulses(cpu=1.0)[:1], 0, id="one look is too few"),
        pytest.param([], 0, id="not watched"),
    ],
)
def test_a_generator_within_its_limits_is_fit(events: list[Row], late: float):
    assert fitness.reasons(events, phases(late), [FIRST, SECOND], late=True) == {}


def test_where_callers_share_the_load_it_is_no_fault_to_send_late():
    assert fitness.reasons([], phases(late=5.0), [FIRST, SECOND], late=False) == {}


def test_the_figures_are_of_the_process_that_has_most_of_it():
    events = [*pulses("load worker 1", cpu=0.2, lag=0.03), *pulses("load worker 2", cpu=0.4, lag=0.01, sockets=70)]

    assert fitness.figures(events, [SECOND]) == {"cpu": 0.4, "lag": 0.03, "sockets": 70}
    assert fitness.figures(events, [FIRST]) == {"cpu": None, "lag": None, "sockets": None}


def test_what_could_not_be_measured_is_not_told():
    row = phases(late=3.0)["second"]

    told = fitness.untold(row)

    assert (row["e2e"]["p50"], row["goodput"]) == (4.0, 0)
    assert all(told[name]["p50"] is None and told[name]["n"] == 0 for name in ("e2e", "ttft", "service_time"))
    assert (told["goodput"], told["goodput_ratio"]) == (None, None)
    assert (told["cost"]["usd_per_good"], set(told["breakpoint"].values())) == (None, {None})
    assert told["dispatch_lag"]["max"] == 3.0
    assert (told["offered"], told["outcomes"]) == (1, {"complete": 1})
    assert told.keys() == row.keys()


def test_a_clock_that_may_be_off_by_more_than_a_stream_is_measured_to_is_a_finding():
    events = [
        {"event": "aligned", "program": f"load worker {n}", "error": error} for n, error in ((1, 0.0004), (2, 0.03))
    ]

    (found,) = fitness.doubtful_clocks(events)

    assert found == "the clock of the load worker 2 may be off by 30 ms, its latencies with it"
