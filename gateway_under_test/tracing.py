"""What a trace shows: FastAPI's span for each request, and below it ours for each attempt, by the GenAI conventions.

Nothing is recorded and nothing sent on until there is a provider: OpenTelemetry's own null objects see to that. One
comes from the extra `otel` with `FASTAPI_OTEL_AUTO_CONFIGURE=true` and `OTEL_EXPORTER_OTLP_ENDPOINT`, from
`opentelemetry-instrument`, or is given. The conventions still move: names as of
https://github.com/open-telemetry/semantic-conventions-genai in November 2026. What was asked and answered is never
recorded, nor an error's message: both may hold secrets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from fastapi.telemetry import TelemetryConfig
from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway_under_test import logs
from gateway_under_test.metrics import SECONDS, Models

TOKENS = [4.0**power for power in range(14)]
"""Bucket boundaries of `gen_ai.client.token.usage`."""
NO_CHAT = ("/v1/messages/count_tokens", "/v1/models", "/v1/models/{model_id}")
"""Routes for which the conventions have no word."""
PROBES = ("/livez", "/readyz", "/metrics")
"""Asked every few seconds by machines; a trace of them tells nothing."""
NAME = "gateway_under_test"
TRACE_CONTEXT = TraceContextTextMapPropagator()
"""Not the globally chosen one: a caller's baggage is nothing that Claude needs to know."""

Values = dict[str, str | int | float | bool]


class Attempt(Protocol):
    """The part of an attempt that a span tells of."""

    n: int
    request: logs.RequestLine
    model: str | None
    streamed: bool
    status_code: int | None
    outcome: str
    seconds: float
    ttft: float | None
    input_tokens: int
    output_tokens: int
    cache_read: int
    cache_write: int


def make(
    claude: str,
    known: Iterable[str] = (),
    *,
    tracers: trace.TracerProvider | None = None,
    meters: metrics.MeterProvider | None = None,
) -> Tracing:
    """Tracing of attempts at the Claude with the URL `claude`, to the providers given or OpenTelemetry's global ones.

    The `known` models are those that metrics name from the start (see `metrics.Models`).
    """
    return Tracing(_server(claude), Models(known), tracers, meters)


class Tracing:
    """Spans and metrics of attempts; `telemetry` is what FastAPI needs to know for its own of requests.

    A request's span is the current one while it runs; an attempt's never is, because its steps may run in several
    tasks: it is found by its attempt.
    """

    def __init__(
        self,
        server: Values,
        models: Models,
        tracers: trace.TracerProvider | None,
        meters: metrics.MeterProvider | None,
    ) -> None:
        self.telemetry = TelemetryConfig(
            tracer_provider=tracers,
            meter_provider=meters,
            logs=False,  # they would hold the messages of errors
            operation_spans=False,
            exclude=_is_probe,
        )
        self._tracer = trace.get_tracer(NAME, tracer_provider=tracers)
        self._meter = metrics.get_meter(NAME, meter_provider=meters)
        self._server = server
        self._models = models
        self._open: dict[Attempt, trace.Span] = {}
        self._seconds = self._histogram("operation.duration", "s", "Duration of an attempt", SECONDS)
        self._first = self._histogram("operation.time_to_first_chunk", "s", "Time to a stream's first chunk", SECONDS)
        self._tokens = self._histogram("token.usage", "{token}", "Tokens used by an attempt", TOKENS)

    def request(self, line: logs.RequestLine) -> None:
        """The current span is that of the request with this line."""
        trace.get_current_span().set_attribute("gateway.request_id", line.request_id)

    @contextlib.contextmanager
    def attempt(self, attempt: Attempt) -> Iterator[None]:
        """The span of an attempt, below its request's."""
        asked = _asked(attempt) | self._server
        line = attempt.request
        chat = line.route not in NO_CHAT
        name = f"chat {attempt.model or ''}".rstrip() if chat else f"{line.method} {line.route}"
        span = self._tracer.start_span(name, kind=trace.SpanKind.CLIENT, attributes=asked)
        span.set_attributes({"gateway.attempt": attempt.n, "gen_ai.request.stream": attempt.streamed})
        self._open[attempt] = span
        try:
            yield
        finally:
            del self._open[attempt]
            span.set_attributes(_of_answer(attempt))
            if attempt.outcome != "complete":
                span.set_attribute("error.type", attempt.outcome)
                span.set_status(trace.StatusCode.ERROR)
            span.end()
            if chat:
                self._measure(attempt, asked)

    def headers(self, attempt: Attempt) -> dict[str, str]:
        """`traceparent` and `tracestate` to send on, so that what Claude does can be seen below the attempt."""
        carrier: dict[str, str] = {}
        if span := self._open.get(attempt):
            TRACE_CONTEXT.inject(carrier, trace.set_span_in_context(span))
        return carrier

    def _measure(self, attempt: Attempt, asked: Values) -> None:
        complete = attempt.outcome == "complete"
        model = str(asked.get("gen_ai.request.model", attempt.model))
        if complete:
            self._models.learn(model)
        shared = asked | {"gen_ai.request.model": self._models.label(model)}
        self._seconds.record(attempt.seconds, shared | ({} if complete else {"error.type": attempt.outcome}))
        if attempt.streamed and attempt.ttft is not None:
            self._first.record(attempt.ttft, shared)
        for kind, count in (("input", _read(attempt)), ("output", attempt.output_tokens)):
            if count:
                self._tokens.record(count, shared | {"gen_ai.token.type": kind})

    def _histogram(self, name: str, unit: str, told: str, buckets: Iterable[float]) -> metrics.Histogram:
        limits = [float(limit) for limit in buckets]
        name = f"gen_ai.client.{name}"
        return self._meter.create_histogram(name, unit, told, explicit_bucket_boundaries_advisory=limits)


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    return scope["path"] in PROBES


def _asked(attempt: Attempt) -> Values:
    values: Values = {"gen_ai.provider.name": "anthropic"}
    if attempt.request.route not in NO_CHAT:
        values["gen_ai.operation.name"] = "chat"
    if attempt.model:
        values["gen_ai.request.model"] = attempt.model
    return values


def _of_answer(attempt: Attempt) -> Values:
    values: Values = {}
    if attempt.status_code is not None:
        values["http.response.status_code"] = attempt.status_code
    if attempt.outcome == "complete" and attempt.model:
        values["gen_ai.response.model"] = attempt.model
    if attempt.streamed and attempt.ttft is not None:
        values["gen_ai.response.time_to_first_chunk"] = attempt.ttft
    counts = {
        "input_tokens": _read(attempt),
        "output_tokens": attempt.output_tokens,
        "cache_read.input_tokens": attempt.cache_read,
        "cache_write.input_tokens": attempt.cache_write,
    }
    return values | {f"gen_ai.usage.{name}": count for name, count in counts.items() if count}


def _read(attempt: Attempt) -> int:
    """The conventions' input tokens, which are all of them; Claude's own leave out those of its prompt cache."""
    return attempt.input_tokens + attempt.cache_read + attempt.cache_write


def _server(url: str) -> Values:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}
