"""`loadtests agree`: the same scenario on both clocks, figure by figure."""

import typer

from loadtests import runner
from loadtests.commands import rehearsing
from loadtests.commands.options import Assignments, NameOrFile, Seed, Variants
from loadtests.errors import EXIT_FAIL, EXIT_PASS, InvalidRun
from loadtests.experiment.scenario import ClockName
from loadtests.judging import agreement
from loadtests.telling import display


def agree(name: NameOrFile, variant: Variants = None, assignments: Assignments = None, seed: Seed = 1) -> None:
    """Run a scenario on virtual time and for real, and compare every judged figure."""
    console = display.console()
    experiment, variants = rehearsing.prepare(name, assignments, variant)
    found = {}
    clocks: tuple[ClockName, ...] = ("virtual", "real")
    for clock in clocks:
        rehearse = rehearsing.rehearse_on(experiment.choose_clock(clock), experiment, variants)
        folder = runner.prepare(name, experiment, variants, seed, None, rehearsing.command())
        rehearsing.announce(console, experiment, variants, folder, real=clock == "real")
        with display.Progress(console, folder, experiment, seed) as progress:
            for each in variants:
                rehearse(folder, experiment, each, seed, progress.show)
        found[clock] = runner.judge(folder)
    judged = [phase.name for phase in experiment.phases if phase.judge]
    figures = list(agreement.compare(found["virtual"], found["real"], judged))
    console.print(display.agreement(figures))
    apart = [figure for figure in figures if not figure.agrees]
    console.print(f"{name}: {len(figures) - len(apart)} of {len(figures)} figures agree, seed {seed}")
    verdicts = [found[clock]["verdict"] for clock in clocks]
    console.print(f"verdicts: virtual {verdicts[0]}, real {verdicts[1]}")
    if verdicts[1] == "invalid":
        raise InvalidRun("; ".join(found["real"]["reasons"]))
    raise typer.Exit(EXIT_FAIL if apart or verdicts[0] != verdicts[1] else EXIT_PASS)
