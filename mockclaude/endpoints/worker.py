"""Processes batches on the loop's timers: each request takes the seconds that its reply would take.

Batches do not compete with live requests at Claude, so they take no slot here: as many of their requests as there are
slots run beside those, one batch after the other in turn. Neither faults nor limits apply, and no attempt is recorded.

Memory is bounded: `QUEUE` requests and `QUEUE_BYTES` of them wait at most (a 429 beyond), `KEPT` batches are kept (the
oldest that has ended is forgotten), and of the results `RESULT_BYTES` (the oldest are archived; one batch alone may
have more).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from mockclaude import reply, wire
from mockclaude.clock import Clock
from mockclaude.draw import Draw
from mockclaude.endpoints.batch import Batch, Item
from mockclaude.request.ask import ANYONE, Ask, Door
from mockclaude.settings import ConfigError

QUEUE = 200_000
QUEUE_BYTES = 512 * 1024 * 1024
KEPT = 1000
RESULT_BYTES = 256 * 1024 * 1024
WINDING_DOWN = 1.0
"""Seconds that a canceled batch stays `canceling`: what ends within them still succeeds. Claude takes about 25 [B]."""
AT_ONCE = 16
"""Requests begun in one turn of the loop, so that a large batch does not hold up the streams."""

log = logging.getLogger("mockclaude")


class Worker:
    """The batches of one mock, and whatever of them runs.

    `slots` says how many requests run at once (one at least), `plan` what becomes of one that may pass the `door`.
    """

    def __init__(
        self,
        clock: Clock,
        slots: Callable[[], int],
        plan: Callable[[Ask, Draw], reply.Reply],
        result_bytes: int = RESULT_BYTES,
        door: Callable[[], Door] = lambda: ANYONE,
    ) -> None:
        self._clock = clock
        self._slots = slots
        self._plan = plan
        self._result_bytes = result_bytes
        self._door = door
        self._kept: dict[str, Batch] = {}
        self._queue: deque[Batch] = deque()
        self._running: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._turn: asyncio.Handle | None = None

    def create(self, batch: Batch) -> None:
        """Take a batch on. Raises a 429 when too much waits already."""
        waiting = sum(len(one.waiting) for one in self._queue) + batch.total
        size = sum(one.waiting_bytes for one in self._queue) + batch.waiting_bytes
        if waiting > QUEUE or size > QUEUE_BYTES or not self._has_room():
            raise wire.ApiError(429, "Too many requests are in the batch processing queue. Please try again later.")
        self._kept[batch.id] = batch
        self._queue.append(batch)
        loop = asyncio.get_running_loop()
        self._ends[batch.id] = loop.call_at(batch.expires, self._stop, batch, "expired")
        self._wake()

    def find(self, batch_id: str) -> Batch:
        """The batch with this id; raises a 404."""
        if batch_id not in self._kept:
            raise wire.ApiError(404, f"Message Batch {batch_id} not found.")
        return self._kept[batch_id]

    def newest(self) -> list[Batch]:
        """All batches, newest first."""
        return list(reversed(self._kept.values()))

    def cancel(self, batch: Batch) -> None:
        """Begin to cancel it; raises a 400 when it has ended."""
        again = batch.canceled is not None
        batch.cancel(self._clock.now())
        if again:
            return
        if batch in self._queue:
            self._queue.remove(batch)
        self._ends[batch.id].cancel()
        loop = asyncio.get_running_loop()
        self._ends[batch.id] = loop.call_later(WINDING_DOWN, self._stop, batch, "canceled")

    def delete(self, batch: Batch) -> None:
        """Forget it; raises a 400 unless it has ended."""
        batch.deletable()
        del self._kept[batch.id]

    def clear(self) -> None:
        """Cancel and forget everything, without a trace."""
        for handle in (*self._running.values(), *self._ends.values()):
            handle.cancel()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        for kept in (self._kept, self._queue, self._running, self._ends):
            kept.clear()

    def _wake(self) -> None:
        if self._turn is None and self._queue:
            self._turn = asyncio.get_running_loop().call_soon(self._begin_some)

    def _begin_some(self) -> None:
        self._turn = None
        for _ in range(AT_ONCE):
            if not self._queue or len(self._running) >= max(1, self._slots()):
                return
            batch = self._queue.popleft()
            item = batch.take()
            if batch.waiting:
                self._queue.append(batch)
            self._begin(batch, item)
        self._wake()

    def _begin(self, batch: Batch, item: Item) -> None:
        now = self._clock.now()
        try:
            planned = self._plan(batch.judged(item, self._door()), batch.fate(item))
        except wire.ApiError as error:
            batch.fail(item, error, now)
        except ConfigError as error:
            batch.fail(item, wire.ApiError(400, str(error)), now)
        except Exception:
            log.exception("%s, %s: the mock itself failed", batch.id, item.custom_id)
            batch.fail(item, wire.ApiError(500), now)
        else:
            loop = asyncio.get_running_loop()
            timer = loop.call_at(now + planned.seconds, self._finish, batch, item, planned)
            self._running[batch.id, item.custom_id] = timer
        self._note_end(batch)

    def _finish(self, batch: Batch, item: Item, planned: reply.Reply) -> None:
        del self._running[batch.id, item.custom_id]
        try:
            batch.succeed(item, b"".join(chunk.data for chunk in planned.run), self._clock.now())
        except Exception:
            log.exception("%s, %s: the mock itself failed", batch.id, item.custom_id)
            batch.fail(item, wire.ApiError(500), self._clock.now())
        self._note_end(batch)
        self._wake()

    def _stop(self, batch: Batch, kind: str) -> None:
        for custom_id in batch.running:
            self._running.pop((batch.id, custom_id)).cancel()
        if batch in self._queue:
            self._queue.remove(batch)
        batch.stop(kind, self._clock.now())
        self._note_end(batch)
        self._wake()

    def _note_end(self, batch: Batch) -> None:
        if batch.ended is None:
            return
        self._ends.pop(batch.id).cancel()
        ended = [one for one in self._kept.values() if one.ended is not None]
        size = sum(one.result_bytes for one in ended)
        for one in ended:
            if size <= self._result_bytes or one is batch:
                return
            size -= one.result_bytes
            one.archive(self._clock.now())

    def _has_room(self) -> bool:
        """Whether one more batch can be kept, at the cost of the oldest that has ended."""
        if len(self._kept) < KEPT:
            return True
        oldest = next((one.id for one in self._kept.values() if one.ended is not None), None)
        if oldest is not None:
            del self._kept[oldest]
        return oldest is not None
