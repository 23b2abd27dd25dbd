"""One rehearsal from start to verdict: each variant gets a fresh stack, the same load, and is read to its end."""

import contextlib
import dataclasses
import itertools
import os
import platform
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

import psutil
import requests

from loadtests.errors import CannotRun, InvalidRun
from loadtests.experiment.plan import VARIABLE, Plan
from loadtests.experiment.scenario import Scenario
from loadtests.experiment.target import Aim
from loadtests.judging import figures, hopeless, summary
from loadtests.programs import canary, crew, stack
from loadtests.programs.chaos import ToxiproxyError, undone
from loadtests.programs.crew import ALONE, Crew
from loadtests.programs.hops import Stack
from loadtests.programs.stack import Mock, Program
from loadtests.protocol import client
from loadtests.record import rundir, usage
from loadtests.record.rundir import About, RunDir
from loadtests.sample import Row
from loadtests.telling import report

TICK = 0.5
VERSIONS = (
    "mockclaude",
    "anthropic",
    "fastapi",
    "genai-prices",
    "gevent",
    "locust",
    "sse-starlette",
    "starlette",
    "uvicorn",
)


def rehearse(
    run: RunDir,
    scenario: Scenario,
    variant: str,
    seed: int,
    show: Callable[[str, Row], None],
    aim: Aim | None = None,
    senders: Crew = ALONE,
) -> None:
    """Run one variant on real sockets and leave its raw rows in `run`. Raises CannotRun, InvalidRun."""
    Rehearsal(run, scenario, variant, seed, show, aim, senders).execute()


@dataclasses.dataclass
class Rehearsal:
    """One variant while it runs. `show` is called twice a second, with the variant's name and the mock's stats.

    With an `aim` its target is the gateway, and its mock the mock, if it names one that runs already. With
    `every_hop` there is Toxiproxy wherever it can be, for toxics by hand.
    """

    run: RunDir
    scenario: Scenario
    variant: str
    seed: int
    show: Callable[[str, Row], None] = lambda variant, stats: None
    aim: Aim | None = None
    senders: Crew = ALONE
    every_hop: bool = False

    def __post_init__(self) -> None:
        self.scenario = self.scenario.of(self.variant)
        planned = self.scenario.parsed_network()
        between = planned.with_all_hops() if self.every_hop else planned
        self.stack = Stack(self.run, self.variant, between, self.aim)
        self.mock, self.gateway = self.stack.mock, self.stack.gateway
        self.load = Program("load generator", self.run.log(self.variant, "load"))
        self.workers = [
            Program(name, self.run.log(self.variant, name.replace(" ", "-"))) for name in self.senders.names_here()
        ]
        self._saved = 0
        self._looked = 0.0

    def execute(self) -> None:
        """Run the variant to its end. Raises CannotRun before load, InvalidRun when a program died under it."""
        with self.started() as witness:
            self.start_load("--headless", "--only-summary")
            self.watch(witness, until=lambda: self.load.exit_code == 0 or self.has_happened(hopeless.EVENT))
            self.read_to_the_end(witness)

    @contextlib.contextmanager
    def started(self) -> Iterator[Mock]:
        """Mock and gateway up and proven to be joined: a canary sent to the gateway is in the mock's journal."""
        with undone(self.stack.let_go):
            try:
                self.stack.start(self._mock_config(), self.scenario.gateway_settings(self.variant))
                witness = Mock(self.mock.url)
                if self.aim:
                    self._prove_the_target(self.aim, witness)
                else:
                    canary.prove(self.variant, self.stack.entrance, witness, self.scenario.load)
                yield witness
            finally:
                stack.stop(self.load, *self.workers, *self.stack.programs)

    def _mock_config(self) -> Row:
        return {"seed": self.seed, **self.scenario.mock_config()}

    def start_load(self, *locust_options: str) -> None:
        plan = Plan(
            scenario=str(self.run.scenario.resolve()),
            variant=self.variant,
            seed=self.seed,
            gateway=self.stack.entrance,
            mock=self.mock.url,
            key=self.aim.key if self.aim else client.KEY,
            samples=str(self.run.samples.resolve()),
            events=str(self.run.events.resolve()),
            target=self.aim.target.model_dump(mode="json", by_alias=True) if self.aim else None,
            inside=self.gateway.url,
            toxiproxy=self.stack.driver.server.url if self.stack.driver else None,
        )
        path = self.run.log(self.variant, "plan").with_suffix(".json")
        plan.write(path)
        permissions = self.aim.permissions if self.aim else ()
        own = {name: os.environ[name] for name in self.aim.target.variables} if self.aim else {}
        home = str(self.run.path.resolve())  # locust would read the settings it finds at home
        leading = [*crew.LOCUST, *permissions, *self.senders.leading(), *locust_options]
        self.load.start(leading, {**own, VARIABLE: str(path.resolve()), "HOME": home}, listens=False)
        for program in self.workers:
            following = [*crew.LOCUST, *permissions, *self.senders.following()]
            program.start(following, {**own, **crew.worker_environment(program.name, home)}, listens=False)

    def watch(self, witness: Mock, until: Callable[[], bool]) -> None:
        """Drain the journal and show what happens, until done. Raises InvalidRun when a program dies."""
        silent_since = time.monotonic()
        while not until():
            self._demand_life()
            self._look_at_usage()
            try:
                self.save_journal(witness)
                self.show(self.variant, witness.stats())
                silent_since = time.monotonic()
            except requests.RequestException as error:
                if time.monotonic() - silent_since > stack.START_TIMEOUT:
                    self._died(f"the mock no longer answers: {error}")
            self._steer_the_network(time.monotonic() + TICK)
        self._demand_life()

    def read_to_the_end(self, witness: Mock) -> None:
        """Stop the gateway, which logs what it leaves open; then nothing can reach the mock any more, and its journal
        has an end. Raises InvalidRun when the load or the mock ended before their time."""
        stack.stop(self.load, *self.workers)
        self.stack.stop_callers()
        self._demand_life(self.mock)
        if not any(map(self.has_happened, ("ended", "interrupted", hopeless.EVENT))):
            self._died(f"the load generator stopped before the load was sent: {self.load.last_words()}")
        try:
            witness.close()
            self.save_journal(witness)
            stats = witness.stats()
        except requests.RequestException as error:
            self._died(f"the mock's journal could not be read to its end: {error}")
        for stall in stats["stalls"]:
            self.run.note(self.variant, "lag", program="mock", at=stall["t"], seconds=stall["seconds"])
        self.run.note(self.variant, "journal_read", program="mock", lost=witness.lost, records=self._saved)

    def save_journal(self, witness: Mock) -> None:
        for records in witness.drain():
            rundir.append(self.run.journal, [{"variant": self.variant, **record} for record in records])
            self._saved += len(records)

    def _steer_the_network(self, until: float) -> None:
        """Change toxics as they fall due, and wait, `until` then (monotonic)."""
        while (left := until - time.monotonic()) > 0:
            try:
                changes, due = self.stack.steer(self.run.t0_of(self.variant), time.time())
            except ToxiproxyError as error:
                self._demand_life()
                self._died(str(error))
            for change in changes:
                self.run.note(self.variant, "toxic", **change._asdict())
            time.sleep(min(left, due))

    def _look_at_usage(self) -> None:
        if time.monotonic() - self._looked >= usage.EVERY:
            self._looked = time.monotonic()
            pids = {program.name: program.pid for program in self.stack.programs if program.runs}
            senders = {f"load-{number}": program.pid for number, program in enumerate((self.load, *self.workers))}
            rows = usage.look({**pids, **senders}, time.time())
            rundir.append(self.run.usage, [{"variant": self.variant, **row} for row in rows])

    def _demand_life(self, *programs: Program) -> None:
        senders = (*self.workers, self.load)
        for program in programs or (*self.stack.programs, *senders):
            if program.exit_code is not None and (program not in senders or program.exit_code != 0):
                if given_up := [row["message"] for row in self.run.events_of(self.variant) if row["event"] == "died"]:
                    raise InvalidRun(f"{self.variant}: {given_up[-1]}")
                if not self.has_happened("started"):
                    raise CannotRun(f"{self.variant}: the {program.name} ended at start, {program.last_words()}")
                self._died(f"the {program.name} died in the middle of the run: {program.last_words()}")

    def has_happened(self, event: str) -> bool:
        """Whether the load process has noted `event` (started, ended)."""
        return any(row["event"] == event for row in self.run.events_of(self.variant))

    def _died(self, message: str) -> None:
        self.run.note(self.variant, "died", message=message)
        raise InvalidRun(f"{self.variant}: {message}")

    def _prove_the_target(self, aim: Aim, witness: Mock) -> None:
        way = canary.Way(self.stack.entrance, aim.target.kinds(os.environ), self.scenario.load, aim.key)
        if not canary.prove_target(self.variant, way, witness, aim.target.warm_up):
            self.run.note(self.variant, "anonymous", program="target")
        try:
            witness.configure({**dict.fromkeys(stack.MOCK_SECTIONS), **self._mock_config()})
        except requests.RequestException as error:
            raise CannotRun(f"the mock at {witness.url}: {error}") from None


def prepare(
    name: str,
    scenario: Scenario,
    variants: Sequence[str],
    seed: int,
    out: Path | None,
    command: Sequence[str],
    target: str | None = None,
) -> RunDir:
    """The folder of a new run: `runs/<time>-<name>`, or `out`. Raises CannotRun when it is there already."""
    title = Path(name).stem
    about = About(title, seed, list(variants), shlex.join(command), machine(), versions(), target)
    while True:
        path = out or unused(folder_of(title))
        run = RunDir(path)
        try:
            run.create(scenario, about)
            return run
        except FileExistsError:
            if out:
                raise CannotRun(f"--out {path}: this folder has a run in it already; give another") from None
            # another run took this name between our look and our step: the next one, then
        except OSError as error:
            raise CannotRun(f"{path}: {error.strerror}") from None


def folder_of(title: str) -> Path:
    return Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{title}"


def unused(path: Path) -> Path:
    """`path`, or the first of `path-2`, `path-3` and so on that is not there."""
    candidates = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return path if not path.exists() else next(candidate for candidate in candidates if not candidate.exists())


def expected_seconds(scenario: Scenario, variants: Sequence[str]) -> float:
    """About how long a run takes: every variant's phases, then what is still open, then the start of its programs."""
    return len(variants) * (scenario.seconds + min(scenario.load.patience, 10) / 2 + 4)


def judge(run: RunDir) -> Row:
    """Read the run's folder, write summary.json, figures.csv and report.html into it, and return the summary."""
    about, scenario = run.read_about()
    judged = summary.build(run)
    summary.write(run, judged.summary)
    run.figures.write_text(figures.to_csv(judged.summary), encoding="utf-8")
    config = run.scenario.read_text(encoding="utf-8")
    page = report.render(*judged, about=scenario.about, command=about.command, config=config)
    run.report.write_text(page, encoding="utf-8")
    return judged.summary


def machine() -> Row:
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
    }


def versions() -> dict[str, str]:
    """Of Python and of what a run stands on, as far as it is installed."""
    installed = {distribution.name: distribution.version for distribution in metadata.distributions()}
    return {"python": platform.python_version(), **{name: installed[name] for name in VERSIONS if name in installed}}
