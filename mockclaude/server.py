"""All the state of one mock: what is in force, who runs, who waits, and what was seen.

The pure modules decide; this one asks them with the loop's time and acts with the loop's timers.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from mockclaude import cache, faults, latency, reply, theory, timeline, wire
from mockclaude.aim import Facts
from mockclaude.capacity import Capacity, State, Ticket
from mockclaude.clock import Clock, LagMeter
from mockclaude.draw import Draw
from mockclaude.endpoints.shelf import Shelf
from mockclaude.endpoints.worker import Worker
from mockclaude.journal import Attempt, Journal
from mockclaude.limits import Charge, Claim, Limits
from mockclaude.metrics import Metrics
from mockclaude.pacer import Pacer
from mockclaude.request.ask import Ask, Door
from mockclaude.request.memory import Memory
from mockclaude.settings import Settings, with_recordings
from mockclaude.slot import Slot
from mockclaude.speech import responders, script

KINDS_COUNTED = 100_000


class Server:
    """One mock. `start` and `stop` run on its loop; everything else happens between them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._config = dict(with_recordings(settings.config, Path()))
        if settings.seed is not None:
            self._config["seed"] = settings.seed
        self._plan = timeline.parse(self._config)
        self.conditions = self._plan.at(0.0)
        self.door = Door(settings.keys, settings.strict_betas, self.conditions.models)
        self.memory = Memory()
        self.instance = uuid.uuid4().hex[:8]
        self.clock = Clock()
        self.lag = LagMeter(self.clock)
        self.capacity = Capacity(self.conditions.capacity)
        self.pacer = Pacer(self.clock, self.capacity)
        self.metrics = Metrics(
            {
                "arrived": lambda: self.capacity.arrived,
                "completed": lambda: self.capacity.completed,
                "running": lambda: self.capacity.running,
                "queued": lambda: self.capacity.queued,
                "turned_away": lambda: self.capacity.turned_away,
                "cancelled": lambda: self.capacity.cancelled,
                "slots": lambda: self.capacity.size.slots,
                "loop_lag_max_seconds": lambda: self.lag.largest,
                "limit_left_requests_ratio": lambda: self._limits.lowest("requests", self.clock.now()),
                "limit_left_input_tokens_ratio": lambda: self._limits.lowest("input tokens", self.clock.now()),
                "limit_left_output_tokens_ratio": lambda: self._limits.lowest("output tokens", self.clock.now()),
                "stretch": lambda: self.capacity.stretch,
                "open": lambda: len(self.journal.open_attempts),
            },
            lambda: faults.shares(self._faults),
        )
        self.batches = Worker(
            self.clock, lambda: self.conditions.capacity.slots, self._plan_in_batch, door=lambda: self.door
        )
        self.files = Shelf()
        self.journal = Journal(self.instance, self.metrics.observe)
        self._limits = Limits(self.conditions.limits)
        self._prompts = cache.Cache()
        self._begun: faults.Faults = ()
        self._ordinals: OrderedDict[tuple[bytes, bool], int] = OrderedDict()  # a dict's first is slow to find
        self._matched: responders.Counts = Counter()
        self._slots: dict[Ticket, Slot] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin on the running loop; T0 is now until the first reset."""
        self.clock.follow()
        self.reset()
        self.lag.start()

    def stop(self) -> None:
        """Let go of every timer."""
        self.lag.stop()
        self.pacer.stop()
        self.batches.clear()
        for slot in self._slots.values():
            slot.stop()
        if self._timer is not None:
            self._timer.cancel()

    def reset(self) -> None:
        """Make this moment T0: empty journal, counts and prompt cache, refill buckets, restart ordinals and timeline.

        What runs or waits goes on, as the past's: it will not be recorded, nor its prompt be cached. Batches are
        cancelled and forgotten; files stay.
        """
        self.batches.clear()
        self.clock.restart()
        self.journal.restart(self.clock.zero)
        self.capacity.restart_counts()
        self.lag.clear()
        self._ordinals.clear()
        self._matched.clear()
        self._prompts = cache.Cache()
        self._limits = Limits(self._limits.terms, self.clock.zero)
        self._follow(0.0)

    def configure(self, sections: Mapping[str, object]) -> None:
        """Replace the sections named; raises `ConfigError` and changes nothing when any part is wrong.

        New responders count their matches from here on.
        """
        config = self._config | dict(sections)
        self._plan = timeline.parse(config)
        self._config = config
        if "faults" in sections:
            self._begun = ()
        if not sections.keys().isdisjoint(("responders", "timeline")):
            self._matched.clear()
        self._follow(self.clock.elapsed())

    def merged(self, changes: Mapping[str, object]) -> dict[str, object]:
        """The sections that `changes` makes of the configuration as it was written."""
        return {name: _merged(self._config.get(name), value) for name, value in changes.items()}

    def begin_fault(self, entry: object) -> None:
        """Put one fault in force at once, beside what the configuration and its timeline say; raises `ConfigError`."""
        self._begun += faults.parse([entry])

    def end_faults(self, name: str | None = None) -> None:
        """End the faults begun or configured, or those called `name`; the timeline's end by themselves."""
        written = cast(Sequence[Mapping[str, object]], self._config.get("faults") or [])
        kept = [entry for entry in written if name is not None and entry.get("name") != name]
        begun = tuple(fault for fault in self._begun if name not in (None, faults.NAMES[type(fault)]))
        self.configure({"faults": kept})
        self._begun = begun

    @property
    def _faults(self) -> faults.Faults:
        return self.conditions.faults + self._begun

    def config(self) -> dict[str, object]:
        """What is in force now, in the words of a configuration."""
        return timeline.as_config(self._plan, self.conditions._replace(faults=self._faults))

    def open(self, headers: Mapping[str, str], peer: int | None = None) -> Attempt:
        """An attempt arrives, from the port `peer` if there is one."""
        return self.journal.open(headers, self.clock.now(), self.clock.wall(), peer)

    def draw(self, digest: bytes, stream: bool = False) -> Draw:
        """The fate of a request with this digest; the next one like it gets another.

        Only the last 100,000 kinds of request are counted: one not seen for so long is told what it was told first.
        """
        kind = (digest, stream)
        ordinal = self._ordinals.get(kind, 0)
        self._ordinals[kind] = ordinal + 1
        self._ordinals.move_to_end(kind)
        if len(self._ordinals) > KINDS_COUNTED:
            self._ordinals.popitem(last=False)
        return Draw(self._plan.seed, digest, ordinal, stream)

    def charge(self, ask: Ask, attempt: Attempt, headers: Mapping[str, str]) -> dict[str, str]:
        """Charge the caller's buckets; the rate-limit headers, if limits are on. Raises a 429 or a 400 beyond."""
        claim = Claim(ask.key, ask.model, ask.input_tokens, headers.get("anthropic-workspace-id", ""))
        quota = self._limits.take(claim, self.clock.now())
        if quota is not None and quota.over is not None:
            raise quota.error(ask.model.id, self.clock.wall())
        attempt.charge = Charge(self._limits, claim)
        return {} if quota is None else quota.headers(self.clock.wall())

    def struck(self, asked: Ask, draw: Draw, attempt: Attempt, headers: Mapping[str, str]) -> faults.Faults:
        """The faults in force that strike this attempt, and the one it asks for itself; raises `ConfigError`."""
        struck, in_force = faults.asked(headers), self._faults
        if in_force:
            facts = Facts(attempt.n, asked, headers)
            struck = faults.drawn(in_force, facts, draw.few("faults")) + struck
        attempt.fault = faults.names(struck) if struck else None
        return struck

    def offer(self, ask: Ask, draw: Draw, struck: faults.Faults, attempt: Attempt, headers: Mapping[str, str]) -> Slot:
        """Claim a slot for this attempt, now or in the queue. Raises a 529 when both are full."""
        now, patience = self.clock.now(), _seconds_left(headers)
        said = self._respond(ask, draw, headers)
        needs = self._needs(ask, said) if patience < math.inf else 0.0  # for who has time it is the same
        ticket = self.capacity.offer(now, now + patience, needs)
        if ticket.state is State.TURNED_AWAY:
            raise wire.ApiError(429 if self.capacity.size.on_full == 429 else 529)

        prompts = self._prompts

        def plan() -> reply.Reply:
            usage = self._read(ask, prompts)
            attempt.read, attempt.cached_input_tokens = True, usage.read
            attempt.written_input_tokens = usage.written_5m + usage.written_1h
            if attempt.charge is not None:
                attempt.charge.read(usage.read, self.clock.now())
            planned = reply.plan(ask, said, usage, self._profile(ask), draw)
            return planned._replace(run=iter(faults.worsen(struck, planned.run))) if struck else planned

        slot = self._slots[ticket] = Slot(self, ticket, attempt, plan)
        if ticket.state is State.RUNNING:
            slot.start(now)
        else:
            slot.wait(self.capacity.size.max_queue_wait, now)
        return slot

    def _profile(self, ask: Ask) -> latency.Profile:
        """The speed in force now."""
        return latency.profile(self.conditions.latency, ask.model.family)

    def _respond(self, ask: Ask, draw: Draw, headers: Mapping[str, str]) -> script.Script:
        """What to say, fitted into what the request allows; raises the `ApiError` that a responder answers with."""
        length = self._profile(ask).tokens(ask.max_tokens, partial(draw.few, "length"))
        return responders.reply(self.conditions.responders, self._matched, Facts(0, ask, headers), draw, length)

    def _needs(self, ask: Ask, said: script.Script) -> float:
        """How many seconds it is going to take alone, on average and without the prompt cache."""
        if said.take is not None:
            return said.take.seconds
        return theory.mean_service(self._profile(ask), said.tokens, ask.input_tokens) * reply.haste(ask)

    def _plan_in_batch(self, ask: Ask, draw: Draw) -> reply.Reply:
        """What a request of a batch gets, at the speed in force now."""
        usage = self._read(ask, self._prompts)._replace(tier="batch")
        return reply.plan(ask, self._respond(ask, draw, {}), usage, self._profile(ask), draw)

    def _read(self, ask: Ask, prompts: cache.Cache) -> wire.Usage:
        """Read the prompt, now that generation begins: what of it the cache holds, and what it keeps from here on."""
        if not ask.marks:
            return wire.Usage(ask.input_tokens, geography=ask.geography)
        known = prompts.read(ask.marks, ask.model.cache_minimum, self.clock.now())
        fresh = ask.input_tokens - sum(known)
        return wire.Usage(fresh, known.written_5m, known.written_1h, known.read, geography=ask.geography)

    def release(self, ticket: Ticket, now: float, completed: bool) -> None:
        """A ticket's work is over; whoever waits next may start."""
        del self._slots[ticket]
        give_back = self.capacity.leave if completed else self.capacity.abandon
        self._start(give_back(ticket, now), now)

    def expire(self, ticket: Ticket, now: float) -> None:
        """A ticket has waited as long as any may."""
        self.capacity.expire(ticket)
        self._slots.pop(ticket).turn_away(wire.ApiError(529), now)

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
            "slots": capacity.size.slots,
            "queue": capacity.size.queue,
            "stretch": round(capacity.stretch, 6),
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
        self.door = Door(self.settings.keys, self.settings.strict_betas, conditions.models)
        if conditions.limits != self._limits.terms:
            self._limits.change(conditions.limits, now)
        self._start(self.capacity.resize(conditions.capacity, now), now)

    def _start(self, admitted: list[Ticket], now: float) -> None:
        for ticket in admitted:
            if ticket.state is State.RUNNING:
                self._slots[ticket].start(now)
            else:
                self._slots.pop(ticket).turn_away(wire.ApiError(529), now)


def _merged(under: object, change: object) -> object:
    """JSON Merge Patch (RFC 7396)."""
    if not isinstance(change, Mapping):
        return change
    laid = dict(under) if isinstance(under, Mapping) else {}
    for name, value in change.items():
        if value is None:
            laid.pop(name, None)
        else:
            laid[name] = _merged(laid.get(name), value)
    return laid


def _seconds_left(headers: Mapping[str, str]) -> float:
    """How long the caller still waits, from `x-request-deadline`; without a sensible one, for ever."""
    said = headers.get("x-request-deadline")
    if said is None:
        return math.inf
    try:
        seconds = float(said)
    except ValueError:
        return math.inf
    return math.inf if math.isnan(seconds) else max(0.0, seconds)
