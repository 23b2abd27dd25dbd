"""What the gateway logged around a moment, on the clock of the run."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from loadtests.sample import Row, Sample

BEFORE, AFTER = 5, 20
"""Lines."""
REACH = 30.0
"""Seconds: what came later has nothing to do with it."""
KNOWN = ("timestamp", "level", "event", "request_id", "method", "path", "route", "tenant", "model")
"""What stands elsewhere on a line, or is the same on all."""


ORDINARY = {"sent": True, "sends": 1}


class Line(NamedTuple):
    at: float
    level: str
    event: str
    request_id: str
    rest: str


def around(lines: Sequence[Line], moment: float) -> list[Line]:
    """The last lines before a moment and the first after it."""
    near = [line for line in lines if abs(line.at - moment) <= REACH]
    before = [line for line in near if line.at < moment]
    return [*before[-BEFORE:], *[line for line in near if line.at >= moment][:AFTER]]


def lines(rows: Iterable[Row], wall: float) -> list[Line]:
    """A log whose T0 was at `wall`, in the order of time."""
    stamped = ((row, _timestamp(row)) for row in rows)
    return sorted(_line(row, stamp - wall) for row, stamp in stamped if stamp is not None)


def lines_of_requests(
    rows: Iterable[Row], samples: Sequence[Sample], attempts: Mapping[str, Sequence[Row]]
) -> list[Line]:
    """A log without times of the run (on virtual time it has those of the wall): a line about a request stands where
    that ended, a line about an attempt as long after it came to the mock as the gateway says that it took."""
    ended = {sample.request_id: sample.ended for sample in samples}
    return sorted(_placed(rows, ended, attempts))


def _placed(rows: Iterable[Row], ended: Mapping[str, float], attempts: Mapping[str, Sequence[Row]]) -> Iterator[Line]:
    told: dict[str, int] = defaultdict(int)
    for row in rows:
        name = str(row.get("request_id", ""))
        if row.get("event") == "attempt" and row.get("sent", True):
            own = attempts.get(name, ())
            if told[name] < len(own):
                yield _line(row, own[told[name]]["t"] + row.get("duration_ms", 0.0) / 1000)
            told[name] += 1
        elif name in ended:
            yield _line(row, ended[name])


def _line(row: Row, at: float) -> Line:
    told = {key: value for key, value in row.items() if key not in KNOWN and value is not None}
    rest = " ".join(f"{key}={value}" for key, value in told.items() if ORDINARY.get(key) != value)
    level, event, name = (str(row.get(key, "")) for key in ("level", "event", "request_id"))
    return Line(round(at, 3), level, event, name, rest)


def _timestamp(row: Row) -> float | None:
    try:
        return datetime.fromisoformat(row["timestamp"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None
