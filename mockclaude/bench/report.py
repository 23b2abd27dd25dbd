"""What a benchmark found, as a table for people and as JSON to compare with later."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from mockclaude.bench import cpus, goals
from mockclaude.bench.goals import Goal, Judged, Verdict
from mockclaude.bench.load import Spread
from mockclaude.bench.rounds import Measured, Row


class Sheet(NamedTuple):
    """What a table tells of each row: heading, figure and unit. `times` are told of quiet rounds; `counted` is what
    there are `n` of."""

    columns: Sequence[tuple[str, goals.Figure, float]]
    times: Sequence[str]
    counted: str = "callers"


COLUMNS: Sequence[tuple[str, goals.Figure, float]] = (
    ("CPU us", goals.cpu, 1e6),
    ("p99 late ms", goals.late, 1e3),
    ("p99 uneven ms", lambda found: found.uneven and found.uneven.p99, 1e3),
    ("p99 first ms", goals.first, 1e3),
    ("rate", lambda found: found.rate, 1),
    ("core %", lambda found: None if found.busy is None else found.busy, 100),
    ("reader %", lambda found: found.reader, 100),
    ("KB a caller", goals.memory, 1e-3),
)
"""CPU is for each token, or each answer in JSON."""
TIMES = ("p99 late ms", "p99 uneven ms", "p99 first ms")
SERVERS = Sheet(COLUMNS, TIMES)
SERVING = ("uvicorn", "uvloop", "httptools", "fastapi", "starlette", "sse-starlette", "pydantic", "orjson")
LIBRARIES = (*SERVING, "anthropic", "aiohttp", "httpx2")
MISSED, UNDECIDED = 1, 3
"""Exit codes: a goal was missed; of all that were judged none could be decided."""


def table(rows: Sequence[Row], sheet: Sheet = SERVERS) -> Iterator[str]:
    """A line for each row: medians, lowest and highest in [brackets]; times of noisy rounds in (brackets) too."""
    width = max(len(row.name) for row in rows)
    yield "  ".join([f"{'':{width}}", f"{sheet.counted:>7}", *(f"{name:>20}" for name, _, _ in sheet.columns), "quiet"])
    for row in rows:
        cells = [_cell(figure, unit, row, timed=name in sheet.times) for name, figure, unit in sheet.columns]
        failed = sum(found.failed + found.short for found in row.rounds)
        said = f"{len(row.quiet)}/{len(row.rounds)}" + (f", {failed} answers failed or were short" if failed else "")
        yield "  ".join([f"{row.name:{width}}", f"{row.n:>7}", *cells, said])


def _cell(figure: goals.Figure, unit: float, row: Row, *, timed: bool) -> str:
    noisy = timed and not row.quiet
    found = [value * unit for one in (row.quiet or row.rounds) if (value := figure(one)) is not None]
    if not found:
        return f"{'-':>20}"
    said = f"{median(found):.4g} [{min(found):.4g}-{max(found):.4g}]"
    return f"{f'({said})' if noisy else said:>20}"


def middle(figure: goals.Figure, row: Row) -> float | None:
    """The median of the rounds that count: the quiet ones, if there are any."""
    found = [value for one in (row.quiet or row.rounds) if (value := figure(one)) is not None]
    return median(found) if found else None


def verdicts(judged: Sequence[Judged]) -> Iterator[str]:
    """A line for each goal."""
    for one in judged:
        said = f"{median(one.figures):.3g} [{one.figures[0]:.3g}-{one.figures[-1]:.3g}]" if one.figures else "-"
        why = f" ({one.why})" if one.why else ""
        yield f"{one.verdict:9}  {said:>24}  at most {one.limit:<8.3g}  {one.what}{why}"


def exit_code(verdicts: Collection[Verdict]) -> int:
    """0 where nothing was missed and something decided, or where there was nothing to judge."""
    if "missed" in verdicts:
        return MISSED
    return UNDECIDED if verdicts and set(verdicts) == {"undecided"} else 0


def unjudged(held_to: Sequence[Goal], rows: Sequence[Row]) -> Iterator[str]:
    """A line where what was measured has no goal, or where a goal lacks what it is measured beside."""
    names = {row.name for row in rows}
    held = [goal for goal in held_to if goal.own in names]
    sizes, known = {row.n for row in rows if row.name in {goal.own for goal in held}}, {goal.n for goal in held}
    if not held:
        yield f"no goal is for {', '.join(sorted(names))}"
    elif without := sizes - known:
        yield f"no goal is for {_listed(without)} {held[0].counted}; there are goals for {_listed(known)}"
    elif lacking := sorted({goal.beside for goal in held if goal.n in sizes and goal.beside} - names):
        yield f"not judged: what is measured beside {', '.join(lacking)}"


def _listed(sizes: Collection[int]) -> str:
    return ", ".join(str(size) for size in sorted(sizes))


def document(
    what: str, rows: Sequence[Row], judged: Sequence[Judged], libraries: Sequence[str] = LIBRARIES
) -> dict[str, Any]:
    """All of it, with the moment, the machine and the versions it was measured with."""
    return {
        "bench": what,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {name: _version(name) for name in ("mockclaude", *libraries)},
        "rows": [{"name": row.name, "n": row.n, "rounds": [_plain(found) for found in row.rounds]} for row in rows],
        "goals": [one._asdict() for one in judged],
    }


def _plain(found: Measured) -> dict[str, object]:
    return {name: list(value) if isinstance(value, Spread) else value for name, value in found._asdict().items()}


def machine() -> dict[str, object]:
    """What it was measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    pair = cpus.here()
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "one_core": pair is not None and pair.shared,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def warning(document: Mapping[str, Any]) -> Iterator[str]:
    """A line where server and reader had no cores of their own."""
    if document["machine"].get("one_core"):
        yield "warning: server and reader ran on two threads of one core, and took from each other: there is no other"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
