"""Gates that end a run before its time: which of them cannot hold any more, whatever the rest of it brings.

A gate with `abort_on_fail` is looked at while the run goes on. It is failed when it would fail even if every request of
its phase that is still to come were answered at once, without another attempt; so it never ends a run that would have
passed. Where the best case is no bound (a mean of gaps, a rate) or nobody knows who is still to come (users who wait
for their answers), it is looked at when its phase is over and its requests have ended.
"""

from collections.abc import Sequence
from typing import NamedTuple

from loadtests.experiment import gates
from loadtests.experiment.gates import Gate
from loadtests.experiment.scenario import Scenario, Slo, Span
from loadtests.judging import metrics
from loadtests.judging.metrics import Observed
from loadtests.sample import OUTCOMES, Row, Sample

EVENT = "called_off"
LESS = ("<", "<=")
MORE = (">", ">=")
CLOCKS = ("e2e", "service_time", "ttft", "ttft_sent")
GROWS = ("goodput_ratio", "goodput", "completed")
"""Figures that the best case makes as large as they can still become; of all below it makes the least."""
SHRINKS = frozenset(
    ["error_ratio", "hidden_error_ratio", "amplification", "attempts", "refused_attempts"]
    + [f"outcomes.{outcome}" for outcome in OUTCOMES if outcome != "complete"]
    + [f"{clock}{kind}.{q}" for clock in CLOCKS for kind in ("", "_adjusted") for q in gates.QUANTILES[1:-1]]
)


class Failed(NamedTuple):
    """A gate that cannot hold any more `at` so many seconds since T0; `measured` is the best it could still come to."""

    gate: Gate
    at: float
    measured: float | None

    def to_row(self) -> Row:
        return {"gate": self.gate.text, "at": self.at, "measured": gates.figure(self.measured)}


class SoFar(NamedTuple):
    """A run as far as it has come: when its requests are meant to start, as far as that is known, and what has ended.
    `all_known`: whether that is all who are still to come."""

    now: float
    starts: dict[str, float]
    samples: Sequence[Sample]
    journal: Sequence[Row]
    all_known: bool


def find(watched: Sequence[Gate], run: SoFar, scenario: Scenario) -> Failed | None:
    """The first gate that cannot hold any more."""
    spans = [span for span in scenario.spans() if span.judge]
    ended = {sample.request_id for sample in run.samples}
    pending = {name: at for name, at in run.starts.items() if name not in ended}
    for gate in watched:
        own = [span for span in scenario.spans() if span.name == gate.phase] or spans
        over = _is_over(own, run, pending, scenario.load.patience)
        if not over and not (run.all_known and _is_bounded(gate)):
            continue
        measured = _best(gate, run, {} if over else pending, own, scenario.slo)
        if not gate.holds(measured):
            return Failed(gate, run.now, measured)
    return None


def _is_over(spans: Sequence[Span], run: SoFar, pending: dict[str, float], patience: float) -> bool:
    """Who is not known to be there has nothing to wait for after its patience."""
    waiting = any(span.holds(at) for span in spans for at in pending.values())
    end = max(span.end for span in spans)
    return run.now >= end + patience or (run.all_known and run.now >= end and not waiting)


def _is_bounded(gate: Gate) -> bool:
    return gate.metric in SHRINKS if gate.op in LESS else gate.metric in GROWS if gate.op in MORE else False


def _best(gate: Gate, run: SoFar, pending: dict[str, float], spans: Sequence[Span], slo: Slo) -> float | None:
    """The gate's figure if all who are still to come were answered at once."""
    answered = [Sample(name, at, at, at, "complete", first_delta=at) for name, at in pending.items()]
    observed = Observed(list(run.starts.values()), [*run.samples, *answered], run.journal)
    return gates.value(metrics.phase_figures(observed, spans, slo), gate.metric)


def cut(events: Sequence[Row]) -> Row | None:
    """What ended this variant's run before its time; None when it went on to its end, as on virtual time."""
    called_off = next((event for event in events if event["event"] == EVENT), None)
    return None if any(event["event"] == "ended" for event in events) else called_off


def whole(spans: Sequence[Span], samples: Sequence[Sample], cut: Row | None) -> set[str]:
    """The phases that were over before a run was cut short, all of their requests with them; without a cut, all."""
    if cut is None:
        return {span.name for span in spans}
    aborted = [sample.intended for sample in samples if sample.outcome == "aborted"]
    return {span.name for span in spans if span.end <= cut["at"] and not any(span.holds(start) for start in aborted)}
