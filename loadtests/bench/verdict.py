"""What a generator is held to, and what the tables tell of it."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from loadtests.bench.heard import Heard
from mockclaude.bench import markdown
from mockclaude.bench.goals import Figure, Goal, cpu
from mockclaude.bench.report import Sheet
from mockclaude.bench.rounds import Row

GENERATOR, ITER_LINES = "loadtests", "iter_lines"
ARRIVALS = "arrivals"
STREAMS, RATE = 300, 500
PROMPT = 0.02
"""Seconds; 99 of 100 requests are to leave within so many of their moment."""


def ttft_off(heard: Heard) -> float | None:
    """How far the median time to first token is from the true one."""
    return _off(heard.ttft and heard.ttft.p50, heard.true_ttft and heard.true_ttft.p50)


def itl_off(heard: Heard) -> float | None:
    """How far the median gap is from the true one."""
    return _off(heard.itl and heard.itl.p50, heard.true_itl and heard.true_itl.p50)


def itl_tail_off(heard: Heard) -> float | None:
    """How far the 99th percentile of gaps is from the true one."""
    return _off(heard.itl and heard.itl.p99, heard.true_itl and heard.true_itl.p99)


def lag(heard: Heard) -> float | None:
    """99 of 100 requests left within so many seconds of their moment."""
    return heard.lag and heard.lag.p99


def held_to(name: str) -> tuple[Goal, ...]:
    """A reader of streams."""
    return (
        Goal(f"{name}: p50 of TTFT off by, s", STREAMS, ttft_off, 0.001, own=name, counted="streams"),
        Goal(f"{name}: p50 of ITL off by, s", STREAMS, itl_off, 0.001, own=name, counted="streams"),
        Goal(f"{name}: p99 of ITL off by, s", STREAMS, itl_tail_off, 0.002, own=name, counted="streams"),
    )


GOALS = (*held_to(GENERATOR), Goal("p99 of dispatch lag, s", RATE, lag, PROMPT, own=ARRIVALS, counted="requests/s"))
TIMES: Sequence[Figure] = (ttft_off, itl_off, itl_tail_off, lag)

OF_STREAMS = Sheet(
    (
        ("CPU us a token", cpu, 1e6),
        ("TTFT p50 ms", lambda heard: heard.ttft and heard.ttft.p50, 1e3),
        ("TTFT p99 ms", lambda heard: heard.ttft and heard.ttft.p99, 1e3),
        ("ITL p50 ms", lambda heard: heard.itl and heard.itl.p50, 1e3),
        ("ITL p99 ms", lambda heard: heard.itl and heard.itl.p99, 1e3),
        ("core %", lambda heard: heard.busy, 100),
    ),
    ("TTFT p50 ms", "TTFT p99 ms", "ITL p50 ms", "ITL p99 ms"),
    "streams",
)
OF_ARRIVALS = Sheet(
    (
        ("CPU us a request", cpu, 1e6),
        ("lag p50 ms", lambda heard: heard.lag and heard.lag.p50, 1e3),
        ("lag p99 ms", lag, 1e3),
        ("lag max ms", lambda heard: heard.lag and heard.lag.largest, 1e3),
        ("core %", lambda heard: heard.busy, 100),
    ),
    ("lag p50 ms", "lag p99 ms", "lag max ms"),
    "a second",
)


def with_truth(rows: Sequence[Row]) -> Iterator[Row]:
    """Below each reader of streams what the mock says of them."""
    for row in rows:
        yield row
        yield Row("  the truth", row.n, tuple(heard.truth for heard in row.rounds if isinstance(heard, Heard)))


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """What `--json` wrote, as Markdown."""
    yield from markdown.head(document, "loadtests bench client")
    told = [Row(row["name"], row["n"], tuple(map(Heard.read, row["rounds"]))) for row in document["rows"]]
    if read := [row for row in told if not row.name.startswith(ARRIVALS)]:
        yield from markdown.figures(list(with_truth(read)), OF_STREAMS)
    if sent := [row for row in told if row.name.startswith(ARRIVALS)]:
        yield from markdown.figures(sent, OF_ARRIVALS)
    yield from markdown.verdicts(document)


def most(rows: Sequence[Row]) -> str:
    """The highest rate of the ladder that was kept up, and each below it."""
    kept: int | None = None
    for row in sorted((row for row in rows if row.name == ARRIVALS), key=lambda row: row.n):
        lags = [heard.lag.p99 for heard in row.quiet if isinstance(heard, Heard) and heard.lag]
        if not lags:
            return f"{_kept(kept)}; {row.n} requests/s: no quiet round"
        if median(lags) > PROMPT:
            break
        kept = row.n
    return _kept(kept)


def _kept(rate: int | None) -> str:
    said = "none of these rates" if rate is None else f"{rate} requests/s"
    return f"the most with a p99 of dispatch lag of at most {PROMPT * 1000:g} ms: {said}"


def _off(measured: float | None, true: float | None) -> float | None:
    return None if measured is None or true is None else abs(measured - true)
