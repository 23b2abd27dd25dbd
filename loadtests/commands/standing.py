"""`loadtests doctor` and `up`: what is installed here, and a stack that is kept running to try things on."""

import os
import time
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from loadtests import runner
from loadtests.commands import rehearsing
from loadtests.commands.options import Assignments, NameOrFileOrNone, Out, Seed
from loadtests.documents.document import Document, Tree
from loadtests.errors import CannotRun, InvalidRun
from loadtests.experiment import scenario
from loadtests.experiment.scenario import Scenario
from loadtests.programs import doctor, sections
from loadtests.programs.doctor import Here, Line
from loadtests.programs.hops import Stack
from loadtests.protocol import client
from loadtests.telling import display

COLOURS = {"ok": "green", "missing": "red", "old": "yellow", "few": "yellow"}
LOOK = 0.5
DEFAULT: Tree = {
    "about": "A stack to try things on.",
    "load": {"user": "chat", "rate": 1},
    "phases": [{"name": "up", "seconds": 1}],
}


def diagnose() -> None:
    """What is installed here of what scenarios need beside our own programs, and how to get the rest. Exit 2 when some
    scenarios cannot run."""
    here = Here(os.environ)
    found = [doctor.look(tool, here) for tool in doctor.TOOLS.values()]
    display.console().print(_table(doctor.lines(found, doctor.machine())))
    raise typer.Exit(0 if doctor.ready(found) else CannotRun.exit_code)


def up(
    name: NameOrFileOrNone = None,
    variant: Annotated[str | None, typer.Option(metavar="V", help="The variant's stack; default the last.")] = None,
    assignments: Assignments = None,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Keep a stack running until Ctrl-C, and print every address: a scenario's, its network as at T0, or without a name
    one with a mock, a production gateway and whatever is installed of nginx, Toxiproxy (a hop wherever one can be) and
    Redis."""
    if name is None:
        experiment, chosen = _default(assignments or []), "default"
        between = experiment.parsed_network()
        between = between.with_all_hops() if _here(doctor.TOXIPROXY) else between
    else:
        experiment, variants = rehearsing.prepare(name, assignments, [variant] if variant else None)
        chosen = variants[-1]
        rehearsing.demand(name, experiment, [chosen])
        between = experiment.of(chosen).parsed_network()
    folder = runner.prepare(f"{name or 'stack'}-up", experiment, [chosen], seed, out, rehearsing.command())
    stack = Stack(folder, chosen, between)
    try:
        stack.start({"seed": seed, **experiment.of(chosen).mock_config()}, experiment.gateway_settings(chosen))
        stack.steer(None, time.time())
        _tell(stack, str(folder.path))
        while True:
            _demand_life(stack)
            time.sleep(LOOK)
    finally:
        stack.stop()


def _default(assignments: list[str]) -> Scenario:
    network: Tree = {"nginx": {} if _here(doctor.NGINX) else None, "redis": _here(doctor.REDIS)}
    source = Document("the default stack", {**DEFAULT, "network": network}, {})
    for assignment in assignments:
        source.set(assignment)
    experiment = scenario.parse(source)
    sections.check(experiment, source, ["default"])
    return experiment


def _here(tool: doctor.Tool) -> bool:
    return doctor.find(tool, Here(os.environ)) is not None


def _tell(stack: Stack, folder: str) -> None:
    console = display.console()
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, url in stack.addresses():
        table.add_row(name, url)
    console.print(table)
    console.print(f"X-API-Key: {client.KEY}   logs: {folder}/logs   Ctrl-C ends it", soft_wrap=True)


def _demand_life(stack: Stack) -> None:
    for program in stack.programs:
        if program.exit_code is not None:
            raise InvalidRun(f"the {program.name} died: {program.last_words()}")


def _table(lines: list[Line]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for line in lines:
        advice = f"type: {line.advice}" if line.advice else ""
        table.add_row(line.name, Text(line.state, style=COLOURS[line.state]), line.detail, advice)
    return table
