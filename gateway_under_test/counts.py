"""How often each caller has asked in its window, in memory: the storage that slowapi counts in without Redis.

The one that its library brings starts a thread at every request, to look for windows that are over: 0.3 ms of CPU, and
the event loop stands still until it runs, which may be milliseconds. Here those are looked for when there are twice as
many as there were after the last look.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from limits.storage import Storage

FEW = 1000
"""Windows that are never worth a look."""


class Counts(Storage):
    """A window begins with its first request and is over after its `expiry`, in seconds of the wall clock."""

    STORAGE_SCHEME = ["counts"]  # noqa: RUF012 (the base class says so)
    base_exceptions = ()

    def __init__(
        self, uri: str | None = None, wrap_exceptions: bool = False, *, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__(uri, wrap_exceptions)
        self._now = now
        self._windows: dict[str, tuple[float, int]] = {}
        self._look_at = FEW

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """One more; how many these are."""
        until, count = self._window(key)
        if not count:
            until = self._now() + expiry
            self._make_room()
        self._windows[key] = until, count + amount
        return count + amount

    def get(self, key: str) -> int:
        """How many it has been."""
        return self._window(key)[1]

    def get_expiry(self, key: str) -> float:
        """When its window is over; a caller's who has none, now."""
        return self._window(key)[0] or self._now()

    def check(self) -> bool:
        """It cannot fail."""
        return True

    def reset(self) -> int:
        """Forget everybody; how many they were."""
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget one."""
        self._windows.pop(key, None)

    def _window(self, key: str) -> tuple[float, int]:
        until, count = self._windows.get(key, (0.0, 0))
        return (until, count) if until > self._now() else (0.0, 0)

    def _make_room(self) -> None:
        if len(self._windows) < self._look_at:
            return
        now = self._now()
        self._windows = {key: window for key, window in self._windows.items() if window[0] > now}
        self._look_at = max(FEW, 2 * len(self._windows))
