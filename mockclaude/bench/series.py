"""What is made larger and larger, to see what it costs: each size on a mock of its own, so that none leaves a trace."""

from __future__ import annotations

import base64
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Self

from mockclaude.bench import contender, growth, rounds
from mockclaude.bench.contender import CouldNotRun
from mockclaude.bench.growth import Cost, Point
from mockclaude.bench.line import Caller, request
from mockclaude.bench.load import Found, Load

MODEL = "claude-sonnet-4-6"
"""It reads a million tokens."""
MESSAGES = "/v1/messages"
ASKED = '{"model":"claude-haiku-4-5","max_tokens":1000,"stream":true,"messages":[{"role":"user","content":"Tell me."}]}'
MARKER = '"text_delta"'
AT_ONCE = Load(1, MESSAGES, "")
LATER = Load(1, MESSAGES, "", ttft=3600.0)
WARM, COUNTED = 300, 1500
"""Answers before and in a measurement."""
SECONDS = 1.5
CALLS_A_SECOND = 2000
"""How fast streams are begun."""
PAGE = 10_000
NOISY = 0.05
"""Share of a wait that the mock itself may have waited for a CPU."""
FAR = 100_000.0
"""Seconds after T0: nothing of a timeline is in force yet."""
READ = 20_000_000
"""Bytes of prompts that a measurement sends, if that makes 200 prompts at most and 4 at least."""

SHORT_BODY = b'{"model":"claude-haiku-4-5","max_tokens":5,"messages":[{"role":"user","content":"x"}]}'
SHORT = request("POST", MESSAGES, SHORT_BODY)
SCRAPE = request("GET", "/metrics")
SCRAPES = 10
LIMITS: Mapping[str, object] = {
    "requests_per_minute": 1e9,
    "input_tokens_per_minute": 1e11,
    "output_tokens_per_minute": 1e11,
    "ramp": 1e11,
    "spend": {"tokens": 10**15},
}


class Series(NamedTuple):
    """Something that may grow: what its sizes count, which they are, and what is measured at one of them."""

    counts: str
    sizes: tuple[int, ...]
    measure: Callable[[Caller, int], Iterator[Cost]]
    load: Callable[[int], Load] = lambda size: AT_ONCE

    def up_to(self, largest: int | None) -> Self:
        """Without the sizes above this one."""
        return self._replace(sizes=tuple(size for size in self.sizes if largest is None or size <= largest))


def measured(series: Series, tell: Callable[[str], None]) -> list[Point]:
    """A point for each size; where it looks steep both ends are measured once more. Raises `CouldNotRun`."""
    found = {size: _point(series, size, tell) for size in series.sizes}
    for size in growth.steep("", list(found.values())):
        found[size] = found[size].least(_point(series, size, tell))
    return list(found.values())


def _point(series: Series, size: int, tell: Callable[[str], None]) -> Point:
    tell(f"{size:,} {series.counts}")
    server_core, own_core = contender.cores()
    with (
        contender.on(own_core),
        contender.running(contender.OURS, series.load(size), server_core) as running,
        Caller(running) as caller,
    ):
        return Point(size, tuple(series.measure(caller, size)))


def _answers(caller: Caller) -> Cost:
    """Short answers, as many at once as the caller has lines."""
    caller.answers(itertools.repeat(SHORT, WARM))
    each = caller.answers(itertools.repeat(SHORT, COUNTED)) / COUNTED
    return Cost("CPU an answer", each, each)


def _held_up(caller: Caller, requests: Sequence[bytes]) -> Cost:
    """How long others wait while one of these is answered: the least of them, as the rest is other programs' doing."""
    longest, waited = min(caller.held_up(said) for said in requests)
    return Cost("others wait at most", longest, longest, quiet=waited <= NOISY * longest)


def _speaking(n: int) -> Load:
    """Two tokens a second each."""
    return Load(n, MESSAGES, ASKED, MARKER, 0.5, 0.5, 1000, max(0.5, n / CALLS_A_SECOND), 1.0, 3.0)


def _waiting(n: int) -> Load:
    """Nobody gets a token before this is over."""
    return Load(n, MESSAGES, ASKED, MARKER, 60.0, 0.5, 1000, max(0.5, n / CALLS_A_SECOND), 1.0, 2.0)


def _streams(caller: Caller, n: int) -> Iterator[Cost]:
    found = _read(_speaking(n), caller)
    yield Cost("CPU a token", found.cpu or 0.0, found.busy or 0.0)


def _idle(caller: Caller, n: int) -> Iterator[Cost]:
    found = _read(_waiting(n), caller)
    busy, memory = found.busy or 0.0, found.memory or 0.0
    yield Cost("CPU a stream and second", busy / n, busy)
    yield Cost("memory a stream", memory, memory * n, "bytes")


def _read(load: Load, caller: Caller) -> Found:
    """What a reader in a process of its own finds, on the core that is ours."""
    [core] = os.sched_getaffinity(0)
    found = rounds.read(load, caller.running, core)
    if found.failed:
        raise CouldNotRun(f"{found.failed} of {load.n} streams failed")
    return found


def _prompts(prompt: Callable[[int], list[object]]) -> Callable[[Caller, int], Iterator[Cost]]:
    """Prompts of a size, none of which has been seen before."""

    def measure(caller: Caller, size: int) -> Iterator[Cost]:
        content = prompt(size)
        mark = itertools.count()
        length = len(_asking(0, content))
        count = max(4, min(200, READ // length))
        caller.answers(_asking(next(mark), content) for _ in range(WARM // 100 if length > READ // 200 else WARM))
        each = caller.answers([_asking(next(mark), content) for _ in range(count)]) / count
        yield Cost("CPU a request", each, each)
        yield _held_up(caller, [_asking(next(mark), content) for _ in range(3)])

    return measure


def _asking(mark: int, content: list[object]) -> bytes:
    message = {"role": "user", "content": [{"type": "text", "text": f"{mark:06}"}, *content]}
    return request("POST", MESSAGES, json.dumps({"model": MODEL, "max_tokens": 5, "messages": [message]}).encode())


def _text(size: int) -> list[object]:
    return [{"type": "text", "text": "The tide comes in. " * max(1, size // 19)}]


def _document(size: int) -> list[object]:
    data = base64.b64encode(b"%PDF-1.4 /Type /Page " + bytes(size * 3 // 4)).decode()
    return [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}}]


def _blocks(count: int) -> list[object]:
    return [{"type": "text", "text": f"Line {k}."} for k in range(count)]


def _journal(caller: Caller, size: int) -> Iterator[Cost]:
    """After so many answers, no two to the same prompt: whatever is kept of them is full from 100,000 on."""
    asked = map(_new, itertools.count())
    caller.answers(itertools.islice(asked, size))
    caller.answers(itertools.islice(asked, WARM))
    each = caller.answers(itertools.islice(asked, COUNTED)) / COUNTED
    yield Cost("CPU an answer", each, each)
    if not size:
        return
    read = cursor = 0
    with caller.measured() as cpu:
        while (page := json.loads(caller.ask(_page(cursor, min(size, PAGE)))))["records"] and read < size:
            read, cursor = read + len(page["records"]), page["cursor"]
    yield Cost("CPU a record read", cpu[0] / read, cpu[0])
    yield _held_up(caller, [_page(0, min(size, PAGE))] * 3)


def _new(k: int) -> bytes:
    """A short question that nobody has asked before."""
    return request("POST", MESSAGES, SHORT_BODY.replace(b'"x"', b'"%d"' % k))


def _page(after: int, limit: int) -> bytes:
    return request("GET", f"/_mock/journal?after={after}&limit={limit}")


def _timeline(caller: Caller, size: int) -> Iterator[Cost]:
    """Entries one after the other, none in force yet."""
    fault = {"name": "status", "code": 529, "share": 0.1}
    entries = [{"at": FAR + 10 * k, "for": 5, "faults": [fault]} for k in range(size)]
    put = request("PUT", "/_mock/config", json.dumps({"timeline": entries}).encode())
    with caller.measured() as cpu:
        caller.ask(put)
    yield Cost("CPU of PUT /_mock/config", cpu[0], cpu[0])
    yield _answers(caller)


def _keys(caller: Caller, size: int) -> Iterator[Cost]:
    """Callers with limits on, each of whom has been seen and is not rested."""
    caller.configure({"limits": {"preset": "scale"}})
    everybody = [request("POST", MESSAGES, SHORT_BODY, f"sk-{k}") for k in range(size)]
    caller.answers(everybody)
    caller.answers(itertools.islice(itertools.cycle(everybody), WARM))
    each = caller.answers(itertools.islice(itertools.cycle(everybody), COUNTED)) / COUNTED
    yield Cost("CPU an answer", each, each)
    with caller.measured() as cpu:
        for _ in range(SCRAPES):
            caller.ask(SCRAPE)
    yield Cost("CPU of GET /metrics", cpu[0] / SCRAPES, cpu[0])


def _limits(caller: Caller, size: int) -> Iterator[Cost]:
    caller.configure({"limits": dict(itertools.islice(LIMITS.items(), size))})
    yield _answers(caller)


def _rules(caller: Caller, size: int) -> Iterator[Cost]:
    """Rules of which none matches: an answer has gone past all of them."""
    kinds = (
        {"text": "storm {k}"},
        {"text": "/storm {k}+/"},
        {"key": "sk-tenant-{k}-*"},
        {"header": {"x-tenant": "{k}*"}},
    )
    rules = [
        {"match": json.loads(json.dumps(kinds[k % len(kinds)]).replace("{k}", str(k))), "fixed": "No."}
        for k in range(size)
    ]
    caller.configure({"responders": rules})
    yield _answers(caller)


def _batch(caller: Caller, size: int) -> Iterator[Cost]:
    """One batch of so many requests, taken in but not begun: an hour is a reply's first token away."""
    params = {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    requests = [{"custom_id": str(k), "params": params} for k in range(size)]
    post = request("POST", f"{MESSAGES}/batches", json.dumps({"requests": requests}).encode())
    with caller.measured() as cpu:
        held_up = _held_up(caller, [post])
    yield Cost("CPU of POST .../batches", cpu[0], cpu[0])
    yield held_up


def _rate(caller: Caller, rate: int) -> Iterator[Cost]:
    count = int(rate * SECONDS)
    caller.answers(itertools.repeat(SHORT, WARM))
    cpu = caller.answers(itertools.repeat(SHORT, count), rate)
    yield Cost("CPU an answer", cpu / count, cpu / SECONDS)


SERIES: Mapping[str, Series] = {
    "streams": Series("streams at 2 tokens a second", (10, 100, 1_000, 10_000), _streams, _speaking),
    "idle": Series("streams before a token", (10, 100, 1_000, 10_000), _idle, _waiting),
    "rate": Series("short answers a second", (50, 125, 500, 2_000), _rate),
    "prompt": Series("bytes of a prompt", (1_000, 10_000, 100_000, 1_000_000), _prompts(_text)),
    "document": Series("bytes of a document", (1_000, 100_000, 1_000_000, 10_000_000), _prompts(_document)),
    "blocks": Series("blocks of a prompt", (1, 100, 1_000, 10_000, 100_000), _prompts(_blocks)),
    "batch": Series("requests in a batch", (1, 100, 1_000, 10_000, 100_000), _batch, lambda size: LATER),
    "journal": Series("answers before", (0, 1_000, 10_000, 100_000, 200_000), _journal),
    "timeline": Series("entries of the timeline", (0, 10, 100, 1_000, 10_000), _timeline),
    "keys": Series("callers with limits on", (1, 10, 100, 1_000, 10_000), _keys),
    "limits": Series("limits", (0, *range(1, len(LIMITS) + 1)), _limits),
    "rules": Series("rules that do not match", (0, 10, 100, 1_000), _rules),
}
