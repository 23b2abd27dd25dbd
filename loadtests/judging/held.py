"""The callers' samples and the mock's journal, joined reply by reply: when text was sent, and when it came."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from loadtests.judging import detector
from loadtests.judging.detector import Arrived, Sent, Trace
from loadtests.sample import Row, Sample


def traces(samples: Iterable[Sample], attempts: Mapping[str, Sequence[Row]]) -> dict[str, Trace]:
    """Of each complete answer that came as a stream, by the id of its request; `attempts` are journal records."""
    found = {}
    for sample in samples:
        if sample.outcome != "complete" or not any(sample.text_bytes):
            continue
        spoken = [attempt for attempt in attempts.get(sample.request_id, ()) if attempt.get("sent")]
        if spoken:
            found[sample.request_id] = Trace(_sent(_winner(spoken, sample)), _arrived(sample), sample.encoding or "")
    return found


def offset(found: Iterable[Trace]) -> float:
    """The callers' clock minus the mock's. Both count from the same reset, so it is nothing but the time the reset took
    to be answered; no piece came before it was sent, and by that much at least it is known."""
    return min(
        (least for trace in found if (least := detector.least_delay(trace)) is not None and least < 0), default=0
    )


def _winner(spoken: Sequence[Row], sample: Sample) -> Row:
    """The attempt whose text it was. Others broke off, or were hedges: theirs is another."""
    total = sum(sample.text_bytes)
    same = [attempt for attempt in spoken if sum(size for _, size in attempt["sent"]) == total]
    return (same or [attempt for attempt in spoken if attempt["outcome"] == "complete"] or spoken)[-1]


def _sent(attempt: Row) -> list[Sent]:
    return [Sent(attempt["t"] + after, size) for after, size in attempt["sent"]]


def _arrived(sample: Sample) -> list[Arrived]:
    assert sample.first_delta is not None
    times = itertools.accumulate(sample.gaps, initial=sample.first_delta)
    return [Arrived(at, text, wire) for at, text, wire in zip(times, sample.text_bytes, sample.wire_bytes, strict=True)]
