"""The witness: one record for every attempt that arrived, opened on arrival and closed exactly once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Literal, NamedTuple

from mockclaude.limits import Charge
from mockclaude.request import ask
from mockclaude.sent import Sent

KEPT = 100_000
KEPT_SENT = 4_000_000
"""Writes of text, of all closed records together: 32 MB. The oldest records lose theirs first."""
LONGEST_KEY = 40
LONGEST_LABEL = 256
"""Characters of a model's name or a caller's own id: sent, they may be megabytes, and records are kept for long."""
TURNED_AWAY = (429, 529)

Outcome = Literal["complete", "turned_away", "rejected", "fault", "left"]


class Record(NamedTuple):
    """A closed attempt. Times are seconds since T0; `queued` is how long it waited for a slot, got or not.

    `fault` names the faults that struck it; `first_token` is when the first content delta of a stream was due. `read`:
    whether the prompt was read, which begins with a slot; of its `input_tokens` the prompt cache then knew
    `cached_input_tokens` and took in `written_input_tokens`. `peer` is the port it came from: the connection. `sent`
    are the writes of a stream that had text in them, `stalled` is how long it waited for a client who did not read.
    """

    n: int
    instance: str
    t: float
    wall: float
    request_id: str | None
    key: str
    model: str | None
    stream: bool | None
    retry_count: int
    status: int | None
    outcome: Outcome
    queued: float
    first_byte: float | None
    ended: float
    input_tokens: int
    output_tokens: int
    wasted_tokens: int
    fault: str | None
    first_token: float | None
    cached_input_tokens: int
    written_input_tokens: int
    read: bool
    peer: int | None
    sent: Sent
    stalled: float


class Attempt:
    """An open record. Its times are loop times; whatever is not known stays None."""

    status: int | None = None
    queued = 0.0
    first_byte: float | None = None
    first_token: float | None = None
    input_tokens = 0
    cached_input_tokens = 0
    written_input_tokens = 0
    read = False
    fault: str | None = None
    charge: Charge | None = None
    stalled = 0.0
    closed = False

    def __init__(
        self, journal: Journal, n: int, headers: Mapping[str, str], now: float, wall: float, peer: int | None
    ) -> None:
        self._journal = journal
        self.epoch = journal.epoch
        self.n = n
        self.arrived = now
        self.wall = wall
        self.peer = peer
        self.key = _shown(ask.credential(headers))
        self.retry_count = _number(headers.get("x-stainless-retry-count"))
        self.labels = ask.Labels(None, None, headers.get("x-request-id"))
        self.sent = Sent()

    def says(self, text: int, now: float) -> None:
        """So many bytes of text go out to the client now; a part of a stream without any is not worth a note."""
        if text:
            self.sent.note(now - self.arrived, text)

    def refuse(self, status: int, now: float, by_fault: bool = False) -> None:
        """Close with an error status, which is all the client got."""
        self.status = status
        self.first_byte = now
        self.close(_outcome(status, by_fault), now)

    def close(self, outcome: Outcome, now: float, output_tokens: int = 0, wasted_tokens: int = 0) -> None:
        """Close the record; only the first call counts."""
        if self.closed:
            return
        self.closed = True
        if self.charge is not None:
            self.charge.close(output_tokens, now)
        self._journal.take(self, outcome, now, output_tokens, wasted_tokens)


class Page(NamedTuple):
    """Records closed after a cursor, and the cursor to ask with next."""

    records: list[Record]
    cursor: int


class Journal:
    """All attempts since the last reset. Closed records are kept in the order of closing, the newest 100,000.

    `lost` counts the records that had to go before any reader had come past them. A cursor stays good over a reset:
    it goes on with what is closed afterwards.
    """

    def __init__(
        self,
        instance: str,
        watch: Callable[[Record], None] = lambda record: None,
        kept: int = KEPT,
        kept_sent: int = KEPT_SENT,
    ) -> None:
        self.instance = instance
        self.epoch = 0
        self._watch = watch
        self._kept = kept
        self._kept_sent = kept_sent
        self._ended = 0
        self.restart(0.0)

    def restart(self, now: float) -> None:
        """Empty it and make loop time `now` its T0; attempts that are open now belong to the past."""
        self.epoch += 1
        self._zero = now
        self._closed: deque[Record] = deque()
        self._told: deque[Sent] = deque()
        self._writes = 0
        self._open: dict[int, Attempt] = {}
        self._arrived = 0
        self._read = self._ended
        self.lost = 0

    @property
    def open_attempts(self) -> list[Attempt]:
        """Attempts of this epoch that have not ended."""
        return list(self._open.values())

    def open(self, headers: Mapping[str, str], now: float, wall: float, peer: int | None = None) -> Attempt:
        """An attempt arrives, from the port `peer` if there is one."""
        self._arrived += 1
        attempt = self._open[self._arrived] = Attempt(self, self._arrived, headers, now, wall, peer)
        return attempt

    def take(self, attempt: Attempt, outcome: Outcome, now: float, output_tokens: int, wasted_tokens: int) -> None:
        """Keep the record of an attempt that ended, unless it began before the reset."""
        if attempt.epoch != self.epoch:
            return
        del self._open[attempt.n]
        labels, zero = attempt.labels, self._zero
        record = Record(
            n=attempt.n,
            instance=self.instance,
            t=round(attempt.arrived - zero, 6),
            wall=attempt.wall,
            request_id=_clipped(labels.request_id),
            key=attempt.key,
            model=_clipped(labels.model),
            stream=labels.stream,
            retry_count=attempt.retry_count,
            status=attempt.status,
            outcome=outcome,
            queued=round(attempt.queued, 6),
            first_byte=None if attempt.first_byte is None else round(attempt.first_byte - zero, 6),
            ended=round(now - zero, 6),
            input_tokens=attempt.input_tokens,
            output_tokens=output_tokens,
            wasted_tokens=wasted_tokens,
            fault=attempt.fault,
            first_token=None if attempt.first_token is None else round(attempt.first_token - zero, 6),
            cached_input_tokens=attempt.cached_input_tokens,
            written_input_tokens=attempt.written_input_tokens,
            read=attempt.read,
            peer=attempt.peer,
            sent=attempt.sent,
            stalled=round(attempt.stalled, 6),
        )
        self._keep(record)
        self._watch(record)

    def page(self, after: int, limit: int) -> Page:
        """At most `limit` records closed after cursor `after`."""
        oldest = self._ended - len(self._closed)
        skip = max(0, after - oldest)
        records = list(islice(self._closed, skip, skip + limit))
        cursor = min(oldest + skip, self._ended) + len(records)
        self._read = max(self._read, cursor)
        return Page(records, cursor)

    def _keep(self, record: Record) -> None:
        self._closed.append(record)
        self._ended += 1
        if len(self._closed) > self._kept:
            if self._closed.popleft().sent:
                self._writes -= len(self._told.popleft())
            self.lost += self._ended - len(self._closed) > self._read
        if record.sent:
            self._told.append(record.sent)
            self._writes += len(record.sent)
        while self._writes > self._kept_sent:
            oldest = self._told.popleft()
            self._writes -= len(oldest)
            oldest.forget()


def _outcome(status: int, by_fault: bool) -> Outcome:
    if by_fault or (status >= 500 and status not in TURNED_AWAY):
        return "fault"
    return "turned_away" if status in TURNED_AWAY else "rejected"


def _shown(key: str) -> str:
    """A key as the journal shows it: short ones whole, a real one must not leak into a file."""
    return key if len(key) <= LONGEST_KEY else f"{key[:12]}...{key[-4:]}"


def _clipped(label: str | None) -> str | None:
    return None if label is None else label[:LONGEST_LABEL]


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else 0
