"""What Prometheus sees of one mock; each has its own registry, so several can live in one process."""

from __future__ import annotations

import functools
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from mockclaude import catalog
from mockclaude.journal import Record

WAITS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 120, 300, 600)
"""Bucket boundaries in seconds, as the OpenTelemetry GenAI conventions give them, and three more for long streams."""

FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0)
"""Those of `gen_ai.server.time_to_first_token`, and two more for a queue."""


class _Spread:
    """A histogram: how many fell into each bucket, the last of which has no end, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def show(self, family: HistogramMetricFamily, labels: Sequence[str] = ()) -> None:
        """Add it to what is scraped."""
        ends = map(floatToGoString, (*self._bounds, math.inf))
        family.add_metric(labels, list(zip(ends, accumulate(self._counts), strict=True)), self._sum)


class _OfModel:
    """What is counted for one model."""

    __slots__ = ("attempts", "first_token", "read", "seconds", "tokens", "wasted")

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, int | None]] = Counter()
        self.read = 0
        self.tokens = 0
        self.wasted = 0
        self.seconds = _Spread(WAITS)
        self.first_token = _Spread(FIRST_TOKEN)


class Metrics(Collector):
    """Counts closed attempts and shows live levels. Unlisted models share a label: a caller must not invent labels.

    The counts are plain numbers, which become Prometheus's when it asks: its own take a lock for each.
    """

    def __init__(self, levels: Mapping[str, Callable[[], float]], faults: Callable[[], Mapping[str, float]]) -> None:
        self._registry = registry = CollectorRegistry()
        self._faults = faults
        self._models: dict[str, _OfModel] = {}
        self._queued = _Spread(WAITS)
        self._first_byte = _Spread(WAITS)
        registry.register(self)
        for name, level in levels.items():
            gauge = Gauge(f"mockclaude_{name}", f"Now: {name.replace('_', ' ')}", registry=registry)
            gauge.set_function(level)

    def observe(self, record: Record) -> None:
        """Count a closed attempt."""
        label = _label(record.model)
        of = self._models.get(label)
        if of is None:
            of = self._models[label] = _OfModel()
        of.attempts[record.outcome, record.status] += 1
        of.read += record.input_tokens
        of.tokens += record.output_tokens
        of.wasted += record.wasted_tokens
        of.seconds.observe(record.ended - record.t)
        if record.outcome in ("complete", "left"):
            self._queued.observe(record.queued)
        if record.first_byte is not None:
            self._first_byte.observe(record.first_byte - record.t)
        if record.first_token is not None:
            of.first_token.observe(record.first_token - record.t)

    def collect(self) -> Iterator[Metric]:
        """All that is counted, for the registry."""
        attempts = CounterMetricFamily("mockclaude_attempts", "Attempts closed", labels=("model", "outcome", "status"))
        read = CounterMetricFamily("mockclaude_input_tokens", "Tokens of prompts", labels=("model",))
        made = CounterMetricFamily("mockclaude_output_tokens", "Tokens produced", labels=("model",))
        after = "Tokens produced after the client had left"
        wasted = CounterMetricFamily("mockclaude_wasted_tokens", after, labels=("model",))
        begun = "Arrival to first content delta of a stream"
        first_token = HistogramMetricFamily("mockclaude_time_to_first_token_seconds", begun, labels=("model",))
        seconds = HistogramMetricFamily("mockclaude_request_duration_seconds", "Arrival to end", labels=("model",))
        for model, of in self._models.items():
            for (outcome, status), number in of.attempts.items():
                attempts.add_metric((model, outcome, str(status or "none")), number)
            read.add_metric((model,), of.read)
            made.add_metric((model,), of.tokens)
            wasted.add_metric((model,), of.wasted)
            of.first_token.show(first_token, (model,))
            of.seconds.show(seconds, (model,))
        queued = HistogramMetricFamily("mockclaude_queue_wait_seconds", "Wait for a slot")
        self._queued.show(queued)
        first_byte = HistogramMetricFamily("mockclaude_first_byte_seconds", "Arrival to first byte")
        self._first_byte.show(first_byte)
        struck = "Share of attempts that an active fault strikes"
        active = GaugeMetricFamily("mockclaude_fault_share", struck, labels=("fault",))
        for name, share in self._faults().items():
            active.add_metric((name,), share)
        yield from (attempts, read, made, wasted, queued, first_byte, first_token, seconds, active)

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self._registry)


@functools.lru_cache(maxsize=1024)
def _label(name: str | None) -> str:
    """A model's id as it is listed, else its family, else `other`."""
    model = catalog.find(name or "")
    if model is None:
        return "other"
    return model.id if model.id in catalog.RELEASED else model.family
