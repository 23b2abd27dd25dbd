"""One HTTP exchange with Claude, and the one line it leaves in the log however it ends.

The line is a promise: the load tester compares it, id by id, with what Claude received. So `sent` says whether Claude
could have seen the attempt, and an attempt that was given up before anything was sent leaves no line at all.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from gateway_under_test import errors, logs


@dataclass(eq=False)
class Attempt:
    """Attempt `n` (from 1) of a request; a context in which the exchange runs."""

    n: int
    request: logs.RequestLine
    model: str | None
    log: logs.Log
    stopping: Callable[[], bool]
    patience: float = math.inf  # seconds from its start after which nobody waits for it
    sent: bool = False
    status_code: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    started: float = field(init=False)
    seconds: float = field(init=False, default=0.0)

    def __enter__(self) -> Self:
        self.started = asyncio.get_running_loop().time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = asyncio.get_running_loop().time() - self.started
        if not self.sent and isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            return
        self.request.attempts += 1
        self.request.input_tokens += self.input_tokens
        self.request.output_tokens += self.output_tokens
        self.log.info(
            "attempt",
            request_id=self.request.request_id,
            attempt=self.n,
            model=self.model,
            status_code=self.status_code,
            outcome=self._outcome(error),
            sent=self.sent,
            duration_ms=round(self.seconds * 1000, 1),
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
        )

    def _outcome(self, error: BaseException | None) -> str:
        match error:
            case None:
                return "complete"
            case errors.GatewayError():
                return error.type
            case asyncio.CancelledError() | GeneratorExit():
                return "aborted" if self.stopping() else "left"
            case _:
                return "failed"
