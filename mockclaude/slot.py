"""One attempt's claim to a slot, from the offer to its end, whoever is left to see it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, Protocol

from mockclaude import reply, wire
from mockclaude.capacity import Capacity, State, Ticket
from mockclaude.clock import Clock
from mockclaude.journal import Attempt

log = logging.getLogger("mockclaude")


class Keeper(Protocol):
    """Who gives the slots out, and takes them back."""

    capacity: Capacity
    clock: Clock

    def release(self, ticket: Ticket, now: float, completed: bool) -> None:
        """A ticket's work is over."""

    def expire(self, ticket: Ticket, now: float) -> None:
        """A ticket has waited as long as any may."""


class Slot:
    """What becomes of one attempt that was not turned away at the door.

    Work whose client has left is either cancelled or, with `on_disconnect: finish`, runs to its planned end on the
    loop's timers alone: it needs no request any more. One that loses its place in the queue has `refused`.
    """

    def __init__(self, keeper: Keeper, ticket: Ticket, attempt: Attempt, plan: Callable[[], reply.Reply]) -> None:
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_drop: Callable[[], object] = lambda: None
        self.attempt = attempt
        self.ticket = ticket
        self.reply: reply.Reply | None = None
        self.refused: wire.ApiError | None = None
        self._keeper = keeper
        self._plan = plan
        self._left_at: float | None = None
        self._produced_then = 0
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def wait(self, longest: float | None, now: float) -> None:
        """It stands in the queue, for `longest` seconds at most."""
        if longest is not None:
            until = now + longest
            self._timer = asyncio.get_running_loop().call_at(until, self._keeper.expire, self.ticket, until)

    def start(self, now: float) -> None:
        """A slot is free: generation begins, at the speed in force now."""
        self.stop()
        self.attempt.queued = self.ticket.waited or 0.0
        try:
            self.reply = self._plan()
        except Exception:  # whoever made room for it must not suffer, and the slot must not be lost
            log.exception("attempt %d: the mock itself failed", self.attempt.n)
            self._fail_at_start(now)
            return
        self._grant()
        if self._left_at is not None:
            self._run_on(self.reply)

    def turn_away(self, error: wire.ApiError, now: float) -> None:
        """Its place in the queue is gone: whoever still waits for the answer gets `error`."""
        self._over = True
        self.stop()
        self.refused = error
        self.attempt.queued = now - self.ticket.offered
        if self._left_at is None:
            self.attempt.refuse(error.status, now)
        else:
            self.attempt.close("left", now)
        self._grant()

    @property
    def begun(self) -> float:
        """When generation began, on the clock of work."""
        return self.ticket.begun

    def leave(self) -> None:
        """The client has gone; without effect once the reply has ended."""
        if self._over or self._left_at is not None:
            return
        policy = self._keeper.capacity.size.on_disconnect
        if policy == "cancel" or (policy == "skip_if_queued" and self.ticket.state is State.QUEUED):
            self._end("left")
            return
        self._left_at = self._keeper.clock.now()
        if self.reply is not None:
            self._produced_then = self._produced(self.reply)
            self._run_on(self.reply)

    def complete(self) -> None:
        """The last byte has gone out."""
        self._end("complete", at_planned_end=True)

    def fail(self) -> None:
        """A fault has ended it, or the mock itself failed."""
        self._end("fault")

    def drop(self) -> None:
        """End it now, from outside: the rehearsal is over."""
        self._end("left")
        self.on_drop()

    def stop(self) -> None:
        """Forget the timer, if any: it is over, or the server goes down."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail_at_start(self, now: float) -> None:
        """Nothing could be planned: a 500, and the slot given back in a while, when its own granting is over."""
        self.refused = wire.ApiError(500)
        if self._left_at is None:
            self.attempt.refuse(500, now)
        self._grant()
        asyncio.get_running_loop().call_soon(self._end, "fault")

    def _grant(self) -> None:
        if not self.granted.done():
            self.granted.set_result(None)

    def _run_on(self, planned: reply.Reply) -> None:
        now = self._keeper.clock.now()
        wait = self._keeper.capacity.wait(self.begun + planned.seconds, now)
        if wait <= reply.ROUNDING:
            self._end("left", at_planned_end=True)
        else:
            self._timer = asyncio.get_running_loop().call_at(now + wait, self._run_on, planned)

    def _end(self, outcome: Literal["complete", "left", "fault"], at_planned_end: bool = False) -> None:
        if self._over:
            return
        self._over = True
        self.stop()
        now = self._keeper.clock.now()
        if self.reply is None:
            self.attempt.queued = now - self.ticket.offered
        produced = 0
        if self.reply is not None:
            produced = self.reply.tokens if at_planned_end else self._produced(self.reply)
        wasted = 0 if self._left_at is None else produced - self._produced_then
        self._keeper.release(self.ticket, now, completed=at_planned_end)
        self.attempt.close(outcome, now, produced, wasted)

    def _produced(self, planned: reply.Reply) -> int:
        return planned.produced(self._keeper.capacity.worked(self.ticket, self._keeper.clock.now()))
