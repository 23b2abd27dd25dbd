"""What the terminal shows of several runs: the spread of repeats, and what changed from one run to another."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtests.judging.compare import Difference
from loadtests.sample import Row
from loadtests.telling import story
from loadtests.telling.display import COLOURS, columns

COLOUR_OF = {"worse": "red", "better": "green", "same": "dim"}


def show_verdict(console: Console, summary: Row, which: str) -> None:
    verdict = summary["verdict"]
    console.print(f"{summary['scenario']}, {which}: [bold {COLOURS[verdict]}]{verdict}[/]", soft_wrap=True)
    for reason in summary["reasons"]:
        console.print(f"reason: {reason}", soft_wrap=True, markup=False)


def show_repeats(console: Console, found: Row, judged: Sequence[str], folder: Path) -> None:
    """The spread of what expectations and gates look at, and how the runs ended; the rest is in repeat.json."""
    console.print()
    console.print(spread(found, judged))
    counts = ", ".join(f"{found['verdicts'].count(each)} {each}" for each in COLOURS if each in found["verdicts"])
    verdict = found["verdict"]
    console.print(
        f"\n{found['scenario']} x {len(found['seeds'])}: [bold {COLOURS[verdict]}]{verdict}[/] ({counts})"
        f"   all figures: {folder / 'repeat.json'}",
        soft_wrap=True,
    )


def spread(found: Row, judged: Sequence[str]) -> Table:
    table = columns("figure", "mean", "low", "high", "deviation", "runs")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in judged or found["spread"]:
        row = found["spread"][name]
        cells = [plain(row["metric"], row[key]) for key in ("mean", "low", "high", "deviation")]
        known = sum(value is not None for value in row["values"])
        table.add_row(name, *cells, str(known))
    return table


def show_comparison(console: Console, scenario: str, differences: Sequence[Difference]) -> None:
    """What changed, the worst first; what did not is only counted."""
    changed = [each for each in differences if each.verdict != "same"]
    if changed:
        table = columns("figure", "before", "after", "noise", "")
        for column in table.columns[1:4]:
            column.justify = "right"
        for each in sorted(changed, key=lambda each: (each.verdict != "worse", each.name)):
            cells = (plain(each.metric, value) for value in (each.before, each.after, each.noise))
            table.add_row(each.name, *cells, Text(each.verdict, style=COLOUR_OF[each.verdict]))
        console.print(table)
        console.print()
    counts = [(kind, sum(each.verdict == kind for each in differences)) for kind in COLOUR_OF]
    told = ", ".join(f"[{COLOUR_OF[kind]}]{count} {kind}[/]" for kind, count in counts)
    console.print(f"{scenario}: {told} of {len(differences)} figures", soft_wrap=True)


def in_words(each: Difference) -> str:
    """`naive.after.e2e.p95 went from 1 s to 2 s, more than its noise of 0.1 s`."""
    before, after, noise = (plain(each.metric, value) for value in (each.before, each.after, each.noise))
    return f"{each.name} went from {before} to {after}, more than its noise of {noise}"


def plain(metric: str, value: float | str | None) -> str:
    """A figure in its unit, with spaces that a terminal knows."""
    return "-" if value is None else story.measure(metric, value).replace(story.SPACE, " ")
