"""Goes off at a moment, and not up to a millisecond after it.

gevent's loop waits for whole milliseconds, rounded up: half of one late on average, which is as much as all else that
is between the moment a request is due and its first byte on the wire. The kernel's timerfd is as fine as its clock, and
is waited for like any file. Where there is none (it is Linux's own) the loop's timers have to do.
"""

import ctypes
import os
import time
from collections.abc import Callable
from typing import Any

import gevent

NONBLOCK_CLOEXEC = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
ABSOLUTE = 1
READABLE = 1
NANO = 10**9


class _Moment(ctypes.Structure):
    """struct itimerspec: no interval, and the moment itself."""

    _fields_ = (
        ("interval_seconds", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    )


class Alarm:
    """Calls `ring` in the loop. Moments are of the monotonic clock; one that has passed is now."""

    def __init__(self, ring: Callable[[], object], *, fine: bool = True) -> None:
        self._ring = ring
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._created() if fine else None
        loop: Any = gevent.get_hub().loop
        self._watcher = loop.timer(0) if self._file is None else loop.io(self._file, READABLE)
        if self._file is not None:
            self._watcher.start(self._rung)

    def set(self, moment: float) -> None:
        """Instead of the moment that was set before, if that has not come."""
        if self._file is None:
            self._watcher.stop()
            self._watcher = gevent.get_hub().loop.timer(max(0.0, moment - time.monotonic()))
            self._watcher.start(self._ring, update=True)
            return
        due = _Moment(0, 0, *divmod(max(1, round(moment * NANO)), NANO))
        if self._libc.timerfd_settime(self._file, ABSOLUTE, ctypes.byref(due), None):
            raise OSError(ctypes.get_errno(), f"timerfd_settime({moment})")

    def close(self) -> None:
        self._watcher.stop()
        self._watcher.close()
        if self._file is not None:
            os.close(self._file)

    def _created(self) -> int | None:
        if not hasattr(self._libc, "timerfd_create"):
            return None
        made = self._libc.timerfd_create(time.CLOCK_MONOTONIC, NONBLOCK_CLOEXEC)
        return made if made >= 0 else None  # no file left: that is told by those who need one

    def _rung(self) -> None:
        try:
            os.read(self._file or 0, 8)
        except BlockingIOError:  # set anew since it went off
            return
        self._ring()
