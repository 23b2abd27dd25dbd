"""A file that may change while we run: it is looked at once a second at most, and read again when it is another."""

from __future__ import annotations

import math
import os
from pathlib import Path

EVERY = 1.0


class Watched:
    """The text of a file. The loop's seconds are arguments; `every` are those between two looks."""

    def __init__(self, path: str | Path, every: float = EVERY) -> None:
        self.path = Path(path)
        self._every = every
        self._look_at = -math.inf
        self._seen: tuple[int, ...] | None = None

    def read(self) -> str:
        """Its text now; raises OSError, and ValueError if it is not UTF-8."""
        with self.path.open("rb") as file:
            self._seen = _identity(os.fstat(file.fileno()))
            return file.read().decode("utf-8-sig")

    def news(self, now: float) -> str | None:
        """Its text if it has changed since it was read, else None; raises as `read` does, once for each change."""
        if now < self._look_at:
            return None
        self._look_at = now + self._every
        try:
            found = _identity(self.path.stat())
        except OSError:
            vanished, self._seen = self._seen is not None, None
            if vanished:
                raise
            return None
        return self.read() if found != self._seen else None


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size, status.st_ino
