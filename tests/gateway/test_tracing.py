"""Traces: a span for each request, one below it for each attempt, and the conventions' metrics."""

import asyncio
import contextlib

import httpx2
import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway_under_test import create_app, logs, tracing
from gateway_under_test.attempt import Attempt
from gateway_under_test.settings import Settings

HAIKU = "claude-haiku-4-5"
CALLERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Told:
    """What the exporters got, and a caller of the gateway that told them."""

    def __init__(self, caller, spans, reader, records):
        self.caller = caller
        self.records = records
        self._spans = spans
        self._reader = reader

    @property
    def requests(self):
        return [span for span in self._spans.get_finished_spans() if span.kind is SpanKind.SERVER]

    @property
    def attempts(self):
        return [span for span in self._spans.get_finished_spans() if span.kind is SpanKind.CLIENT]

    @property
    def metrics(self):
        """Points by name."""
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {metric.name: list(metric.data.data_points) for scope in scopes for metric in scope.metrics}

    async def chat(self, path="/chat", headers=None, **more):
        return await self.caller.post(path, json={"message": "hi", **more}, headers=headers or {})


@contextlib.asynccontextmanager
async def traced(claude, url="http://claude.test:8100", **switches):
    """A gateway whose spans and metrics stay in memory."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    chosen = Settings(
        anthropic_base_url=url, anthropic_api_key="sk-ours", valid_api_keys=("good",), preset="naive", **switches
    )
    records, loggers = InMemoryLogRecordExporter(), LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(SimpleLogRecordProcessor(records))
    told = tracing.make(url, [HAIKU], tracers=tracers, meters=meters)
    told.telemetry["logger_provider"] = loggers
    async with httpx2.AsyncClient(transport=claude) as upstream:
        app = create_app(chosen, http_client=upstream, log=Quiet(), tracer=told, seed=1)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=app), base_url="http://gateway", headers={"x-api-key": "good"}
            ) as caller,
        ):
            yield Told(caller, spans, reader, records)
    for provider in (tracers, meters, loggers):
        provider.shutdown()


class Quiet:
    """A log for nobody."""

    def info(self, event, **fields):
        pass

    warning = exception = info


def sent_spans(claude):
    """Trace and span as Claude was told them, attempt by attempt."""
    told = [request.headers["traceparent"].split("-") for request in claude.received]
    return [(int(trace_id, 16), int(span_id, 16)) for _, trace_id, span_id, _ in told]


def identity(span):
    return (span.context.trace_id, span.context.span_id)


# Spans


async def test_an_attempt_is_a_span_below_its_requests(claude):
    claude.script = [claude.says("hello", tokens=(7, 3))]

    async with traced(claude) as told:
        await told.chat(headers={"x-request-id": "r-1"})

    [request], [attempt] = told.requests, told.attempts
    assert request.parent is None
    assert attempt.parent.span_id == request.context.span_id
    assert attempt.context.trace_id == request.context.trace_id
    assert (request.name, attempt.name) == ("POST /chat", f"chat {HAIKU}")
    told_by_us_and_fastapi = ("gateway.request_id", "http.request.method", "http.route", "http.response.status_code")
    assert [request.attributes[name] for name in told_by_us_and_fastapi] == ["r-1", "POST", "/chat", 200]
    assert dict(attempt.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": HAIKU,
        "gen_ai.request.stream": False,
        "gen_ai.response.model": HAIKU,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "server.address": "claude.test",
        "server.port": 8100,
        "http.response.status_code": 200,
        "gateway.attempt": 1,
    }
    assert {span.status.status_code for span in (request, attempt)} == {StatusCode.UNSET}


async def test_each_retry_is_a_span_of_its_own(claude):
    claude.script = [claude.fails(529), claude.raises(httpx2.ReadError("SECRET TEXT")), claude.says("hello")]

    async with traced(claude) as told:
        await told.chat()

    [request] = told.requests
    assert [span.parent.span_id for span in told.attempts] == [request.context.span_id] * 3
    assert [span.attributes["gateway.attempt"] for span in told.attempts] == [1, 2, 3]
    assert [span.attributes.get("error.type") for span in told.attempts] == ["overloaded", "upstream_error", None]
    assert [span.status.status_code for span in told.attempts] == [StatusCode.ERROR] * 2 + [StatusCode.UNSET]
    assert [span.attributes.get("http.response.status_code") for span in told.attempts] == [529, None, 200]
    assert not [span for span in told.attempts if span.events or span.status.description]


async def test_a_streams_span_lasts_until_its_end_and_tells_its_first_chunk(claude):
    claude.script = [claude.tells("one two three", every=1.0)]

    async with traced(claude) as told:
        await told.chat("/chat/stream")

    [attempt] = told.attempts
    assert attempt.attributes["gen_ai.request.stream"] is True
    assert attempt.attributes["gen_ai.response.time_to_first_chunk"] == pytest.approx(1.0, abs=0.01)
    assert attempt.attributes["gen_ai.usage.output_tokens"] == 3
    assert attempt.parent.span_id == told.requests[0].context.span_id


async def test_tokens_of_claudes_prompt_cache_are_input_tokens_too(claude):
    usage = {"input_tokens": 7, "cache_read_input_tokens": 500, "cache_creation_input_tokens": 40, "output_tokens": 3}
    answer = {"type": "message", "model": HAIKU, "content": [{"type": "text", "text": "hello"}], "usage": usage}
    claude.script = [claude.answers(answer)]

    async with traced(claude) as told:
        await told.chat()
        points = told.metrics["gen_ai.client.token.usage"]

    attributes = told.attempts[0].attributes
    counts = [attributes[f"gen_ai.usage.{kind}input_tokens"] for kind in ("", "cache_read.", "cache_write.")]
    assert counts == [547, 500, 40]
    assert {point.attributes["gen_ai.token.type"]: point.sum for point in points} == {"input": 547, "output": 3}


async def test_requests_beside_each_other_keep_their_own_attempts(claude):
    claude.script = [claude.says("hello", after=1.0)]

    async with traced(claude) as told:
        await asyncio.gather(*(told.chat() for _ in range(5)))

    parents = sorted(span.parent.span_id for span in told.attempts)
    assert parents == sorted(span.context.span_id for span in told.requests)
    assert len(set(parents)) == 5


async def test_a_hedge_is_a_span_beside_the_first(claude):
    claude.script = [claude.tells("late late", every=9.0), claude.tells("soon", every=0.1)]

    async with traced(claude, hedge={"after": 1.0, "share": 1.0}) as told:
        await told.chat("/chat/stream")

    assert [span.attributes.get("error.type") for span in told.attempts] == ["left", None]
    assert {span.parent.span_id for span in told.attempts} == {told.requests[0].context.span_id}
    assert sorted(sent_spans(claude)) == sorted(map(identity, told.attempts))


async def test_what_is_asked_and_what_is_shown_is_in_no_span(claude):
    claude.script = [claude.raises(RuntimeError("SECRET TEXT good sk-ours"))]

    async with traced(claude, attempts=1) as told:
        await told.chat(message="SECRET QUESTION", headers={"cookie": "SECRET=1"})
        await told.chat(headers={"x-api-key": "SECRET KEY"})
        await told.chat(message={"SECRET": "QUESTION"})

    assert (len(told.requests), told.records.get_finished_logs()) == (3, ())
    shown = " ".join(span.to_json() for span in [*told.requests, *told.attempts])
    assert not [word for word in ("SECRET", "sk-ours", '"good"') if word in shown]


async def test_probes_are_not_traced(claude):
    async with traced(claude) as told:
        for path in ("/livez", "/readyz", "/metrics"):
            await told.caller.get(path)

    assert told.requests == []


def test_an_attempt_that_has_ended_is_forgotten():
    told = tracing.make("http://claude.test", tracers=TracerProvider(shutdown_on_exit=False))
    attempt = Attempt(1, logs.RequestLine("r-1", "POST", "/chat", 0.0), HAIKU, telemetry=None, streamed=False)

    with told.attempt(attempt):
        during = told.headers(attempt)
    after = told.headers(attempt)

    assert (set(during), after) == ({"traceparent"}, {})


async def test_what_is_no_chat_has_no_word_in_the_conventions(claude):
    claude.script = [claude.answers({"data": []})]

    async with traced(claude) as told:
        await told.caller.get("/v1/models/m-1")

    [attempt] = told.attempts
    assert attempt.name == "GET /v1/models/{model_id}"
    assert "gen_ai.operation.name" not in attempt.attributes
    assert not told.metrics.get("gen_ai.client.operation.duration")


# The trace goes on


@pytest.mark.parametrize("path", ["/chat", "/chat/stream", "/v1/messages"])
async def test_the_callers_trace_goes_on_through_us_to_claude(claude, path):
    claude.script = [claude.fails(529), claude.says("hello") if path != "/chat/stream" else claude.tells("hello")]

    async with traced(claude) as told:
        headers = {"traceparent": CALLERS, "tracestate": "vendor=1", "baggage": "who=me"}
        await told.chat(path, headers, model=HAIKU)

    [request] = told.requests
    assert trace.format_trace_id(request.context.trace_id) == CALLERS.split("-")[1]
    assert trace.format_span_id(request.parent.span_id) == CALLERS.split("-")[2]
    assert sent_spans(claude) == [identity(attempt) for attempt in told.attempts]
    assert [sent.headers["tracestate"] for sent in claude.received] == ["vendor=1"] * 2
    if path != "/v1/messages":  # there it is a caller's own header, which goes on as it came
        assert not [sent for sent in claude.received if "baggage" in sent.headers]


async def test_nonsense_begins_a_trace_of_its_own(claude):
    async with traced(claude) as told:
        response = await told.chat(headers={"traceparent": "nonsense"})

    assert response.status_code == 200
    assert told.requests[0].parent is None
    assert sent_spans(claude) == [identity(told.attempts[0])]


# Metrics


async def test_attempts_are_measured_by_the_conventions(claude):
    claude.script = [claude.fails(529), claude.says("hello", after=1.5, tokens=(7, 3))]

    async with traced(claude) as told:
        await told.chat()
        metrics = told.metrics

    shared = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": HAIKU,
        "server.address": "claude.test",
        "server.port": 8100,
    }
    failed, complete = metrics["gen_ai.client.operation.duration"]
    assert (dict(failed.attributes), failed.count) == (shared | {"error.type": "overloaded"}, 1)
    assert (dict(complete.attributes), complete.sum) == (shared, pytest.approx(1.5, abs=0.01))
    assert list(complete.explicit_bounds)[-4:] == [81.92, 120, 300, 600]
    tokens = metrics["gen_ai.client.token.usage"]
    assert [(dict(point.attributes), point.sum) for point in tokens] == [
        (shared | {"gen_ai.token.type": "input"}, 7),
        (shared | {"gen_ai.token.type": "output"}, 3),
    ]
    assert list(tokens[0].explicit_bounds) == [4**power for power in range(14)]
    assert "gen_ai.client.operation.time_to_first_chunk" not in metrics


async def test_a_stream_has_a_time_to_its_first_chunk(claude):
    claude.script = [claude.tells("one two", every=1.0)]

    async with traced(claude) as told:
        await told.chat("/chat/stream")
        [point] = told.metrics["gen_ai.client.operation.time_to_first_chunk"]

    assert point.sum == pytest.approx(1.0, abs=0.01)


async def test_callers_make_no_series(claude):
    claude.script = [claude.fails(404)]

    async with traced(claude, attempts=1) as told:
        for n in range(20):
            await told.chat(model=f"invented-{n}")
        claude.script = [claude.says("hello")]
        await told.chat(model="real")
        points = told.metrics["gen_ai.client.operation.duration"]

    assert [(point.attributes["gen_ai.request.model"], point.count) for point in points] == [("other", 20), ("real", 1)]


# Off


async def test_without_a_provider_there_is_nothing(gateway, claude):
    async with gateway() as g:
        await g.chat()
        await g.post({"model": HAIKU}, traceparent=CALLERS)

    assert [request.headers.get("traceparent") for request in claude.received] == [None, CALLERS]


@pytest.mark.parametrize(
    ("url", "port"),
    [("https://api.anthropic.com", 443), ("http://claude.test", 80), ("http://claude.test:8100/base", 8100)],
)
async def test_the_server_is_claudes_host_and_port(claude, url, port):
    async with traced(claude, url) as told:
        await told.chat()

    assert told.attempts[0].attributes["server.port"] == port
