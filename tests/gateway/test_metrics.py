"""What Prometheus sees: each figure moves on its event, and nobody outside can make a series."""

import asyncio

import httpx2
import pytest
from fastapi import FastAPI
from genai_prices import data_snapshot
from prometheus_client.parser import text_string_to_metric_families

from gateway_under_test import metrics, prices
from gateway_under_test.routes import metrics as page

HAIKU = "claude-haiku-4-5"


class Scrape:
    """The text format, read as Prometheus reads it."""

    def __init__(self, text):
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def all(self, name):
        return [sample for sample in self.samples if sample.name == name]

    def sum(self, name, **labels):
        """Of all samples with these labels; None without one."""
        found = [sample.value for sample in self.all(name) if labels.items() <= sample.labels.items()]
        return sum(found) if found else None


def scraped(metrics):
    return Scrape(metrics.render().decode())


async def scrape(g):
    response = await g.caller.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    return Scrape(response.text)


def attempted(m, model=HAIKU, outcome="complete", seconds=1.0, ttft=None, tokens=(0, 0), **more):
    m.attempted("/chat", model, outcome, seconds, ttft, *tokens, **more)


# One event, one figure


@pytest.mark.parametrize(
    ("event", "name", "labels"),
    [
        (lambda m: m.retried("overloaded"), "gateway_retries_total", {"reason": "overloaded"}),
        (lambda m: m.refused_retry("budget"), "gateway_retries_refused_total", {"reason": "budget"}),
        (lambda m: m.hedged(won=True), "gateway_hedges_total", {"result": "won"}),
        (lambda m: m.hedged(won=False), "gateway_hedges_total", {"result": "lost"}),
        (lambda m: m.fell_back("overloaded"), "gateway_fallbacks_total", {"reason": "overloaded"}),
        (lambda m: m.cached(hit=True), "gateway_cache_total", {"result": "hit"}),
        (lambda m: m.cached(hit=False), "gateway_cache_total", {"result": "miss"}),
        (lambda m: m.shed("full", "low"), "gateway_shed_total", {"reason": "full", "priority": "low"}),
        (
            lambda m: attempted(m, outcome="overloaded"),
            "gateway_attempts_total",
            {"route": "/chat", "model": HAIKU, "outcome": "overloaded"},
        ),
        (
            lambda m: m.requested("/chat", "POST", 503, "shed", 1.0),
            "gateway_requests_total",
            {"route": "/chat", "method": "POST", "status_code": "503", "outcome": "shed"},
        ),
        (
            lambda m: m.requested("", "POST", None, "left", 1.0),
            "gateway_requests_total",
            {"route": "other", "method": "POST", "status_code": "none", "outcome": "left"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_event_moves_its_own_counter_alone(event, name, labels):
    m = metrics.Metrics(known=[HAIKU])

    event(m)
    event(m)

    assert [(sample.labels, sample.value) for sample in scraped(m).all(name)] == [(labels, 2.0)]
    moved = {sample.name for sample in scraped(m).samples if sample.name.startswith("gateway_") and sample.value}
    assert {each for each in moved if each.endswith("_total")} == {name}


def test_durations_fall_into_buckets_of_up_to_ten_minutes():
    m = metrics.Metrics(known=[HAIKU])

    attempted(m, seconds=240.0, ttft=90.0)
    m.requested("/chat", "POST", 200, "complete", 300.0, 0.3)

    at = scraped(m)
    assert at.sum("gateway_attempt_duration_seconds_bucket", model=HAIKU, outcome="complete", le="120.0") == 0
    assert at.sum("gateway_attempt_duration_seconds_bucket", model=HAIKU, outcome="complete", le="300.0") == 1
    assert at.sum("gateway_ttft_seconds_bucket", model=HAIKU, le="81.92") == 0
    assert at.sum("gateway_ttft_seconds_bucket", model=HAIKU, le="120.0") == 1
    assert at.sum("gateway_request_duration_seconds_sum", route="/chat", outcome="complete") == 300.0
    assert at.sum("gateway_queue_duration_seconds_sum", route="/chat") == 0.3
    assert at.sum("gateway_request_duration_seconds_bucket", le="600.0") == 1


def test_an_attempt_without_a_first_token_and_a_request_that_never_waited_are_not_averaged_in():
    m = metrics.Metrics(known=[HAIKU])

    attempted(m)
    m.requested("/livez", "GET", 200, "complete", 0.1)

    assert scraped(m).sum("gateway_ttft_seconds_count") is None
    assert scraped(m).sum("gateway_queue_duration_seconds_count") is None


# Tokens and dollars


@pytest.mark.parametrize(
    ("used", "dollars"),
    [
        (prices.Used(1_000_000, 0), 1.00),
        (prices.Used(0, 1_000_000), 5.00),
        (prices.Used(0, 0, cache_read=1_000_000), 0.10),
        (prices.Used(0, 0, cache_write=1_000_000), 1.25),
        (prices.Used(0, 0), 0.00),
    ],
)
def test_claude_haiku_costs_what_the_price_list_says(used, dollars):
    listed = prices.Prices()

    assert [listed.dollars(HAIKU, used) for _ in range(2)] == pytest.approx([dollars] * 2)


def test_a_price_that_was_kept_is_the_one_on_the_list():
    listed, used = prices.Prices(), prices.Used(70_000, 800, 400_000, 3_000)
    known = {one.id for one in data_snapshot.get_snapshot().find_provider(None, "anthropic", None).models}

    for model in known:
        fresh = prices.Prices().dollars(model, used)
        listed.dollars(model, prices.Used(1, 1))
        assert listed.dollars(model, used) == pytest.approx(fresh), model


@pytest.mark.parametrize("model", ["some-model", "", None])
def test_a_model_that_is_not_on_the_list_has_no_price(model):
    assert prices.Prices().dollars(model, prices.Used(1, 1)) is None


def test_tokens_and_cost_are_counted_by_model():
    m = metrics.Metrics()

    attempted(m, tokens=(1000, 200), cache_read=500, cache_write=100)
    attempted(m, outcome="left", tokens=(1000, 0))

    at = scraped(m)
    counted = {sample.labels["type"]: sample.value for sample in at.all("gateway_tokens_total")}
    assert counted == {"input": 2000, "output": 200, "cache_read": 500, "cache_write": 100}
    assert at.sum("gateway_cost_dollars_total", model=HAIKU) == pytest.approx(
        (2000 * 1.0 + 200 * 5.0 + 500 * 0.1 + 100 * 1.25) / 1e6
    )
    assert at.sum("gateway_unpriced_attempts_total") in (None, 0)


def test_an_unknown_model_costs_nothing_and_says_so():
    m = metrics.Metrics()

    attempted(m, model="some-model", tokens=(10, 10))
    attempted(m, model="some-model", outcome="overloaded")

    assert scraped(m).sum("gateway_cost_dollars_total") is None
    assert scraped(m).sum("gateway_unpriced_attempts_total") == 1


# Labels are few


def test_a_model_that_never_answered_is_other():
    m = metrics.Metrics()

    for n in range(1000):
        attempted(m, model=f"invented-{n}", outcome="rejected")
    attempted(m, model="real")
    attempted(m, model="real", outcome="overloaded")

    at = scraped(m)
    assert {sample.labels["model"] for sample in at.all("gateway_attempts_total")} == {"other", "real"}
    assert at.sum("gateway_attempts_total", model="other", outcome="rejected") == 1000


def test_a_claude_that_answers_to_every_name_fills_no_memory():
    m = metrics.Metrics()

    for n in range(1000):
        attempted(m, model=f"m-{n}")

    assert len(scraped(m).all("gateway_attempts_total")) == metrics.MOST_MODELS + 1


async def test_callers_make_no_series(gateway, claude):
    claude.script = [claude.fails(404)]

    async with gateway() as g:
        before = len((await scrape(g)).samples)
        await g.post({"model": "m-0"})
        await g.caller.request("BREW", "/chat-0")
        await g.caller.get("/v1/models/m-0")
        first = len((await scrape(g)).samples)
        for n in range(1, 20):
            await g.post({"model": f"m-{n}"}, **{"x-request-id": f"r-{n}", "x-priority": f"p-{n}"})
            await g.caller.request(f"BREW{n}", f"/chat-{n}")
            await g.caller.get(f"/v1/models/m-{n}")
        last = len((await scrape(g)).samples)

    assert before < first == last


# Levels


def test_levels_are_read_when_they_are_scraped():
    m = metrics.Metrics(known=["a", "b"])
    state = {"budget": 9.5, "limit": 10, "inflight": 3, "waiting": 2, "breakers": {"a": "open", "b": "closed"}}
    m.watch(lambda: state)

    first = scraped(m)
    state.update(inflight=4, breakers={"a": "half_open", "b": "closed"})
    second = scraped(m)

    assert [first.sum(f"gateway_{name}") for name in ("retry_budget_tokens", "concurrency_limit", "waiting")] == [
        *(9.5, 10, 2)
    ]
    assert [at.sum("gateway_inflight") for at in (first, second)] == [3, 4]
    states = ("closed", "half_open", "open")
    assert [first.sum("gateway_breaker_state", model="a", state=state) for state in states] == [0, 0, 1]
    assert [second.sum("gateway_breaker_state", model="a", state=state) for state in states] == [0, 1, 0]
    assert [second.sum("gateway_breaker_state", model="b", state=state) for state in states] == [1, 0, 0]


def test_what_is_switched_off_has_no_level():
    m = metrics.Metrics()
    m.watch(lambda: {"budget": None, "limit": None, "inflight": None, "waiting": None, "breakers": {}})

    at = scraped(m)

    assert not [name for name in at.families if name.startswith("gateway_") and at.families[name].type == "gauge"]


def test_the_breakers_of_models_that_never_answered_are_one():
    m = metrics.Metrics(known=["a"])
    m.watch(lambda: {"breakers": {"a": "closed", "x": "open", "y": "closed", "z": "open"}})

    at = scraped(m)

    assert at.sum("gateway_breaker_state", model="other", state="open") == 1
    assert at.sum("gateway_breaker_state", model="other", state="closed") == 1
    assert len(at.all("gateway_breaker_state")) == 6


# The page


async def test_it_is_for_whoever_asks_and_in_the_text_format(gateway):
    async with gateway() as g:
        del g.caller.headers["x-api-key"]
        response = await g.caller.get("/metrics")

    assert response.status_code == 200
    assert "connection" not in response.headers
    at = Scrape(response.text)
    assert at.sum("process_resident_memory_bytes") > 0
    assert not [sample.name for sample in at.samples if sample.name.endswith("_created")]


def test_one_of_several_workers_says_which():
    m = metrics.Metrics(worker="4711")
    m.watch(lambda: {"inflight": 3})

    m.retried("overloaded")

    assert {sample.labels["worker"] for sample in scraped(m).samples} == {"4711"}
    assert scraped(m).sum("gateway_inflight", worker="4711") == 3


async def test_a_scraper_of_several_workers_is_sent_away_after_each_answer():
    app = FastAPI()
    app.include_router(page.router(metrics.Metrics(worker="4711")))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://gateway") as caller:
        response = await caller.get("/metrics")

    assert response.headers["connection"] == "close"


async def test_two_gateways_in_one_process_count_apart(gateway, claude):
    async with gateway() as one, gateway() as two:
        await one.chat()
        counts = [(await scrape(g)).sum("gateway_requests_total", route="/chat") for g in (one, two)]

    assert counts == [1, None]


# The whole gateway


async def test_a_request_and_its_attempt_are_counted_with_their_tokens(gateway, claude):
    claude.script = [claude.says("hello", after=1.5, tokens=(7, 3))]

    async with gateway() as g:
        await g.caller.get("/livez")
        await g.chat()
        at = await scrape(g)

    assert {sample.labels["route"] for sample in at.all("gateway_queue_duration_seconds_count")} == {"/chat"}
    assert at.sum("gateway_requests_total", route="/chat", status_code="200", outcome="complete") == 1
    assert at.sum("gateway_request_duration_seconds_sum", route="/chat") == pytest.approx(1.5, abs=0.01)
    assert at.sum("gateway_attempts_total", route="/chat", model=HAIKU, outcome="complete") == 1
    assert at.sum("gateway_tokens_total", type="input") == 7
    assert at.sum("gateway_tokens_total", type="output") == 3
    assert at.sum("gateway_cost_dollars_total", model=HAIKU) == pytest.approx(7e-6 + 3 * 5e-6)
    assert at.sum("gateway_ttft_seconds_count") is None


async def test_a_stream_has_a_time_to_first_token(gateway, claude):
    claude.script = [claude.tells("one two three", every=1.0)]

    async with gateway() as g:
        await g.stream()
        at = await scrape(g)

    assert at.sum("gateway_ttft_seconds_sum", model=HAIKU) == pytest.approx(1.0, abs=0.01)
    assert at.sum("gateway_attempt_duration_seconds_sum", model=HAIKU) == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(
    ("steps", "switches", "retries", "refused"),
    [
        ((529, 200), {}, {"overloaded": 1}, {}),
        ((429, 529, 200), {}, {"throttled": 1, "overloaded": 1}, {}),
        ((529,), {"attempts": 2}, {"overloaded": 1}, {"attempts": 1}),
        ((400,), {"retry_on": "transient"}, {}, {"not_retryable": 1}),
        ((529,), {"retry_budget": {"ratio": 0.0, "burst": 0.0}}, {}, {"budget": 1}),
        ((529,), {"deadline": 0.2, "backoff": {"base": 9.0, "jitter": "none"}}, {}, {"deadline": 1}),
    ],
    ids=["overloaded", "two reasons", "attempts", "not retryable", "budget", "deadline"],
)
async def test_retries_are_counted_by_reason_and_those_not_made_by_why(
    gateway, claude, steps, switches, retries, refused
):
    claude.script = [claude.says("hello") if status == 200 else claude.fails(status) for status in steps]

    async with gateway(preset="naive", **switches) as g:
        await g.chat()
        at = await scrape(g)

    counted = [
        {sample.labels["reason"]: sample.value for sample in at.all(name)}
        for name in ("gateway_retries_total", "gateway_retries_refused_total")
    ]
    assert counted == [retries, refused]


async def test_a_fallback_is_counted_by_its_reason(gateway, claude):
    claude.script = [claude.fails(529), claude.says("hello")]

    async with gateway(preset="naive", fallback_model=HAIKU, model="claude-opus-5") as g:
        await g.chat()
        at = await scrape(g)

    assert at.sum("gateway_fallbacks_total", reason="overloaded") == 1


async def test_a_question_asked_twice_is_a_miss_and_a_hit(gateway, claude):
    async with gateway(preset="naive", cache={"ttl": 60.0, "size": 10}) as g:
        await g.chat("same")
        await g.chat("same")
        at = await scrape(g)

    assert (at.sum("gateway_cache_total", result="miss"), at.sum("gateway_cache_total", result="hit")) == (1, 1)


async def test_who_finds_no_place_is_counted_with_its_priority(gateway, claude):
    claude.script = [claude.says("slow", after=2.0)]

    async with gateway(preset="naive", concurrency={"limit": 1, "max_wait": 0.5}) as g:
        low = g.caller.post("/chat", json={"message": "hi"}, headers={"x-priority": "low"})
        held = asyncio.create_task(g.chat())
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(asyncio.wait_for(low, 9))
        await asyncio.sleep(0.1)
        meanwhile = await scrape(g)
        await asyncio.gather(held, waiting)
        at = await scrape(g)

    levels = ("inflight", "waiting", "concurrency_limit")
    assert [meanwhile.sum(f"gateway_{name}") for name in levels] == [1, 1, 1]
    assert [at.sum(f"gateway_{name}") for name in levels] == [0, 0, 1]
    assert at.sum("gateway_shed_total", priority="low") == 1
    assert at.sum("gateway_requests_total", outcome="shed", status_code="503") == 1


async def test_the_breaker_and_the_budget_are_seen(gateway, claude):
    claude.script = [claude.says("hello"), claude.fails(529)]

    async with gateway(
        preset="naive",
        attempts=1,
        retry_budget={"ratio": 0.5, "burst": 9.0},
        breaker={"failures": 0.5, "window": 2, "cooldown": 10.0},
    ) as g:
        await g.chat()
        closed = await scrape(g)
        await g.chat()
        await g.chat()
        opened = await scrape(g)
        await asyncio.sleep(11)
        waited = await scrape(g)

    states = [at.sum("gateway_breaker_state", model=HAIKU, state="open") for at in (closed, opened)]
    assert states == [0, 1]
    assert waited.sum("gateway_breaker_state", model=HAIKU, state="closed") == 0
    assert closed.sum("gateway_retry_budget_tokens") is not None


async def test_a_hedge_is_counted_by_who_won(gateway, claude):
    claude.script = [claude.tells("late late", every=9.0), claude.tells("soon", every=0.1)]

    async with gateway(preset="naive", hedge={"after": 1.0, "share": 1.0}) as g:
        await g.stream()
        at = await scrape(g)

    assert at.sum("gateway_hedges_total", result="won") == 1
