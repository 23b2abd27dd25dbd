"""What a load worker gets of a schedule, and how it travels to it: every so-manieth arrival, as plain rows."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import pydantic

from loadtests.errors import CannotRun
from loadtests.experiment.plan import Job, Plan
from loadtests.experiment.scenario import Scenario
from loadtests.sample import Row
from loadtests.schedule.load import Arrival

PAGE = 5_000
"""Arrivals in one message: the worker goes on with its heartbeats between two."""

_PLAN = pydantic.TypeAdapter(Plan)
_ARRIVALS = pydantic.TypeAdapter(list[Arrival])


def of(job: Job, index: int, count: int) -> Job:
    """The share number `index` of `count`. The shares are disjoint and together the schedule, and each comes at the
    same pace as the others. Raises CannotRun when there are fewer callers than shares."""
    callers = job.callers and len(range(index, job.callers, count))
    if callers == 0:
        raise CannotRun(f"load.users: got {job.callers} for {count} workers, expected at least one for each")
    return dataclasses.replace(job, arrivals=job.arrivals[index::count], callers=callers)


def pages(job: Job, size: int = PAGE) -> Iterator[Row]:
    """The job as messages: first what it is about, then its arrivals. A system prompt travels once, however many
    requests have it."""
    systems = {system: number for number, system in enumerate({arrival.ask.system for arrival in job.arrivals})}
    yield {
        "plan": dataclasses.asdict(job.plan),
        "scenario": job.scenario.model_dump(exclude_none=True),
        "start": job.start,
        "callers": job.callers,
        "systems": list(systems),
        "arrivals": len(job.arrivals),
    }
    rows = (_row(arrival, systems[arrival.ask.system]) for arrival in job.arrivals)
    while page := list(itertools.islice(rows, size)):
        yield {"page": page}


def joined(head: Row, pages: Iterator[Row], program: str) -> Job:
    """The job again, of the `program` that does it. Takes no more pages than it needs."""
    arrivals: list[Arrival] = []
    while len(arrivals) < head["arrivals"]:
        rows = [_with_system(row, head["systems"]) for row in next(pages)["page"]]
        arrivals += _ARRIVALS.validate_python(rows)
    plan, scenario = _PLAN.validate_python(head["plan"]), Scenario.model_validate(head["scenario"])
    return Job(plan, scenario, head["start"], arrivals, head["callers"], program)


def _row(arrival: Arrival, system: int) -> Row:
    row = dataclasses.asdict(dataclasses.replace(arrival, ask=dataclasses.replace(arrival.ask, system=None)))
    return {**row, "system": system}


def _with_system(row: Row, systems: Sequence[str | None]) -> Row:
    ask = {**row["ask"], "system": systems[row["system"]]}
    return {name: value for name, value in row.items() if name != "system"} | {"ask": ask}
