"""Whatever is configured and whoever leaves: no crash, no slot leaked, nobody lost, and the same replies in any order.

`FUZZ_EXAMPLES` says how many random rehearsals are held.
"""

import asyncio
import json
import os
import random
import tracemalloc
from collections import Counter

import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockclaude import faults
from mockclaude.app import create_app
from mockclaude.capacity import Capacity, Linear, Size, State
from mockclaude.settings import Settings

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2000"))
KIND = looptime.make_event_loop_class(asyncio.SelectorEventLoop)
HEADERS = [(b"x-api-key", b"k"), (b"anthropic-version", b"2023-06-01"), (b"content-type", b"application/json")]

counts = st.integers(0, 6)
seconds = st.sampled_from([0.0, 0.01, 0.5, 3.0, 40.0])
shares = st.sampled_from([0.0, 0.3, 1.0])
capacities = st.fixed_dictionaries(
    {},
    optional={
        "slots": counts,
        "queue": st.one_of(counts, st.just("unbounded")),
        "order": st.sampled_from(["fifo", "lifo", "deadline"]),
        "max_queue_wait": seconds,
        "on_full": st.sampled_from([529, 429]),
        "on_disconnect": st.sampled_from(["cancel", "finish", "skip_if_queued"]),
        "slowdown": st.one_of(st.just(3.0), st.just({"s0": 1.0, "a": 0.5})),
    },
)
latencies = st.fixed_dictionaries(
    {},
    optional={
        "ttft": st.sampled_from([{"p50": 0.0, "p95": 0.0}, {"p50": 1.0, "p95": 4.0}]),
        "tokens_per_second": st.sampled_from([5, 1000, {"distribution": "exponential", "mean": 50}]),
        "output_tokens": st.sampled_from([0, 3, {"distribution": "gamma", "mean": 9, "cv": 1}]),
        "tokens_per_delta": st.integers(1, 3),
    },
)
limits = st.fixed_dictionaries({}, optional={"requests_per_minute": st.sampled_from([2, 600])})
kinds = st.one_of(
    st.fixed_dictionaries({"name": st.just("status"), "code": st.sampled_from([400, 429, 500, 529])}),
    st.fixed_dictionaries({"name": st.sampled_from(["slow_first_byte", "hang"]), "seconds": seconds}),
    st.fixed_dictionaries({"name": st.just("stall"), "after": counts, "seconds": seconds, "pings": st.booleans()}),
    st.fixed_dictionaries({"name": st.just("drip"), "factor": st.sampled_from([0.1, 7.0])}),
    st.fixed_dictionaries({"name": st.sampled_from(["error_event", "truncate", "cut"]), "after": counts}),
    st.fixed_dictionaries(
        {"name": st.sampled_from(["malformed_event", "truncated_json", "duplicate_event", "missing_event"])},
        optional={"after": counts},
    ),
    st.sampled_from([{"name": "split_packets"}, {"name": "comments"}, {"name": "content_type"}]),
)
some_faults = st.lists(st.builds(lambda fault, share: fault | {"share": share}, kinds, shares), max_size=3)
sections = {"capacity": capacities, "latency": latencies, "limits": limits, "faults": some_faults}
entries = st.builds(
    lambda at, length, ramp, changed: {"at": at, "for": length, **({"ramp": length} if ramp else {}), **changed},
    st.integers(0, 8),
    st.sampled_from([0.5, 2, 9]),
    st.booleans(),
    st.fixed_dictionaries({"faults": some_faults}, optional={k: v for k, v in sections.items() if k != "faults"}),
)
configs = st.fixed_dictionaries({"timeline": st.lists(entries, max_size=3)}, optional=sections)
requests = st.lists(
    st.fixed_dictionaries(
        {
            "gap": st.sampled_from([0.0, 0.0, 0.1, 2.5]),
            "patience": st.sampled_from([0.0, 0.2, 5.0, None, None]),
            "stream": st.booleans(),
            "max_tokens": st.sampled_from([0, 1, 30]),
            "deadline": st.sampled_from([None, "0", "1.5", "nonsense"]),
        }
    ),
    min_size=1,
    max_size=12,
)


def virtual():
    """A loop whose time is virtual, and which does not look around before it moves on."""
    return KIND(start=0, noop_cycles=0)


async def exchange(app, asked):
    """One request and its caller, who leaves after its patience; the status, or None."""
    body = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "hi"}]}
    body |= {"stream": asked["stream"], "max_tokens": asked["max_tokens"]}
    headers = HEADERS + ([(b"x-request-deadline", asked["deadline"].encode())] if asked["deadline"] else [])
    incoming = [{"type": "http.request", "body": json.dumps(body).encode()}]
    seen, gone = [], asyncio.Event()

    async def receive():
        if incoming:
            return incoming.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        seen.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": headers, "query_string": b""}
    running = asyncio.ensure_future(app(scope, receive, send))
    await asyncio.wait([running], timeout=asked["patience"])
    gone.set()
    await running
    return next((message["status"] for message in seen if message["type"] == "http.response.start"), None)


async def rehearsal(config, asked):
    app = create_app(Settings(config))
    server = app.state.server
    async with app.router.lifespan_context(app):
        callers = []
        for one in asked:
            callers.append(asyncio.ensure_future(exchange(app, one)))
            await asyncio.sleep(one["gap"])
            told = server.stats()
            assert told["arrived"] == sum(
                told[k] for k in ("completed", "running", "queued", "turned_away", "cancelled")
            )
        await asyncio.sleep(20)
        server.configure({"capacity": {"slots": 50}, "timeline": None})
        statuses = await asyncio.wait_for(asyncio.gather(*callers), 20_000)
        while server.capacity.running + server.capacity.queued and asyncio.get_running_loop().time() < 40_000:
            await asyncio.sleep(5)
        return statuses, server.stats(), server.journal.page(0, 10_000).records


@pytest.mark.timeout(900)
@settings(max_examples=EXAMPLES)
@given(config=configs, asked=requests)
def test_a_random_rehearsal_neither_crashes_nor_leaks(config, asked):
    with asyncio.Runner(loop_factory=virtual) as runner:
        statuses, told, records = runner.run(rehearsal(config, asked))

    assert (told["running"], told["queued"], told["open"]) == (0, 0, 0)
    assert told["arrived"] == told["completed"] + told["turned_away"] + told["cancelled"]
    assert len(records) == len(asked)
    assert {status for status in statuses if status not in (None, 200, 400, 429, 529)} <= {500}
    assert all(record.fault for record in records if record.status in (400, 500))
    assert all(record.wasted_tokens <= record.output_tokens for record in records)


async def replies(texts, together):
    """The bodies of these requests, whichever comes first, without the ids that say when."""
    config = {"seed": 3, "capacity": {"slots": 4}, "faults": [{"name": "truncate", "after": 1, "share": 0.3}]}
    app = create_app(Settings(config))
    answers = []

    async def ask(text, stream):
        body = {"model": "claude-sonnet-5", "max_tokens": 25, "stream": stream}
        body["messages"] = [{"role": "user", "content": text}]
        incoming, seen = [{"type": "http.request", "body": json.dumps(body).encode()}], []

        async def receive():
            return incoming.pop() if incoming else await asyncio.Event().wait()

        async def send(message):
            seen.append((round(asyncio.get_running_loop().time() - began, 6), message.get("body", b"")))

        scope = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": HEADERS, "query_string": b""}
        began = asyncio.get_running_loop().time()
        await app(scope, receive, send)
        answers.append(b"".join(part for _, part in seen))

    async with app.router.lifespan_context(app):
        work = [ask(text, stream) for text, stream in texts]
        if together:
            await asyncio.gather(*work)
        else:
            for one in work:
                await one
        planned = [(record.output_tokens, record.outcome) for record in app.state.server.journal.page(0, 1000).records]
    return Counter(answers), Counter(planned)


@pytest.mark.parametrize("together", [True, False], ids=["at once", "one by one"])
def test_the_same_requests_in_another_order_get_the_same_replies(together):
    texts = [(f"question {k % 20}", k % 3 == 0) for k in range(120)]
    shuffled = random.Random(5).sample(texts, len(texts))

    with asyncio.Runner(loop_factory=virtual) as runner:
        expected = runner.run(replies(texts, together=False))
        seen = runner.run(replies(shuffled, together))

    assert seen == expected


@pytest.mark.parametrize("name", faults.FAULTS)
def test_the_fuzz_knows_every_fault_or_says_why_not(name):
    left_out = {"giant_event": "a megabyte an attempt makes two thousand rehearsals slow; tests/contract has it"}

    assert name in str(kinds) or name in left_out


@pytest.mark.timeout(300)
def test_a_million_attempts_leave_nothing_behind():
    rng, now, running, waiting = random.Random(1), 0.0, [], []
    core = Capacity(Size(slots=20, queue=30, order="deadline", slowdown=Linear(1.0, 0.01)))

    def step():
        nonlocal now, running, waiting
        now += rng.expovariate(10)
        ticket = core.offer(now, deadline=now + rng.random() * 9, needs=1.0)
        if ticket.state is State.QUEUED:
            waiting.append(ticket)
        elif ticket.state is State.RUNNING:
            running.append(ticket)
        changed = []
        kind = rng.random()
        if running and kind < 0.5:
            changed = core.leave(running.pop(rng.randrange(len(running))), now)
        elif waiting and kind < 0.85:
            one = waiting.pop(rng.randrange(len(waiting)))
            core.expire(one) if kind < 0.8 else core.abandon(one, now)
        elif running and kind < 0.95:
            changed = core.abandon(running.pop(), now)
        running += [one for one in changed if one.state is State.RUNNING]
        if changed:
            waiting = [one for one in waiting if one.state is State.QUEUED]

    for _ in range(20_000):
        step()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(20_000):
        step()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    for _ in range(960_000):
        step()

    assert core.arrived == 1_000_000
    assert core.arrived == core.completed + core.running + core.queued + core.turned_away + core.cancelled
    assert min(core.completed, core.turned_away, core.cancelled) > 50_000
    assert grown < 100_000
    assert len(core._by_deadline) < 200
