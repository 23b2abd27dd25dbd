"""Rounds: every contender once in each, one after the other: what the machine does meanwhile strikes all alike."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from mockclaude.bench import child, contender
from mockclaude.bench.contender import Contender, CouldNotRun, Running
from mockclaude.bench.load import Found, Load

NOISY = 0.008
"""Share of the time that server or reader stood ready without a CPU: something else ran, and times are not theirs."""
BUSY = 0.7
"""Share of its core beyond which the reader itself is what is measured, and nothing of the round counts."""
STARVED = 0.25
"""Share of the time without a CPU beyond which nothing counts: what came late is written in fewer, larger pieces."""
REPEATS = 2
"""How often a noisy measurement is made again before it stands as noisy."""


class Measured(Protocol):
    """What every measurement tells, whatever was measured: what it cost, and whether it may be believed."""

    @property
    def failed(self) -> int: ...
    @property
    def short(self) -> int: ...
    @property
    def wait(self) -> float: ...
    @property
    def reader(self) -> float: ...
    @property
    def cpu(self) -> float | None: ...
    def _asdict(self) -> dict[str, Any]: ...


Pair = tuple[Sequence[Contender], Sequence[Load]]
"""Contenders, and the loads that each of them is put under."""
Once = Callable[[Contender, Load], Measured]
"""Makes one measurement; raises `CouldNotRun`."""


class Row(NamedTuple):
    """One contender under one load, a measurement a round."""

    name: str
    n: int
    rounds: tuple[Measured, ...]

    @property
    def quiet(self) -> tuple[Measured, ...]:
        """The rounds in which nothing else ran; times are told from these alone."""
        return tuple(found for found in self.rounds if quiet(found))


def quiet(found: Measured) -> bool:
    """Whether the machine was this measurement's own."""
    return found.wait <= NOISY and found.reader <= BUSY


def of_server(one: Contender, load: Load) -> Found:
    """A server, by a reader on a core of its own."""
    server_core, reader_core = contender.cores()
    with contender.running(one, load, server_core) as server:
        try:
            return read(load, server, reader_core)
        except CouldNotRun as error:
            raise CouldNotRun(f"{one.name}: {error}") from None


def read(load: Load, server: Running, core: int) -> Found:
    """What a reader finds, in a process of its own on `core`; raises `CouldNotRun`."""
    task = {"load": load._asdict(), **server._asdict()}
    reader = subprocess.run(
        [sys.executable, "-m", "mockclaude.bench.reader"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        preexec_fn=child.pinned(core),
    )
    if reader.returncode:
        said = reader.stderr.strip().splitlines()[-1:]
        raise CouldNotRun(f"{load.n} callers: {' '.join(['the reader ended with', str(reader.returncode), *said])}")
    return Found.read(reader.stdout)


def measure(
    pairs: Sequence[Pair],
    rounds: int,
    tell: Callable[[str], None],
    once: Once = of_server,
) -> list[Row]:
    """Contenders under their loads, all of them interleaved; raises `CouldNotRun`."""
    chosen = [(one, load) for contenders, loads in pairs for load in loads for one in contenders]
    found: dict[tuple[str, int], list[Measured]] = {(one.name, load.n): [] for one, load in chosen}
    for k in range(rounds):
        for one, load in chosen:
            tell(f"round {k + 1} of {rounds}: {one.name}, {load.n} callers")
            found[one.name, load.n].append(_measured(one, load, once))
    return [Row(name, n, tuple(figures)) for (name, n), figures in found.items()]


def _measured(one: Contender, load: Load, once: Once) -> Measured:
    """The first quiet measurement of a few, else the least noisy; but answers that failed are never measured away."""
    tries: list[Measured] = []
    for _ in range(1 + REPEATS):
        found = once(one, load)
        if found.failed or found.short or quiet(found):
            return found
        tries.append(found)
    return min(tries, key=lambda found: found.wait)
