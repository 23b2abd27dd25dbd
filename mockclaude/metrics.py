"""What Prometheus sees of one mock; each has its own registry, so several can live in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mockclaude import catalog
from mockclaude.journal import Record

WAITS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Bucket boundaries in seconds, as the OpenTelemetry GenAI conventions give them."""


class Metrics:
    """Counts closed attempts and shows live levels. Models are shown by family: a caller must not invent labels."""

    def __init__(self, levels: Mapping[str, Callable[[], float]]) -> None:
        self._registry = CollectorRegistry()
        labels = ["family", "outcome"]
        self._attempts = Counter("mockclaude_attempts", "Attempts closed", labels, registry=self._registry)
        self._tokens = Counter("mockclaude_output_tokens", "Tokens produced", ["family"], registry=self._registry)
        self._wasted = Counter(
            "mockclaude_wasted_tokens",
            "Tokens produced after the client had left",
            ["family"],
            registry=self._registry,
        )
        self._queued = Histogram(
            "mockclaude_queue_wait_seconds", "Wait for a slot", registry=self._registry, buckets=WAITS
        )
        self._first_byte = Histogram(
            "mockclaude_first_byte_seconds",
            "Arrival to first byte",
            registry=self._registry,
            buckets=WAITS,
        )
        for name, level in levels.items():
            gauge = Gauge(f"mockclaude_{name}", f"Now: {name.replace('_', ' ')}", registry=self._registry)
            gauge.set_function(level)

    def observe(self, record: Record) -> None:
        """Count a closed attempt."""
        family = catalog.family(record.model or "") or "other"
        self._attempts.labels(family, record.outcome).inc()
        self._tokens.labels(family).inc(record.output_tokens)
        self._wasted.labels(family).inc(record.wasted_tokens)
        if record.outcome in ("complete", "left"):
            self._queued.observe(record.queued)
        if record.first_byte is not None:
            self._first_byte.observe(record.first_byte - record.t)

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self._registry)
