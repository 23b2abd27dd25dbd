"""What the programs of a run take of the machine, looked at each second: memory, and time on its processors;
and when an event loop of theirs stood still."""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import psutil

from loadtests.sample import Row

EVERY = 1.0
MIB = 1 << 20


class Use(NamedTuple):
    """`at` in seconds since T0, `rss` in bytes, `cpu` in seconds of processor time since the program began."""

    at: float
    program: str
    rss: int
    cpu: float


class Lag(NamedTuple):
    """A stretch in which an event loop stood still: its begin, and how long it lasted."""

    at: float
    seconds: float


def look(programs: Mapping[str, int], wall: float) -> list[Row]:
    """A row for each of these programs, by name and process id, with all it has started; none for one that is gone."""
    rows = []
    for name, number in programs.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(number)
            family = [process, *process.children(recursive=True)]
            rss, cpu = (sum(part) for part in zip(*map(_of_one, family), strict=True))
            rows.append({"wall": wall, "program": name, "rss": rss, "cpu": round(cpu, 3)})
    return rows


def figures(uses: Iterable[Use], spans: Sequence[tuple[float, float]]) -> Row:
    """For each program the most memory at once, in MiB (`rss`), and the processors it kept busy, on average (`cpu`),
    while the `spans` (seconds since T0) lasted. Of programs with one name, such as two nginx, the sum."""
    found: dict[str, list[Use]] = defaultdict(list)
    for use in uses:
        found[use.program].append(use)
    rss: dict[str, float] = defaultdict(float)
    cpu: dict[str, float] = defaultdict(float)
    for program, own in found.items():
        kind = program.partition("-")[0]
        inside = [[use for use in own if start <= use.at < end] for start, end in spans]
        if most := [use.rss for part in inside for use in part]:
            rss[kind] += max(most) / MIB
        if long_enough := [part for part in inside if len(part) > 1]:
            busy = sum(part[-1].cpu - part[0].cpu for part in long_enough)
            cpu[kind] += busy / sum(part[-1].at - part[0].at for part in long_enough)
    return {
        name: {kind: round(value, 3) for kind, value in each.items()} for name, each in (("rss", rss), ("cpu", cpu))
    }


def _of_one(process: psutil.Process) -> tuple[int, float]:
    try:
        with process.oneshot():
            times = process.cpu_times()
            return process.memory_info().rss, times.user + times.system
    except psutil.NoSuchProcess:
        return 0, 0.0
