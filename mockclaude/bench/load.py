"""What one measurement asks for, and what it found: values that go from process to process as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple, Self

AT_ONCE = 1e9
"""Tokens a second of a reply that takes no time."""


class Load(NamedTuple):
    """`n` callers at once, each of whom asks again when its answer has ended.

    A token is what `marker` counts: it is due `ttft` seconds after the request and then every `gap`. Without a marker
    the answers themselves are counted. Callers begin over `ramp` seconds; after `warm` more, `window` seconds count.
    `fresh` is a word of the body in whose place every request has a number of its own: nobody asked that before.
    """

    n: int
    path: str
    body: str
    marker: str = ""
    ttft: float = 0.0
    gap: float = 0.0
    tokens: int = 0
    ramp: float = 0.0
    warm: float = 1.0
    window: float = 3.0
    fresh: str = ""

    @property
    def config(self) -> dict[str, object]:
        """The mock that speaks at this speed."""
        speed = {"tokens_per_second": 1 / self.gap if self.gap else AT_ONCE, "tokens_per_delta": 1, "prefill": False}
        ttft = {"p50": self.ttft, "p95": self.ttft}
        return {"latency": {"ttft": ttft, **speed}, "capacity": {"slots": 100_000}}

    @property
    def environment(self) -> dict[str, str]:
        """What tells a baseline (benchmarks/speech.py) this speed."""
        rate = 1 / self.gap if self.gap else AT_ONCE
        return {"BENCH_TTFT": str(self.ttft), "BENCH_RATE": str(rate), "BENCH_TOKENS": str(self.tokens)}

    def request(self, host: str, number: int = 0) -> bytes:
        """The bytes of one request, which is the `number`-th."""
        body = (self.body.replace(self.fresh, f"{number:0{len(self.fresh)}}") if self.fresh else self.body).encode()
        lines = (
            f"POST {self.path} HTTP/1.1",
            f"host: {host}",
            "content-type: application/json",
            "x-api-key: sk-bench",
            "anthropic-version: 2023-06-01",
            f"content-length: {len(body)}",
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Spread(NamedTuple):
    """Of many figures the median, the 99th percentile and the largest."""

    p50: float
    p99: float
    largest: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Self | None:
        """None of none."""
        if not figures:
            return None
        ordered = sorted(figures)
        return cls(ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], ordered[-1])


class Found(NamedTuple):
    """One measurement of one server, in seconds.

    `late` is how far each token came from its schedule, `uneven` how far each gap was from the one asked for, `first`
    is `late` of first tokens; `rate` is tokens got over tokens asked for. `wait` is the share of the window that server
    or reader stood ready without a CPU, `reader` the share of its core that the reader used: behind a gateway, where
    its core is the mock's too, both use it and the mock's wait counts. What has no process id (a peer) has no `cpu`
    (seconds of the server for each token or answer), `busy` or `memory` (bytes a caller).
    """

    counted: int
    seconds: float
    failed: int
    short: int
    rate: float | None
    late: Spread | None
    uneven: Spread | None
    first: Spread | None
    wait: float
    reader: float
    reads: float
    cpu: float | None
    busy: float | None
    memory: float | None

    @classmethod
    def read(cls, text: str) -> Self:
        """What another process wrote."""
        fields = json.loads(text)
        spreads = {name: Spread(*fields[name]) for name in ("late", "uneven", "first") if fields[name]}
        return cls(**fields | spreads)
