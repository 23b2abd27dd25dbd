"""Watches the gates of a run that goes on, and calls it off when one of them is beyond hope."""

import time

from loadtests.experiment.scenario import Scenario
from loadtests.judging import hopeless
from loadtests.judging.hopeless import Failed, SoFar
from loadtests.record.rundir import RunDir
from loadtests.sample import Row, Sample
from loadtests.telling.display import Tail

PAUSE = 20
"""A look that took a second is followed by the next one after so many: it must not slow down what it looks at."""


class Vigil:
    """Of one variant's run: `look` again and again while it goes on, until it has `failed`."""

    def __init__(self, run: RunDir, scenario: Scenario, variant: str, seed: int) -> None:
        self.failed: Failed | None = None
        self._run, self._variant = run, variant
        self._gates = [
            gate for gate in scenario.parsed_gates() if gate.abort_on_fail and gate.variant in (None, variant)
        ]
        self._scenario = scenario.of(variant)
        load = self._scenario.load
        self._open = not load.waits and load.turns == 1
        arrivals = scenario.crowd(seed, variant).arrivals() if self._gates else []
        self._starts = {arrival.request_id: arrival.at for arrival in arrivals}
        self._tails = Tail(run.samples), Tail(run.journal)
        self._samples: list[Sample] = []
        self._journal: list[Row] = []
        self._next = 0.0

    def look(self, now: float) -> None:
        """`now` is in seconds since T0. A run that is beyond hope gets an event that says so, which ends it."""
        began = time.monotonic()
        if not self._gates or self.failed or began < self._next:
            return
        samples, journal = ([row for row in tail.new_rows() if row["variant"] == self._variant] for tail in self._tails)
        self._samples += map(Sample.from_row, samples)
        self._journal += journal
        progress = SoFar(now, self._starts, self._samples, self._journal, self._open)
        self.failed = hopeless.find(self._gates, progress, self._scenario)
        if self.failed:
            self._run.note(self._variant, hopeless.EVENT, **self.failed.to_row())
        self._next = time.monotonic() + PAUSE * (time.monotonic() - began)
