"""Whose attempt it was, where a target hands no request's id on to Claude: told by time, and by what was said.

An attempt whose text (or number of tokens) is that of a complete answer that was open then is that answer's. Any other
counts for an open request that has none yet, else for the one that had begun last: so the figures of a phase, which are
of many requests, are those of its window of time. What is said of one request alone may be another's.
"""

import bisect
from collections.abc import Sequence

from loadtests.sample import Row, Sample

FINDING = "the target hands no request's id on: each attempt counts for the time at which it came"
APART = 0.05
"""Seconds by which the two clocks may differ."""


def attributed(samples: Sequence[Sample], journal: Sequence[Row]) -> list[Row]:
    """The journal's records in the order of their coming, under the names of the requests that they are counted for.
    What came before the first request keeps its own."""
    came = sorted(journal, key=lambda attempt: float(attempt["t"]))
    begun = sorted(samples, key=lambda sample: sample.sent)
    owners = _answers(begun, came)
    starts = [sample.sent for sample in begun]
    served, seen, waiting = set(owners.values()), 0, list[Sample]()
    for number, attempt in enumerate(came):
        last = bisect.bisect_right(starts, attempt["t"] + APART)
        waiting += begun[seen:last]
        seen = max(seen, last)
        waiting = [one for one in waiting if one.ended >= attempt["t"] and one.request_id not in served]
        if number not in owners and last:
            owners[number] = _likely(attempt, waiting, begun[last - 1]).request_id
            served.add(owners[number])
    return [{**attempt, "request_id": owners.get(n, attempt["request_id"])} for n, attempt in enumerate(came)]


def _likely(attempt: Row, waiting: Sequence[Sample], latest: Sample) -> Sample:
    """Of the open requests without an attempt: for a whole answer the first that could have been told it, for anything
    else the oldest."""
    if attempt["outcome"] == "complete":
        told = (one for one in waiting if one.outcome == "complete" and one.ended + APART >= attempt["ended"])
        if (first := min(told, key=lambda one: one.ended, default=None)) is not None:
            return first
    return waiting[0] if waiting else latest


def _answers(begun: Sequence[Sample], came: Sequence[Row]) -> dict[int, str]:
    """Which attempts made which complete answers."""
    times = [attempt["t"] for attempt in came]
    owners: dict[int, str] = {}
    for sample in begun:
        if sample.outcome != "complete":
            continue
        inside = range(bisect.bisect_left(times, sample.sent - APART), bisect.bisect_right(times, sample.ended))
        fitting = (n for n in inside if n not in owners and _made(came[n], sample))
        if (number := next(fitting, None)) is not None:
            owners[number] = sample.request_id
    return owners


def _made(attempt: Row, sample: Sample) -> bool:
    if attempt["outcome"] != "complete" or attempt["ended"] > sample.ended + APART:
        return False
    if said := sum(sample.text_bytes):
        return bool(said == sum(size for _, size in attempt.get("sent", ())))
    return bool(sample.output_tokens) and bool(sample.output_tokens == attempt["output_tokens"])
