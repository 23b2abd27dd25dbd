"""The circuit breaker: when attempts keep failing, Claude is left alone for a while, then asked once.

    state       what happens                                   becomes
    closed      too many of the last attempts failed           open
    open        the cooldown is over                           half_open
    half_open   the probe succeeded                            closed
    half_open   the probe failed                               open
    any         held: a spend cap is reached until a date      open

Who is admitted gets a ticket and says with it how the attempt ended: success, failure, or forget when it ended without
telling anything. A ticket counts only in the state in which it was given: what began before the breaker opened neither
closes nor opens it afterwards. Every ticket must come back: while a probe is out, nobody else is let in.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal, NamedTuple

State = Literal["closed", "open", "half_open"]
Event = Literal["tripped", "cooled", "probe_succeeded", "probe_failed", "held"]

TRANSITIONS: dict[tuple[State, Event], State] = {
    ("closed", "tripped"): "open",
    ("open", "cooled"): "half_open",
    ("half_open", "probe_succeeded"): "closed",
    ("half_open", "probe_failed"): "open",
    ("closed", "held"): "open",
    ("open", "held"): "open",
    ("half_open", "held"): "open",
}


class Ticket(NamedTuple):
    """The admission of one attempt, in the breaker's `era`: the number of its state changes so far."""

    era: int


class Breaker:
    """Opens for `cooldown` seconds when a share of at least `failures` of the last `window` attempts failed.

    It judges no sooner than half the window, and five attempts, are known (a window below five: all of it), and only
    when one fails.
    """

    def __init__(self, failures: float, window: int, cooldown: float) -> None:
        self._failures = failures
        self._cooldown = cooldown
        self._enough = min(window, max(5, math.ceil(window / 2)))
        self._failed: deque[bool] = deque(maxlen=window)
        self._state: State = "closed"
        self._era = 0
        self._until = -math.inf
        self._probing = False

    def state(self, now: float) -> State:
        if self._state == "open" and now >= self._until:
            self._go("cooled")
        return self._state

    def admit(self, now: float) -> Ticket | None:
        """A ticket for one attempt; None: it must not be made."""
        match self.state(now):
            case "open":
                return None
            case "half_open" if self._probing:
                return None
            case "half_open":
                self._probing = True
        return Ticket(self._era)

    def success(self, ticket: Ticket, now: float) -> None:
        """The attempt succeeded."""
        match self._state_of(ticket, now):
            case "closed":
                self._failed.append(False)
            case "half_open":
                self._go("probe_succeeded")

    def failure(self, ticket: Ticket, now: float) -> None:
        """The attempt failed, and Claude is to blame."""
        match self._state_of(ticket, now):
            case "closed":
                self._failed.append(True)
                if len(self._failed) >= self._enough and sum(self._failed) >= self._failures * len(self._failed) - 1e-9:
                    self._go("tripped", now + self._cooldown)
            case "half_open":
                self._go("probe_failed", now + self._cooldown)

    def forget(self, ticket: Ticket, now: float) -> None:
        """The attempt ended without telling anything of Claude, e.g. its caller left."""
        if self._state_of(ticket, now) == "half_open":
            self._probing = False

    def hold(self, until: float) -> None:
        """Open until that moment of the loop, whatever happens."""
        self._go("held", max(until, self._until) if self._state == "open" else until)

    def retry_in(self, now: float) -> float:
        """Seconds until it may be asked again; 0 as well while a probe is out, whose end nobody knows."""
        return max(0.0, self._until - now) if self.state(now) == "open" else 0.0

    def _state_of(self, ticket: Ticket, now: float) -> State | None:
        """The state, if it is still the one in which the ticket was given."""
        state = self.state(now)
        return state if ticket.era == self._era else None

    def _go(self, event: Event, until: float = -math.inf) -> None:
        self._state = TRANSITIONS[self._state, event]
        self._era += 1
        self._until = until
        self._probing = False
        self._failed.clear()


class NoBreaker:
    """No breaker: everybody is admitted."""

    def state(self, now: float) -> State:
        return "closed"

    def admit(self, now: float) -> Ticket | None:
        """Always."""
        return Ticket(0)

    def success(self, ticket: Ticket, now: float) -> None:
        """Nothing to count."""

    def failure(self, ticket: Ticket, now: float) -> None:
        """Nothing to count."""

    def forget(self, ticket: Ticket, now: float) -> None:
        """Nothing to free."""

    def hold(self, until: float) -> None:
        """Nothing holds it."""

    def retry_in(self, now: float) -> float:
        """At once."""
        return 0.0
