"""One message batch, from its creation to its deletion, and what is known of each of its requests.

A state machine without time of its own; the worker drives it:

    in_progress ──cancel──▶ canceling ──▶ ended          every request: waiting ─▶ running ─▶ one result
         └──── the last result, or 24 hours ────▲

While a batch is not ended, all its requests count as processing. Source: the batch guide and reference of
platform.claude.com, and captured bodies of each kind of result.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mockclaude import wire
from mockclaude.draw import Draw
from mockclaude.request import ask

EXPIRES_AFTER = 24 * 3600.0
ARCHIVED_AFTER = 29 * 24 * 3600.0
KINDS = ("succeeded", "errored", "canceled", "expired")


class Item(NamedTuple):
    """One request of a batch; `params` is the JSON of a request to POST /v1/messages, not judged yet."""

    custom_id: str
    params: bytes


class Batch:
    """A batch, made at loop time `now` and at `wall` for those who read its dates.

    `authority` has the headers it came with: each of its requests is judged by them. `fate` seeds what is answered.
    """

    def __init__(
        self, fate: Draw, authority: Mapping[str, str], items: Iterable[Item], now: float, wall: float
    ) -> None:
        self.id = wire.identifier("msgbatch_01", 22, fate.rng("batch-id"))
        self.created = now
        self.canceled: float | None = None
        self.ended: float | None = None
        self.waiting = deque(items)
        self.running: set[str] = set()
        self.total = len(self.waiting)
        self.waiting_bytes = sum(len(item.params) for item in self.waiting)
        self.result_bytes = 0
        self._results: list[bytes] = []
        self._counts: Counter[str] = Counter()
        self._archived: float | None = None
        self._authority = authority
        self._fate = fate
        self._wall = wall

    @property
    def expires(self) -> float:
        """When whatever is not finished expires."""
        return self.created + EXPIRES_AFTER

    def take(self) -> Item:
        """The next request, which runs from now on."""
        item = self.waiting.popleft()
        self.waiting_bytes -= len(item.params)
        self.running.add(item.custom_id)
        return item

    def fate(self, item: Item) -> Draw:
        """The chance of one request: its own, whatever else runs."""
        digest = hashlib.blake2b(self._fate.digest + item.custom_id.encode(), digest_size=16).digest()
        return self._fate._replace(digest=digest)

    def judged(self, item: Item, door: ask.Door) -> ask.Ask:
        """One request as Claude understands it. Raises what it is refused with, which becomes its result."""
        asked = ask.parse(ask.open_letter(item.params), self._authority, door)
        if asked.stream:
            raise wire.ApiError(400, '"stream=True" is not supported in the Message Batches API')
        if asked.max_tokens == 0:
            raise wire.ApiError(400, "max_tokens: must be greater than or equal to 1")
        return asked

    def succeed(self, item: Item, message: bytes, now: float) -> None:
        """A request has its message, in JSON."""
        self._settle(item.custom_id, "succeeded", b',"message":' + message)
        self._end_if_done(now)

    def fail(self, item: Item, error: wire.ApiError, now: float) -> None:
        """A request is refused: its envelope has details, and no request id."""
        details = {"error_visibility": "user_facing"} | dict(error.details or {})
        said = {"details": details, "type": error.kind, "message": error.message}
        envelope = wire.dumps({"type": "error", "error": said, "request_id": None})
        self._settle(item.custom_id, "errored", b',"error":' + envelope)
        self._end_if_done(now)

    def cancel(self, now: float) -> None:
        """Take nothing more; what runs may still end. Raises a 400 when it has ended already; twice is once."""
        if self.ended is not None:
            raise wire.ApiError(400, f"Message Batch {self.id} has already ended and cannot be canceled.")  # [C]
        if self.canceled is None:
            self.canceled = now
            self._give_up_waiting("canceled")

    def stop(self, kind: str, now: float) -> None:
        """End it: whatever is not finished is `kind`, canceled or expired."""
        self._give_up_waiting(kind)
        for custom_id in sorted(self.running):
            self._settle(custom_id, kind)
        self._end_if_done(now)

    def deletable(self) -> None:
        """Raise a 400 unless it has ended."""
        if self.ended is None:
            raise wire.ApiError(400, "In progress batches cannot be deleted. Consider canceling the batch instead.")

    def archive(self, now: float) -> None:
        """Let go of the results."""
        if self._archived is None:
            self._archived = now
            self._results.clear()
            self.result_bytes = 0

    def results(self, now: float) -> list[bytes]:
        """Lines of JSON, in the order of ending. Raises a 404 while there are none, and once they are archived."""
        if self.ended is None or self._archived_at(now) is not None:
            raise wire.ApiError(404, f"Message Batch {self.id} has no available results.")
        return self._results

    def shown(self, now: float, base_url: str) -> dict[str, object]:
        """The batch as Claude shows it."""
        counts = {kind: self._counts[kind] if self.ended is not None else 0 for kind in KINDS}
        unfinished = 0 if self.ended is not None else self.total
        available = self.ended is not None and self._archived_at(now) is None
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": self._status(),
            "request_counts": {"processing": unfinished, **counts},
            "ended_at": self._moment(self.ended),
            "created_at": self._moment(self.created),
            "expires_at": self._moment(self.expires),
            "archived_at": self._moment(self._archived_at(now)),
            "cancel_initiated_at": self._moment(self.canceled),
            "results_url": f"{base_url}/v1/messages/batches/{self.id}/results" if available else None,
        }

    def _status(self) -> str:
        if self.ended is not None:
            return "ended"
        return "in_progress" if self.canceled is None else "canceling"

    def _archived_at(self, now: float) -> float | None:
        if self._archived is not None:
            return self._archived
        due = self.created + ARCHIVED_AFTER
        return due if now >= due else None

    def _settle(self, custom_id: str, kind: str, more: bytes = b"") -> None:
        self.running.discard(custom_id)
        self._counts[kind] += 1
        line = b'{"custom_id":"%b","result":{"type":"%b"%b}}\n' % (custom_id.encode(), kind.encode(), more)
        self._results.append(line)
        self.result_bytes += len(line)

    def _give_up_waiting(self, kind: str) -> None:
        while self.waiting:
            self._settle(self.waiting.popleft().custom_id, kind)
        self.waiting_bytes = 0

    def _end_if_done(self, now: float) -> None:
        if not self.waiting and not self.running and self.ended is None:
            self.ended = now

    def _moment(self, at: float | None) -> str | None:
        """A loop time as a date: as long after the creation as the loop says, so that virtual time has dates too."""
        return None if at is None else wire.moment(self._wall + at - self.created)
