"""One request as its caller saw it: when, how it ended, what it got."""

import dataclasses
import json
from typing import Any

import orjson

Row = dict[str, Any]
"""One JSON object as it stands in a file: a sample, a journal record, an event, a part of summary.json."""

Attempt = Row
"""One journal record (see the mock's journal)."""

OUTCOMES = (
    "complete",
    "shed",
    "throttled",
    "overloaded",
    "rejected",
    "failed",
    "error_event",
    "truncated",
    "reset",
    "refused",
    "stalled",
    "timeout",
    "left",
    "aborted",
)

LISTS = ("gaps", "text_bytes", "wire_bytes")
TIMES = ("intended", "sent", "ended", "first_delta")


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """Times are seconds since T0. `gaps` are the waits between content deltas, in seconds; of each delta, `text_bytes`
    is the text in it, `wire_bytes` what came since the delta before, framing and all, in `encoding`. Of a request that
    its caller tried more than once, `sent` is of the first of its `tries`, and all the rest of the last.

    `outcome` is one of `OUTCOMES`, exclusive: they sum to the requests started.
    """

    request_id: str
    intended: float
    sent: float
    ended: float
    outcome: str
    status: int | None = None
    error: str | None = None
    first_delta: float | None = None
    gaps: tuple[float, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    tries: int = 1
    text_bytes: tuple[int, ...] = ()
    wire_bytes: tuple[int, ...] = ()
    encoding: str | None = None

    @property
    def ttft(self) -> float | None:
        return None if self.first_delta is None else self.first_delta - self.intended

    @property
    def ttft_sent(self) -> float | None:
        return None if self.first_delta is None else self.first_delta - self.sent

    @property
    def e2e(self) -> float:
        return self.ended - self.intended

    @property
    def service_time(self) -> float:
        return self.ended - self.sent

    @property
    def tpot(self) -> float | None:
        """(last content delta - first) / (output tokens - 1), None with fewer than two tokens or deltas."""
        if not self.gaps or self.output_tokens < 2:
            return None
        return sum(self.gaps) / (self.output_tokens - 1)

    @property
    def dispatch_lag(self) -> float:
        return self.sent - self.intended

    def to_json(self, variant: str) -> str:
        """One line, field by field: `dataclasses.asdict` would copy each of its lists, and json take its time."""
        row = {"variant": variant, **{name: getattr(self, name) for name in FIELDS}}
        for name in TIMES:
            row[name] = None if row[name] is None else round(row[name], 6)
        row["gaps"] = [round(gap, 5) for gap in self.gaps]
        try:
            return orjson.dumps(row).decode()
        except TypeError:  # half of a surrogate pair, in what a server calls its error
            return json.dumps(row, separators=(",", ":"))

    @classmethod
    def from_row(cls, row: Row) -> "Sample":
        fields = {name: value for name, value in row.items() if name != "variant"}
        listed = {name: tuple(fields[name]) for name in LISTS if name in fields}
        return cls(**{**fields, **listed})


FIELDS = tuple(field.name for field in dataclasses.fields(Sample))
