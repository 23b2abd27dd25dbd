"""What a run shows in the terminal."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from loadtests.experiment.scenario import Scenario
from loadtests.judging.agreement import Figure
from loadtests.mapping import maps
from loadtests.mapping.maps import Axis, Plane
from loadtests.record import rundir
from loadtests.record.rundir import About, RunDir
from loadtests.sample import Sample
from loadtests.telling import display
from loadtests.telling.display import Follower, Progress, Tail


@pytest.fixture
def run(tmp_path: Path, small: Scenario) -> RunDir:
    folder = RunDir(tmp_path / "run")
    folder.create(small, About("small", 1, ["naive"], "loadtests run small", {}, {}))
    return folder


def start(run: RunDir) -> None:
    rundir.append(run.events, [{"variant": "naive", "event": "started"}])


def end(run: RunDir, scenario: Scenario, count: int, outcome: str = "complete") -> None:
    arrivals = scenario.arrivals(1, "naive")[:count]
    with run.samples.open("a") as file:
        for arrival in arrivals:
            file.write(
                Sample(arrival.request_id, arrival.at, arrival.at, arrival.at + 1, outcome).to_json("naive") + "\n"
            )


def test_before_t0_there_is_no_moment_to_show(run: RunDir, small: Scenario):
    assert Follower(run, small, "naive", 1).look({"t": 0.2, "arrived": 1}) is None


def test_a_moment_has_rates_of_the_last_five_seconds_and_what_is_in_flight(run: RunDir, small: Scenario):
    follower = Follower(run, small, "naive", 1)
    start(run)
    follower.look({"t": 5.0, "arrived": 20})
    end(run, small, 30)  # four a second arrive; these thirty were meant to start until 7.5 s and took a second

    moment = follower.look({"t": 10.0, "arrived": 80})

    assert moment is not None
    assert (moment.phase, moment.offered, moment.amplification) == ("after", 4.0, 3.0)
    assert moment.goodput == pytest.approx(15 / 5, abs=0.4)  # those that ended after 5 s
    assert moment.inflight == 40 - 30


def test_what_follows_from_an_answer_is_offered_when_it_has_ended_and_in_flight_at_claude(run: RunDir, small: Scenario):
    closed = small.load.model_validate({"user": "chat", "users": 2, "think": 1})
    follower = Follower(run, small.model_copy(update={"load": closed}), "naive", 1)
    start(run)
    sample = Sample("naive-1-000001-2", 4.0, 4.0, 4.5, "complete")
    run.samples.write_text(sample.to_json("naive") + "\n")

    moment = follower.look({"t": 5.0, "arrived": 20, "running": 1, "queued": 2})

    assert moment is not None
    assert (moment.offered, moment.inflight) == (3 / 5, 3)  # two that came first, and one that followed


def test_late_answers_are_no_goodput(run: RunDir, small: Scenario):
    follower = Follower(run, small, "naive", 1)
    start(run)
    end(run, small, 8, outcome="timeout")

    moment = follower.look({"t": 3.0, "arrived": 12})

    assert moment is not None and moment.goodput == 0


def test_a_tail_gives_whole_lines_once(tmp_path: Path):
    path = tmp_path / "rows"
    path.write_text('{"a": 1}\n{"a"')
    tail = Tail(path)

    first = tail.new_rows()
    path.write_text('{"a": 1}\n{"a": 2}\n')

    assert (first, tail.new_rows(), tail.new_rows()) == ([{"a": 1}], [{"a": 2}], [])


def test_without_a_terminal_progress_is_a_line_at_each_new_phase(run: RunDir, small: Scenario):
    written = io.StringIO()
    start(run)

    with Progress(Console(file=written, width=160), run, small, 1) as progress:
        for t in (0.5, 1.0, 2.5, 3.0):
            progress.show("naive", {"t": t, "arrived": 4})

    lines = written.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [["naive", "warmup"], ["naive", "before"]]
    assert all(word in lines[0] for word in ("offered", "goodput", "in flight", "amplification"))


def test_on_a_terminal_progress_is_drawn_in_place(run: RunDir, small: Scenario):
    written = io.StringIO()
    start(run)

    with Progress(Console(file=written, force_terminal=True, width=80), run, small, 1) as progress:
        progress.show("naive", {"t": 4.0, "arrived": 4})

    assert "before" in written.getvalue()
    assert "4 / 16 s" in written.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_the_summary_says_verdict_reason_and_both_figures(run: RunDir, small: Scenario, width: int):
    figures = {
        "goodput_ratio": 0.024,
        "amplification": 3.93,
        "error_ratio": 0.976,
        "e2e": {"p50": 2.36, "p99": None},
        "wasted_output_tokens": 30960,
        "cost": {"usd_per_good": 0.0788},
    }
    summary = {
        "scenario": "small",
        "verdict": "fail",
        "reasons": ["naive.after: [odd] goodput_ratio"],
        "findings": [],
        "steered": ["naive: at 4.9 s: 529 overloaded"],
        "variants": {"naive": {"recovery_s": None, "phases": {name: figures for name in ("before", "dip", "after")}}},
        "expectations": [
            {
                "variant": "naive",
                "phase": "after",
                "metric": "goodput_ratio",
                "predicted": 0.0,
                "measured": 0.7,
                "status": "fail",
                "because": "A·λ > c/S [1]",
                "reason": None,
            }
        ],
        "gates": [
            {"gate": "error_ratio < 0.01", "variant": "naive", "phase": None, "measured": 0.976, "status": "fail"}
        ],
    }
    written = io.StringIO()

    display.show_summary(Console(file=written, width=width), json.loads(json.dumps(summary)), run, small)

    text = written.getvalue()
    for word in (
        "before",
        "2.4 %",
        "3.93 x",
        "2.36 s",
        "78.80",
        "0.7",
        "A·λ > c/S [1]",
        "error_ratio < 0.01",
        "[odd]",
        "by hand: naive: at 4.9 s: 529 overloaded",
        "small: fail, steered by hand",
    ):
        assert word in text
    assert ("30,960" in text) == (width == 160)
    assert "…" not in text
    assert "small: fail" in text
    assert "…" not in text


def test_figures_of_two_clocks_stand_side_by_side():
    written = io.StringIO()
    figures = [
        Figure("naive.after", "e2e.p50", 1.0, 1.05, 0.1),
        Figure("naive", "recovery_s", 7.0, None, 2.0),
    ]

    Console(file=written, width=120).print(display.agreement(figures))

    lines = written.getvalue().splitlines()
    assert lines[1].split() == ["naive.after", "e2e.p50", "1", "1.05", "0.1", "agrees"]
    assert lines[2].split() == ["naive", "recovery_s", "7", "-", "2", "differs"]


def test_a_map_in_the_terminal_has_the_largest_y_on_top_and_a_star_where_collapse_was_predicted():
    plane = Plane(Axis("load.rate", (2, 4)), Axis("dip", (1, 3)), "naive", "x * y > 6", "area")
    row = maps.result("small", plane, 2, [1, 1, 1, 1, 1, 1, 0, 1])
    written = io.StringIO()

    Console(file=written, width=120).print(display.map_of(row))

    lines = [line.split() for line in written.getvalue().splitlines()]
    assert lines[:3] == [["dip", "/", "load.rate", "2", "4"], ["3", "0", "50*"], ["1", "0", "0"]]


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_long_work_shows_how_far_it_is_and_gives_every_result(terminal: bool):
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=120)

    found = list(display.track(console, iter([0.1, 0.2, 0.3]), "naive: rate x dip", 3))

    assert found == [0.1, 0.2, 0.3]
    assert "naive: rate x dip" in written.getvalue()
