"""How much Claude can do at once: slots, a queue in front, a pace that falls with the number running.

A state machine without time of its own: `now` is an argument, and whoever drives it (the server, or an event heap in a
test against queueing theory) is told which tickets got a slot or lost their place. Conservation holds after every step:

    arrived = completed + running + queued + turned away + cancelled

Work is counted on a clock of its own. All that runs is slowed by the same factor, which depends on how many run, so one
number says how far that clock has fallen behind: `lag(now)`. A generation that began at b and takes s seconds alone is
done when now - lag(now) = b - lag(b) + s. Without a slow-down the lag is zero for ever, and times are exact.
"""

from __future__ import annotations

import enum
import heapq
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le
from pydantic import ConfigDict, Strict

from mockclaude import settings

FORGOTTEN = 64
"""How many of those who left the queue may still stand in the order by deadline, beyond as many as wait."""

LOOK_AGAIN = 0.005
"""Seconds. Where the pace follows the load, a wait may become shorter; it is not looked at more often than this."""

Order = Literal["fifo", "lifo", "deadline"]
OnFull = Literal[529, 429, "wait"]
OnDisconnect = Literal["cancel", "finish", "skip_if_queued"]


@dataclass(frozen=True)
class Linear:
    """A generation takes `s0 + a * N` seconds when N run, for one that takes `s0` alone; others in proportion."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    s0: Annotated[float, Gt(0)]
    a: Annotated[float, Ge(0)]


@dataclass(frozen=True)
class Size:
    """Slots, the queue in front of them, who is next, and what becomes of those who wait too long or leave.

    `queue` None is unbounded. `slowdown` is either the factor by which all is slower when every slot is taken (linear
    in between, as llm-d-inference-sim's time-factor-under-load), or `Linear`. The defaults are generous: a thousand
    generations at once, a thousand waiting, nothing slower.
    """

    slots: int = 1000
    queue: int | None = 1000
    on_disconnect: OnDisconnect = "cancel"
    order: Order = "fifo"
    max_queue_wait: float | None = None
    on_full: OnFull = 529
    slowdown: float | Linear | None = None

    def stretch(self, running: int) -> float:
        """How many times longer all takes while `running` generations run."""
        if self.slowdown is None or running == 0:
            return 1.0
        if isinstance(self.slowdown, Linear):
            return 1 + self.slowdown.a / self.slowdown.s0 * running
        return 1 + (self.slowdown - 1) * (running - 1) / max(1, self.slots - 1)


MOST_SLOTS = 1_000_000


class _Section(settings.Section):
    slots: Annotated[int, Strict(), Ge(0), Le(MOST_SLOTS)] | None = None
    queue: Annotated[int, Strict(), Ge(0)] | None = None
    on_disconnect: OnDisconnect | None = None
    order: Order | None = None
    max_queue_wait: Annotated[float, Strict(), Ge(0)] | None = None
    on_full: OnFull | None = None
    slowdown: Annotated[float, Strict(), Ge(1)] | None = None


def parse(section: object, base: Size | None = None, loc: settings.Loc = ("capacity",)) -> Size:
    """Lay a section over `base` (the defaults, if none)."""
    given = dict(section) if isinstance(section, Mapping) else {}
    unbounded: dict[str, Any] = {n: None for n in ("queue", "max_queue_wait") if given.get(n) == "unbounded"}
    linear = given.get("slowdown") if isinstance(given.get("slowdown"), Mapping) else None
    rest = {name: value for name, value in given.items() if name not in unbounded and value is not linear}
    changed: dict[str, Any] = dict(settings.read(_Section, rest if given else section, loc))
    if linear is not None:
        changed["slowdown"] = settings.read(Linear, linear, (*loc, "slowdown"))
    set_now = {name: value for name, value in changed.items() if value is not None}
    return replace(base or Size(), **unbounded | set_now)


def as_config(size: Size) -> dict[str, object]:
    """The section that gives this size."""
    section: dict[str, object] = asdict(size)
    section["queue"] = "unbounded" if size.queue is None else size.queue
    return {name: value for name, value in section.items() if value is not None}


class State(enum.Enum):
    """Where a ticket is."""

    QUEUED = "queued"
    RUNNING = "running"
    TURNED_AWAY = "turned away"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Ticket:
    """One attempt's claim to a slot. It is done in time if it ends by `deadline`, and `needs` seconds alone."""

    __slots__ = ("deadline", "needs", "offered", "started", "started_lag", "state")

    def __init__(self, now: float, deadline: float = math.inf, needs: float = 0.0) -> None:
        self.offered = now
        self.deadline = deadline
        self.needs = needs
        self.started: float | None = None
        self.started_lag = 0.0
        self.state = State.QUEUED

    @property
    def begun(self) -> float:
        """When it started, on the clock of work."""
        return 0.0 if self.started is None else self.started - self.started_lag

    @property
    def waited(self) -> float | None:
        """Seconds in the queue; None while it still waits or when it never ran."""
        return None if self.started is None else self.started - self.offered


class Capacity:
    """Who runs and who waits. Methods return the tickets whose state they changed besides the one they were given:

    those that got a slot (`RUNNING`), and with `order: deadline` those dropped because they cannot finish in time
    (`TURNED_AWAY`).
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self._waiting: OrderedDict[Ticket, None] = OrderedDict()
        self._by_deadline: list[tuple[float, int, Ticket]] = []
        self._lag = 0.0
        self._stamp = 0.0
        self._offers = 0
        self.running = 0
        self.arrived = 0
        self.completed = 0
        self.turned_away = 0
        self.cancelled = 0

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def stretch(self) -> float:
        """How many times longer all takes now."""
        return self.size.stretch(self.running)

    def lag(self, now: float) -> float:
        """Seconds that work has fallen behind the clock since the beginning."""
        return self._lag + (now - self._stamp) * (1 - 1 / self.stretch) if self.size.slowdown else self._lag

    def work(self, now: float) -> float:
        """What the clock of work shows: everything due on it is due as its own ticket's `begun` and so many seconds."""
        return now - (self._lag if self.size.slowdown is None else self.lag(now))

    def wait(self, work: float, now: float) -> float:
        """How many seconds to wait before looking whether the clock of work shows `work`; 0 or less if it does.

        If all others left now it would run as it does for one alone: it is not so far before that.
        """
        wait = (work - self.work(now)) * self.stretch
        return wait if self.size.slowdown is None else min(wait, max(LOOK_AGAIN, wait / self.stretch))

    def worked(self, ticket: Ticket, now: float) -> float:
        """Seconds of work done on a ticket that runs, as if it had run alone."""
        return self.work(now) - ticket.begun if ticket.started is not None else 0.0

    def offer(self, now: float, deadline: float = math.inf, needs: float = 0.0) -> Ticket:
        """An attempt arrives; its ticket is running, queued or turned away."""
        ticket = Ticket(now, deadline, needs)
        self.arrived += 1
        if self.running < self.size.slots:
            self._start(ticket, now)
        elif self.size.on_full == "wait" or self.size.queue is None or self.queued < self.size.queue:
            self._wait(ticket)
        else:
            self._turn_away(ticket)
        return ticket

    def leave(self, ticket: Ticket, now: float) -> list[Ticket]:
        """A running generation has come to its end."""
        if ticket.state is not State.RUNNING:
            raise ValueError(f"only a running ticket can complete, this one is {ticket.state.value}")
        self._count_running(-1, now)
        ticket.state = State.COMPLETED
        self.completed += 1
        return self._admit(now)

    def abandon(self, ticket: Ticket, now: float) -> list[Ticket]:
        """A queued or running attempt is given up."""
        if ticket.state is State.QUEUED:
            del self._waiting[ticket]
        elif ticket.state is State.RUNNING:
            self._count_running(-1, now)
        else:
            raise ValueError(f"only a queued or running ticket can be given up, this one is {ticket.state.value}")
        ticket.state = State.CANCELLED
        self.cancelled += 1
        return self._admit(now)

    def expire(self, ticket: Ticket) -> None:
        """A queued attempt has waited as long as any may."""
        if ticket.state is not State.QUEUED:
            raise ValueError(f"only a queued ticket can expire, this one is {ticket.state.value}")
        del self._waiting[ticket]
        self._turn_away(ticket)

    def resize(self, size: Size, now: float) -> list[Ticket]:
        """Change the size. What runs finishes and what waits keeps its place, also when there is less room now."""
        self._lag, self._stamp = self.lag(now), now
        self.size = size
        self._sort()
        return self._admit(now)

    def restart_counts(self) -> None:
        """Begin new totals; what runs or waits now counts as arrived."""
        self.arrived = self.running + self.queued
        self.completed = self.turned_away = self.cancelled = 0

    def _admit(self, now: float) -> list[Ticket]:
        changed = []
        while self._waiting and self.running < self.size.slots:
            ticket = self._next()
            if self.size.order == "deadline" and self._too_late(ticket, now):
                self._turn_away(ticket)
            else:
                self._start(ticket, now)
            changed.append(ticket)
        return changed

    def _too_late(self, ticket: Ticket, now: float) -> bool:
        return now + ticket.needs * self.size.stretch(self.running + 1) > ticket.deadline

    def _next(self) -> Ticket:
        if self.size.order != "deadline":
            return self._waiting.popitem(last=self.size.order == "lifo")[0]
        while True:
            _, _, ticket = heapq.heappop(self._by_deadline)
            if ticket in self._waiting:
                del self._waiting[ticket]
                return ticket

    def _wait(self, ticket: Ticket) -> None:
        self._waiting[ticket] = None
        if self.size.order == "deadline":
            self._offers += 1
            heapq.heappush(self._by_deadline, (ticket.deadline, self._offers, ticket))
            if len(self._by_deadline) > 2 * self.queued + FORGOTTEN:
                self._sort()

    def _sort(self) -> None:
        """Order the queue by deadline anew, without those who have left it."""
        waiting = self._waiting if self.size.order == "deadline" else ()
        self._by_deadline = [(ticket.deadline, k, ticket) for k, ticket in enumerate(waiting)]
        self._offers = len(self._by_deadline)
        heapq.heapify(self._by_deadline)

    def _turn_away(self, ticket: Ticket) -> None:
        ticket.state = State.TURNED_AWAY
        self.turned_away += 1

    def _start(self, ticket: Ticket, now: float) -> None:
        self._count_running(1, now)
        ticket.state = State.RUNNING
        ticket.started = now
        ticket.started_lag = self._lag

    def _count_running(self, change: int, now: float) -> None:
        self._lag, self._stamp = self.lag(now), now
        self.running += change
