"""Whether virtual time tells the truth: the same scenario and seed on both clocks, figure beside figure.

The arrivals, replies and planned latencies of the two runs are the same; what differs is what the real one pays for
sockets, processes and a machine that others use too. The tolerances are what that may cost on two shared cores:

- counts of the schedule: exactly equal;
- shares of requests: 0.05, the fate of one request in twenty that stands near a limit;
- amplification and produced tokens: 10 %; wasted tokens 20 %, as they are a difference of large numbers in a collapse;
- latency: 10 %, but at least 60 ms, a few context switches and the grain of an event loop's clock;
- gaps between deltas: 10 %, but at least 5 ms;
- recovery: 2 s of its 1 s grid.

Left out are percentiles that one request decides: p99 and above, and those of fewer than 20 answers.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from loadtests.experiment import gates
from loadtests.sample import Row

FEWEST = 20  # a percentile of fewer answers is one request's luck


@dataclasses.dataclass(frozen=True)
class Tolerance:
    relative: float = 0.0
    absolute: float = 0.0

    def allowed(self, virtual: float) -> float:
        return max(self.absolute, self.relative * abs(virtual))


EXACT = Tolerance()
LATENCY = Tolerance(0.1, 0.06)
GAP = Tolerance(0.1, 0.005)
TOLERANCES = {
    "offered": EXACT,
    "started": EXACT,
    "not_sent": EXACT,
    "completed": Tolerance(0.05, 4),
    "goodput": Tolerance(0.05, 4),
    "goodput_ratio": Tolerance(absolute=0.05),
    "error_ratio": Tolerance(absolute=0.05),
    "waited_ratio": Tolerance(absolute=0.05),
    "attempts": Tolerance(0.1, 4),
    "amplification": Tolerance(0.1, 0.02),
    "output_tokens": Tolerance(0.1),
    "wasted_output_tokens": Tolerance(0.2, 500),
    **{
        f"{clock}.{q}": LATENCY
        for clock in ("e2e", "service_time", "ttft", "ttft_sent", "queue_wait")
        for q in ("p50", "p90", "p95")
    },
    **{f"{gap}.{q}": GAP for gap in ("itl", "tpot") for q in ("p50", "p90")},
}
RECOVERY = Tolerance(absolute=2.0)


@dataclasses.dataclass(frozen=True)
class Figure:
    """One judged figure on both clocks; None where nothing was measured."""

    where: str
    metric: str
    virtual: float | None
    real: float | None
    allowed: float

    @property
    def agrees(self) -> bool:
        if self.virtual is None or self.real is None:
            return self.virtual is self.real
        return abs(self.virtual - self.real) <= self.allowed


def compare(virtual: Row, real: Row, judged: Sequence[str]) -> Iterator[Figure]:
    """Every judged figure of two summaries of the same scenario and seed."""
    for name, variant in virtual["variants"].items():
        other = real["variants"][name]
        for phase in judged:
            yield from _phase(f"{name}.{phase}", variant["phases"][phase], other["phases"][phase])
        yield _figure(name, "recovery_s", variant["recovery_s"], other["recovery_s"], RECOVERY)


def _phase(where: str, virtual: Row, real: Row) -> Iterator[Figure]:
    for metric, tolerance in TOLERANCES.items():
        name, _, quantile = metric.partition(".")
        if quantile and min(virtual[name]["n"], real[name]["n"]) < FEWEST:
            continue
        yield _figure(where, metric, gates.value(virtual, metric), gates.value(real, metric), tolerance)


def _figure(where: str, metric: str, virtual: float | None, real: float | None, tolerance: Tolerance) -> Figure:
    return Figure(where, metric, virtual, real, tolerance.allowed(virtual or 0.0))
