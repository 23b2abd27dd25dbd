"""The adaptive limit: how many attempts at once, found from how long the first token takes.

Netflix's Gradient2 (github.com/Netflix/concurrency-limits, Gradient2Limit.java): while the time to first token (TTFT)
is what it usually is, the limit grows by a small queue; when it is over `tolerance` times that, the limit shrinks in
proportion, to no less than half, smoothed. Where c slots are shared it settles at c * `tolerance` + `queue`. The usual
is a moving average, so an overload that lasts becomes the usual (with the defaults and a tolerance of 1.5 it doubles in
some 3,500 attempts): this finds a limit, the ceiling stays the guard.

It is fed the TTFT and never the whole time: that varies with the length of the answer a hundredfold, and a batch of
long answers would look like an overload. Even so a single TTFT says little (long prompts have a late first token);
therefore it decides once for ten attempts, as Netflix's WindowedLimit does.
"""

from __future__ import annotations

from dataclasses import dataclass

WARM_UP = 10
"""Windows whose plain mean is the first usual TTFT, before the moving average."""


@dataclass
class Window:
    """Some attempts, decided on together."""

    seen: int = 0
    dropped: int = 0
    seconds: float = 0.0
    inflight: int = 0

    def add(self, ttft: float, inflight: int, dropped: bool) -> None:
        """Another attempt; the time of a dropped one does not count."""
        self.seen += 1
        self.dropped += dropped
        self.seconds += 0.0 if dropped else ttft
        self.inflight = max(self.inflight, inflight)


class Gradient:
    """A limit between `floor` and `ceiling` (which wins where it is the lower of the two).

    `smoothing` is the share of each decision that is acted on, `long_window` the windows that make the usual TTFT,
    `queue` the growth while nothing is slow, `samples` the attempts of one window.
    """

    def __init__(
        self,
        initial: int,
        floor: int,
        ceiling: int,
        tolerance: float,
        smoothing: float = 0.2,
        long_window: int = 600,
        queue: int = 4,
        samples: int = 10,
    ) -> None:
        self._floor, self._ceiling = min(floor, ceiling), ceiling
        self._tolerance, self._smoothing, self._queue = tolerance, smoothing, queue
        self._samples, self._factor = samples, 2 / (long_window + 1)
        self._estimate = float(max(self._floor, min(ceiling, initial)))
        self._usual, self._windows = 0.0, 0
        self._window = Window()

    @property
    def limit(self) -> int:
        return int(self._estimate)

    def update(self, ttft: float, inflight: int, dropped: bool = False) -> int:
        """The limit after another attempt, whose first token took `ttft` seconds while so many were in flight.

        `dropped`: it was refused for overload or ran out of time, so its `ttft` is none and does not count; as many
        of a window, the limit shrinks by that share (Gradient2 itself takes no notice).
        """
        self._window.add(ttft, inflight, dropped)
        if self._window.seen == self._samples:
            self._decide(self._window)
            self._window = Window()
        return self.limit

    def _decide(self, window: Window) -> None:
        gradient = 1 - window.dropped / window.seen
        if answered := window.seen - window.dropped:
            recent = window.seconds / answered
            usual = self._tolerance * self._learn(recent)
            if recent > usual:
                gradient = min(gradient, usual / recent)
        if window.inflight < self._estimate / 2:  # the load, not the limit, is what keeps the concurrency down
            return
        wanted = self._estimate * max(0.5, gradient) + self._queue
        estimate = self._estimate * (1 - self._smoothing) + wanted * self._smoothing
        self._estimate = max(self._floor, min(self._ceiling, estimate))

    def _learn(self, recent: float) -> float:
        """The usual TTFT, having learnt a window's; after an overload it is brought down faster than it went up."""
        self._windows += 1
        weight = 1 / self._windows if self._windows <= WARM_UP else self._factor
        self._usual += (recent - self._usual) * weight
        usual = self._usual
        if usual > 2 * recent:
            self._usual *= 0.9
        return usual
