"""A run as it happens, second by second: what the control room draws.

A sample belongs to the second in which it ended. By its intended start, as a report has it, the last seconds would hold
only those that were answered fast, and every overload would begin with a fine percentile.
"""

import bisect
import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from loadtests.experiment.scenario import Slo
from loadtests.judging import metrics
from loadtests.sample import OUTCOMES, Row, Sample

KEPT = 3600
"""Seconds that are remembered; older ones are forgotten."""
SETTLED = 15
"""Seconds after which a second is closed: a sample that comes later still counts, but its latency does not."""
QUANTILES = {
    "e2e_p50": ("e2e", 0.5),
    "e2e_p95": ("e2e", 0.95),
    "ttft_p50": ("ttft", 0.5),
    "ttft_p95": ("ttft", 0.95),
    "itl_p50": ("itl", 0.5),
    "itl_p99": ("itl", 0.99),
}
LEVELS = ("inflight", "running", "queued", "slots", "attempts_open", "limit", "waiting", "budget", "breaker")
BREAKER = {"closed": 0.0, "half_open": 1.0, "open": 2.0}
GAUGES = {
    "gateway_inflight": "attempts_open",
    "gateway_concurrency_limit": "limit",
    "gateway_waiting": "waiting",
    "gateway_retry_budget_tokens": "budget",
}


class AtClaude(NamedTuple):
    """What the mock says at one moment: `t` since T0, attempts so far, and which share of attempts each fault in force
    strikes."""

    t: float
    attempts: int
    running: int
    queued: int
    slots: int
    faults: Mapping[str, float]


@dataclasses.dataclass
class Second:
    """What fell into one second. Levels are those of its end."""

    attempts: int = 0
    good: int = 0
    outcomes: Counter[str] = dataclasses.field(default_factory=Counter)
    levels: dict[str, float | None] = dataclasses.field(default_factory=dict)
    values: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    quantiles: dict[str, float | None] = dataclasses.field(default_factory=dict)

    def percentiles(self) -> dict[str, float | None]:
        if not self.quantiles:
            ordered = {name: sorted(found) for name, found in self.values.items()}
            for name, (clock, q) in QUANTILES.items():
                value = metrics.percentile(ordered.get(clock, []), q)
                self.quantiles[name] = None if value is None else round(value, 4)
        return self.quantiles


class Live:
    """One start of the load. `offered`: when its requests are meant to start, by their names and in order; what else
    comes follows from an answer. `before`: what the mock had counted of attempts by then, whose count goes on from run
    to run."""

    def __init__(self, offered: Mapping[str, float], slo: Slo, before: int = 0) -> None:
        self._followed: list[float] = []
        self.revise(offered)
        self._slo = slo
        self._attempts_before = before
        self._seconds: dict[int, Second] = {}
        self._ended = 0
        self.now: AtClaude | None = None

    def revise(self, offered: Mapping[str, float]) -> None:
        """The schedule is another."""
        self._names, self._offered = offered.keys(), list(offered.values())

    def take(self, sample: Sample) -> None:
        second = self._second(math.floor(sample.ended))
        if sample.request_id in self._names:
            self._ended += 1
        else:
            bisect.insort(self._followed, sample.intended)
        second.outcomes[sample.outcome] += 1
        second.good += metrics.is_good(sample, self._slo)
        if sample.outcome == "complete" and not self._is_settled(sample.ended):
            second.quantiles = {}
            second.values.setdefault("e2e", []).append(sample.e2e)
            second.values.setdefault("itl", []).extend(sample.gaps)
            if sample.ttft is not None:
                second.values.setdefault("ttft", []).append(sample.ttft)

    def look(self, mock: AtClaude, gateway: Mapping[str, float]) -> None:
        """The levels of this moment, those of the gateway as `levels_of` reads them."""
        before, self.now = self.now, mock
        came = mock.attempts - (before.attempts if before else self._attempts_before)
        middle = (mock.t + before.t) / 2 if before else mock.t
        self._second(math.floor(middle)).attempts += max(0, came)
        self._second(math.floor(mock.t)).levels = {
            "inflight": self.inflight,
            "running": mock.running,
            "queued": mock.queued,
            "slots": mock.slots,
            **gateway,
        }
        self._forget(math.floor(mock.t))

    @property
    def t(self) -> float:
        return self.now.t if self.now else 0.0

    @property
    def inflight(self) -> float | None:
        """Nobody knows what follows from an answer before it has ended too."""
        if self._followed:
            return None
        return max(0, bisect.bisect_right(self._offered, self.t) - self._ended)

    @property
    def held(self) -> tuple[int, int]:
        """How many seconds, and how many latencies, are in memory."""
        seconds = self._seconds.values()
        return len(seconds), sum(len(values) for second in seconds for values in second.values.values())

    def columns(self, since: int) -> dict[str, Any]:
        """All that is known of the seconds from `since` on that are over, a list per line of a chart."""
        end = math.floor(self.t)
        times = range(max(since, end - KEPT, 0), end)
        seconds = [self._seconds.get(t, Second()) for t in times]
        seen = [name for name in OUTCOMES if any(second.outcomes[name] for second in self._seconds.values())]
        return {
            "t": list(times),
            "offered": [self._offered_between(t, t + 1) for t in times],
            "attempts": [second.attempts for second in seconds],
            "goodput": [second.good for second in seconds],
            **{name: [second.levels.get(name) for second in seconds] for name in LEVELS},
            **{name: [second.percentiles()[name] for second in seconds] for name in QUANTILES},
            "outcomes": {name: [second.outcomes[name] for second in seconds] for name in seen},
        }

    def _offered_between(self, start: float, end: float) -> int:
        both = (self._offered, self._followed)
        return sum(bisect.bisect_left(times, end) - bisect.bisect_left(times, start) for times in both)

    def _second(self, number: int) -> Second:
        return self._seconds.setdefault(max(0, number), Second())

    def _is_settled(self, at: float) -> bool:
        return at < self.t - SETTLED

    def _forget(self, now: int) -> None:
        for number, second in list(self._seconds.items()):
            if number < now - KEPT:
                del self._seconds[number]
            elif number < now - SETTLED and second.values:
                second.percentiles()
                second.values = {}


def at_claude(stats: Row, text: str) -> AtClaude:
    """From what the mock's /_mock/stats and /metrics say."""
    values = list(_values(text))
    return AtClaude(
        t=stats["t"],
        attempts=int(sum(value for name, _, value in values if name == "mockclaude_attempts_total")) + stats["open"],
        running=stats["running"],
        queued=stats["queued"],
        slots=stats["slots"],
        faults={labels["fault"]: value for name, labels, value in values if name == "mockclaude_fault_share"},
    )


def levels_of(text: str) -> dict[str, float]:
    """What the gateway's /metrics say of its patterns; one that is off says nothing. Of several breakers the worst."""
    found: dict[str, float] = {}
    for name, labels, value in _values(text):
        if name in GAUGES:
            found[GAUGES[name]] = value
        elif name == "gateway_breaker_state" and value and labels["state"] in BREAKER:
            found["breaker"] = max(found.get("breaker", 0.0), BREAKER[labels["state"]])
    return found


def _values(text: str) -> Iterable[tuple[str, Mapping[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value
