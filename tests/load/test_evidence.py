"""What a report shows of a run besides its figures."""

from loadtests.judging import summary
from loadtests.record import rundir
from tests.load.written import SEED, Written


def test_a_run_brings_the_evidence_of_each_variant(both: Written):
    found = summary.build(both.run).evidence

    assert list(found) == ["naive", "fixed"]
    assert found["fixed"].curves["lines"]["e2e"][0] == 1.0
    assert len(found["fixed"].slowest) == 10
    assert found["fixed"].slowest[0].steps[0].how == "complete"
    assert {each.outcome for each in found["naive"].slowest} == {"timeout"}


def test_the_log_is_shown_where_the_trigger_begins_and_ends(both: Written):
    stamps = [("1970-01-01T00:01:45.9Z", "before"), ("1970-01-01T00:01:46.2Z", "begun"), ("nonsense", "never")]
    rows = [{"event": event, "request_id": "x", "timestamp": stamp} for stamp, event in stamps]
    rundir.append(both.run.log("fixed", "gateway"), rows)

    excerpts = summary.build(both.run).evidence["fixed"].excerpts

    assert [(each.why, each.at) for each in excerpts] == [("the trigger begins", 6.0), ("it ends", 8.0)]
    assert [line.event for line in excerpts[0].lines] == ["before", "begun"]


def test_on_virtual_time_the_log_is_placed_by_its_requests(both: Written):
    rundir.append(
        both.run.events, [{"variant": "fixed", "event": "started", "wall": 0.0, "suffix": "", "clock": "virtual"}]
    )
    rows = [
        row
        for row in rundir.rows(both.run.events)
        if row != {"variant": "fixed", "event": "started", "wall": 100.0, "t": 0.0, "suffix": ""}
    ]
    both.run.events.write_text("")
    rundir.append(both.run.events, rows)
    rundir.append(both.run.log("fixed", "gateway"), [{"event": "request", "request_id": f"fixed-{SEED}-000020"}])

    lines = [line for each in summary.build(both.run).evidence["fixed"].excerpts for line in each.lines]

    assert (f"fixed-{SEED}-000020", "request") in {(line.request_id, line.event) for line in lines}
