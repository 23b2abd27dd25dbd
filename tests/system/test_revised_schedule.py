"""The open loop when a person changes its schedule while it waits for the next arrival."""

import json
import time
from pathlib import Path

import gevent

from loadtests.experiment import scenario
from loadtests.experiment.plan import Job, Plan
from loadtests.record.ledger import Ledger
from loadtests.sending.dispatcher import Dispatcher

SLOW = """\
about: One request in forty seconds.
load: {user: chat, arrivals: constant, rate: 0.05, patience: 1}
phases: [{name: all, seconds: 60}]
variants: {plain: {}}
"""


def test_a_request_that_was_far_away_comes_at_once(tmp_path: Path):
    (tmp_path / "slow.yaml").write_text(SLOW, encoding="utf-8")
    experiment = scenario.load(str(tmp_path / "slow.yaml"))[0].of("plain")
    nobody = "http://127.0.0.1:9"
    plan = Plan("slow.yaml", "plain", 1, nobody, nobody, "k", "samples", "events")
    rows: list[str] = []
    dispatcher = Dispatcher(
        Job(plan, experiment, 1, experiment.arrivals(1, "plain")),
        Ledger("plain", "generator", lambda kind, line: rows.append(line)),
        lambda path, sample: None,
    )
    running = gevent.spawn(dispatcher.run, time.monotonic())
    gevent.sleep(0.2)

    dispatcher.revise(experiment.arrivals(1, "plain", [(0.3, 100.0)]))

    deadline = time.monotonic() + 10
    while not any("request_id" in row for row in rows) and time.monotonic() < deadline:
        gevent.sleep(0.05)
    running.kill()
    first = json.loads(next(row for row in rows if "request_id" in row))
    assert first["request_id"] == "plain-1-000001"
    assert 0.3 < first["intended"] < 1
    assert first["outcome"] == "refused"
