"""What a report shows of a variant besides its figures: distributions, single requests, the log around the trigger."""

from collections.abc import Collection
from typing import NamedTuple

from loadtests.experiment.scenario import Scenario
from loadtests.judging import curves, excerpt, slowest
from loadtests.judging.curves import Curves
from loadtests.judging.excerpt import Line
from loadtests.judging.metrics import Observed
from loadtests.judging.slowest import Slow
from loadtests.record import rundir
from loadtests.record.rundir import RunDir


class Excerpt(NamedTuple):
    """`why` it is shown, `at` seconds since T0."""

    why: str
    at: float
    lines: list[Line]


class Evidence(NamedTuple):
    curves: Curves
    slowest: list[Slow]
    excerpts: list[Excerpt]


def gather(run: RunDir, name: str, observed: Observed, scenario: Scenario, unfit: Collection[str] = ()) -> Evidence:
    """`scenario` as this variant meets it; of phases for which the generator was `unfit`, no latency is shown."""
    judged = {span.name: (span.start, span.end) for span in scenario.spans() if span.judge and span.name not in unfit}
    attempts_of = observed.attempts_of()
    samples = [
        sample for sample in observed.samples if any(start <= sample.intended < end for start, end in judged.values())
    ]
    return Evidence(
        curves.of(samples), slowest.of(samples, attempts_of, judged), list(_excerpts(run, name, observed, scenario))
    )


def _excerpts(run: RunDir, name: str, observed: Observed, scenario: Scenario) -> list[Excerpt]:
    """Around the begin and the end of what was done to Claude; without that, around the first failure."""
    lines = _log(run, name, observed)
    entries = scenario.mock_config().get("timeline", [])
    failed = [sample.ended for sample in observed.samples if sample.outcome not in ("complete", "left", "aborted")]
    moments = {}
    if entries:
        moments["the trigger begins"] = min(entry["at"] for entry in entries)
        moments["it ends"] = max(entry["at"] + entry["for"] for entry in entries)
    elif failed:
        moments["the first request fails"] = min(failed)
    found = (Excerpt(why, at, excerpt.around(lines, at)) for why, at in moments.items())
    return [each for each in found if each.lines]


def _log(run: RunDir, name: str, observed: Observed) -> list[Line]:
    rows = list(rundir.rows(run.log(name, "gateway")))
    started = next((row for row in run.events_of(name) if row["event"] == "started"), None)
    if started is None or not rows:
        return []
    if started.get("clock") == "virtual":
        return excerpt.lines_of_requests(rows, observed.samples, observed.attempts_of())
    return excerpt.lines(rows, started["wall"])
