"""`loadtests ui`: a scenario under Locust's web page, started and ended by hand."""

import os
from typing import Annotated

import typer
from rich.console import Console

from loadtests import runner
from loadtests.commands import rehearsing
from loadtests.commands.options import Assignments, NameOrFile, Out, Seed, Workers
from loadtests.errors import Interrupted, InvalidRun
from loadtests.programs import doctor, stack
from loadtests.programs.crew import Crew
from loadtests.programs.doctor import Here
from loadtests.telling import display


def ui(
    name: NameOrFile,
    variant: Annotated[str | None, typer.Option(metavar="V", help="The variant to run; default the last.")] = None,
    assignments: Assignments = None,
    seed: Seed = 1,
    out: Out = None,
    workers: Workers = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The web UI's port; default 8089, or a free one.")
    ] = None,
) -> None:
    """Open Locust's web UI on one variant of a scenario, with a control room to watch and steer it. Start begins the
    run at its T0, and again from nothing; Ctrl-C ends it and judges the last one."""
    console = display.console()
    experiment, variants = rehearsing.prepare(name, assignments, [variant] if variant else None)
    chosen = variants[-1]
    rehearsing.demand(name, experiment, [chosen])
    if len(variants) > 1:
        console.print(f"variant: {chosen} (of {', '.join(variants)}; choose with --variant)")
    folder = runner.prepare(name, experiment, [chosen], seed, out, rehearsing.command())
    web_port = stack.web_port(port)
    toxiproxy = doctor.find(doctor.TOXIPROXY, Here(os.environ)) is not None
    senders = Crew.of(workers, master=False, remote=False)
    senders.demand([experiment.of(chosen).load])
    rehearsal = runner.Rehearsal(folder, experiment, chosen, seed, senders=senders, every_hop=toxiproxy)
    with rehearsal.started() as witness:
        options = ("--web-host", "127.0.0.1", "--web-port", str(web_port))
        rehearsal.start_load(*options)
        rehearsal.load.url = url = f"http://127.0.0.1:{web_port}"
        rehearsal.load.wait_until_healthy("/")
        console.print(f"web UI: {url}   gateway: {rehearsal.gateway.url}   mock: {rehearsal.mock.url}")
        console.print(f"control room: {url}/control-room/", soft_wrap=True)
        console.print(f"raw data: {folder.path}   Start begins the run; Ctrl-C ends it and judges it", soft_wrap=True)
        try:
            rehearsal.watch(witness, until=lambda: False)
        except Interrupted:
            if rehearsal.has_happened("started"):
                _judge_last(console, rehearsal, witness)
            raise


def _judge_last(console: Console, rehearsal: runner.Rehearsal, witness: stack.Mock) -> None:
    """The web UI is closed: what its last Start did is judged like any run, though it may have been cut short."""
    try:
        rehearsal.read_to_the_end(witness)
    except InvalidRun as cut_short:
        console.print(str(cut_short), soft_wrap=True, markup=False)
    display.show_summary(console, runner.judge(rehearsal.run), rehearsal.run, rehearsal.scenario)
