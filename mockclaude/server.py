"""All the state of one mock: what is in force, who runs, who waits, and what was seen.

The pure modules decide; this one asks them with the loop's time and acts with the loop's timers.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from typing import Literal

from mockclaude import faults, latency, reply, timeline, wire
from mockclaude.capacity import Capacity, State, Ticket
from mockclaude.clock import Clock, LagMeter
from mockclaude.journal import Attempt, Journal
from mockclaude.limits import Limits
from mockclaude.metrics import Metrics
from mockclaude.settings import Settings


class Slot:
    """One attempt's claim to a slot, from the offer to its end, whoever is left to see it.

    Work whose client has left is either cancelled or, with `on_disconnect: finish`, runs to its planned end on the
    loop's timers alone: it needs no request any more.
    """

    def __init__(self, server: Server, ticket: Ticket, attempt: Attempt, plan: Callable[[], reply.Reply]) -> None:
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_drop: Callable[[], object] = lambda: None
        self.attempt = attempt
        self.ticket = ticket
        self.began = 0.0
        self.reply: reply.Reply | None = None
        self._server = server
        self._plan = plan
        self._left_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def start(self, now: float) -> None:
        """A slot is free: generation begins, at the speed in force now."""
        self.began = now
        self.reply = self._plan()
        self.attempt.queued = self.ticket.waited or 0.0
        if not self.granted.done():
            self.granted.set_result(None)
        if self._left_at is not None:
            self._run_on(self.reply)

    def leave(self) -> None:
        """The client has gone; without effect once the reply has ended."""
        if self._over or self._left_at is not None:
            return
        if self._server.conditions.capacity.on_disconnect == "cancel":
            self._end("left")
            return
        self._left_at = self._server.clock.now()
        if self.reply is not None:
            self._run_on(self.reply)

    def complete(self) -> None:
        """The last byte has gone out."""
        self._end("complete", at_planned_end=True)

    def drop(self) -> None:
        """End it now, from outside: the rehearsal is over."""
        self._end("left")
        self.on_drop()

    def stop(self) -> None:
        """Forget the timer, if any: the server goes down."""
        if self._timer is not None:
            self._timer.cancel()

    def _run_on(self, planned: reply.Reply) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(self.began + planned.seconds, self._end, "left", True)

    def _end(self, outcome: Literal["complete", "left"], at_planned_end: bool = False) -> None:
        if self._over:
            return
        self._over = True
        self.stop()
        now = self._server.clock.now()
        if self.reply is None:
            self.attempt.queued = now - self.attempt.arrived
        produced = self._produced(now)
        if at_planned_end and self.reply is not None:
            produced = self.reply.tokens
        wasted = 0 if self._left_at is None else produced - self._produced(self._left_at)
        self._server.release(self.ticket, now, completed=at_planned_end)
        self.attempt.close(outcome, now, produced, wasted)

    def _produced(self, now: float) -> int:
        return 0 if self.reply is None else self.reply.produced(now - self.began)


class Server:
    """One mock. `start` and `stop` run on its loop; everything else happens between them."""

    def __init__(self, settings: Settings) -> None:
        self._config = dict(settings.config)
        if settings.seed is not None:
            self._config["seed"] = settings.seed
        self._plan = timeline.parse(self._config)
        self.conditions = self._plan.at(0.0)
        self.instance = uuid.uuid4().hex[:8]
        self.clock = Clock()
        self.lag = LagMeter(self.clock)
        size = self.conditions.capacity
        self.capacity = Capacity(size.slots, size.queue)
        self.metrics = Metrics(
            {
                "running": lambda: self.capacity.running,
                "queued": lambda: self.capacity.queued,
                "slots": lambda: self.capacity.slots,
                "loop_lag_max_seconds": lambda: self.lag.largest,
            }
        )
        self.journal = Journal(self.instance, self.metrics.observe)
        self._limits = Limits(self.conditions.limits)
        self._ordinals: dict[bytes, int] = {}
        self._slots: dict[Ticket, Slot] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin on the running loop; T0 is now until the first reset."""
        self.reset()
        self.lag.start()

    def stop(self) -> None:
        """Let go of every timer."""
        self.lag.stop()
        for slot in self._slots.values():
            slot.stop()
        if self._timer is not None:
            self._timer.cancel()

    def reset(self) -> None:
        """Make this moment T0: empty the journal and the counts, refill buckets, restart ordinals and the timeline.

        What runs or waits goes on, as the past's: it will not be recorded.
        """
        self.clock.restart()
        self.journal.restart(self.clock.zero)
        self.capacity.restart_counts()
        self.lag.clear()
        self._ordinals.clear()
        self._limits = Limits(self._limits.rate)
        self._follow(0.0)

    def configure(self, sections: Mapping[str, object]) -> None:
        """Replace the sections named; raises `ConfigError` and changes nothing when any part is wrong."""
        config = self._config | dict(sections)
        self._plan = timeline.parse(config)
        self._config = config
        self._follow(self.clock.elapsed())

    def config(self) -> dict[str, object]:
        """What is in force now, in the words of a configuration."""
        return timeline.as_config(self._plan, self.conditions)

    def open(self, headers: Mapping[str, str]) -> Attempt:
        """An attempt arrives."""
        return self.journal.open(headers, self.clock.now(), self.clock.wall())

    def draw(self, digest: bytes) -> reply.Draw:
        """The fate of a request with this digest; the next one like it gets another."""
        ordinal = self._ordinals.get(digest, 0)
        self._ordinals[digest] = ordinal + 1
        return reply.Draw(self._plan.seed, digest, ordinal)

    def charge(self, ask: wire.Ask) -> dict[str, str]:
        """Charge the key's bucket; the rate-limit headers, if limits are on. Raises a 429 when it is empty."""
        quota = self._limits.take(ask.key, self.clock.now())
        if quota is None:
            return {}
        headers = quota.headers(self.clock.wall())
        if quota.wait:
            raise wire.ApiError(429, _over_limit(quota.limit), headers)
        return headers

    def struck(self, draw: reply.Draw) -> faults.Faults:
        """The faults in force that strike this attempt."""
        in_force = self.conditions.faults
        return faults.drawn(in_force, draw.rng("faults")) if in_force else ()

    def offer(self, ask: wire.Ask, draw: reply.Draw, struck: faults.Faults, attempt: Attempt) -> Slot:
        """Claim a slot for this attempt, now or in the queue. Raises a 529 when both are full."""
        now = self.clock.now()
        ticket = self.capacity.offer(now)
        if ticket.state is State.TURNED_AWAY:
            raise wire.ApiError(529)

        def plan() -> reply.Reply:
            planned = reply.plan(ask, latency.profile(self.conditions.latency, ask.family), draw)
            return planned._replace(run=iter(faults.worsen(struck, planned.run)))

        slot = self._slots[ticket] = Slot(self, ticket, attempt, plan)
        if ticket.state is State.RUNNING:
            slot.start(now)
        return slot

    def release(self, ticket: Ticket, now: float, completed: bool) -> None:
        """A ticket's work is over; whoever waits next may start."""
        del self._slots[ticket]
        give_back = self.capacity.leave if completed else self.capacity.abandon
        self._start(give_back(ticket, now), now)

    def close(self) -> int:
        """End everything that still runs, waits or arrives, and close its records as left; how many there were."""
        open_before = len(self.journal.open_attempts)
        for ticket in sorted(self._slots, key=lambda one: one.state is State.RUNNING):  # the queue first: none starts
            self._slots[ticket].drop()
        for attempt in self.journal.open_attempts:
            attempt.close("left", self.clock.now())
        return open_before

    def stats(self) -> dict[str, object]:
        """Counts since the reset; arrived = completed + running + queued + turned_away + cancelled."""
        capacity = self.capacity
        return {
            "t": round(self.clock.elapsed(), 6),
            "instance": self.instance,
            "arrived": capacity.arrived,
            "completed": capacity.completed,
            "running": capacity.running,
            "queued": capacity.queued,
            "turned_away": capacity.turned_away,
            "cancelled": capacity.cancelled,
            "slots": capacity.slots,
            "queue": capacity.queue,
            "open": len(self.journal.open_attempts),
            "lost": self.journal.lost,
            "stalls": [stall._asdict() for stall in self.lag.stalls],
            "loop_lag": {"max": round(self.lag.largest, 6)},
        }

    def _follow(self, t: float) -> None:
        """Put in force what the plan says for `t`, and come back when it changes.

        `t` is the boundary itself, not the moment the timer fired: some loops fire a little early.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._apply(self._plan.at(t))
        boundary = self._plan.next(t)
        if boundary is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self.clock.zero + boundary, self._follow, boundary)

    def _apply(self, conditions: timeline.Conditions) -> None:
        now = self.clock.now()
        self.conditions = conditions
        if conditions.limits != self._limits.rate:
            self._limits.change(conditions.limits, now)
        self._start(self.capacity.resize(conditions.capacity.slots, conditions.capacity.queue, now), now)

    def _start(self, admitted: list[Ticket], now: float) -> None:
        for ticket in admitted:
            self._slots[ticket].start(now)


def _over_limit(per_minute: float) -> str:
    return (
        f"This request would exceed your organization's rate limit of {per_minute:g} requests per minute. For details, "
        "refer to: https://docs.claude.com/en/api/rate-limits. You can see the response headers for current usage. "
        "Please reduce the prompt length or the maximum tokens requested, or try again later. You may also contact "
        "sales at https://claude.com/contact-sales to discuss your options for a rate limit increase."
    )
