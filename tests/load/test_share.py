"""A schedule divided among workers, and on its way to them."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest

from loadtests.errors import CannotRun
from loadtests.experiment.plan import Job, Plan
from loadtests.sending import share

SCENARIO = """\
about: x
load: {user: chat, rate: 50, priority: {low: 0.5, high: 0.5}, system_tokens: 2000}
phases: [{name: a, seconds: 4}]
variants: {plain: {}, half: {load: {rate: 25}}}
"""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    path = str(tmp_path / "scenario.yaml")
    return Plan(path, "half", 7, "http://gateway", "http://mock", "k", "samples", "events").job(start=2)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_shares_are_disjoint_and_together_the_schedule(job: Job, count: int):
    shares = [share.of(job, index, count) for index in range(count)]

    names = Counter(arrival.request_id for part in shares for arrival in part.arrivals)
    assert names == Counter(arrival.request_id for arrival in job.arrivals)
    assert set(names.values()) == {1}
    assert max(len(part.arrivals) for part in shares) - min(len(part.arrivals) for part in shares) <= 1


def test_a_job_arrives_as_it_was_sent(job: Job):
    messages = [json.loads(json.dumps(page)) for page in share.pages(job)]

    joined = share.joined(messages[0], iter(messages[1:]), "load worker 2")

    assert joined.program == "load worker 2"
    assert joined.arrivals == job.arrivals
    assert (joined.plan, joined.scenario.load, joined.start) == (job.plan, job.scenario.load, 2)


def test_many_arrivals_travel_in_many_messages_and_a_system_prompt_in_one(job: Job):
    pages = list(share.pages(job, size=10))

    assert len(pages) == 1 + -(-len(job.arrivals) // 10)
    prompt = job.arrivals[0].ask.system
    assert prompt is not None and sum(json.dumps(page).count(prompt) for page in pages) == 1


def test_no_arrivals_are_a_job_too(job: Job):
    head, *rest = share.pages(share.of(job, len(job.arrivals), len(job.arrivals) + 1))

    assert rest == []
    assert share.joined(head, iter(rest), "w").arrivals == []


def test_callers_are_shared_out_too_and_there_must_be_one_for_each(job: Job):
    few = dataclasses.replace(job, callers=5)

    assert [share.of(few, index, 3).callers for index in range(3)] == [2, 2, 1]
    assert share.of(job, 0, 3).callers is None
    head, *pages = share.pages(few)
    assert share.joined(head, iter(pages), "w").callers == 5
    with pytest.raises(CannotRun, match=r"load\.users: got 5 for 6 workers"):
        share.of(few, 5, 6)


def test_a_worker_knows_what_its_visitors_ask_next(tmp_path: Path):
    text = SCENARIO.replace("{load: {rate: 25}}", "{load: {rate: null, users: 4, think: 1, user: messages, turns: 3}}")
    (tmp_path / "scenario.yaml").write_text(text.replace(", system_tokens: 2000", ""))
    job = Plan(str(tmp_path / "scenario.yaml"), "half", 7, "g", "m", "k", "s", "e").job(start=2)

    head, *pages = (json.loads(json.dumps(page)) for page in share.pages(job))
    joined = share.joined(head, iter(pages), "w")

    assert joined.crowd().after(joined.arrivals[1], 2.0) == job.crowd().after(job.arrivals[1], 2.0) is not None
