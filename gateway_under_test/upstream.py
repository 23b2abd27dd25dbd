"""Claude behind the patterns that the settings switch on, and the one screen where they compose."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import math
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import httpx2

from gateway_under_test import cache, errors, logs, race, relay, settings
from gateway_under_test.attempt import Attempt, Telemetry
from gateway_under_test.claude import Claude, Piece, Prompt, Usage
from gateway_under_test.patience import Patience
from gateway_under_test.patterns import Patterns, Place
from gateway_under_test.resilience.deadline import Deadline
from gateway_under_test.zombies import Zombies

__all__ = ["Piece", "Prompt", "Reply", "Upstream", "Usage"]

T = TypeVar("T")


class Reply(NamedTuple):
    """A whole answer, the model that gave it, and whether it had been given before."""

    text: str
    usage: Usage
    model: str
    cached: bool = False


@dataclass(frozen=True)
class Job(Generic[T]):
    """A request to Claude, whatever it is made of: how one attempt goes, and what the patterns need to know.

    Requests of one `kind` take about the same time. A `streamed` answer may go on after its first piece; `patience`
    are seconds after which it is of no use. Another model may answer unless the job is `bound` to its own.
    """

    exchange: Callable[[Attempt], AsyncGenerator[T, None]]
    kind: str
    model: str
    streamed: bool
    bound: bool = False
    patience: float = math.inf


@dataclass(frozen=True)
class Time:
    """By when the first piece must be here, and by when all of it."""

    first: Deadline
    whole: Deadline


class Upstream:
    """Claude, as the routes see it."""

    def __init__(
        self,
        chosen: settings.Settings,
        telemetry: Telemetry,
        answers: cache.Cache,
        zombies: Zombies | None = None,
        *,
        http_client: httpx2.AsyncClient | None = None,
        seed: int | None = None,
    ) -> None:
        self._stops_at = math.inf
        self._settings = chosen
        self._telemetry = telemetry
        self._answers = answers
        self._claude = Claude(chosen, http_client=http_client)
        self._patterns = Patterns(chosen)
        self._rng = random.Random(seed)
        self._zombies = zombies
        self._open: set[Attempt] = set()

    @property
    def draining(self) -> bool:
        return math.isfinite(self._stops_at)

    def drain(self) -> None:
        """We are about to stop: not ready any more, and what is cut from now on is cut by us.

        No attempt begins after the drain. Requests are cut then anyway, unless a blocking client holds up the loop.
        """
        if not self.draining:
            self._stops_at = asyncio.get_running_loop().time() + self._settings.drain

    def new_id(self) -> str:
        """An id for a request that came without one."""
        return f"{self._rng.getrandbits(128):032x}"

    def state(self) -> dict[str, Any]:
        """What the patterns stand at: for `/readyz` and for metrics."""
        return self._patterns.state()

    async def answer(self, prompt: Prompt, request: logs.RequestLine) -> Reply:
        """The whole answer, perhaps one that was given before; raises GatewayError."""

        job = self._whole(prompt)

        async def asked() -> cache.Row:
            async with contextlib.aclosing(self._tried(job, request)) as pieces:
                text, usage = [piece async for piece in pieces]
            return {"text": text, "usage": usage, "model": request.model}

        key = cache.key_of(prompt.model, prompt.system, prompt.text, prompt.max_tokens, prompt.version)
        began = asyncio.get_running_loop().time()
        until = self._time(job, request).first.at
        row, request.cached = await self._answers.get(key, asked, math.inf if until is None else until)
        if not request.begun:
            request.queued += asyncio.get_running_loop().time() - began
        if self._settings.cache:
            self._telemetry.metrics.cached(request.cached)
        reply = _reply(row, request.cached)
        request.model = reply.model
        return reply

    def ask(self, prompt: Prompt, request: logs.RequestLine) -> AsyncGenerator[Piece, None]:
        """The answer in one piece, then its Usage; raises GatewayError."""
        return self._tried(self._whole(prompt), request)

    def stream(self, prompt: Prompt, request: logs.RequestLine) -> AsyncGenerator[Piece, None]:
        """The answer piece by piece as Claude writes it, then its Usage; raises GatewayError."""
        job = Job(lambda attempt: self._claude.stream(prompt, attempt), "chat", prompt.model, streamed=True)
        return self._answer(job, request)

    def pass_on(self, letter: relay.Letter, request: logs.RequestLine) -> AsyncGenerator[relay.Part, None]:
        """Claude's answer to a caller's own request, byte for byte as it comes.

        Raises GatewayError; if Claude itself refused, its `answer` is what it said. After the empty part an error is
        for the log alone: the answer has passed, but was not what it should be.
        """
        job = Job(
            lambda attempt: self._claude.pass_on(letter, attempt),
            letter.kind,
            letter.model or "",
            letter.streamed,
            bound=True,
            patience=math.inf if letter.patience is None else letter.patience,
        )
        return self._answer(job, request)

    def _whole(self, prompt: Prompt) -> Job[Piece]:
        return Job(lambda attempt: self._claude.create(prompt, attempt), "chat", prompt.model, streamed=False)

    def _answer(self, job: Job[T], request: logs.RequestLine) -> AsyncGenerator[T, None]:
        pieces = self._tried(job, request)
        return pieces if self._zombies is None else self._zombies.stream(pieces)

    async def _tried(self, job: Job[T], request: logs.RequestLine) -> AsyncGenerator[T, None]:
        """One request: attempt after attempt, as long as the patterns allow another."""
        time = self._time(job, request)
        failure: errors.GatewayError | None = None
        told = False
        for n in itertools.count(1):
            try:
                async with self._hedged(job, request, time, failure) as (piece, pieces):
                    if piece is not None:
                        told = True
                        yield piece
                    async for piece in pieces:
                        yield piece
                return
            except errors.GatewayError as error:
                if told:  # what the caller has seen cannot be taken back
                    raise
                failure = error
                job, wait = self._next(n, job, error, time, request)
            request.queued += wait
            await asyncio.sleep(wait)

    @contextlib.asynccontextmanager
    async def _hedged(
        self, job: Job[T], request: logs.RequestLine, time: Time, failure: errors.GatewayError | None
    ) -> AsyncIterator[race.Spoken[T]]:
        """An attempt that has begun to speak, or another that was made beside it because it was late."""
        attempt = self._attempt(job, request, time, failure)
        hedge = self._patterns.hedge
        if hedge is None or not job.streamed:
            async with contextlib.aclosing(attempt):
                yield await anext(attempt, None), attempt
            return
        hedge.asked()
        async with race.first_to_speak(
            attempt,
            hedge.after,
            lambda: self._attempt(job, request, time, None) if self._patterns.may_hedge() else None,
            self._telemetry.metrics.hedged,
        ) as spoken:
            yield spoken

    async def _attempt(
        self, job: Job[T], request: logs.RequestLine, time: Time, failure: errors.GatewayError | None
    ) -> AsyncGenerator[T, None]:
        """One HTTP attempt, if every pattern lets it in: the first piece in time, none after too long a silence."""
        patterns, loop = self._patterns, asyncio.get_running_loop()
        async with patterns.admitted(request, job.model, time.first.at) as place:
            if loop.time() > self._stops_at:
                raise errors.Shed("the gateway is stopping; try again")
            service = patterns.service(job.kind, job.streamed)
            _start_in_time(time.first.remaining(loop.time()), service.expected, failure)
            until = time.first.within(self._settings.attempt_timeout, loop.time())
            over = time.whole if job.streamed else Deadline(until)
            request.begun += 1
            patience = over.remaining(loop.time())
            attempt = Attempt(request.begun, request, job.model, self._telemetry, job.streamed, patience)
            pieces, idle, whole = job.exchange(attempt), self._settings.idle_timeout, time.whole
            with self._watched(job, attempt, place), attempt:
                async with _in_time(pieces, until) as step:
                    while True:
                        with step:
                            piece = await anext(pieces, None)
                        if piece is None:
                            break
                        if attempt.ttft is None:
                            self._speaks(job, attempt, place)
                        yield piece
                        step.until = whole.within(idle, loop.time())
        patterns.budget.earn()
        service.add(attempt.ttft if job.streamed and attempt.ttft is not None else attempt.seconds)

    def _time(self, job: Job[T], request: logs.RequestLine) -> Time:
        """The request's time, counted from its start: our own limits, and the caller's where it is shorter."""
        chosen = self._settings
        theirs = request.deadline if chosen.caller_deadline and request.deadline is not None else math.inf
        theirs = min(theirs, job.patience)
        first = math.inf if chosen.deadline is None else chosen.deadline
        whole = first
        if job.streamed:
            whole = math.inf if chosen.stream_timeout is None else chosen.stream_timeout
        return Time(_deadline(min(first, theirs), request.started), _deadline(min(whole, theirs), request.started))

    def _next(
        self, n: int, job: Job[T], error: errors.GatewayError, time: Time, request: logs.RequestLine
    ) -> tuple[Job[T], float]:
        """The job for the next attempt, and seconds until then; raises the error if it was the last."""
        patterns, metrics = self._patterns, self._telemetry.metrics
        if isinstance(error, errors.Shed):
            metrics.shed("circuit_open" if isinstance(error, errors.CircuitOpen) else "full", request.priority)
        room = time.first.remaining(asyncio.get_running_loop().time())
        elsewhere = self._elsewhere(n, job, error) if room > 0 else None
        if elsewhere is not None:
            metrics.fell_back(error.type)
            return elsewhere, 0.0
        wait = patterns.retry.next_wait(n, error, room - patterns.service(job.kind, job.streamed).expected, self._rng)
        if wait is None or not patterns.budget.spend():
            metrics.refused_retry("budget" if wait is not None else self._why_not(n, error))
            raise error
        metrics.retried(error.type)
        return job, wait

    def _elsewhere(self, n: int, job: Job[T], error: errors.GatewayError) -> Job[T] | None:
        """The job for the fallback model, which has places of its own: asked at once, and for nothing if nothing was
        sent."""
        other = self._settings.fallback_model
        if other is None or job.bound or job.model == other:
            return None
        match error:
            case errors.CircuitOpen():
                return dataclasses.replace(job, model=other)
            case errors.Overloaded() if n < self._settings.attempts and self._patterns.budget.spend():
                return dataclasses.replace(job, model=other)
            case _:
                return None

    def _why_not(self, n: int, error: errors.GatewayError) -> str:
        if n >= self._settings.attempts:
            return "attempts"
        return "deadline" if error.retryable else "not_retryable"

    @contextlib.contextmanager
    def _watched(self, job: Job[T], attempt: Attempt, place: Place) -> Iterator[None]:
        """While it is open we must not close its connection; and what it is refused with, the patterns hear."""
        place.taken = True
        self._open.add(attempt)
        try:
            yield
        except errors.GatewayError as error:
            place.failed(error)
            self._patterns.learn(job.model, attempt.headers, attempt.started)
            if isinstance(error, errors.Throttled):
                self._patterns.refused(job.model, error.retry_after)
            if job.streamed and isinstance(error, errors.Overloaded | errors.Timeout) and attempt.ttft is None:
                self._patterns.adapt(attempt.seconds, dropped=True)
            raise
        finally:
            if attempt.ttft is None:
                attempt.request.upstream += attempt.seconds
            self._open.discard(attempt)

    def _speaks(self, job: Job[T], attempt: Attempt, place: Place) -> None:
        """The first piece is here, which is what the patterns go by."""
        ttft = attempt.speaks()
        attempt.request.model = attempt.model or None
        attempt.request.upstream += ttft
        place.speaks()
        self._patterns.learn(job.model, attempt.headers, attempt.started)
        if job.streamed:  # how long a whole answer takes says how long it is, and nothing of the load
            self._patterns.adapt(ttft)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Ready to ask, for as long as the application lives; open attempts end before their connections do."""
        async with self._claude.connected():
            try:
                yield
            finally:
                self.drain()
                await self._idle(at_most=0.5)

    async def _idle(self, at_most: float) -> None:
        """Let attempts that were just cancelled say so before their connections are closed under them."""
        give_up = asyncio.get_running_loop().time() + at_most
        while self._open and asyncio.get_running_loop().time() < give_up:
            await asyncio.sleep(0.01)


def _reply(row: cache.Row, cached: bool) -> Reply:
    text, usage, model = row["text"], row["usage"], row["model"]
    assert isinstance(text, str) and isinstance(usage, list | tuple) and isinstance(model, str)
    return Reply(text, Usage(*usage), model, cached)


def _deadline(seconds: float, start: float) -> Deadline:
    return Deadline.after(seconds if math.isfinite(seconds) else None, start)


@contextlib.asynccontextmanager
async def _in_time(pieces: AsyncGenerator[T, None], until: float | None) -> AsyncIterator[Patience]:
    """For the steps of `pieces`, closed at the end; raises Timeout if one takes too long, the first one `until`."""
    async with contextlib.aclosing(pieces):
        with contextlib.closing(Patience(until)) as step:
            try:
                yield step
            except TimeoutError:
                raise errors.Timeout("Claude did not answer in time") from None


def _start_in_time(remaining: float, expected: float, failure: errors.GatewayError | None) -> None:
    if remaining <= 0 or remaining < expected:
        raise failure or errors.Timeout(
            f"not started: {max(0.0, remaining):.1f} s are left, an answer takes {expected:.1f} s"
        )
