"""`loadtests run`: a scenario from start to verdict."""

import functools
from typing import Annotated

import typer

from loadtests import client, display, runner
from loadtests.commands import joining, outputs, rehearsing
from loadtests.commands.options import (
    Assignments,
    Clock,
    Gates,
    Json,
    Junit,
    Markdown,
    Master,
    NameOrFileOrNone,
    Out,
    Seed,
    Variants,
    Worker,
    Workers,
)
from loadtests.crew import Crew
from loadtests.errors import CannotRun, Interrupted, InvalidRun
from loadtests.scenario import ClockName
from loadtests.target import Target

AIMED = "Load this gateway, which runs already, instead of starting ours; its Claude must be --mock."


def run(
    name: NameOrFileOrNone = None,
    variant: Variants = None,
    assignments: Assignments = None,
    gate: Gates = None,
    seed: Seed = 1,
    clock: Clock = None,
    out: Out = None,
    workers: Workers = None,
    master: Master = False,
    worker: Worker = None,
    junit: Junit = None,
    markdown: Markdown = None,
    as_json: Json = False,
    gateway: Annotated[str | None, typer.Option("--target", metavar="URL", help=AIMED)] = None,
    mock: Annotated[str | None, typer.Option(metavar="URL", help="The mock that the target speaks to.")] = None,
    api_key: Annotated[str, typer.Option(help="The target's key, sent as X-API-Key.")] = client.KEY,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Allow another machine as target.")] = False,
    i_will_pay: Annotated[bool, typer.Option("--i-will-pay", help="Allow api.anthropic.com as target.")] = False,
) -> None:
    """Run a scenario: start the stack, send the load, judge what happened."""
    if worker is not None:
        return joining.join(worker, allow_remote=allow_remote, i_will_pay=i_will_pay)
    if name is None:
        raise CannotRun("run: got no scenario, expected its NAME or FILE (or --worker HOST, to join a master)")
    console = display.console(stderr=as_json)
    experiment, variants = rehearsing.prepare(name, assignments, variant, gate)
    chosen = experiment.choose_clock(clock)
    rehearse = rehearsing.rehearse_on(chosen, experiment, variants)
    if workers is not None or master:
        crew = _crew(workers, master, allow_remote, chosen)
        console.print(crew.invitation(), soft_wrap=True)
        rehearse = functools.partial(rehearse, senders=crew)
    if gateway is not None:
        aimed = _aim(gateway, mock, api_key, allow_remote, i_will_pay, variants, chosen)
        rehearse = functools.partial(rehearse, target=aimed)
    else:
        rehearsing.demand(name, experiment, variants)
    folder = runner.prepare(name, experiment, variants, seed, out, rehearsing.command())
    rehearsing.announce(console, experiment, variants, folder, real=chosen == "real")
    invalid: InvalidRun | None = None
    with display.Progress(console, folder, experiment, seed) as progress:
        for each in variants:
            try:
                rehearse(folder, experiment, each, seed, progress.show)
            except InvalidRun as error:
                invalid = error
                break
            except Interrupted:
                folder.note(each, "interrupted", message="the run was interrupted")
                raise
    summary = runner.judge(folder)
    outputs.tell(console, folder, summary, as_json=as_json, junit_to=junit, to=markdown)
    if invalid:
        raise invalid
    rehearsing.exit_with(summary)


def _crew(workers: int | None, master: bool, allow_remote: bool, clock: ClockName) -> Crew:
    """Raises CannotRun: virtual time is one process."""
    if clock == "virtual":
        raise CannotRun("--workers and --master: virtual time is one process; add --clock real")
    return Crew.of(workers, master=master, remote=allow_remote)


def _aim(
    gateway: str,
    mock: str | None,
    api_key: str,
    allow_remote: bool,
    i_will_pay: bool,
    variants: list[str],
    clock: ClockName,
) -> Target:
    """A target that may be loaded, and whose upstream can be watched. Raises CannotRun."""
    if mock is None:
        raise CannotRun("--target needs --mock URL: the mock it speaks to is the witness of the run")
    if len(variants) > 1:
        raise CannotRun(f"--target is one gateway: say with --variant which one it is of {', '.join(variants)}")
    if clock == "virtual":
        raise CannotRun("--target: a gateway that runs already runs on the real clock")
    return Target.checked(gateway, mock, api_key, allow_remote=allow_remote, i_will_pay=i_will_pay)
