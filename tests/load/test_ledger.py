"""Rows on their way to a run's files."""

import json
from pathlib import Path

from loadtests.experiment.plan import Plan
from loadtests.record.ledger import Batch, Files, Ledger
from loadtests.sample import Sample

SAMPLE = Sample("a-1", intended=1.0, sent=1.1, ended=2.0, outcome="complete")


def plan_in(folder: Path) -> Plan:
    return Plan("s", "fixed", 1, "g", "m", "k", str(folder / "samples.jsonl"), str(folder / "events.jsonl"))


def test_a_sample_and_an_event_are_each_a_line_of_their_file(tmp_path: Path):
    ledger = Ledger("fixed", "load worker 2", Files(plan_in(tmp_path)).write)

    ledger.sample(SAMPLE)
    ledger.note("lag", at=0.5, seconds=0.3)

    assert Sample.from_row(json.loads((tmp_path / "samples.jsonl").read_text())) == SAMPLE
    event = {"variant": "fixed", "program": "load worker 2", "event": "lag", "at": 0.5, "seconds": 0.3}
    assert json.loads((tmp_path / "events.jsonl").read_text()) == event


def test_a_batch_gives_each_line_once():
    batch = Batch()
    ledger = Ledger("fixed", "w", batch.write)

    ledger.sample(SAMPLE)
    ledger.sample(SAMPLE)
    first, second = batch.take(), batch.take()

    assert list(first) == ["samples"] and len(first["samples"].splitlines()) == 2
    assert second == {}
