"""`loadtests report`: a run judged again from what it left behind."""

from pathlib import Path
from typing import Annotated

import typer

from loadtests import runner
from loadtests.commands import rehearsing
from loadtests.commands.options import Json, Junit, Markdown
from loadtests.commands.outputs import Outputs
from loadtests.record.rundir import RunDir
from loadtests.telling import display


def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.")],
    junit: Junit = None,
    markdown: Markdown = None,
    as_json: Json = False,
) -> None:
    """Judge a run again from its raw files: summary.json, report.html and the table."""
    folder = RunDir(directory)
    summary = runner.judge(folder)
    Outputs(as_json, junit, markdown).tell(display.console(stderr=as_json), folder, summary)
    rehearsing.exit_with(summary)
