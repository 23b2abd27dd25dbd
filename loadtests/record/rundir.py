"""A run's folder: what is written while it runs, and read again for every summary and report."""

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from loadtests.documents import document
from loadtests.errors import CannotRun
from loadtests.experiment import scenario
from loadtests.experiment.scenario import Scenario
from loadtests.record.usage import Lag, Use
from loadtests.sample import Attempt, Row, Sample


@dataclasses.dataclass(frozen=True)
class About:
    """What a run was: enough to read its folder without the command that made it. `variants`: those asked for.
    `target`: what was loaded in place of our gateway."""

    name: str
    seed: int
    variants: list[str]
    command: str
    machine: Row
    versions: dict[str, str]
    target: str | None = None


class RunDir:
    """The paths and rows of one run. Rows of all variants share a file; each says whose it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples = path / "samples.jsonl"
        self.journal = path / "journal.jsonl"
        self.events = path / "events.jsonl"
        self.usage = path / "usage.jsonl"
        self.scenario = path / "scenario.yaml"
        self.about = path / "run.json"
        self.summary = path / "summary.json"
        self.figures = path / "figures.csv"
        self.report = path / "report.html"

    def create(self, experiment: Scenario, about: About) -> None:
        (self.path / "logs").mkdir(parents=True)
        self.scenario.write_text(scenario.to_yaml(experiment), encoding="utf-8")
        self.about.write_text(json.dumps(dataclasses.asdict(about), indent=2) + "\n", encoding="utf-8")
        self.start_over()

    def start_over(self) -> None:
        for path in (self.samples, self.journal, self.events, self.usage):
            path.write_text("", encoding="utf-8")

    def copy_to(self, path: Path) -> "RunDir":
        """This run as it is now, in a folder of its own."""
        shutil.copytree(self.path, path, ignore=lambda folder, names: [path.parent.name])
        return RunDir(path)

    def log(self, variant: str, program: str) -> Path:
        return self.path / "logs" / f"{variant}-{program}.log"

    def note(self, variant: str, event: str, **fields: object) -> None:
        """Something that happened to a variant's run and that its summary must know."""
        append(self.events, [{"variant": variant, "event": event, **fields}])

    def read_about(self) -> tuple[About, Scenario]:
        """Raises CannotRun when this is no run's folder."""
        if not self.about.is_file() or not self.scenario.is_file():
            raise CannotRun(f"{self.path}: no run.json and scenario.yaml there; expected the folder of a run")
        for path in (self.samples, self.journal, self.events):
            if not path.is_file():
                raise CannotRun(f"{path} is missing: without it this run cannot be judged")
        about = About(**json.loads(self.about.read_text(encoding="utf-8")))
        return about, scenario.parse(document.read(self.scenario))

    def leave_out(self, variants: list[str]) -> None:
        """These were asked for and are not going to be run: the run was called off before."""
        about, _ = self.read_about()
        left = [variant for variant in about.variants if variant not in variants]
        changed = dataclasses.asdict(dataclasses.replace(about, variants=left))
        self.about.write_text(json.dumps(changed, indent=2) + "\n", encoding="utf-8")

    def samples_of(self, variant: str) -> list[Sample]:
        return [Sample.from_row(row) for row in rows(self.samples) if row["variant"] == variant]

    def journal_of(self, variant: str) -> list[Attempt]:
        """The attempts of the last start: the web UI may have started the load before, and what that left behind in
        the gateway may still come."""
        suffix = next((row["suffix"] for row in self.events_of(variant) if row["event"] == "started"), "")
        found = [row for row in rows(self.journal) if row["variant"] == variant]
        if self.is_anonymous(variant):
            return found
        return [row for row in found if str(row["request_id"]).partition(".")[2] == suffix.removeprefix(".")]

    def is_anonymous(self, variant: str) -> bool:
        """Whether its target hands no request's id on."""
        return any(row["event"] == "anonymous" for row in self.events_of(variant))

    def journal_rows(self, variant: str) -> int:
        """How many records the file has, those of earlier starts among them."""
        return sum(row["variant"] == variant for row in rows(self.journal))

    def events_of(self, variant: str) -> list[Row]:
        return [row for row in rows(self.events) if row["variant"] == variant]

    def t0_of(self, variant: str) -> float | None:
        """When the load began, by the wall clock; None as long as it has not."""
        return next((row["wall"] for row in self.events_of(variant) if row["event"] == "started"), None)

    def usage_of(self, variant: str) -> list[Use]:
        """What its programs took of the machine since T0."""
        began = self.t0_of(variant)
        own = [row for row in rows(self.usage) if row["variant"] == variant] if began is not None else []
        return [Use(row["wall"] - began, row["program"], row["rss"], row["cpu"]) for row in own]

    def gateway_attempts(self, variant: str) -> Counter[str]:
        """How many attempts of each request the gateway's log says it sent: one attempt of its own is as many as the
        SDK below it made of it (`sends`)."""
        found: Counter[str] = Counter()
        for row in rows(self.log(variant, "gateway")):
            sends = row.get("sends", int(row.get("sent", True))) if row.get("event") == "attempt" else 0
            if sends:
                found[str(row["request_id"])] += sends
        return found

    def gateway_lags(self, variant: str) -> list[Lag] | None:
        """When its event loop stood still; None when there is no log of it, or no T0."""
        began = self.t0_of(variant)
        log = self.log(variant, "gateway")
        if began is None or not log.is_file():
            return None
        lags = []
        for row in rows(log):
            if row.get("event") == "loop_lag":
                end = datetime.fromisoformat(row["timestamp"]).timestamp() - began
                lags.append(Lag(end - row["seconds"], row["seconds"]))
        return lags


def rows(path: Path) -> Iterator[Row]:
    """The JSON objects of a file, one a line. What is no JSON object is passed over: a log also holds tracebacks, and
    a run that was killed may end in half a line."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row


def append(path: Path, found: list[Row]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in found)
