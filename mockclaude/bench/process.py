"""What the kernel knows of a process: the CPU it used, how long it waited for one, and its memory (Linux)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """Since a process began: seconds on a CPU (the kernel's for it too), seconds ready but without one; RSS, bytes."""

    cpu: float
    waited: float
    memory: int

    def since(self, before: Usage) -> Usage:
        """What came on top."""
        return Usage(self.cpu - before.cpu, self.waited - before.waited, self.memory - before.memory)


def usage(pid: int) -> Usage:
    """Of all its threads; schedstat counts in nanoseconds what stat counts in ticks of 10 ms."""
    cpu = waited = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        ran, stood, _ = (task / "schedstat").read_text().split()
        cpu += int(ran)
        waited += int(stood)
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage(cpu / 1e9, waited / 1e9, pages * os.sysconf("SC_PAGE_SIZE"))
