"""A run before this one, from the file that `--json` wrote: what it found, beside what was found now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import BaseModel, ValidationError

from mockclaude.bench.contender import CouldNotRun
from mockclaude.bench.rounds import Row

OWN = "mockclaude"
"""Its versions differ where two of them are compared."""


class Machine(BaseModel):
    """What it was measured on."""

    cpu: str
    cores: int | None
    python: str


class Cost(BaseModel):
    """Of one measurement."""

    cpu: float | None


class Measured(BaseModel):
    """One contender under one load."""

    name: str
    n: int
    rounds: list[Cost]


class Earlier(BaseModel):
    """The part of a document that is compared."""

    bench: str
    machine: Machine
    versions: dict[str, str | None]
    rows: list[Measured]


def read(file: Path, what: str) -> Earlier:
    """What benchmark `what` wrote there; raises `CouldNotRun`."""
    expected = f"expected a file that --json of the benchmark {what!r} wrote"
    try:
        found = Earlier.model_validate_json(file.read_bytes())
    except OSError as error:
        raise CouldNotRun(f"--compare {file}: {error.strerror}; {expected}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CouldNotRun(f"--compare {file}: {where and where + ': '}{first['msg']}; {expected}") from None
    if found.bench != what:
        raise CouldNotRun(f"--compare {file}: got one of {found.bench!r}, {expected}")
    return found


def warning(before: Earlier, now: Mapping[str, Any]) -> Iterator[str]:
    """A line where machine or libraries of the two documents differ."""
    machine, versions = now["machine"], now["versions"]
    pairs = [
        ("CPU", before.machine.cpu, machine["cpu"]),
        ("cores", before.machine.cores, machine["cores"]),
        ("Python", before.machine.python, machine["python"]),
        *((name, said, versions[name]) for name, said in before.versions.items() if name in versions and name != OWN),
    ]
    if differing := [f"{what} {was} -> {is_now}" for what, was, is_now in pairs if was != is_now]:
        yield f"warning: the two runs differ in more than mockclaude: {', '.join(differing)}"


def compared(rows: Sequence[Row], before: Earlier) -> Iterator[str]:
    """CPU of each row beside what it was; figures of two runs differ by some 20 % all by themselves."""
    earlier = {(row.name, row.n): [found.cpu for found in row.rounds] for row in before.rows}
    for row in rows:
        then = [cpu for cpu in earlier.get((row.name, row.n), ()) if cpu is not None]
        now = [found.cpu for found in row.rounds if found.cpu is not None]
        if then and now:
            was, is_now = median(then) * 1e6, median(now) * 1e6
            yield f"{row.name}, {row.n} callers: {was:.3g} -> {is_now:.3g} us, {100 * (is_now / was - 1):+.0f} %"
