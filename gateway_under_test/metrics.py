"""What Prometheus sees of one gateway: requests, attempts and what they cost; each gateway has its own registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway_under_test import prices

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 120, 300, 600)
"""Bucket boundaries as the OpenTelemetry GenAI conventions give them, and three more for long streams."""
METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))
STATES = ("closed", "half_open", "open")
MOST_MODELS = 50
OTHER = "other"

State = Callable[[], Mapping[str, object]]


class Models:
    """Which models have a label of their own, because callers must not invent labels.

    It is those `known` from the start and those that answered, up to a number; all the rest is `other`.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._names = set(known)

    def learn(self, model: str | None) -> None:
        """A model that has answered."""
        if model and len(self._names) < MOST_MODELS:
            self._names.add(model)

    def label(self, model: str | None) -> str:
        """What to call it."""
        return model if model in self._names else OTHER


class Metrics:
    """Counts what happens and reads the levels when it is scraped.

    The labels are few: routes are path templates, and of models see `Models`. Of several workers each answers for
    itself alone, and every figure says which `worker` it is of.
    """

    def __init__(self, known: Iterable[str] = (), worker: str | None = None) -> None:
        self._prices = prices.Prices()
        self.worker = worker
        self._models = Models(known)
        self._registry = registry = CollectorRegistry()
        self._exposed = _Exposed(registry, {"worker": worker} if worker else {})
        self._levels = _Levels(self._models)
        registry.register(self._levels)
        ProcessCollector(registry=registry)

        def counter(name: str, told: str, *labels: str) -> Counter:
            return Counter(f"gateway_{name}", told, labels, registry=registry)

        def seconds(name: str, told: str, *labels: str) -> Histogram:
            return Histogram(f"gateway_{name}_seconds", told, labels, registry=registry, buckets=SECONDS)

        self._requests = counter("requests", "Requests answered", "route", "method", "status_code", "outcome")
        self._request_seconds = seconds("request_duration", "Arrival to end of a request", "route", "outcome")
        self._queued = seconds("queue_duration", "Wait of a request for its places", "route")
        self._attempts = counter("attempts", "HTTP exchanges with Claude", "route", "model", "outcome")
        self._attempt_seconds = seconds("attempt_duration", "Start to end of an attempt", "model", "outcome")
        self._ttft = seconds("ttft", "Start of an attempt to Claude's first text", "model")
        self._tokens = counter("tokens", "Tokens of Claude's answers", "model", "type")
        self._dollars = counter("cost_dollars", "What they cost, by the public price list", "model")
        self._unpriced = counter("unpriced_attempts", "Attempts with tokens of a model without a known price")
        self._retries = counter("retries", "Attempts after the first, by what made them necessary", "reason")
        self._no_retries = counter("retries_refused", "Retries that were not made, by why not", "reason")
        self._hedges = counter("hedges", "Second attempts before the first token", "result")
        self._fallbacks = counter("fallbacks", "Requests answered by the fallback model, by why", "reason")
        self._cache = counter("cache", "Questions to the response cache", "result")
        self._shed = counter("shed", "Requests that were refused because we are full", "reason", "priority")

    def requested(
        self,
        route: str,
        method: str,
        status_code: int | None,
        outcome: str,
        seconds: float,
        queued: float | None = None,
    ) -> None:
        """A request ended; without a `status_code` its caller left before an answer, without `queued` it never waited.

        `route` is the path template that matched, if any.
        """
        route = route or OTHER
        method = method if method in METHODS else OTHER
        self._requests.labels(route, method, str(status_code or "none"), outcome).inc()
        self._request_seconds.labels(route, outcome).observe(seconds)
        if queued is not None:
            self._queued.labels(route).observe(queued)

    def attempted(
        self,
        route: str,
        model: str | None,
        outcome: str,
        seconds: float,
        ttft: float | None,
        input_tokens: int,
        output_tokens: int,
        *,
        cache_read: int = 0,
        cache_write: int = 0,
    ) -> None:
        """An attempt ended; `ttft` are the seconds until its first text, if there was one."""
        if outcome == "complete":
            self._models.learn(model)
        label = self._models.label(model)
        self._attempts.labels(route or OTHER, label, outcome).inc()
        self._attempt_seconds.labels(label, outcome).observe(seconds)
        if ttft is not None:
            self._ttft.labels(label).observe(ttft)
        used = prices.Used(input_tokens, output_tokens, cache_read, cache_write)
        if not any(used):
            return
        for kind, count in used._asdict().items():
            self._tokens.labels(label, kind).inc(count)
        dollars = self._prices.dollars(model, used)
        if dollars is None:
            self._unpriced.inc()
        else:
            self._dollars.labels(label).inc(dollars)

    def retried(self, reason: str) -> None:
        """Another attempt follows one that ended with the error type `reason`."""
        self._retries.labels(reason).inc()

    def refused_retry(self, reason: str) -> None:
        """No other attempt follows a failed one: budget, deadline, attempts or not_retryable."""
        self._no_retries.labels(reason).inc()

    def hedged(self, won: bool) -> None:
        """A second attempt was made before the first token; it `won` if the answer is its."""
        self._hedges.labels("won" if won else "lost").inc()

    def fell_back(self, reason: str) -> None:
        """The fallback model was asked."""
        self._fallbacks.labels(reason).inc()

    def cached(self, hit: bool) -> None:
        """The response cache was asked."""
        self._cache.labels("hit" if hit else "miss").inc()

    def shed(self, reason: str, priority: str) -> None:
        """A request was refused because there was no place for it."""
        self._shed.labels(reason, priority).inc()

    def watch(self, state: State) -> None:
        """Read the levels from `state` (as `Upstream.state` gives them) at each scrape."""
        self._levels.state = state

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self._exposed)


class _Levels(Collector):
    """What is so now."""

    NAMES = (
        ("budget", "gateway_retry_budget_tokens", "Retries that are paid for"),
        ("limit", "gateway_concurrency_limit", "Attempts at once that are allowed"),
        ("inflight", "gateway_inflight", "Attempts open"),
        ("waiting", "gateway_waiting", "Requests waiting for a place"),
    )

    def __init__(self, models: Models) -> None:
        self.state: State = dict
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """The levels that exist: a pattern that is off has none."""
        state = self.state()
        for key, name, told in self.NAMES:
            value = state.get(key)
            if isinstance(value, (int, float)):
                yield GaugeMetricFamily(name, told, value=value)
        breakers = state.get("breakers")
        if isinstance(breakers, Mapping) and breakers:
            now = {(self._models.label(model), state) for model, state in breakers.items()}
            gauge = GaugeMetricFamily(
                "gateway_breaker_state", "1 for the state of the breaker", labels=["model", "state"]
            )
            for model in sorted({label for label, _ in now}):
                for state_name in STATES:
                    gauge.add_metric([model, state_name], float((model, state_name) in now))
            yield gauge


class _Exposed(Collector):
    """A registry as it is shown: with labels of this process, and without the moments at which series began."""

    def __init__(self, registry: CollectorRegistry, labels: dict[str, str]) -> None:
        self._registry = registry
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            kept = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            metric.samples = [sample._replace(labels=sample.labels | self._labels) for sample in kept]
            yield metric
