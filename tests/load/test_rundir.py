"""A run's folder: what is written there is read again."""

import dataclasses
from pathlib import Path

import pytest

from loadtests import runner
from loadtests.errors import CannotRun
from loadtests.experiment import plan
from loadtests.experiment.plan import Plan
from loadtests.experiment.scenario import Scenario
from loadtests.record import rundir
from loadtests.record.rundir import About, RunDir
from loadtests.record.usage import Lag, Use

ABOUT = About("small", 7, ["naive"], "loadtests run small --seed 7", {"cores": 2}, {"python": "3.11"})


@pytest.fixture
def run(tmp_path: Path, small: Scenario) -> RunDir:
    folder = RunDir(tmp_path / "run")
    folder.create(small, ABOUT)
    return folder


def test_a_folder_knows_what_it_is_of(run: RunDir, small: Scenario):
    assert run.read_about() == (ABOUT, small)


def test_a_folder_is_made_once(run: RunDir, small: Scenario):
    with pytest.raises(FileExistsError):
        run.create(small, ABOUT)


@pytest.mark.parametrize("missing", ["about", "scenario", "samples", "journal", "events"])
def test_a_folder_with_a_part_missing_is_no_run(run: RunDir, missing: str):
    getattr(run, missing).unlink()

    with pytest.raises(CannotRun):
        run.read_about()


def test_rows_of_variants_share_a_file(run: RunDir):
    run.note("naive", "started", suffix="")
    run.note("fixed", "started", suffix="")
    rundir.append(run.journal, [{"variant": "naive", "request_id": "a"}, {"variant": "fixed", "request_id": "b"}])

    assert [row["request_id"] for row in run.journal_of("fixed")] == ["b"]
    assert [row["event"] for row in run.events_of("naive")] == ["started"]
    assert (run.journal_rows("naive"), run.journal_rows("other")) == (1, 0)


def test_a_gateways_log_is_read_for_its_lags_and_the_attempts_that_were_sent(run: RunDir):
    run.note("naive", "started", suffix="", wall=1000.0)
    run.log("naive", "gateway").write_text(
        '{"event": "listening", "url": "http://127.0.0.1:1"}\n'
        '{"event": "attempt", "request_id": "a", "sent": true}\n'
        '{"event": "attempt", "request_id": "a", "sent": true}\n'
        '{"event": "attempt", "request_id": "b", "sent": false}\n'
        '{"event": "attempt", "request_id": "c", "sent": true, "sends": 3}\n'
        '{"event": "attempt", "request_id": "d", "sent": false, "sends": 0}\n'
        '{"event": "request", "request_id": "a"}\n'
        "Traceback (most recent call last):\n"
        '{"event": "loop_lag", "seconds": 1.5, "timestamp": "1970-01-01T00:16:45.250000Z"}\n'
        '{"event": "att'
    )

    assert run.gateway_attempts("naive") == {"a": 2, "c": 3}
    assert run.gateway_lags("naive") == [Lag(at=3.75, seconds=1.5)]
    assert run.gateway_lags("fixed") is None


def test_what_the_programs_took_is_told_since_t0(run: RunDir):
    row = {"variant": "naive", "wall": 1002.5, "program": "mock", "rss": 5, "cpu": 0.5}
    rundir.append(run.usage, [row, {**row, "variant": "fixed"}])

    assert (run.t0_of("naive"), run.usage_of("naive")) == (None, [])
    run.note("naive", "started", suffix="", wall=1000.0)

    assert run.usage_of("naive") == [Use(2.5, "mock", 5, 0.5)]


def test_a_file_that_is_not_there_has_no_rows(tmp_path: Path):
    assert list(rundir.rows(tmp_path / "nothing.jsonl")) == []


def test_a_plan_is_read_as_it_was_written(tmp_path: Path):
    written = Plan("s.yaml", "naive", 1, "http://127.0.0.1:1", "http://127.0.0.1:2", "k", "samples", "events")
    written.write(tmp_path / "plan.json")

    assert plan.from_environment({plan.VARIABLE: str(tmp_path / "plan.json")}) == written
    assert plan.from_environment({}) is None


def test_an_unused_path_is_itself_or_the_next_number(tmp_path: Path):
    assert runner.unused(tmp_path / "run") == tmp_path / "run"

    (tmp_path / "run").mkdir()
    (tmp_path / "run-2").mkdir()

    assert runner.unused(tmp_path / "run") == tmp_path / "run-3"


def test_what_a_run_stands_on_is_written_down():
    assert {"python", "mockclaude", "locust", "anthropic"} <= set(runner.versions())
    assert set(runner.machine()) == {"cores", "memory_gib", "system", "release", "architecture"}


@pytest.mark.parametrize(("variants", "seconds"), [(["naive"], 22.5), (["naive", "fixed"], 45.0)])
def test_how_long_a_run_takes_is_said_before_it_starts(small: Scenario, variants: list[str], seconds: float):
    assert runner.expected_seconds(small, variants) == seconds


def test_variants_that_are_not_going_to_be_run_are_left_out_of_what_was_asked_for(tmp_path: Path, small: Scenario):
    folder = RunDir(tmp_path / "both")
    folder.create(small, dataclasses.replace(ABOUT, variants=["naive", "fixed"]))

    folder.leave_out(["fixed"])

    assert folder.read_about() == (ABOUT, small)
