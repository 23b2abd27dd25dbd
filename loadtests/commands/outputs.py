"""Where a judged run is told besides its folder: the terminal, files that pipelines read, GitHub's own pages."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from loadtests.errors import CannotRun
from loadtests.judging import repeat
from loadtests.record.rundir import RunDir
from loadtests.sample import Row
from loadtests.telling import annotations, between, display, junit, markdown


class Outputs(NamedTuple):
    """What was asked for on the command line: JSON on standard output, and files. Raises CannotRun on writing."""

    as_json: bool
    junit: Path | None = None
    markdown: Path | None = None

    def tell(self, console: Console, run: RunDir, summary: Row) -> None:
        """One run, judged."""
        about, experiment = run.read_about()
        page = markdown.render(summary, about=experiment.about, command=about.command)
        self._publish(
            console, summary, page, [summary], lambda: display.show_summary(console, summary, run, experiment)
        )

    def tell_repeats(self, console: Console, folder: Path, summaries: Sequence[Row], command: str) -> Row:
        """The repeats of a run: repeat.json in their folder, and their spread."""
        found = repeat.build(summaries)
        judged = repeat.judged(summaries[0])
        write(folder / "repeat.json", json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        page = markdown.render_repeats(found, judged, command=command)
        self._publish(console, found, page, summaries, lambda: between.show_repeats(console, found, judged, folder))
        return found

    def _publish(
        self, console: Console, found: Row, page: str, summaries: Sequence[Row], show: Callable[[], None]
    ) -> None:
        if self.as_json:
            print(json.dumps(found, indent=2, ensure_ascii=False))
        show()
        if self.junit:
            write(self.junit, junit.render(*summaries))
        if self.markdown:
            write(self.markdown, page)
        publish_on_github(console, page, annotations.lines(found))


def publish_on_github(console: Console, page: str, lines: Sequence[str]) -> None:
    """On the summary page of a job, and beside it, where there is one."""
    if job_page := os.environ.get("GITHUB_STEP_SUMMARY"):
        write(Path(job_page), page, mode="a")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in lines:
            console.print(line, soft_wrap=True, markup=False, highlight=False)


def write(path: Path, text: str, mode: str = "w") -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CannotRun(f"{path}: {error.strerror}") from None
