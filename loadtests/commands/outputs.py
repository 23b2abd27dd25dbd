"""Where a judged run is told besides its folder: the terminal, files that pipelines read, GitHub's own pages."""

import json
import os
from pathlib import Path

from rich.console import Console

from loadtests import annotations, display, junit, markdown
from loadtests.errors import CannotRun
from loadtests.rundir import RunDir
from loadtests.sample import Row


def tell(console: Console, run: RunDir, summary: Row, *, as_json: bool, junit_to: Path | None, to: Path | None) -> None:
    """Print the run and write what was asked for: JUnit XML to `junit_to`, Markdown `to` a file. Raises CannotRun."""
    about, experiment = run.read_about()
    if as_json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
    display.show_summary(console, summary, run, experiment)
    if junit_to:
        _write(junit_to, junit.render(summary))
    page = markdown.render(summary, about=experiment.about, command=about.command)
    if to:
        _write(to, page)
    if job_page := os.environ.get("GITHUB_STEP_SUMMARY"):
        _write(Path(job_page), page, mode="a")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in annotations.lines(summary):
            console.print(line, soft_wrap=True, markup=False, highlight=False)


def _write(path: Path, text: str, mode: str = "w") -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CannotRun(f"{path}: {error.strerror}") from None
