"""How much Claude can do at once: slots, a bounded queue in front, and 529 when both are full.

A state machine without time of its own: `now` is an argument, and whoever drives it (the server, or an event heap in a
test against queueing theory) is told which tickets got a slot. Conservation holds after every step:

    arrived = completed + running + queued + turned away + cancelled
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge
from pydantic import Strict

from mockclaude import settings


@dataclass(frozen=True)
class Size:
    """Slots, places in the queue, and what becomes of work whose client has left.

    The defaults are generous: a thousand generations at once, a thousand waiting.
    """

    slots: int = 1000
    queue: int = 1000
    on_disconnect: Literal["cancel", "finish"] = "cancel"


class _Section(settings.Section):
    slots: Annotated[int, Strict(), Ge(0)] | None = None
    queue: Annotated[int, Strict(), Ge(0)] | None = None
    on_disconnect: Literal["cancel", "finish"] | None = None


def parse(section: object, base: Size | None = None, loc: settings.Loc = ("capacity",)) -> Size:
    """Lay a section over `base` (the defaults, if none)."""
    base = base or Size()
    change = settings.read(_Section, section, loc)
    return Size(
        base.slots if change.slots is None else change.slots,
        base.queue if change.queue is None else change.queue,
        change.on_disconnect or base.on_disconnect,
    )


class State(enum.Enum):
    """Where a ticket is."""

    QUEUED = "queued"
    RUNNING = "running"
    TURNED_AWAY = "turned away"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Ticket:
    """One attempt's claim to a slot."""

    __slots__ = ("offered", "started", "state")

    def __init__(self, now: float) -> None:
        self.offered = now
        self.started: float | None = None
        self.state = State.QUEUED

    @property
    def waited(self) -> float | None:
        """Seconds in the queue; None while it still waits or when it never ran."""
        return None if self.started is None else self.started - self.offered


class Capacity:
    """First come, first served. Methods that free a slot return the tickets which got one."""

    def __init__(self, slots: int, queue: int) -> None:
        self.slots = slots
        self.queue = queue
        self._waiting: OrderedDict[Ticket, None] = OrderedDict()
        self.running = 0
        self.arrived = 0
        self.completed = 0
        self.turned_away = 0
        self.cancelled = 0

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def offer(self, now: float) -> Ticket:
        """An attempt arrives; its ticket is running, queued or turned away."""
        ticket = Ticket(now)
        self.arrived += 1
        if self.running < self.slots:
            self._start(ticket, now)
        elif self.queued < self.queue:
            self._waiting[ticket] = None
        else:
            ticket.state = State.TURNED_AWAY
            self.turned_away += 1
        return ticket

    def leave(self, ticket: Ticket, now: float) -> list[Ticket]:
        """A running generation has come to its end."""
        if ticket.state is not State.RUNNING:
            raise ValueError(f"only a running ticket can complete, this one is {ticket.state.value}")
        ticket.state = State.COMPLETED
        self.completed += 1
        self.running -= 1
        return self._admit(now)

    def abandon(self, ticket: Ticket, now: float) -> list[Ticket]:
        """A queued or running attempt is given up."""
        if ticket.state is State.QUEUED:
            del self._waiting[ticket]
        elif ticket.state is State.RUNNING:
            self.running -= 1
        else:
            raise ValueError(f"only a queued or running ticket can be given up, this one is {ticket.state.value}")
        ticket.state = State.CANCELLED
        self.cancelled += 1
        return self._admit(now)

    def resize(self, slots: int, queue: int, now: float) -> list[Ticket]:
        """Change the size. What runs finishes and what waits keeps its place, also when there is less room now."""
        self.slots = slots
        self.queue = queue
        return self._admit(now)

    def restart_counts(self) -> None:
        """Begin new totals; what runs or waits now counts as arrived."""
        self.arrived = self.running + self.queued
        self.completed = self.turned_away = self.cancelled = 0

    def _admit(self, now: float) -> list[Ticket]:
        admitted = []
        while self._waiting and self.running < self.slots:
            ticket, _ = self._waiting.popitem(last=False)
            self._start(ticket, now)
            admitted.append(ticket)
        return admitted

    def _start(self, ticket: Ticket, now: float) -> None:
        ticket.state = State.RUNNING
        ticket.started = now
        self.running += 1
