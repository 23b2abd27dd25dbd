"""How long each piece of a stream may take, with one timer for all of them.

`asyncio.timeout` makes a timer for every piece and throws it away, which costs more than passing the piece on. This one
is moved only when it goes off: a piece that comes in time costs two assignments.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Patience:
    """A context for one step after the other, each of which must end at the moment `until` (None: whenever).

    Raises TimeoutError if it does not. Between two steps nothing is watched, and the task may change.
    """

    def __init__(self, until: float | None) -> None:
        self.until = until
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._over = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task(self._loop)  # without it the loop is looked for, by a system call
        if self.until is not None:
            self._cancelling = 0 if self._task is None else self._task.cancelling()
            if self._timer is None or self._timer.when() > self.until:
                self._wait(self.until)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._over:
            self._over = False
            # as asyncio.Timeout does it: if somebody else cancelled us too, that is what ends us
            if task is not None and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def close(self) -> None:
        """There are no more steps."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, until: float) -> None:
        self.close()
        self._timer = self._loop.call_at(until, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._task is None or self.until is None:
            return
        if self._loop.time() < self.until:
            self._wait(self.until)
            return
        self._over = True
        self._task.cancel()
