"""`loadtests run`: a scenario from start to verdict."""

import dataclasses
import functools
import shlex
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from loadtests import runner
from loadtests.commands import joining, rehearsing
from loadtests.commands.options import (
    Aimed,
    AllowRemote,
    Assignments,
    Clock,
    Gates,
    ItsKey,
    ItsMock,
    ItsToxiproxy,
    IWillPay,
    Json,
    Junit,
    Markdown,
    Master,
    NameOrFileOrNone,
    Out,
    Repeat,
    Seed,
    Variants,
    Worker,
    Workers,
)
from loadtests.commands.outputs import Outputs
from loadtests.control.vigil import Vigil
from loadtests.errors import CannotRun, Interrupted, InvalidRun
from loadtests.experiment import target as targets
from loadtests.experiment.scenario import ClockName, Scenario
from loadtests.experiment.target import Aim
from loadtests.programs.crew import Crew
from loadtests.protocol import client
from loadtests.record.rundir import RunDir
from loadtests.sample import Row
from loadtests.telling import between, display


def run(
    name: NameOrFileOrNone = None,
    variant: Variants = None,
    assignments: Assignments = None,
    gate: Gates = None,
    seed: Seed = 1,
    repeat: Repeat = 1,
    clock: Clock = None,
    out: Out = None,
    workers: Workers = None,
    master: Master = False,
    worker: Worker = None,
    junit: Junit = None,
    markdown: Markdown = None,
    as_json: Json = False,
    target: Aimed = None,
    mock: ItsMock = None,
    toxiproxy: ItsToxiproxy = None,
    api_key: ItsKey = client.KEY,
    allow_remote: AllowRemote = False,
    i_will_pay: IWillPay = False,
) -> None:
    """Run a scenario: start the stack, send the load, judge what happened."""
    if worker is not None:
        return joining.join(worker, allow_remote=allow_remote, i_will_pay=i_will_pay)
    if name is None:
        raise CannotRun("run: got no scenario, expected its NAME or FILE (or --worker HOST, to join a master)")
    console = display.console(stderr=as_json)
    aim = _aim(target, mock, toxiproxy, api_key, allow_remote=allow_remote, i_will_pay=i_will_pay)
    experiment, variants = rehearsing.prepare(name, assignments, variant, gate, aim)
    chosen = experiment.choose_clock(clock)
    rehearse = rehearsing.rehearse_on(chosen, experiment, variants, aim)
    if workers is not None or master:
        crew = _crew(workers, master, allow_remote, chosen)
        crew.demand(experiment.of(each).load for each in variants)
        console.print(crew.invitation(), soft_wrap=True)
        rehearse = functools.partial(rehearse, senders=crew)
    rehearsing.demand(name, experiment, variants, here=["toxiproxy"] if toxiproxy else [])
    wanted = Wanted(console, name, experiment, variants, chosen, rehearse, target)
    told = Outputs(as_json, junit, markdown)
    if repeat == 1:
        folder = wanted.folder(seed, out)
        summary, invalid = wanted.rehearse_all(folder, seed)
        told.tell(console, folder, summary)
    else:
        summary, invalid = _repeat(wanted, range(seed, seed + repeat), out, told)
    if invalid:
        raise invalid
    rehearsing.exit_with(summary)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A scenario that has been checked, the variants that were asked for, and what runs one of them."""

    console: Console
    name: str
    experiment: Scenario
    variants: list[str]
    clock: ClockName
    rehearse: Callable[..., None]
    target: str | None = None

    def folder(self, seed: int, out: Path | None) -> RunDir:
        command = rehearsing.command()
        return runner.prepare(self.name, self.experiment, self.variants, seed, out, command, self.target)

    def rehearse_all(self, folder: RunDir, seed: int) -> tuple[Row, InvalidRun | None]:
        """Every variant, one after the other; the summary, and what ended the run before its time."""
        rehearsing.announce(self.console, self.experiment, self.variants, folder, real=self.clock == "real")
        invalid: InvalidRun | None = None
        with display.Progress(self.console, folder, self.experiment, seed) as progress:
            for index, each in enumerate(self.variants):
                vigil = Vigil(folder, self.experiment, each, seed)

                def show(variant: str, stats: Row, vigil: Vigil = vigil) -> None:
                    progress.show(variant, stats)
                    vigil.look(float(stats["t"]))

                try:
                    self.rehearse(folder, self.experiment, each, seed, show)
                except InvalidRun as error:
                    invalid = error
                    break
                except Interrupted:
                    folder.note(each, "interrupted", message="the run was interrupted")
                    raise
                if vigil.failed:
                    folder.leave_out(self.variants[index + 1 :])
                    break
        return runner.judge(folder), invalid


def _repeat(wanted: Wanted, seeds: range, out: Path | None, told: Outputs) -> tuple[Row, InvalidRun | None]:
    """A run for each seed, in folders of one folder. An invalid one is the last: the series cannot pass any more."""
    base = out or runner.unused(runner.folder_of(f"{Path(wanted.name).stem}-x{len(seeds)}"))
    summaries: list[Row] = []
    invalid: InvalidRun | None = None
    for seed in seeds:
        summary, invalid = wanted.rehearse_all(wanted.folder(seed, base / str(seed)), seed)
        summaries.append(summary)
        between.show_verdict(wanted.console, summary, f"seed {seed}, {len(summaries)} of {len(seeds)}")
        if invalid:
            break
    return told.tell_repeats(wanted.console, base, summaries, shlex.join(rehearsing.command())), invalid


def _aim(
    target: str | None, mock: str | None, toxiproxy: str | None, key: str, *, allow_remote: bool, i_will_pay: bool
) -> Aim | None:
    """None: at our own gateway. Raises CannotRun."""
    if target is not None:
        return targets.aim(target, mock, key, toxiproxy=toxiproxy, allow_remote=allow_remote, i_will_pay=i_will_pay)
    if mock or toxiproxy:
        raise CannotRun("--mock and --toxiproxy are those of a --target; without one they are started")
    return None


def _crew(workers: int | None, master: bool, allow_remote: bool, clock: ClockName) -> Crew:
    """Raises CannotRun: virtual time is one process."""
    if clock == "virtual":
        raise CannotRun("--workers and --master: virtual time is one process; add --clock real")
    return Crew.of(workers, master=master, remote=allow_remote)
