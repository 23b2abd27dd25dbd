"""What commands that rehearse do alike: check all before anything starts, say what comes, end with the verdict."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from loadtests import runner
from loadtests.documents.document import did_you_mean
from loadtests.errors import EXIT_FAIL, EXIT_PASS, CannotRun, InvalidRun
from loadtests.experiment import scenario, target
from loadtests.experiment.scenario import ClockName, Scenario
from loadtests.experiment.target import Aim
from loadtests.programs import doctor, sections
from loadtests.programs.doctor import Here
from loadtests.record.rundir import RunDir


def prepare(
    name: str,
    assignments: list[str] | None,
    chosen: list[str] | None,
    more_gates: list[str] | None = None,
    aim: Aim | None = None,
) -> tuple[Scenario, list[str]]:
    """The scenario and the variants to run, checked by all who will read it, before anything starts."""
    experiment, source = scenario.load(name, assignments or [], more_gates or [])
    for variant in chosen or []:
        if variant not in experiment.variants:
            raise CannotRun(f"--variant {variant}: {did_you_mean(variant, experiment.variants)}")
    variants = [variant for variant in experiment.variants if not chosen or variant in chosen]
    if aim is not None:
        experiment, variants = target.experiment_at(aim.target, experiment, chosen or [])
    sections.check(experiment, source, variants)
    return experiment, variants


def demand(name: str, experiment: Scenario, variants: list[str], here: Sequence[str] = ()) -> None:
    """Raises CannotRun when what these variants need beside our own programs and what is `here` already is not
    installed: how to get it."""
    wanted = [program for program in experiment.programs(variants) if program not in here]
    doctor.demand(Path(name).stem, wanted, Here(os.environ))


def rehearse_on(
    clock: ClockName, experiment: Scenario, variants: list[str], aim: Aim | None = None
) -> Callable[..., None]:
    """What runs these variants on this clock. Virtual time needs the gateway in this process, so it is imported late.
    Raises CannotRun when one of them cannot run on it."""
    if aim is not None:
        if clock == "virtual":
            raise CannotRun("--target: it runs on the real clock; leave --clock virtual out")
        return functools.partial(runner.rehearse, aim=aim)
    if clock == "real":
        return runner.rehearse
    with installed("gateway"):
        from loadtests import virtual

    for variant in variants:
        virtual.check(experiment, variant)
    return virtual.rehearse


@contextlib.contextmanager
def installed(extras: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise CannotRun(f"{error.name} is not installed; type: pip install 'mockclaude[{extras}]'") from None


def announce(console: Console, experiment: Scenario, variants: list[str], folder: RunDir, *, real: bool) -> None:
    minutes, seconds = divmod(round(runner.expected_seconds(experiment, variants)), 60)
    console.print(f"[bold]{folder.path.name}[/]: {experiment.about}", soft_wrap=True)
    how_long = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    takes = f"takes about {how_long}" if real else "on virtual time"
    console.print(f"{len(variants)} x {experiment.seconds:g} s ({', '.join(variants)}): {takes}", soft_wrap=True)


def command() -> list[str]:
    return ["loadtests", *sys.argv[1:]]


def exit_with(summary: dict[str, Any]) -> None:
    code = {"pass": EXIT_PASS, "fail": EXIT_FAIL, "invalid": InvalidRun.exit_code}[summary["verdict"]]
    raise typer.Exit(code)
