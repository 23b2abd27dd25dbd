"""From a run's folder to its verdict."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadtests.errors import CannotRun
from loadtests.experiment.scenario import Scenario
from loadtests.judging import summary
from loadtests.record import byhand, rundir
from loadtests.record.byhand import Note
from tests.load.written import SEED, Written


def test_a_run_whose_predictions_and_gates_hold_passes(both: Written):
    found = both.judge()

    assert (found["verdict"], found["reasons"], found["findings"]) == ("pass", [], [])
    assert {name: row["verdict"] for name, row in found["variants"].items()} == {"naive": "pass", "fixed": "pass"}
    assert found["variants"]["fixed"]["phases"]["after"]["goodput_ratio"] == 1.0
    assert found["expectations"][0]["measured"] == 0.0


KEYS = "schema scenario verdict reasons seed slo phases variants expectations gates steered findings machine versions"
PHASE_KEYS = (
    "seconds offered started not_sent completed goodput goodput_ratio error_ratio hidden_error_ratio outcomes ttft "
    "ttft_sent e2e service_time itl tpot added_lag dispatch_lag queue_wait ttft_adjusted ttft_sent_adjusted "
    "e2e_adjusted service_time_adjusted held_ratio batch_interval batch_bytes "
    "attempts amplification waited_ratio output_tokens "
    "wasted_output_tokens wasted_ratio refused_attempts refused_ratio input_tokens cached_input_tokens connections "
    "connections_per_request cost goodput_rate breakpoint throughput attempts_per_second peak_attempts gateway_lag "
    "rss cpu generator"
)
EXPECTATION_KEYS = "variant phase metric predicted at_most measured status because reason"


def test_the_summary_has_the_keys_that_later_tools_read(both: Written):
    found = both.judge()
    phase = found["variants"]["naive"]["phases"]["after"]

    assert " ".join(found) == KEYS
    assert " ".join(found["variants"]["naive"]) == "verdict invalid_because recovery_s phases judged"
    assert " ".join(phase) == PHASE_KEYS
    assert " ".join(found["variants"]["naive"]["judged"]) == PHASE_KEYS
    assert found["phases"][0] == {"name": "warmup", "seconds": 2.0, "judge": False}
    assert " ".join(phase["e2e"]) == "mean p50 p90 p95 p99 p999 max n"
    assert set(found["expectations"][0]) == set(EXPECTATION_KEYS.split())
    assert set(found["gates"][0]) == {"gate", "variant", "phase", "metric", "measured", "status"}
    json.dumps(found)


def test_text_that_was_held_on_the_way_is_a_finding(both: Written):
    at_the_end = {"first_delta": 9.5, "gaps": [0.0] * 9, "text_bytes": [5] * 10, "wire_bytes": [900, *[0] * 9]}
    held = {"request_id": "fixed-3-000900", "intended": 8.5, "sent": 8.5, "ended": 9.6, "outcome": "complete"}
    row = {"status": 200, "error": None, "input_tokens": 1, "output_tokens": 10, **held, **at_the_end}
    rundir.append(both.run.samples, [{"variant": "fixed", "encoding": "gzip", **row}])
    sent = [[0.1 + k / 10, 5] for k in range(10)]
    attempt = {**next(rundir.rows(both.run.journal)), "variant": "fixed", "request_id": row["request_id"], "t": 8.5}
    rundir.append(both.run.journal, [{**attempt, "sent": sent}])
    rundir.append(both.run.log("fixed", "gateway"), [{"event": "attempt", "request_id": row["request_id"]}])

    [finding] = [finding for finding in both.judge()["findings"] if "late" in finding]

    assert finding.startswith("fixed: events came ")
    assert finding.endswith("in 100% of the replies: held where the stream is compressed")


def test_a_failed_expectation_fails_its_variant_and_the_run_and_is_named(tmp_path: Path, small: Scenario):
    written = Written(tmp_path, small, ["naive", "fixed"])
    written.variant("naive")
    written.variant("fixed")

    found = written.judge()

    assert found["verdict"] == "fail"
    assert {name: row["verdict"] for name, row in found["variants"].items()} == {"naive": "fail", "fixed": "pass"}
    assert found["reasons"] == ["naive.after: goodput_ratio measured 1, expected at most 0.5 (predicted 0)"]


def test_a_gate_without_a_variant_holds_in_each(tmp_path: Path, small: Scenario):
    written = Written(tmp_path, small, ["naive", "fixed"])
    written.variant("naive", "timeout")
    written.variant("fixed")

    found = written.judge()

    assert [(row["variant"], row["measured"], row["status"]) for row in found["gates"]] == [
        ("naive", 1.0, "fail"),
        ("fixed", 0.0, "pass"),
    ]
    assert found["reasons"] == ['naive: gate "error_ratio < 0.01" failed, measured 1']


def test_what_was_not_run_is_skipped_and_counts_neither_way(tmp_path: Path, small: Scenario):
    written = Written(tmp_path, small.model_copy(update={"gates": ["naive.error_ratio < 0.01"]}), ["fixed"])
    written.variant("fixed")

    found = written.judge()

    assert found["verdict"] == "pass"
    assert [row["status"] for row in (*found["expectations"], *found["gates"])] == ["skipped", "skipped"]
    assert found["expectations"][0]["reason"] == "this variant was not run"


@pytest.mark.parametrize(
    ("event", "fields", "said"),
    [
        pytest.param("died", {"message": "the mock died: SIGKILL"}, "the mock died: SIGKILL", id="a program died"),
        pytest.param("interrupted", {"message": "it was interrupted"}, "it was interrupted", id="Ctrl-C"),
        pytest.param("journal_read", {"lost": 7, "records": 0}, "7 journal records were lost", id="journal overflow"),
        pytest.param(
            "journal_read", {"lost": 0, "records": 5}, "5 of 68 journal records are missing", id="journal cut"
        ),
        pytest.param(
            "lag", {"program": "mock", "at": 9.0, "seconds": 1.2}, "the mock stood still for 1.2 s", id="mock"
        ),
        pytest.param("lag", {"program": "generator", "at": 1.5, "seconds": 1.1}, "the generator", id="reaches in"),
    ],
)
def test_a_run_that_cannot_be_trusted_is_invalid_with_the_reason(both: Written, event, fields, said):
    both.event("fixed", event, **fields)

    found = both.judge()

    assert found["verdict"] == "invalid"
    assert found["variants"]["fixed"]["verdict"] == "invalid"
    assert found["variants"]["naive"]["verdict"] == "pass"
    assert said in found["variants"]["fixed"]["invalid_because"][0]
    assert said in found["reasons"][0]
    assert found["reasons"][0].startswith("fixed: ")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"program": "mock", "at": 9.0, "seconds": 0.9}, id="short"),
        pytest.param({"program": "mock", "at": 0.1, "seconds": 1.5}, id="outside judged phases"),
    ],
)
def test_a_short_lag_or_one_outside_the_judged_phases_leaves_the_run_valid(both: Written, fields: dict[str, Any]):
    both.event("fixed", "lag", **fields)

    assert both.judge()["verdict"] == "pass"


def test_a_late_dispatch_makes_the_run_invalid(tmp_path: Path, small: Scenario):
    written = Written(tmp_path, small, ["naive"])
    written.variant("naive", "timeout")
    rows = list(rundir.rows(written.run.samples))
    late = {**rows[-1], "sent": rows[-1]["intended"] + 1.01}
    written.run.samples.write_text("")
    rundir.append(written.run.samples, [*rows[:-1], late])

    found = written.judge()

    assert found["verdict"] == "invalid"
    assert "the generator could not keep up" in found["reasons"][0]


def test_a_lost_sample_makes_the_run_invalid(both: Written):
    rows = [row for row in rundir.rows(both.run.samples) if row["request_id"] != f"fixed-{SEED}-000020"]
    both.run.samples.write_text("")
    rundir.append(both.run.samples, rows)

    assert "1 of 63 requests sent left no sample" in both.judge()["reasons"][0]


def test_a_run_cut_short_is_invalid_and_what_never_ran_is_skipped(tmp_path: Path, small: Scenario):
    written = Written(tmp_path, small, ["fixed", "naive"])
    written.variant("fixed", ended=False)

    found = written.judge()

    assert found["verdict"] == "invalid"
    assert found["reasons"] == ["fixed: the load was not sent to its end", "naive: it was not run"]
    assert [(row["variant"], row["status"]) for row in found["gates"]] == [("fixed", "pass"), ("naive", "skipped")]
    assert found["expectations"][0]["reason"] == "the run did not get that far"
    assert found["findings"] == []


def test_invalid_beats_fail(tmp_path: Path, small: Scenario):
    written = Written(tmp_path, small, ["fixed"])
    written.variant("fixed", "timeout")
    written.event("fixed", "died", message="the mock died")

    found = written.judge()

    assert found["verdict"] == found["variants"]["fixed"]["verdict"] == "invalid"
    assert found["reasons"] == ["fixed: the mock died", 'fixed: gate "error_ratio < 0.01" failed, measured 1']


@pytest.mark.parametrize("name", ["samples", "journal", "events"])
def test_a_folder_without_its_raw_files_cannot_be_judged(both: Written, name: str):
    path = getattr(both.run, name)
    path.unlink()

    with pytest.raises(CannotRun, match=f"{path.name} is missing"):
        both.judge()


def test_a_gateway_that_logs_other_attempts_than_the_journal_saw_is_a_finding(both: Written):
    rundir.append(both.run.log("fixed", "gateway"), [{"event": "attempt", "request_id": f"fixed-{SEED}-000020"}])

    found = both.judge()

    assert found["verdict"] == "pass"
    assert len(found["findings"]) == 1
    assert f"fixed-{SEED}-000020 1 against 2" in found["findings"][0]


def test_the_canary_and_an_attempt_that_was_never_sent_are_no_difference(both: Written):
    log = both.run.log("fixed", "gateway")
    rundir.append(log, [{"event": "attempt", "request_id": "canary-fixed"}])
    rundir.append(log, [{"event": "attempt", "request_id": f"fixed-{SEED}-000020", "sent": False}])

    assert both.judge()["findings"] == []


def test_an_answer_that_the_mock_never_gave_makes_the_run_invalid(both: Written):
    rows = [row for row in rundir.rows(both.run.journal) if row["request_id"] != f"fixed-{SEED}-000020"]
    both.run.journal.write_text("")
    rundir.append(both.run.journal, rows)

    found = both.judge()

    assert found["verdict"] == "invalid"
    assert any("1 complete answers that the mock never gave" in reason for reason in found["reasons"])


def test_an_answer_that_the_gateway_kept_needs_no_attempt_of_its_own(tmp_path: Path, small: Scenario):
    same = small.model_copy(update={"load": small.load.model_copy(update={"repeat": 1.0}), "gates": [], "expect": []})
    written = Written(tmp_path, same, ["fixed"])
    written.variant("fixed", attempted=40)

    found = written.judge()

    assert (found["verdict"], found["reasons"], found["findings"]) == ("pass", [], [])


def test_the_attempts_of_probes_are_of_no_cohort_and_no_difference(both: Written):
    probe = {"request_id": f"probe-fixed-{SEED}-000001", "t": 9.0, "queued": 0, "ended": 10.0, "outcome": "complete"}
    probe |= {"status": 200, "model": "claude-haiku-4-5", "input_tokens": 1, "output_tokens": 1}
    before = both.judge()["variants"]["fixed"]["phases"]["after"]

    rundir.append(both.run.journal, [{"variant": "fixed", **probe}])
    rundir.append(both.run.log("fixed", "gateway"), [{"event": "attempt", "request_id": probe["request_id"]}])
    found = both.judge()

    after = found["variants"]["fixed"]["phases"]["after"]
    assert found["findings"] == []
    assert after["amplification"] == before["amplification"] == 1
    assert after["attempts_per_second"] == before["attempts_per_second"] + 1 / 8


def test_a_gateway_that_stood_still_is_a_finding_not_an_invalid_run(both: Written):
    lag = {"event": "loop_lag", "seconds": 2.5, "timestamp": "1970-01-01T00:01:52.5Z"}
    rundir.append(both.run.log("naive", "gateway"), [lag])

    found = both.judge()

    assert found["verdict"] == "pass"
    assert "up to 2.5 s" in found["findings"][0]
    lags = {name: row["gateway_lag"]["max"] for name, row in found["variants"]["naive"]["phases"].items()}
    assert lags == {"warmup": 0.0, "before": 0.0, "dip": 0.0, "after": 2.5}


def test_attempts_of_another_start_do_not_count(both: Written):
    """The web UI may start the load again: the gateway still retries what the first start asked for."""
    rundir.append(both.run.journal, [{"variant": "fixed", "request_id": f"fixed-{SEED}-000020.2", "wall": 50.0}])

    assert both.judge()["findings"] == []


def test_a_wall_clock_that_steps_back_changes_nothing(both: Written):
    before = both.judge()
    rows = [{**row, "wall": row["wall"] - 3600} for row in rundir.rows(both.run.journal)]
    both.run.journal.write_text("")
    rundir.append(both.run.journal, rows)

    assert both.judge() == before


def test_half_a_line_of_a_killed_run_is_passed_over(both: Written):
    with both.run.samples.open("a") as file:
        file.write('{"variant": "fixed", "request_')

    assert both.judge()["verdict"] == "pass"


def test_a_percentile_that_failures_reach_is_for_ever_in_the_words_of_json(tmp_path: Path, small: Scenario):
    gated = small.model_copy(update={"gates": ["e2e_adjusted.p95 < 4"], "expect": []})
    written = Written(tmp_path, gated, ["naive"])
    written.variant("naive", "timeout")

    found = written.judge()

    assert (found["gates"][0]["measured"], found["gates"][0]["status"]) == ("inf", "fail")
    assert found["reasons"] == ['naive: gate "e2e_adjusted.p95 < 4" failed, measured inf']
    json.dumps(found, allow_nan=False)


def test_a_run_that_was_steered_by_hand_says_what_was_done(both: Written):
    for note in (Note(3.0, "529 overloaded", opens="fault status"), Note(4.0, "a deploy", harmless=True)):
        both.event("fixed", byhand.EVENT, **note.to_row())

    found, series, _ = summary.build(both.run)

    assert found["steered"] == ["fixed: at 3.0 s: 529 overloaded"]
    assert series["fixed"]["faults"][-1] == {"start": 3.0, "end": 16.0, "label": "529 overloaded"}
    assert series["fixed"]["marks"] == [{"at": 4.0, "label": "a deploy"}]
    assert series["naive"]["marks"] == []


def test_what_was_offered_follows_the_rate_that_a_person_chose(both: Written):
    """Four a second for 16 s; twice as many from the eighth on."""
    both.event("fixed", byhand.EVENT, **Note(8.0, "rate × 2", factor=2.0).to_row())

    found = both.judge()["variants"]

    assert found["naive"]["phases"]["after"]["offered"] == 32
    assert found["fixed"]["phases"]["after"]["offered"] == 64
    assert found["fixed"]["phases"]["before"]["offered"] == found["naive"]["phases"]["before"]["offered"]


def test_a_run_that_was_called_off_fails_by_that_gate_and_tells_only_what_was_over(tmp_path: Path, small: Scenario):
    called = "after.error_ratio < 0.01 abort_on_fail"
    gated = small.model_copy(update={"gates": [called, "before.error_ratio < 0.01", "error_ratio < 0.01"]})
    written = Written(tmp_path, gated, ["naive"])
    written.variant("naive", ended=False)
    written.event("naive", "called_off", gate=called, at=12.5, measured=0.02)
    written.event("naive", "journal_read", lost=0, records=0)

    found = written.judge()

    assert (found["verdict"], found["variants"]["naive"]["invalid_because"]) == ("fail", [])
    assert [(row["status"], row["measured"]) for row in found["gates"]] == [
        ("fail", 0.02),
        ("pass", 0.0),
        ("skipped", None),
    ]
    assert found["expectations"][0]["reason"] == "the run was called off at 12.5 s"
    assert found["findings"] == [f'naive: the run was called off at 12.5 s: "{called}" could not hold any more']
    assert found["variants"]["naive"]["phases"]["after"]["goodput_ratio"] is None
    assert found["variants"]["naive"]["phases"]["before"]["goodput_ratio"] == 1.0


def test_on_virtual_time_a_run_that_is_called_off_goes_on_to_its_end(both: Written):
    both.event("fixed", "called_off", gate="fixed.error_ratio < 0.01", at=3.0, measured=0.02)

    found = both.judge()

    assert (found["verdict"], found["findings"]) == ("pass", [])
