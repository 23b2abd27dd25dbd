"""Which CPUs are cores of their own: two threads of one core take from each other what is measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

TOPOLOGY = Path("/sys/devices/system/cpu")


class Pair(NamedTuple):
    """For the server, and for the reader; `shared` when they are threads of one core, as there is no other."""

    server: int
    reader: int
    shared: bool = False


def pick(free: Sequence[int], threads: Callable[[int], Collection[int]]) -> Pair | None:
    """The first of the free ones, and the first that is not of its core; None when there are not two."""
    if len(free) < 2:
        return None
    server, *others = free
    own = threads(server)
    apart = [cpu for cpu in others if cpu not in own]
    return Pair(server, apart[0]) if apart else Pair(server, others[0], shared=True)


def here() -> Pair | None:
    """Of the CPUs that this process may use."""
    return pick(sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [], threads)


def threads(cpu: int, topology: Path = TOPOLOGY) -> frozenset[int]:
    """All CPUs of this one's core, as far as the kernel tells."""
    told = topology / f"cpu{cpu}" / "topology" / "thread_siblings_list"
    return listed(told.read_text()) if told.exists() else frozenset({cpu})


def listed(said: str) -> frozenset[int]:
    """As the kernel writes CPUs: `0,4` or `0-1,8-9`."""
    ends = [part.partition("-") for part in said.strip().split(",")]
    return frozenset(cpu for first, _, last in ends for cpu in range(int(first), int(last or first) + 1))
