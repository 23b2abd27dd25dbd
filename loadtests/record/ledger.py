"""Where a load process writes what happened: into the run's two files, or into messages that its master writes."""

import json
import os
from collections.abc import Callable
from typing import Any, Literal

from loadtests.experiment.plan import Plan
from loadtests.sample import Row, Sample

Kind = Literal["samples", "events"]
Write = Callable[[Kind, str], None]
"""Takes one or more whole lines of JSON."""


class Ledger:
    """The rows of one `program` that sends the load of one variant."""

    def __init__(self, variant: str, program: str, write: Write) -> None:
        self._variant, self._program, self._write = variant, program, write

    def sample(self, sample: Sample) -> None:
        self._write("samples", sample.to_json(self._variant) + "\n")

    def note(self, event: str, **fields: Any) -> None:
        row: Row = {"variant": self._variant, "program": self._program, "event": event, **fields}
        self._write("events", json.dumps(row) + "\n")


class Files:
    """The files of a run, open as long as the process: it may run out of files that it can open. A line is there as
    soon as it is written."""

    def __init__(self, plan: Plan) -> None:
        paths: dict[Kind, str] = {"samples": plan.samples, "events": plan.events}
        self._open = {
            kind: os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) for kind, path in paths.items()
        }

    def write(self, kind: Kind, lines: str) -> None:
        os.write(self._open[kind], lines.encode())


class Batch:
    """Lines that wait to be sent on, all in one message: one for each request would be a load of its own."""

    def __init__(self) -> None:
        self._lines: dict[Kind, list[str]] = {"samples": [], "events": []}

    def write(self, kind: Kind, lines: str) -> None:
        self._lines[kind].append(lines)

    def take(self) -> dict[Kind, str]:
        """What came since the last time; empty when nothing did."""
        taken = {kind: "".join(lines) for kind, lines in self._lines.items() if lines}
        for lines in self._lines.values():
            lines.clear()
        return taken
