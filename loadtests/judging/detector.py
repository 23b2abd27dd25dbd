"""Where the bytes of a stream were held: what arrived at the caller, and when, against what the mock sent, and when.

Both sides are given in one measure that a gateway does not change, which is the bytes of **text** in each delta: then
the two agree whatever framing, and however many events, the gateway makes of it. Bytes as they were on the wire will
do where nothing is translated in between. `Arrived.wire` is how many bytes that piece had on its last way, by which the
size of a buffer is known.

The clocks need not agree: the least delay of all pieces counts as none. So what delays every piece alike is not seen,
unless `offset`, the caller's clock minus the mock's, is known.

How the causes differ, on a stream of rate r pieces of s bytes each (nginx: src/event/ngx_event_pipe.c, which hands on
what came of a body without length when a buffer of B bytes is full):

    full buffer    batches of B bytes, B/(r·s) apart; the last one is what was left at the end
    gzip           the body is compressed, and what is held comes when the compressor lets it, mostly at the end
    end of stream  nothing before the end: something reads the whole answer first, or its buffer is larger than that
    timer          batches at even intervals, whatever their size
    tcp            late, and none of these: jitter, a narrow pipe, lost packets, a program that has too much to do
"""

import bisect
import dataclasses
import itertools
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Cause = Literal["none", "full buffer", "gzip", "end of stream", "timer", "tcp"]

HELD = 0.05
"""Seconds of p99 lag below which nobody held anything, but a machine may have been busy..."""
PATTERNED = 0.025
"""... and below which not even evenly spaced batches are worth a word."""
TOGETHER = 0.002
"""Seconds. What arrives within this of each other came at once."""
AT_THE_END = 0.9
"""Of a stream, arriving as one batch, for the whole to have been held."""
LEAST_BATCHES = 2
"""Full batches, beside the first and the last, that make a pattern..."""
LEAST_TOGETHER = 5
"""... and how many it takes when they are of replies that have one each."""
COMPRESSED = ("gzip", "br", "deflate", "zstd")
SIZES = tuple(1 << power for power in range(10, 18))
"""Buffers that programs have: 1 kB to 128 kB."""


class Sent(NamedTuple):
    """One write of the mock, on its clock; `size` in the measure of both sides."""

    at: float
    size: int


class Arrived(NamedTuple):
    """One piece as the caller got it, on its clock; `wire`: its bytes on the wire, framing and all, when other. Of
    pieces that came in one read, the first may have them all."""

    at: float
    size: int
    wire: int | None = None

    @property
    def bytes(self) -> int:
        return self.size if self.wire is None else self.wire


@dataclass(frozen=True)
class Trace:
    """One reply from both ends. `encoding`: the content-encoding that the caller was told."""

    sent: Sequence[Sent]
    arrived: Sequence[Arrived]
    encoding: str = ""


@dataclass(frozen=True)
class Finding:
    """Lags in seconds, of each piece that was sent and did arrive; `first_lag` is the median of the replies' first.

    `batch_bytes` and `batch_interval` are of whole batches, where there were some; `predicted_interval` is B/(r·s) with
    the `buffer` B that they point to. `share`: of the replies, how many were held. `lost`: pieces that never came.
    """

    cause: Cause
    lag_p50: float
    lag_p99: float
    lag_max: float
    first_lag: float
    share: float = 0.0
    batch_bytes: float | None = None
    batch_interval: float | None = None
    predicted_interval: float | None = None
    buffer: int | None = None
    replies: int = 1
    lost: int = 0

    def __str__(self) -> str:
        late = f"events came {_seconds(self.lag_p50)} late (p50), {_seconds(self.lag_p99)} (p99)"
        if self.cause == "none":
            return f"nothing was held: {late}"
        return f"{late}, the first {_seconds(self.first_lag)}, in {self.share:.0%} of the replies: {self._why()}"

    def _why(self) -> str:
        if self.cause == "full buffer":
            assert self.batch_bytes and self.batch_interval and self.predicted_interval
            return (
                f"held in a proxy until a buffer was full: {self.batch_bytes:.0f} bytes every "
                f"{_seconds(self.batch_interval)}, predicted B/(r·s) = {_seconds(self.predicted_interval)}"
            )
        return {
            "gzip": "held where the stream is compressed",
            "end of stream": "held to the end: something reads the whole answer first, or into a buffer that is larger",
            "timer": f"held by a timer: batches every {_seconds(self.batch_interval or 0)}",
            "tcp": "held on the way (jitter, a narrow pipe, lost packets) or by a program that has too much to do",
        }[self.cause]


class Batch(NamedTuple):
    """What arrived at once: `pieces` that the mock had sent one after the other."""

    at: float
    bytes: int
    pieces: int


@dataclass(frozen=True)
class _Reply:
    """What one trace says by itself. `whole`: the batches that a full buffer or a timer made, which are not the first,
    that had the headers in it, nor the last. `rate` is r·s, `piece` how many bytes a batch of whole events may be off.
    """

    cause: Cause
    lags: list[float]
    lost: int
    batches: Sequence[Batch] = ()
    whole: Sequence[Batch] = ()
    rate: float = 0.0
    piece: float = 0.0

    @property
    def clear(self) -> bool:
        """Whether it was long enough to show a pattern."""
        return self.cause != "tcp" or len(self.whole) >= LEAST_BATCHES

    @property
    def intervals(self) -> list[float]:
        """From each whole batch back to the one before it."""
        return [later.at - earlier.at for earlier, later in itertools.pairwise(self.batches[:-1])]

    @property
    def usual(self) -> float:
        """The size of most whole batches."""
        return statistics.median(batch.bytes for batch in self.whole)

    def buffers(self, batch: Batch) -> int:
        """How many buffers it was: a busy caller finds two that came one after the other as one."""
        return max(1, round(batch.bytes / self.usual))

    @property
    def single(self) -> list[Batch]:
        """The whole batches that were one buffer."""
        return [batch for batch in self.whole if abs(batch.bytes - self.usual) <= self.piece]

    @property
    def interval(self) -> float:
        """From one full buffer to the next."""
        return sum(self.intervals) / sum(map(self.buffers, self.whole))


def judge(traces: Iterable[Trace], offset: float | None = None) -> Finding | None:
    """What was held in all these replies of one run, and by what; None when there is nothing to judge."""
    matched = [(trace, *_delays(trace)) for trace in map(_comparable, traces)]
    matched = [each for each in matched if each[1]]
    if not matched:
        return None
    nothing = min(min(delays) for _, delays, _ in matched) if offset is None else offset
    replies = [_reply(trace, [delay - nothing for delay in delays], lost) for trace, delays, lost in matched]
    held = _together([reply for reply in replies if reply.cause != "none"])
    votes = Counter(reply.cause for reply in held if reply.clear) or Counter(reply.cause for reply in held)
    cause: Cause = max(votes, key=lambda name: votes[name], default="none")
    lags = sorted(lag for reply in replies for lag in reply.lags)
    if 2 * len(held) < len(replies) and _percentile(lags, 0.99) < HELD:
        cause = "none"
    finding = Finding(
        cause,
        _percentile(lags, 0.5),
        _percentile(lags, 0.99),
        lags[-1],
        statistics.median(reply.lags[0] for reply in replies),
        share=len(held) / len(replies),
        replies=len(replies),
        lost=sum(reply.lost for reply in replies),
    )
    return _measured(finding, [reply for reply in held if reply.cause == cause])


def lags(traces: Iterable[Trace], offset: float) -> list[float]:
    """How late each piece of text came that was sent."""
    return [delay - offset for trace in traces for delay in _delays(_comparable(trace))[0]]


def least_delay(trace: Trace) -> float | None:
    """By the two clocks as they are; None when nothing came."""
    return min(_delays(_comparable(trace))[0], default=None)


def batches(trace: Trace) -> list[Batch]:
    """What arrived, in the batches in which it did. On a stream without a hold each piece is one."""
    gap = max(TOGETHER, _step(trace.sent) / 4)
    groups: list[list[Arrived]] = []
    for piece in trace.arrived:
        if groups and piece.at - groups[-1][-1].at <= gap:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    ends = list(itertools.accumulate(piece.size for piece in trace.sent))
    found, come, before = [], 0, 0
    for group in groups:
        come += sum(piece.size for piece in group)
        after = bisect.bisect_right(ends, come)
        found.append(Batch(group[-1].at, sum(piece.bytes for piece in group), after - before))
        before = after
    return found


def _comparable(trace: Trace) -> Trace:
    """Without pieces that have no text, and without what came beyond what is known to have been sent: of a long reply
    it may be the beginning alone that is."""
    sent = [piece for piece in trace.sent if piece.size]
    known = sum(piece.size for piece in sent)
    come = itertools.accumulate((piece.size for piece in trace.arrived), initial=0)
    return Trace(
        sent, [piece for piece, before in zip(trace.arrived, come, strict=False) if before < known], trace.encoding
    )


def _delays(trace: Trace) -> tuple[list[float], int]:
    """From each piece sent to the moment by which as much had arrived; and how many pieces never did."""
    delays: list[float] = []
    arrived = iter(trace.arrived)
    due, come, at = 0, 0, 0.0
    for piece in trace.sent:
        due += piece.size
        while come < due:
            got = next(arrived, None)
            if got is None:
                return delays, len(trace.sent) - len(delays)
            come, at = come + got.size, got.at
        delays.append(at - piece.at)
    return delays, 0


def _reply(trace: Trace, lags: list[float], lost: int) -> _Reply:
    if _percentile(sorted(lags), 0.99) < PATTERNED:
        return _Reply("none", lags, lost)
    came = batches(trace)
    found = _Reply("none", lags, lost, came, came[1:-1], _rate(trace), _largest(trace))
    return dataclasses.replace(found, cause=_cause(trace, found))


def _cause(trace: Trace, reply: _Reply) -> Cause:
    late = _percentile(sorted(reply.lags), 0.99) >= HELD
    if late and trace.encoding.lower() in COMPRESSED:
        return "gzip"
    total = sum(batch.bytes for batch in reply.batches)
    if late and reply.batches[-1].bytes >= AT_THE_END * total and reply.batches[-1].at >= trace.sent[-1].at - TOGETHER:
        return "end of stream"
    if _in_batches(reply):
        if _filled(reply):
            return "full buffer"
        if _regular(reply.intervals):
            return "timer"
    return "tcp" if late else "none"


def _together(held: list[_Reply]) -> list[_Reply]:
    """Replies that are all too short to show a pattern, which they may show together."""
    short = [reply for reply in held if reply.whole]
    whole = [batch for reply in short for batch in reply.whole]
    if any(reply.clear for reply in held) or len(whole) < LEAST_TOGETHER:
        return held
    pooled = dataclasses.replace(short[0], whole=whole, piece=max(reply.piece for reply in short))
    if not (_many_pieces(pooled) and _filled(pooled)):
        return held
    return [dataclasses.replace(reply, cause="full buffer") if reply.whole else reply for reply in held]


def _many_pieces(reply: _Reply) -> bool:
    return statistics.median(batch.pieces for batch in reply.whole) >= 2


def _in_batches(reply: _Reply) -> bool:
    """Whether it came in batches that kept up with the mock: in a narrow pipe all comes later and later."""
    if len(reply.whole) < LEAST_BATCHES or not _many_pieces(reply):
        return False
    return min(reply.lags[len(reply.lags) // 2 :]) <= statistics.median(reply.intervals)


def _filled(reply: _Reply) -> bool:
    """Whether the batches are of one size, and programs have buffers of that size."""
    alike = [abs(batch.bytes - reply.buffers(batch) * reply.usual) <= reply.piece for batch in reply.whole]
    return sum(alike) >= 0.8 * len(alike) and _buffer([reply]) is not None


def _regular(intervals: Sequence[float]) -> bool:
    usual = statistics.median(intervals)
    return sum(abs(each - usual) <= 0.15 * usual for each in intervals) >= 0.8 * len(intervals)


def _buffer(replies: Sequence[_Reply]) -> int | None:
    """The size that these batches point to, if programs have such buffers."""
    single = [batch for reply in replies for batch in reply.single]
    size = statistics.fmean(batch.bytes for batch in single)
    near = min(SIZES, key=lambda known: abs(known - size))
    piece = max(reply.piece for reply in replies)
    return near if abs(near - size) <= max(0.02 * near, piece / len(single)) else None


def _measured(finding: Finding, replies: Sequence[_Reply]) -> Finding:
    """The finding with the size and the interval of whole batches. `replies`: those with its cause."""
    if finding.cause == "timer":
        intervals = [interval for reply in replies for interval in reply.intervals]
        size = statistics.fmean(batch.bytes for reply in replies for batch in reply.whole)
        return dataclasses.replace(finding, batch_bytes=size, batch_interval=statistics.median(intervals))
    if finding.cause != "full buffer":
        return finding
    buffer = _buffer(replies)
    return dataclasses.replace(
        finding,
        buffer=buffer,
        batch_bytes=statistics.fmean(batch.bytes for reply in replies for batch in reply.single),
        batch_interval=statistics.fmean(reply.interval for reply in replies),
        predicted_interval=(buffer or 0) / statistics.median(reply.rate for reply in replies),
    )


def _step(sent: Sequence[Sent]) -> float:
    """The usual time between two writes of the mock."""
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(sent)]
    return statistics.median(gaps) if gaps else 0.0


def _rate(trace: Trace) -> float:
    """r·s: bytes a second, as the mock's pace makes them on the caller's wire."""
    span = trace.sent[-1].at - trace.sent[0].at
    return sum(piece.size for piece in trace.sent[1:]) * _framing(trace) / span if span > 0 else 0.0


def _largest(trace: Trace) -> float:
    """The largest event on the wire, by which a batch may miss its size where only whole events are seen."""
    return max(piece.size for piece in trace.sent) * _framing(trace)


def _framing(trace: Trace) -> float:
    """Bytes on the caller's wire for each that the mock sent."""
    return sum(piece.bytes for piece in trace.arrived) / sum(piece.size for piece in trace.arrived)


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if abs(value) < 1 else f"{value:.2f} s"
