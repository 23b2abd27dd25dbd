"""Claude, seen from here: the only module that speaks to it, and the one screen where the patterns compose."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import anthropic
import httpx2
from anthropic._base_client import get_platform

from gateway_under_test import errors, logs, relay, settings
from gateway_under_test.attempt import Attempt
from gateway_under_test.resilience import budget, limiter
from gateway_under_test.resilience.deadline import Deadline, ServiceTime
from gateway_under_test.resilience.retry import Retry

# Which attempt the http client is busy with: its hooks see a request and nothing of ours.
_current: ContextVar[Attempt] = ContextVar("attempt")


@dataclass(frozen=True)
class Prompt:
    """What is asked of Claude."""

    text: str
    system: str | None
    model: str
    max_tokens: int


class Usage(NamedTuple):
    """The tokens of a complete answer; always the last piece of it."""

    input: int
    output: int


Piece = str | Usage
T = TypeVar("T")


@dataclass(frozen=True)
class Job(Generic[T]):
    """A request to Claude, whatever it is made of: how one attempt goes, and what the patterns need to know.

    Requests of one `kind` take about the same time. A `streamed` answer may go on after its first piece; `patience`
    are seconds after which it is of no use.
    """

    exchange: Callable[[Attempt], AsyncGenerator[T, None]]
    kind: str
    model: str | None
    streamed: bool
    patience: float = math.inf


class Upstream:
    """Claude behind the patterns that the settings switch on."""

    def __init__(
        self,
        chosen: settings.Settings,
        log: logs.Log,
        *,
        http_client: httpx2.AsyncClient | None = None,
        seed: int | None = None,
    ) -> None:
        self.draining = False
        self._settings = chosen
        self._log = log
        self._http_client = http_client
        self._rng = random.Random(seed)
        self._service: dict[str, ServiceTime] = {}
        self._retry = Retry(attempts=chosen.attempts, **chosen.backoff.model_dump())
        earned, limit = chosen.retry_budget, chosen.concurrency
        self._budget = budget.Budget(earned.ratio, earned.burst) if earned else budget.Unlimited()
        self._limiter = limiter.Limiter(limit.limit, limit.max_wait) if limit else limiter.Unlimited()
        self._open: set[Attempt] = set()

    def drain(self) -> None:
        """We are about to stop: not ready any more, and what is cut from now on is cut by us."""
        self.draining = True

    def new_id(self) -> str:
        """An id for a request that came without one."""
        return f"{self._rng.getrandbits(128):032x}"

    def ask(self, prompt: Prompt, request: logs.RequestLine) -> AsyncGenerator[Piece, None]:
        """The answer in one piece, then its Usage; raises GatewayError."""
        job = Job(lambda attempt: self._create(prompt, attempt), "chat", prompt.model, streamed=False)
        return self._answer(job, request)

    def stream(self, prompt: Prompt, request: logs.RequestLine) -> AsyncGenerator[Piece, None]:
        """The answer piece by piece as Claude writes it, then its Usage; raises GatewayError."""
        job = Job(lambda attempt: self._stream(prompt, attempt), "chat", prompt.model, streamed=True)
        return self._answer(job, request)

    def pass_on(self, letter: relay.Letter, request: logs.RequestLine) -> AsyncGenerator[relay.Part, None]:
        """Claude's answer to a caller's own request, byte for byte as it comes.

        Raises GatewayError; if Claude itself refused, its `answer` is what it said. After the empty part an error is
        for the log alone: the answer has passed, but was not what it should be.
        """
        patience = math.inf if letter.patience is None else letter.patience
        job = Job(lambda attempt: self._relay(letter, attempt), letter.kind, letter.model, letter.streamed, patience)
        return self._answer(job, request)

    async def _answer(self, job: Job[T], request: logs.RequestLine) -> AsyncGenerator[T, None]:
        """One request, with every pattern in the order in which it acts."""
        deadline = self._deadline(job, request)
        service = self._service.setdefault(job.kind, ServiceTime())
        failure: errors.GatewayError | None = None
        told = False
        for n in itertools.count(1):
            try:
                async with self._limiter.slot(deadline.at):  # full: Shed
                    _start_in_time(deadline, service, failure)  # it could not end in time: not started
                    async with contextlib.aclosing(self._attempt(n, job, request, deadline)) as pieces:
                        async for piece in pieces:
                            told = True
                            yield piece
                    return
            except errors.GatewayError as error:
                failure = error
                # what the caller has seen cannot be taken back
                wait = None if told else self._wait_before_next(n, error, deadline, service)
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    def _deadline(self, job: Job[T], request: logs.RequestLine) -> Deadline:
        ours = math.inf if self._settings.deadline is None else self._settings.deadline
        seconds = min(ours, job.patience)
        return Deadline.after(seconds if math.isfinite(seconds) else None, request.started)

    def _wait_before_next(
        self, n: int, error: errors.GatewayError, deadline: Deadline, service: ServiceTime
    ) -> float | None:
        """Seconds until the next attempt; None if the classifier, the deadline or the budget says it is over."""
        room = deadline.remaining(asyncio.get_running_loop().time()) - service.expected
        wait = self._retry.next_wait(n, error, room, self._rng)
        return wait if wait is not None and self._budget.spend() else None

    async def _attempt(
        self, n: int, job: Job[T], request: logs.RequestLine, deadline: Deadline
    ) -> AsyncGenerator[T, None]:
        """One HTTP attempt: the first piece within the attempt's timeout, all of it within the deadline."""
        now = asyncio.get_running_loop().time()
        until = deadline.within(self._settings.attempt_timeout, now)
        over = deadline if job.streamed else Deadline(until)  # a stream may go on after its first piece
        attempt = Attempt(n, request, job.model, self._log, lambda: self.draining, over.remaining(now))
        with self._opened(attempt), attempt:
            async with contextlib.aclosing(job.exchange(attempt)) as pieces:
                while True:
                    try:
                        # around each step and never around a yield: between steps the caller's task may change
                        async with asyncio.timeout_at(until):
                            piece = await anext(pieces, None)
                    except TimeoutError:
                        raise errors.Timeout("Claude did not answer in time") from None
                    if piece is None:
                        break
                    yield piece
                    until = deadline.at
        self._budget.earn()
        self._service[job.kind].add(attempt.seconds)

    async def _create(self, prompt: Prompt, attempt: Attempt) -> AsyncGenerator[Piece, None]:
        with _translated(attempt):
            with _carrying(attempt):
                response = await self._client.messages.with_raw_response.create(**_parameters(prompt, attempt))
            attempt.status_code = response.status_code
            message = await response.parse()
            attempt.input_tokens = message.usage.input_tokens
            attempt.output_tokens = message.usage.output_tokens
            text = "".join(block.text for block in message.content if block.type == "text")
        if not text:
            raise errors.UpstreamError("Claude sent no text", retryable=False)
        yield text
        yield Usage(attempt.input_tokens, attempt.output_tokens)

    async def _stream(self, prompt: Prompt, attempt: Attempt) -> AsyncGenerator[Piece, None]:
        seen, stopped = False, False
        with _translated(attempt):
            with _carrying(attempt):
                events = await self._client.messages.create(**_parameters(prompt, attempt), stream=True)
            async with events:
                attempt.status_code = events.response.status_code
                async for event in events:
                    await asyncio.sleep(0)  # a read may hold hundreds of events: let timers and other streams in
                    if event.type == "content_block_delta" and event.delta.type == "text_delta":
                        seen = True
                        yield event.delta.text
                    elif event.type == "message_start":
                        attempt.input_tokens = event.message.usage.input_tokens
                    elif event.type == "message_delta":
                        attempt.output_tokens = event.usage.output_tokens
                    elif event.type == "message_stop":
                        stopped = True
        if not stopped:
            raise errors.UpstreamError("Claude's answer broke off")
        if not seen:
            raise errors.UpstreamError("Claude sent no text", retryable=False)
        yield Usage(attempt.input_tokens, attempt.output_tokens)

    async def _relay(self, letter: relay.Letter, attempt: Attempt) -> AsyncGenerator[relay.Part, None]:
        with _translated(attempt):
            with _carrying(attempt):
                response = await self._http.send(self._outward(letter, attempt), stream=True)
            attempt.status_code = response.status_code
            headers = relay.end_to_end(response.headers.raw, relay.NOT_GIVEN_BACK)
            async with contextlib.aclosing(response), contextlib.aclosing(_parts(response)) as parts:
                if response.status_code >= 400:
                    body = b"".join([part async for part in parts])
                    raise _refusal(relay.Head(response.status_code, headers, body), response.headers)
                head = relay.Head(response.status_code, headers, await anext(parts, b""))
                with _noting(attempt, relay.Reading(head)) as reading:
                    yield head
                    async for part in parts:
                        await asyncio.sleep(0)  # a fast answer lets timers and other streams in
                        reading.hear(part)
                        yield part
                    yield b""
            if reading.failed is not None:
                raise errors.from_claude(errors.STATUS_OF.get(reading.failed, 500))
            if reading.broke_off:
                raise errors.UpstreamError("Claude's answer broke off")

    def _outward(self, letter: relay.Letter, attempt: Attempt) -> httpx2.Request:
        """The caller's request with our credential, the request's id and what is left of its time."""
        base = self._settings.anthropic_base_url.rstrip("/")
        try:
            url = httpx2.URL(base + letter.target.decode("latin-1"))
        except httpx2.InvalidURL:
            raise errors.Rejected("the path or the query is not one of a URL", status=400) from None
        ours = {**self._client.auth_headers, **_labels(attempt), "accept-encoding": "identity"}
        theirs = letter.header(b"x-stainless-retry-count") or b"0"
        if attempt.n > 1 and theirs.isdigit() and len(theirs) < 10:
            ours["x-stainless-retry-count"] = str(int(theirs) + attempt.n - 1)
        asked = errors.seconds((letter.header(b"x-request-deadline") or b"").decode("latin-1"))
        if asked is not None and asked < attempt.patience:
            ours.pop("x-request-deadline", None)
        headers = letter.outward([(name.lower().encode(), value.encode()) for name, value in ours.items()])
        target = httpx2.URL(base).raw_path.rstrip(b"/") + letter.target  # as it came: a URL may write it otherwise
        return httpx2.Request(letter.method, url, headers=headers, content=letter.body, extensions={"target": target})

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """The one client, for as long as the application lives; open attempts end before it closes."""
        self._settings.require_keys()
        assert self._settings.anthropic_api_key is not None
        http_client = self._http = self._http_client or _http_client()
        http_client.event_hooks["request"].append(self._witness)
        self._client = anthropic.AsyncAnthropic(
            api_key=self._settings.anthropic_api_key.get_secret_value(),
            base_url=self._settings.anthropic_base_url,
            http_client=http_client,
            max_retries=0,  # the SDK would multiply our own
            timeout=httpx2.Timeout(None),  # ours are timers of the loop
        )
        self._client._platform = get_platform()  # else its first request looks this up in a thread
        try:
            yield
        finally:
            self.drain()
            await self._idle(at_most=0.5)
            http_client.event_hooks["request"].remove(self._witness)
            if self._http_client is None:
                await http_client.aclose()

    @contextlib.contextmanager
    def _opened(self, attempt: Attempt) -> Iterator[None]:
        self._open.add(attempt)
        try:
            yield
        finally:
            self._open.discard(attempt)

    async def _idle(self, at_most: float) -> None:
        """Let attempts that were just cancelled say so before their connections are closed under them."""
        give_up = asyncio.get_running_loop().time() + at_most
        while self._open and asyncio.get_running_loop().time() < give_up:
            await asyncio.sleep(0.01)

    async def _witness(self, request: httpx2.Request) -> None:
        """Learn from the http client when the request's first bytes are out; an in-memory one sends at once."""
        attempt = _current.get(None)
        if attempt is None:  # an injected client may serve others too
            return
        attempt.sent = self._http_client is not None

        async def trace(event: str, info: object) -> None:
            if event == "connection.connect_tcp.started":
                attempt.sent = False
            elif event == "http11.send_request_headers.complete":
                attempt.sent = True

        request.extensions["trace"] = trace


def _http_client() -> httpx2.AsyncClient:
    """Connections without a cap (the limiter is the cap), reused while Claude surely still holds them open.

    A server closes idle connections (uvicorn after 5 s); reusing one at that very moment is a lost attempt, so ours
    expire earlier. httpx2 and not the SDK's aiohttp client, because its trace tells whether a request left.
    """
    return httpx2.AsyncClient(
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=3.0),
        timeout=httpx2.Timeout(None),
        trust_env=False,
    )


def _start_in_time(deadline: Deadline, service: ServiceTime, failure: errors.GatewayError | None) -> None:
    remaining = deadline.remaining(asyncio.get_running_loop().time())
    if remaining <= 0 or remaining < service.expected:
        raise failure or errors.Timeout(
            f"not started: {max(0.0, remaining):.1f} s are left, an answer takes {service.expected:.1f} s"
        )


def _parameters(prompt: Prompt, attempt: Attempt) -> dict[str, Any]:
    """The request's id goes out twice: gateways on the way strip headers, `metadata` survives more of them."""
    return {
        "model": prompt.model,
        "max_tokens": prompt.max_tokens,
        "messages": [{"role": "user", "content": prompt.text}],
        "metadata": {"user_id": attempt.request.request_id},
        "extra_headers": {**_labels(attempt), "x-stainless-retry-count": str(attempt.n - 1)},
        **({"system": prompt.system} if prompt.system is not None else {}),
    }


def _labels(attempt: Attempt) -> dict[str, str]:
    """What Claude is told of an attempt beside the request itself.

    `x-request-deadline`: seconds from now after which nobody waits for this attempt, so that who cannot serve it by
    then need not begin.
    """
    labels = {"x-request-id": attempt.request.request_id}
    if math.isfinite(attempt.patience):
        labels["x-request-deadline"] = f"{attempt.patience:.3f}"
    return labels


async def _parts(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The body's bytes as they arrive and undecoded; none of them empty."""
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    async for part in stream:
        if part:
            yield part


def _refusal(head: relay.Head, headers: httpx2.Headers) -> errors.GatewayError:
    """Claude's error answer as our error, which carries it."""
    error = errors.from_claude(head.status, errors.seconds(headers.get("retry-after")))
    error.retryable = error.retryable and headers.get("x-should-retry") != "false"
    error.answer = head
    return error


@contextlib.contextmanager
def _noting(attempt: Attempt, reading: relay.Reading) -> Iterator[relay.Reading]:
    """However much of an answer passes: what it says of itself goes into the attempt's line."""
    try:
        yield reading
    finally:
        reading.end()
        attempt.model = attempt.request.model = reading.model or attempt.model
        attempt.input_tokens, attempt.output_tokens = reading.input_tokens, reading.output_tokens


@contextlib.contextmanager
def _carrying(attempt: Attempt) -> Iterator[None]:
    token = _current.set(attempt)
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def _translated(attempt: Attempt) -> Iterator[None]:
    """Whatever the SDK or its http client raises, as our error; cancellation passes."""
    try:
        yield
    except anthropic.APIStatusError as error:
        attempt.status_code = error.status_code
        retry_after = errors.seconds(error.response.headers.get("retry-after"))
        raise errors.from_claude(_status(error), retry_after) from error
    except anthropic.APIConnectionError as error:
        if isinstance(error.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout)):
            attempt.sent = False
            raise errors.Unreachable("no connection to Claude") from error
        raise errors.UpstreamError("the connection to Claude broke") from error
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        attempt.sent = False
        raise errors.Unreachable("no connection to Claude") from error
    except httpx2.LocalProtocolError as error:
        raise errors.Rejected("a header of the request cannot be sent on") from error
    except (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError) as error:
        raise errors.UpstreamError("the connection to Claude broke") from error
    except (ValueError, TypeError, AttributeError) as error:  # the SDK does not validate what it parses
        raise errors.UpstreamError("Claude's answer is malformed") from error


def _status(error: anthropic.APIStatusError) -> int:
    """The status of an error answer; of an error event inside a 200, the status that its type stands for."""
    if error.status_code != 200:
        return error.status_code
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error")
    kind = inner.get("type") if isinstance(inner, dict) else None
    return errors.STATUS_OF.get(str(kind), 500)
