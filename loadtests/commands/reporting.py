"""`loadtests report`: a run judged again from what it left behind."""

import json
from pathlib import Path
from typing import Annotated

import typer

from loadtests import display, runner
from loadtests.commands import rehearsing
from loadtests.commands.options import Json
from loadtests.rundir import RunDir


def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.")], as_json: Json = False
) -> None:
    """Judge a run again from its raw files: summary.json, report.html and the table."""
    folder = RunDir(directory)
    _, experiment = folder.read_about()
    summary = runner.judge(folder)
    if as_json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
    display.show_summary(display.console(stderr=as_json), summary, folder, experiment)
    rehearsing.exit_with(summary)
