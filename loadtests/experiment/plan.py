"""What the runner tells the load processes: one variant of one scenario, and where everything is."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtests.documents import document
from loadtests.experiment import scenario
from loadtests.experiment.scenario import Scenario
from loadtests.experiment.target import Target
from loadtests.protocol.client import KINDS, Kinds
from loadtests.sample import Row
from loadtests.schedule.crowd import Crowd
from loadtests.schedule.load import Arrival
from loadtests.schedule.rate import Paces

VARIABLE = "LOADTESTS_PLAN"
WORKER = "LOADTESTS_WORKER"
"""Names a process that is to get its share of the load from a master."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """`scenario`, `samples` and `events` are paths; `gateway` and `mock` base URLs; `key` the tenant's gateway key.
    `target`: how it is spoken to, if it is not our gateway. `inside`: the gateway itself, whatever stands before it;
    `toxiproxy`: its control plane, where there is one."""

    scenario: str
    variant: str
    seed: int
    gateway: str
    mock: str
    key: str
    samples: str
    events: str
    target: Row | None = None
    inside: str = ""
    toxiproxy: str | None = None

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2), encoding="utf-8")

    def load_scenario(self) -> Scenario:
        return scenario.parse(document.read(Path(self.scenario)))

    def kinds(self, environ: Mapping[str, str] = os.environ) -> Kinds:
        """What each user does, in the words of whom it is done to."""
        return KINDS if self.target is None else Target.model_validate(self.target).kinds(environ)

    def job(self, start: int, paces: Paces = ()) -> "Job":
        """All that one start of the load has to send; the web UI may start it again, and change its pace."""
        experiment = self.load_scenario().of(self.variant)
        arrivals = experiment.crowd(self.seed, self.variant, start, paces).arrivals()
        return Job(self, experiment, start, arrivals, experiment.load.users if experiment.load.shared else None)


@dataclasses.dataclass(frozen=True)
class Job:
    """What one `program` has to send of the start number `start` of a plan, which counts from 1: all of it, or a
    worker's share. `scenario` is the plan's, as its variant meets it. `callers`: how many there are to send it, where
    they are so many."""

    plan: Plan
    scenario: Scenario
    start: int
    arrivals: Sequence[Arrival]
    callers: int | None = None
    program: str = "generator"

    def crowd(self) -> Crowd:
        """What those who come ask next."""
        return self.scenario.crowd(self.plan.seed, self.plan.variant, self.start)

    @property
    def suffix(self) -> str:
        """Of the request ids of this start, which are others than those of the one before."""
        return "" if self.start == 1 else f".{self.start}"


def name_of_worker(environ: Mapping[str, str] = os.environ) -> str | None:
    """What this process is called, if it is a load worker that gets its job from a master."""
    return environ.get(WORKER)


def from_environment(environ: Mapping[str, str] = os.environ) -> Plan | None:
    """The plan this process was started with, if it was started by the runner to send the load, or to divide it."""
    path = environ.get(VARIABLE)
    return Plan(**json.loads(Path(path).read_text(encoding="utf-8"))) if path else None
