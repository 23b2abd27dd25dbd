"""One request as its caller pursues it, without sockets: the exchanges it takes, and the sample that comes of them.

What was accepted to be done in the background is asked for until it is done. What failed is tried again, if the load
says so and the caller's patience allows it; all of that is one request, under one name.
"""

import math
from typing import NamedTuple

from loadtests.protocol import client
from loadtests.protocol.client import Call, Kinds
from loadtests.protocol.reading import Exchange
from loadtests.protocol.rotation import Rotation
from loadtests.sample import Sample
from loadtests.schedule.load import Arrival, Load

POLL_EVERY = 0.5
FINAL = ("complete", "rejected", "left", "aborted")
"""Outcomes after which a caller does not try again."""
GRAIN = 1e-6
"""Seconds: what is due within this is due. A loop's clock is no finer."""


BITE = 0.1
"""Seconds' worth that a slow reader takes at once."""


def bite(reads: float) -> int:
    """How many bytes are taken at once by who reads so many a second."""
    return round(max(1.0, reads * BITE))


class Pause(NamedTuple):
    """Wait so many seconds, then ask `next` again."""

    seconds: float


class Errand:
    """What to do is said by `next`; what came of it is told with `head`, `feed`, and `end` or `fail`."""

    def __init__(
        self,
        arrival: Arrival,
        load: Load,
        key: str,
        now: float,
        rotation: Rotation | None = None,
        kinds: Kinds = client.KINDS,
    ) -> None:
        self.kind = kinds[arrival.user or load.mix[0]]
        self._gives_up = arrival.at + load.patience
        self._leaves = math.inf if arrival.waiting is None else now + arrival.waiting
        self._arrival, self._load, self._key = arrival, load, key
        self._rotation = rotation
        self._sent = self._due = self._ended = now
        self._tries = 0
        self._task: str | None = None
        self._exchange = Exchange(self.kind.dialect)
        self._outcome: str | None = None
        self._over = False

    @property
    def ends_at(self) -> float:
        """When its caller goes, if it has not ended by then: out of patience, or on purpose."""
        first, reading = self._exchange.first_delta, self._arrival.reading
        left = self._leaves if first is None or reading is None else first + reading
        return min(self._gives_up, left)

    @property
    def may_stop_reading(self) -> bool:
        """Whether its caller goes sooner than it would have, once there is something to read."""
        return self._arrival.reading is not None

    @property
    def answered(self) -> bool:
        """Whether the exchange under way has a status yet."""
        return self._exchange.status is not None

    def next(self, now: float) -> Call | Pause | None:
        """What to do now; None when it is over."""
        if not self._tries and now >= self.ends_at:
            self.give_up(now)  # no caller was free in time
        while not self._over:
            if self._due - now > GRAIN:
                return Pause(self._due - now)
            self._tries += self._task is None
            self._exchange = Exchange(self.kind.dialect)
            if self._rotation is None or self._rotation.healthy:
                return self._call(now)
            self.fail("refused", now, "out of rotation")
        return None

    def head(self, status: int, content_type: str, encoding: str = "") -> None:
        self._exchange.head(status, content_type, encoding)

    def feed(self, data: bytes, now: float) -> None:
        self._exchange.feed(data, now)

    def end(self, now: float) -> None:
        """The body of an answer ended as HTTP says it should."""
        outcome = self._exchange.outcome()
        if outcome == "complete" and self._exchange.task is not None:
            self._task, self._due = self._exchange.task, now + POLL_EVERY
            return
        self._settle(outcome, now)

    def fail(self, outcome: str, now: float, error: str | None = None) -> None:
        """The exchange broke off, or there was none: refused, reset, truncated or failed."""
        self._exchange.error = error
        self._settle(outcome, now)

    def give_up(self, now: float) -> None:
        """Its caller goes."""
        self.stop("left" if self.ends_at < self._gives_up else "timeout", now)

    def stop(self, outcome: str, now: float) -> None:
        """The caller ends it: timeout, left or aborted."""
        self._exchange.error = None
        self._outcome, self._ended, self._over = outcome, now, True

    def sample(self) -> Sample:
        """What it came to, once it is over."""
        assert self._over and self._outcome is not None
        last = self._exchange
        return Sample(
            request_id=self._arrival.request_id,
            intended=self._arrival.at,
            sent=self._sent,
            ended=self._ended,
            outcome=self._outcome,
            status=last.status,
            error=last.error,
            first_delta=last.first_delta,
            gaps=tuple(last.gaps),
            input_tokens=last.input_tokens,
            output_tokens=last.output_tokens,
            tries=self._tries,
            text_bytes=tuple(last.text_bytes),
            wire_bytes=tuple(last.wire_bytes),
            encoding=last.encoding,
        )

    def _settle(self, outcome: str, now: float) -> None:
        self._outcome, self._ended, self._task = outcome, now, None
        self._due = now + self._load.backoff * 2 ** (self._tries - 1)
        last = self._tries >= self._load.attempts or self._due >= self._gives_up
        self._over = outcome in FINAL or last

    def _call(self, now: float) -> Call:
        name = self._arrival.request_id
        if self._task is not None:
            call = self.kind.poll(self._task, name, self._key)
        else:
            call = self.kind.call(self._arrival.ask, name, self._key)
        if self._arrival.priority is not None:
            call.headers["x-priority"] = self._arrival.priority
        if self._load.deadline:
            call.headers["x-request-deadline"] = f"{max(0.001, self._gives_up - now):.3f}"
        return call
