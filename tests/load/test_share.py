"""A schedule divided among workers, and on its way to them."""

import json
from collections import Counter
from pathlib import Path

import pytest

from loadtests import share
from loadtests.plan import Job, Plan

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
