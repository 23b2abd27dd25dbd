"""`loadtests compare`: what got worse between two runs, beyond noise."""

import json
from pathlib import Path
from typing import Annotated

import typer

from loadtests.commands import outputs
from loadtests.commands.options import Markdown
from loadtests.errors import EXIT_FAIL, EXIT_PASS, CannotRun
from loadtests.judging import compare
from loadtests.sample import Row
from loadtests.telling import annotations, between, display, markdown

A_RUN = "A run's folder, that of its repeats, or a summary.json or repeat.json that was kept."


def compare_runs(
    before: Annotated[Path, typer.Argument(metavar="A", help=A_RUN)],
    after: Annotated[Path, typer.Argument(metavar="B", help="The same, of what is compared with it.")],
    to: Markdown = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures on stdout, as JSON.")] = False,
) -> None:
    """Say what got worse from A to B beyond noise; exit 1 when something did.

    Noise is told by the spread when both were run with --repeat 3 or more, else by how many requests a figure is of.
    """
    console = display.console(stderr=as_json)
    first, second = (compare.side(_read(path), str(path)) for path in (before, after))
    differences = compare.compare(first, second)
    worse = [each for each in differences if each.verdict == "worse"]
    if as_json:
        print(json.dumps([each.to_row() for each in differences], indent=2, ensure_ascii=False))
    between.show_comparison(console, first.scenario, differences)
    page = markdown.render_comparison(first.scenario, differences)
    if to:
        outputs.write(to, page)
    errors = [annotations.error(f"{first.scenario}: worse", between.in_words(each)) for each in worse]
    outputs.publish_on_github(console, page, errors)
    raise typer.Exit(EXIT_FAIL if worse else EXIT_PASS)


def _read(path: Path) -> Row:
    """Raises CannotRun when this is neither a run nor a file of one."""
    candidates = [path / "repeat.json", path / "summary.json"] if path.is_dir() else [path]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise CannotRun(f"{path}: no summary.json or repeat.json there; expected the folder of a run, or such a file")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CannotRun(f"{file}: this is not JSON: {error}") from None
    if not isinstance(found, dict) or not {"scenario", "verdict"} <= found.keys() or found.get("schema") != 1:
        raise CannotRun(f'{file}: got no summary of a run, expected "schema": 1 and the keys of summary.json')
    return found
