"""A run's folder, written without a run."""

from pathlib import Path
from typing import Any

from loadtests.experiment.scenario import Scenario
from loadtests.judging import summary
from loadtests.record import rundir
from loadtests.record.rundir import About, RunDir
from loadtests.sample import Sample
from loadtests.schedule import load

SEED = 3


class Written:
    """A run's folder as a run leaves it: everything complete in a second, one attempt a request."""

    def __init__(self, folder: Path, scenario: Scenario, variants: list[str]) -> None:
        self.scenario = scenario
        self.run = RunDir(folder / "run")
        self.run.create(scenario, About("small", SEED, variants, "loadtests run small", {"cores": 2}, {"python": "3"}))

    def variant(
        self, name: str, outcome: str = "complete", *, ended: bool = True, attempted: int | None = None
    ) -> None:
        """`attempted`: how many of the requests came to Claude; all, unless it says otherwise."""
        arrivals = self.scenario.arrivals(SEED, name)
        samples = [Sample(a.request_id, a.at, a.at, a.at + 1, outcome) for a in arrivals]
        with self.run.samples.open("a") as file:
            file.writelines(sample.to_json(name) + "\n" for sample in samples)
        came = arrivals[:attempted]
        rundir.append(self.run.journal, [self._attempt(name, arrival) for arrival in came])
        logged = [{"event": "attempt", "request_id": arrival.request_id} for arrival in came]
        rundir.append(self.run.log(name, "gateway"), logged)
        self.event(name, "started", wall=100.0, t=0.0, suffix="")
        if ended:
            self.event(name, "ended", sent=len(samples))
            self.event(name, "journal_read", lost=0, records=len(came))

    def event(self, name: str, event: str, **fields: Any) -> None:
        rundir.append(self.run.events, [{"variant": name, "event": event, **fields}])

    def judge(self) -> dict[str, Any]:
        return summary.build(self.run)[0]

    def _attempt(self, name: str, arrival: load.Arrival) -> dict[str, Any]:
        return {
            "variant": name,
            "request_id": arrival.request_id,
            "model": "claude-haiku-4-5",
            "t": arrival.at,
            "wall": 100 + arrival.at,
            "queued": 0.0,
            "ended": arrival.at + 1,
            "outcome": "complete",
            "status": 200,
            "input_tokens": 20,
            "output_tokens": 10,
            "wasted_tokens": 0,
        }
