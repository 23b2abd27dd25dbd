"""One attempt at Claude, and the one line it leaves in the log however it ends.

The line is a promise: the load tester compares it, id by id, with what Claude received. So `sends` counts what Claude
could have seen, also where the SDK tries again by itself below us, and an attempt that was given up before anything was
sent leaves no line at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from gateway_under_test import errors, logs, tracing
from gateway_under_test.metrics import Metrics


@dataclass
class Telemetry:
    """Who hears of an attempt; `stopping` tells whether it is us who end what is cut now."""

    log: logs.Log
    metrics: Metrics
    tracing: tracing.Tracing
    stopping: Callable[[], bool]


@dataclass(eq=False)
class Attempt:
    """Attempt `n` (from 1) of a request; a context in which the exchange runs."""

    n: int
    request: logs.RequestLine
    model: str | None
    telemetry: Telemetry
    streamed: bool
    patience: float = math.inf  # seconds from its start after which nobody waits for it
    sends: int = 0
    counted_early: bool = False  # by an http client in memory, before it is known whether there is a connection
    status_code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    cache_write: int = 0
    outcome: str = ""
    started: float = field(init=False)
    seconds: float = field(init=False, default=0.0)
    ttft: float | None = field(init=False, default=None)
    """Seconds to the first piece: of a stream its first token, of a whole answer all of it."""

    def __enter__(self) -> Self:
        self.started = asyncio.get_running_loop().time()
        self._span = contextlib.ExitStack()
        self._span.enter_context(self.telemetry.tracing.attempt(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = asyncio.get_running_loop().time() - self.started
        self.outcome = self._ended_by(error)
        self._span.__exit__(kind, error, trace)
        if not self.sends and isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            return
        self.request.attempts += max(1, self.sends)
        self.request.input_tokens += self.input_tokens
        self.request.output_tokens += self.output_tokens
        self.telemetry.metrics.attempted(
            self.request.route,
            self.model or "",
            self.outcome,
            self.seconds,
            self.ttft if self.streamed else None,
            self.input_tokens,
            self.output_tokens,
            cache_read=self.cache_read,
            cache_write=self.cache_write,
        )
        self.telemetry.log.info(
            "attempt",
            request_id=self.request.request_id,
            attempt=self.n,
            model=self.model,
            status_code=self.status_code,
            outcome=self.outcome,
            sent=self.sends > 0,
            sends=self.sends,
            duration_ms=round(self.seconds * 1000, 1),
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
        )

    def sent(self) -> None:
        """The request has left: from now on Claude could have seen it."""
        self.sends += 1

    def hear(self, status_code: int, headers: Mapping[str, str]) -> None:
        """Claude's answer has begun."""
        self.status_code, self.headers = status_code, headers

    def read(self, usage: Mapping[str, Any]) -> None:
        """What Claude says it has read; what its prompt cache held is counted apart."""
        self.input_tokens = usage["input_tokens"]
        self.cache_read = usage.get("cache_read_input_tokens") or 0
        self.cache_write = usage.get("cache_creation_input_tokens") or 0

    def speaks(self) -> float:
        """Its first piece is here; returns the seconds it took."""
        self.ttft = asyncio.get_running_loop().time() - self.started
        return self.ttft

    def labels(self) -> dict[str, str]:
        """What Claude is told of an attempt beside the request itself.

        `x-request-deadline`: seconds from now after which nobody waits for this attempt, so that who cannot serve it by
        then need not begin.
        """
        labels = {"x-request-id": self.request.request_id, **self.telemetry.tracing.headers(self)}
        if math.isfinite(self.patience):
            labels["x-request-deadline"] = f"{self.patience:.3f}"
        return labels

    def _ended_by(self, error: BaseException | None) -> str:
        match error:
            case None:
                return "complete"
            case errors.GatewayError():
                return error.type
            case asyncio.CancelledError() | GeneratorExit():
                return "aborted" if self.telemetry.stopping() else "left"
            case _:
                return "failed"
