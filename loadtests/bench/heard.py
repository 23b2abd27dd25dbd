"""What a generator measured of streams, beside what the mock says it sent; and how punctual its requests were."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from loadtests.sample import Row, Sample
from mockclaude.bench.load import Spread
from mockclaude.bench.process import Usage

SPREADS = ("ttft", "true_ttft", "itl", "true_itl", "lag")


class Window(NamedTuple):
    """The part of a run that counts, in seconds since T0."""

    begins: float
    ends: float

    def __contains__(self, at: object) -> bool:
        return isinstance(at, float) and self.begins <= at < self.ends

    @property
    def seconds(self) -> float:
        return self.ends - self.begins


class Heard(NamedTuple):
    """One measurement of one generator, in seconds.

    `ttft` and `itl` are the generator's own figures, `true_ttft` and `true_itl` what the mock's journal says of the
    same streams; `lag` is by how much requests left late. `cpu` is for each token, or each answer in JSON. `wait` is
    the share of the window that generator or mock stood ready without a CPU; `busy` and `reader` are the shares of
    their cores that generator and mock used.
    """

    counted: int
    seconds: float
    failed: int
    short: int
    ttft: Spread | None
    true_ttft: Spread | None
    itl: Spread | None
    true_itl: Spread | None
    lag: Spread | None
    wait: float
    reader: float
    cpu: float | None
    busy: float | None

    @classmethod
    def read(cls, row: Row) -> "Heard":
        """What was written as JSON."""
        spreads = {name: Spread(*row[name]) for name in SPREADS if row[name]}
        return cls(**{**row, **spreads})

    @property
    def truth(self) -> "Heard":
        """What a generator would have measured that is never late itself."""
        return self._replace(ttft=self.true_ttft, itl=self.true_itl, cpu=None, busy=None)


def told(samples: Sequence[Sample], records: Iterable[Row], window: Window, tokens: int) -> Heard:
    """Of all that was in the window, what it came to; without what it cost. Answers have `tokens` deltas, or are JSON
    when that is 0."""
    seen = [arrival for sample in samples for arrival in arrivals(sample) if arrival in window]
    complete = [sample for sample in samples if sample.outcome == "complete"]
    sent = [row for row in records if row["sent"]]
    return Heard(
        counted=len(seen) if tokens else sum(sample.ended in window for sample in complete),
        seconds=window.seconds,
        failed=len(samples) - len(complete),
        short=sum(len(sample.gaps) + 1 != tokens for sample in complete) if tokens else 0,
        ttft=Spread.of([sample.ttft for sample in samples if sample.ttft is not None and sample.first_delta in window]),
        true_ttft=Spread.of([row["sent"][0][0] for row in sent if row["t"] + row["sent"][0][0] in window]),
        itl=Spread.of([gap for sample in samples for gap in _gaps(list(arrivals(sample)), window)]),
        true_itl=Spread.of([gap for row in sent for gap in _gaps([row["t"] + at for at, _ in row["sent"]], window)]),
        lag=Spread.of([sample.dispatch_lag for sample in samples if sample.intended in window]),
        wait=0.0,
        reader=0.0,
        cpu=None,
        busy=None,
    )


def priced(heard: Heard, own: Usage, mock: Usage) -> Heard:
    """With what generator and mock used in the window."""
    return heard._replace(
        wait=max(own.waited, mock.waited) / heard.seconds,
        reader=mock.cpu / heard.seconds,
        cpu=own.cpu / max(heard.counted, 1),
        busy=own.cpu / heard.seconds,
    )


def arrivals(sample: Sample) -> Iterator[float]:
    """When each delta came."""
    return iter(()) if sample.first_delta is None else itertools.accumulate(sample.gaps, initial=sample.first_delta)


def _gaps(times: Sequence[float], window: Window) -> Iterator[float]:
    return (after - before for before, after in itertools.pairwise(times) if after in window)
