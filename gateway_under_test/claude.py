"""Claude's API as we speak it, one exchange at a time: the only module that knows the SDK.

How it is called is a pattern of its own. `calls: async` waits on the event loop; `sync` is the mistake of a blocking
client in an async server, which holds everybody up; `threadpool` is what a server does with a sync function, one of 40
threads for as long as it takes. `client: per_request` makes a client, its TLS context and its connection anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import anthropic
import httpx2
import orjson
from anthropic._base_client import get_platform
from anthropic.types import Message
from anyio import to_thread

from gateway_under_test import errors, relay, settings, transport
from gateway_under_test.attempt import Attempt
from gateway_under_test.events import Events
from gateway_under_test.transport import Transport

AT_ONCE = 16
"""Pieces after which timers and other streams have a turn: a single read may hold hundreds."""

# Which attempt the http client is busy with: its hooks see a request and nothing of ours.
_current: ContextVar[Attempt] = ContextVar("attempt")


@dataclass(frozen=True)
class Prompt:
    """What is asked of Claude; `version` is that of the template it was made from."""

    text: str
    system: str | None
    model: str
    max_tokens: int
    version: str | None = None


class Usage(NamedTuple):
    """The tokens of a complete answer; always the last piece of it."""

    input: int
    output: int


Piece = str | Usage


class Claude:
    """The exchanges; each is an async generator that raises GatewayError and notes in its attempt what it learns."""

    _http: httpx2.AsyncClient
    _shared: anthropic.AsyncAnthropic
    _blocking: anthropic.Anthropic

    def __init__(self, chosen: settings.Settings, *, http_client: httpx2.AsyncClient | None = None) -> None:
        self._settings = chosen
        self._http_client = http_client
        self._alone = chosen.client == "per_request" and http_client is None
        self._timeout = httpx2.Timeout(None, connect=chosen.connect_timeout)  # the others are timers of the loop
        # which cannot go off while a call blocks it: there the http client has to watch the time itself
        self._blocking_timeout = httpx2.Timeout(chosen.attempt_timeout, connect=chosen.connect_timeout)

    async def create(self, prompt: Prompt, attempt: Attempt) -> AsyncGenerator[Piece, None]:
        """The answer in one piece, then its Usage."""
        with _translated(attempt):
            with _carrying(attempt):
                message = await self._message(prompt, attempt)
            attempt.read(message.usage.to_dict())
            attempt.output_tokens = message.usage.output_tokens
            text = "".join(block.text for block in message.content if block.type == "text")
        if not text:
            raise errors.UpstreamError("Claude sent no text", retryable=False)
        yield text
        yield Usage(attempt.input_tokens, attempt.output_tokens)

    async def stream(self, prompt: Prompt, attempt: Attempt) -> AsyncGenerator[Piece, None]:
        """The answer piece by piece as Claude writes it, then its Usage."""
        seen, stopped = False, False
        with _translated(attempt):
            async with self._answer(prompt, attempt) as parts:
                # raw: the SDK would make a model of each event, which costs more than all else that is done with it
                unread, count = Events(), 0
                async for part in parts:
                    for name, data in unread.read(part):
                        if name == b"content_block_delta":
                            delta = _read(data)["delta"]
                            if delta["type"] == "text_delta":
                                seen = True
                                yield delta["text"]
                        else:
                            stopped |= name == b"message_stop"
                            _hear(name, data, attempt)
                        count += 1
                        if count % AT_ONCE == 0:
                            await asyncio.sleep(0)
        if not stopped and self._settings.require_stop:
            raise errors.UpstreamError("Claude's answer broke off")
        if not seen:
            raise errors.UpstreamError("Claude sent no text", retryable=False)
        yield Usage(attempt.input_tokens, attempt.output_tokens)

    async def pass_on(self, letter: relay.Letter, attempt: Attempt) -> AsyncGenerator[relay.Part, None]:
        """Claude's answer to a caller's own request, byte for byte; always on the event loop.

        If Claude refused, the error's `answer` is what it said.
        """
        with _translated(attempt):
            async with self._client() as (http, client):
                with _carrying(attempt):
                    response = await http.send(self._outward(letter, attempt, client), stream=True)
                attempt.hear(response.status_code, response.headers)
                headers = relay.end_to_end(response.headers.raw, relay.NOT_GIVEN_BACK)
                async with contextlib.aclosing(response), contextlib.aclosing(_parts(response)) as parts:
                    if response.status_code >= 400:
                        body = b"".join([part async for part in parts])
                        raise _refusal(relay.Head(response.status_code, headers, body), response.headers)
                    head = relay.Head(response.status_code, headers, await anext(parts, b""))
                    with _noting(attempt, relay.Reading(head)) as reading:
                        if (
                            self._settings.peek and reading.failed_at_once
                        ):  # nothing was said yet: another may do better
                            rest = b"".join([part async for part in parts])
                            raise _event_of(reading, head._replace(body=head.body + rest))
                        yield head
                        count = 0
                        async for part in parts:
                            reading.hear(part)
                            yield part
                            count += 1
                            if count % AT_ONCE == 0:
                                await asyncio.sleep(0)
                        yield b""
            if reading.failed is not None:
                raise _event_of(reading)
            if reading.broke_off:
                raise errors.UpstreamError("Claude's answer broke off")

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """The clients that all share, for as long as the application lives; raises SettingsError without keys."""
        self._settings.require_keys()
        async with contextlib.AsyncExitStack() as held:
            http = self._http_client
            if http is None:
                http = await held.enter_async_context(self._connections())
            self._http = http
            http.event_hooks["request"].append(self._witness)
            held.callback(http.event_hooks["request"].remove, self._witness)
            self._shared = self._sdk(http)
            if self._settings.calls != "async":
                self._blocking = held.enter_context(self._blocking_sdk())
            yield

    async def _message(self, prompt: Prompt, attempt: Attempt) -> Message:
        parameters = self._parameters(prompt, attempt)
        if self._settings.calls == "async":
            async with self._client() as (_, client):
                answer = await client.messages.with_raw_response.create(**parameters)
                attempt.hear(answer.status_code, answer.headers)
                message: Message = await answer.parse()
                return message

        def blocking() -> Message:
            with self._blocking_client() as client:
                answer = client.messages.with_raw_response.create(**parameters)
                attempt.hear(answer.status_code, answer.headers)
                message: Message = answer.parse()
                return message

        message = await self._run(blocking)
        assert isinstance(message, Message)
        return message

    @contextlib.asynccontextmanager
    async def _answer(self, prompt: Prompt, attempt: Attempt) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """Its bytes as they come."""
        parameters = {**self._parameters(prompt, attempt), "stream": True}
        if self._settings.calls == "async":
            async with self._client() as (_, client):
                with _carrying(attempt):
                    answer = await client.messages.with_raw_response.create(**parameters)
                attempt.hear(answer.status_code, answer.headers)
                async with contextlib.aclosing(answer.http_response) as response:
                    compressed = "content-encoding" in response.headers
                    async with contextlib.aclosing(response.aiter_bytes() if compressed else _parts(response)) as parts:
                        yield parts
            return
        with self._blocking_client() as blocking:
            with _carrying(attempt):
                told = await self._run(lambda: blocking.messages.with_raw_response.create(**parameters))
            attempt.hear(told.status_code, told.headers)
            async with contextlib.aclosing(self._blocking_parts(told.http_response)) as parts:
                yield parts

    async def _blocking_parts(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        with contextlib.closing(response):
            parts = response.iter_bytes()
            while (part := await self._run(lambda: next(parts, None))) is not None:
                yield part

    async def _run(self, blocking: Callable[[], Any]) -> Any:
        """Call it in a thread, or right here, where everybody else waits for it."""
        return await to_thread.run_sync(blocking) if self._settings.calls == "threadpool" else blocking()

    @contextlib.asynccontextmanager
    async def _client(self) -> AsyncIterator[tuple[httpx2.AsyncClient, anthropic.AsyncAnthropic]]:
        if not self._alone:
            yield self._http, self._shared
            return
        async with self._connections() as http:
            http.event_hooks["request"].append(self._witness)
            yield http, self._sdk(http)

    @contextlib.contextmanager
    def _blocking_client(self) -> Iterator[anthropic.Anthropic]:
        if not self._alone:
            yield self._blocking
            return
        with self._blocking_sdk() as client:
            yield client

    def _connections(self) -> httpx2.AsyncClient:
        """The http client of the event loop."""
        return httpx2.AsyncClient(transport=Transport(), timeout=self._timeout, trust_env=False)

    def _sdk(self, http: httpx2.AsyncClient) -> anthropic.AsyncAnthropic:
        client = anthropic.AsyncAnthropic(http_client=http, timeout=self._timeout, **self._credentials())
        client._platform = get_platform()  # else its first request looks this up in a thread
        return client

    def _blocking_sdk(self) -> anthropic.Anthropic:
        http = httpx2.Client(limits=_LIMITS, timeout=self._blocking_timeout, trust_env=False)
        http.event_hooks["request"].append(_witness_blocking)
        return anthropic.Anthropic(http_client=http, timeout=self._blocking_timeout, **self._credentials())

    def _credentials(self) -> dict[str, Any]:
        assert self._settings.anthropic_api_key is not None
        return {
            "api_key": self._settings.anthropic_api_key.get_secret_value(),
            "base_url": self._settings.anthropic_base_url,
            "max_retries": self._settings.sdk_retries,
            "open_telemetry": False,
        }

    def _parameters(self, prompt: Prompt, attempt: Attempt) -> dict[str, Any]:
        """The request's id goes out twice: gateways on the way strip headers, `metadata` survives more of them."""
        parameters: dict[str, Any] = {
            "model": attempt.model or prompt.model,
            "max_tokens": prompt.max_tokens,
            "messages": [{"role": "user", "content": prompt.text}],
            "metadata": {"user_id": attempt.request.request_id},
            "extra_headers": attempt.labels(),
        }
        if not self._settings.sdk_retries:  # else the SDK counts, as far as it sees
            parameters["extra_headers"]["x-stainless-retry-count"] = str(attempt.n - 1)
        if prompt.system is not None and self._settings.prompt_cache:
            cached = {"type": "text", "text": prompt.system, "cache_control": {"type": "ephemeral"}}
            parameters["system"] = [cached]
        elif prompt.system is not None:
            parameters["system"] = prompt.system
        return parameters

    def _outward(self, letter: relay.Letter, attempt: Attempt, client: anthropic.AsyncAnthropic) -> httpx2.Request:
        """The caller's request with our credential, the request's id and what is left of its time."""
        base = self._settings.anthropic_base_url.rstrip("/")
        try:
            url = httpx2.URL(base + letter.target.decode("latin-1"))
        except httpx2.InvalidURL:
            raise errors.Rejected("the path or the query is not one of a URL", status=400) from None
        ours = {**client.auth_headers, **attempt.labels(), "accept-encoding": "identity"}
        theirs = letter.header(b"x-stainless-retry-count") or b"0"
        if attempt.n > 1 and theirs.isdigit() and len(theirs) < 10:
            ours["x-stainless-retry-count"] = str(int(theirs) + attempt.n - 1)
        asked = errors.seconds((letter.header(b"x-request-deadline") or b"").decode("latin-1"))
        if asked is not None and asked <= attempt.patience:
            ours.pop("x-request-deadline", None)
        headers = letter.outward([(name.lower().encode(), value.encode()) for name, value in ours.items()])
        target = httpx2.URL(base).raw_path.rstrip(b"/") + letter.target  # as it came: a URL may write it otherwise
        return httpx2.Request(letter.method, url, headers=headers, content=letter.body, extensions={"target": target})

    async def _witness(self, request: httpx2.Request) -> None:
        """Learn from the http client when a request's first bytes are out; an in-memory one sends at once."""
        attempt = _current.get(None)
        if attempt is None:  # an injected client may serve others too
            return
        if self._http_client is not None:
            attempt.sent()
            attempt.counted_early = True
            return

        request.extensions["sent"] = attempt.sent


_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=transport.IDLE)


def _witness_blocking(request: httpx2.Request) -> None:
    attempt = _current.get()

    def trace(event: str, info: object) -> None:
        if event == "http11.send_request_headers.complete":
            attempt.sent()

    request.extensions["trace"] = trace


def _read(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:  # Python's own takes half a surrogate pair too, as the SDK does
        return json.loads(data)


def _parts(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The body's bytes as they arrive and undecoded; none of them empty. From our transport at first hand."""
    body = response.extensions.get("body")
    return aiter(body) if isinstance(body, transport.Body) else _undecoded(response)


async def _undecoded(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    async for part in stream:
        if part:
            yield part


def _hear(name: bytes, data: bytes, attempt: Attempt) -> None:
    """What a stream says beside its text; raises GatewayError if that is an error."""
    match name:
        case b"message_start":
            attempt.read(_read(data)["message"]["usage"])
        case b"message_delta":
            attempt.output_tokens = _read(data)["usage"]["output_tokens"]
        case b"error":
            raise errors.from_event(relay.parsed(data), attempt.headers)


def _refusal(head: relay.Head, headers: httpx2.Headers) -> errors.GatewayError:
    """Claude's error answer as our error, which carries it."""
    error = errors.from_claude(head.status, headers, relay.parsed(head.body))
    error.answer = head
    return error


def _event_of(reading: relay.Reading, answer: relay.Head | None = None) -> errors.GatewayError:
    """An error event inside a 200 as our error, which may carry the whole `answer`."""
    error = errors.from_event({"error": {"type": reading.failed}})
    error.answer = answer
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
        body = error.body if isinstance(error.body, dict) else {}
        attempt.hear(error.status_code, error.response.headers)
        raise errors.from_claude(error.status_code, error.response.headers, body) from error
    except anthropic.APIConnectionError as error:
        raise _lost(error.__cause__, attempt) from error
    except httpx2.LocalProtocolError as error:
        raise errors.Rejected("a header of the request cannot be sent on") from error
    except (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError) as error:
        raise _lost(error, attempt) from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # the SDK does not validate what it parses
        raise errors.UpstreamError("Claude's answer is malformed") from error


def _lost(error: BaseException | None, attempt: Attempt) -> errors.GatewayError:
    """There was no answer, or it broke off."""
    if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout)):
        attempt.sends -= attempt.counted_early
        return errors.Unreachable("no connection to Claude")
    if isinstance(error, httpx2.TimeoutException):
        return errors.Timeout("Claude did not answer in time")
    return errors.UpstreamError("the connection to Claude broke")
