"""What a benchmark found, as a table for people and as JSON to compare with later."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from mockclaude.bench import goals
from mockclaude.bench.goals import Judged
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
LIBRARIES = ("uvicorn", "uvloop", "httptools", "fastapi", "starlette", "sse-starlette", "pydantic", "orjson")


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


def document(
    what: str, rows: Sequence[Row], judged: Sequence[Judged], libraries: Sequence[str] = LIBRARIES
) -> dict[str, Any]:
    """All of it, with the machine and the versions it was measured with."""
    return {
        "bench": what,
        "machine": machine(),
        "versions": {name: _version(name) for name in libraries},
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
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def compared(rows: Sequence[Row], before: Mapping[str, Any]) -> Iterator[str]:
    """CPU of each row beside that of an earlier document; figures of two runs differ by some 20 % all by themselves."""
    earlier = {(row["name"], row["n"]): [found["cpu"] for found in row["rounds"]] for row in before["rows"]}
    for row in rows:
        then = [cpu for cpu in earlier.get((row.name, row.n), ()) if cpu is not None]
        now = [found.cpu for found in row.rounds if found.cpu is not None]
        if then and now:
            was, is_now = median(then) * 1e6, median(now) * 1e6
            yield f"{row.name}, {row.n} callers: {was:.3g} -> {is_now:.3g} us, {100 * (is_now / was - 1):+.0f} %"
