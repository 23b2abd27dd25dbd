"""What a benchmark found as Markdown, from the document that `--json` wrote: for a README, with the command for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from mockclaude.bench import growth, report
from mockclaude.bench.load import Found
from mockclaude.bench.rounds import Row

COMMANDS: Mapping[str, str] = {"count_tokens": "json --count-tokens"}
"""What a document calls itself -> the words that make it, where they differ."""
MANY = 100
"""From here on a limit is told whole."""
CELL = r"\|"
"""A bar that ends no cell."""


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Command and machine, the figures (of the rounds that count, the median), and what they are held to."""
    what = document["bench"]
    yield from head(document, f"mockclaude bench {COMMANDS.get(what, what)}")
    if document["rows"]:
        yield from figures([_row(one) for one in document["rows"]], report.SERVERS)
    if heights := document.get("heights"):
        yield from _table(["", "streams"], [[name, _height(found)] for name, found in heights.items()])
    if curves := document.get("curves"):
        yield from _curves(curves)
    if readings := document.get("readings"):
        told = [[f"{one['attempts']:,}", f"{one['memory'] / 1e6:.1f}"] for one in readings]
        yield from _table(["attempts", "MB"], told)
    yield from verdicts(document, "at least" if heights else "at most")


def head(document: Mapping[str, Any], command: str) -> Iterator[str]:
    """What was typed, and where."""
    machine = document["machine"]
    threads = ", two threads of one core" if machine.get("one_core") else ""
    yield f"`{command}`, on {machine['cores']} cores ({machine['cpu']}{threads}), Python {machine['python']}:"
    yield ""


def figures(rows: Sequence[Row], sheet: report.Sheet) -> Iterator[str]:
    """Without the columns in which there is nothing."""
    found = [[report.middle(figure, row) for _, figure, _ in sheet.columns] for row in rows]
    kept = [k for k in range(len(sheet.columns)) if any(values[k] is not None for values in found)]
    told = []
    for row, values in zip(rows, found, strict=True):
        cells = []
        for k in kept:
            heading, _, unit = sheet.columns[k]
            value = values[k]
            said = "-" if value is None else f"{value * unit:.3g}"
            cells.append(f"({said})" if heading in sheet.times and not row.quiet and value is not None else said)
        told.append([row.name, f"{row.n:,}", *cells, f"{len(row.quiet)}/{len(row.rounds)}"])
    yield from _table(["", sheet.counted, *(sheet.columns[k][0] for k in kept), "quiet"], told)


def verdicts(document: Mapping[str, Any], bound: str = "at most") -> Iterator[str]:
    """What the figures are held to."""
    if judged := [one for one in document["goals"] if "limit" in one]:
        yield from _table(["goal", "measured", bound, "verdict"], [_goal(one) for one in judged])


def _row(one: Mapping[str, Any]) -> Row:
    return Row(one["name"], one["n"], tuple(Found.read(json.dumps(found)) for found in one["rounds"]))


def _height(found: Sequence[Mapping[str, Any] | None]) -> str:
    known = [one for one in found if one is not None]
    if not known:
        return "-"
    least = "at least " if any(one["at_least"] for one in known) else ""
    return f"{least}{median(one['n'] for one in known):,.0f}"


def _curves(curves: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    told = []
    for one in curves:
        sizes, each, unit = one["sizes"], one["each"], one["unit"]
        ends = [growth.told(value, unit) for value in (each[0], each[-1])]
        steepest = max((power for power in one["exponents"] if power is not None), default=0.0)
        told.append(
            [f"{one['series']}, {sizes[0]:,} to {sizes[-1]:,}", one["what"], *ends, f"{steepest:.2f}", one["verdict"]]
        )
    yield from _table(["series", "cost", "at the first", "at the last", "steepest exponent", "verdict"], told)


def _goal(one: Mapping[str, Any]) -> list[str]:
    figures = one["figures"]
    measured = f"{median(figures):.3g} [{figures[0]:.3g}-{figures[-1]:.3g}]" if figures else "-"
    verdict = f"{one['verdict']} ({one['why']})" if one["why"] else one["verdict"]
    limit = one["limit"]
    return [one["what"], measured, f"{limit:,.0f}" if limit >= MANY else f"{limit:.3g}", verdict]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', CELL) for cell in row)} |"
    yield ""
