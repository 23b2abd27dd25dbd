"""What the runner tells the load process: one variant of one scenario, and where everything is."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

from loadtests import document, load, scenario
from loadtests.scenario import Scenario

VARIABLE = "LOADTESTS_PLAN"


@dataclasses.dataclass(frozen=True)
class Plan:
    """`scenario`, `samples` and `events` are paths; `gateway` and `mock` base URLs; `key` the tenant's gateway key.
    `alone`: each start of the load (in the web UI) replaces the rows of the one before."""

    scenario: str
    variant: str
    seed: int
    gateway: str
    mock: str
    key: str
    samples: str
    events: str
    alone: bool = False

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2), encoding="utf-8")

    def load_scenario(self) -> Scenario:
        return scenario.parse(document.read(Path(self.scenario)))

    def arrivals(self, experiment: Scenario) -> list[load.Arrival]:
        return experiment.arrivals(self.seed, self.variant)


def from_environment(environ: Mapping[str, str] = os.environ) -> Plan | None:
    """The plan this process was started with, if it was started by the runner."""
    path = environ.get(VARIABLE)
    return Plan(**json.loads(Path(path).read_text(encoding="utf-8"))) if path else None
