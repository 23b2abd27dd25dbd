"""What Prometheus sees of one mock; each has its own registry, so several can live in one process."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mockclaude import catalog
from mockclaude.journal import Record

WAITS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 120, 300, 600)
"""Bucket boundaries in seconds, as the OpenTelemetry GenAI conventions give them, and three more for long streams."""

FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0)
"""Those of `gen_ai.server.time_to_first_token`, and two more for a queue."""


class _Children(NamedTuple):
    """The metrics of one kind of attempt."""

    attempts: Counter
    read: Counter
    tokens: Counter
    wasted: Counter
    seconds: Histogram
    first_token: Histogram


class Metrics:
    """Counts closed attempts and shows live levels. Unlisted models share a label: a caller must not invent labels."""

    def __init__(self, levels: Mapping[str, Callable[[], float]], faults: Callable[[], Mapping[str, float]]) -> None:
        self._registry = registry = CollectorRegistry()
        self._faults = faults
        self._labelled = functools.cache(self._children)
        self._attempts = Counter(
            "mockclaude_attempts", "Attempts closed", ["model", "outcome", "status"], registry=registry
        )
        self._read = Counter("mockclaude_input_tokens", "Tokens of prompts", ["model"], registry=registry)
        self._tokens = Counter("mockclaude_output_tokens", "Tokens produced", ["model"], registry=registry)
        self._wasted = Counter(
            "mockclaude_wasted_tokens", "Tokens produced after the client had left", ["model"], registry=registry
        )
        self._queued = Histogram("mockclaude_queue_wait_seconds", "Wait for a slot", registry=registry, buckets=WAITS)
        self._first_byte = Histogram(
            "mockclaude_first_byte_seconds", "Arrival to first byte", registry=registry, buckets=WAITS
        )
        self._first_token = Histogram(
            "mockclaude_time_to_first_token_seconds",
            "Arrival to first content delta of a stream",
            ["model"],
            registry=registry,
            buckets=FIRST_TOKEN,
        )
        self._seconds = Histogram(
            "mockclaude_request_duration_seconds", "Arrival to end", ["model"], registry=registry, buckets=WAITS
        )
        self._active = Gauge(
            "mockclaude_fault_share", "Share of attempts that an active fault strikes", ["fault"], registry=registry
        )
        for name, level in levels.items():
            gauge = Gauge(f"mockclaude_{name}", f"Now: {name.replace('_', ' ')}", registry=registry)
            gauge.set_function(level)

    def observe(self, record: Record) -> None:
        """Count a closed attempt."""
        of = self._labelled(_label(record.model), record.outcome, str(record.status or "none"))
        of.attempts.inc()
        of.read.inc(record.input_tokens)
        of.tokens.inc(record.output_tokens)
        of.wasted.inc(record.wasted_tokens)
        of.seconds.observe(record.ended - record.t)
        if record.outcome in ("complete", "left"):
            self._queued.observe(record.queued)
        if record.first_byte is not None:
            self._first_byte.observe(record.first_byte - record.t)
        if record.first_token is not None:
            of.first_token.observe(record.first_token - record.t)

    def _children(self, model: str, outcome: str, status: str) -> _Children:
        """Looking a label up costs more than counting: it is done once for each of the few there are."""
        return _Children(
            self._attempts.labels(model, outcome, status),
            self._read.labels(model),
            self._tokens.labels(model),
            self._wasted.labels(model),
            self._seconds.labels(model),
            self._first_token.labels(model),
        )

    def render(self) -> bytes:
        """The text format."""
        self._active.clear()
        for name, share in self._faults().items():
            self._active.labels(name).set(share)
        return generate_latest(self._registry)


def _label(name: str | None) -> str:
    """A model's id as it is listed, else its family, else `other`."""
    model = catalog.find(name or "")
    if model is None:
        return "other"
    return model.id if model.id in catalog.RELEASED else model.family
