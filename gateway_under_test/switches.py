"""Every pattern's switch, and the two presets that set them all.

    switch                       naive          production   what it decides
    client                       per_request *  shared       one http client for all, or a new one for each request
    calls                        sync *         async        sync: blocks the event loop; threadpool: one of 40 threads
    sdk_retries                  2 *            0            retries inside the SDK, below ours: they multiply
    attempts                     3              3            total tries of one request, the first included
    retry_on                     every_status   transient    every_status: what cannot succeed is tried again too
    backoff.base                 0.5            0.25         seconds before the first retry; doubles with each
    backoff.cap                  8              8            the longest backoff, seconds
    backoff.jitter               none           full         equal: half of it is random; full: all of it
    backoff.honour_retry_after   false          true         wait at least as long as Claude asks
    retry_budget                 none           0.1, 10      {ratio, burst}: retries earned per success, saved at most
    deadline                     none           60           seconds for a request with all its attempts; of a stream,
                                                             until its first text
    caller_deadline              false          true         the caller's `x-request-deadline` counts too, where shorter
    connect_timeout              none           5            seconds for a connection
    attempt_timeout              none           30           seconds for an attempt; for a stream, to its first text
    idle_timeout                 none           60           the longest silence inside a stream, seconds
    stream_timeout               none           600          seconds for a whole stream
    breaker                      none           0.5, 20, 5   {failures, window, cooldown}: open at this share of the
                                                             last attempts, for so long
    concurrency                  none           100, 0.5     {limit, max_wait, order}: attempts at once, seconds in the
                                                             queue, fifo or lifo
    concurrency.adaptive         none           10, 1.5      {floor, tolerance}: a limit by the time to first token
    bulkhead                     none           80           {limit}: attempts at once of one route
    pace                         none           5            {max_wait}: wait for what `anthropic-ratelimit-*` leaves
    shed_by_priority             false          true         when places run out, `x-priority: low` goes first
    hedge                        none           5, 0.05      {after, share}: a second attempt before the first token
    fallback_model               none           claude-haiku-4-5  asked instead on a 529 or an open breaker
    cache                        none           300, 1000    {ttl, size}: answers kept; the same question is asked once
    prompt_cache                 false          true         `cache_control` on the system prompt
    cancel_upstream              false          true         a caller who leaves ends the attempt
    peek                         false          true         wait for the first event before the status is sent
    require_stop                 false          true         a stream without `message_stop` is an error
    heartbeat                    none           15           seconds between comments in a silent stream
    http_parser                  h11 *          httptools    h11 gives an HTTP/1.0 proxy a stream that ends with its
                                                             connection, which the proxy then holds back
    sse_headers                  false          true         `X-Accel-Buffering: no` and `Cache-Control: no-cache`
    batch_concurrency            none           8            prompts of one batch at once
    health_every                 none           30           seconds for which the answer of `/health` is kept
    rate_limit                   none           10000/minute  requests of one caller
    rate_limit_by                address        key          who is one caller; an address behind a proxy is the proxy's
    body_limit                   none           1000000      bytes of a request body (below `/v1/`: Claude's 32 MiB)
    body_timeout                 none           10           seconds for a request body to arrive
    cors_origins                 *              none         origins whose pages may call us
    drain                        0              10           seconds that open requests get after SIGTERM

The preset `naive` leaves the four marked * as production has them: it is naive about overload, one storm at a time,
and runs on virtual time. Name them beside it for the rest of the mistake.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Given = dict[str, Any]  # settings by name, sections nested

PRESETS: dict[str, Given] = {
    "naive": {
        "client": "shared",
        "calls": "async",
        "sdk_retries": 0,
        "attempts": 3,
        "retry_on": "every_status",
        "backoff": {"base": 0.5, "cap": 8.0, "jitter": "none", "honour_retry_after": False},
        "retry_budget": None,
        "deadline": None,
        "caller_deadline": False,
        "connect_timeout": None,
        "attempt_timeout": None,
        "idle_timeout": None,
        "stream_timeout": None,
        "breaker": None,
        "concurrency": None,
        "bulkhead": None,
        "pace": None,
        "shed_by_priority": False,
        "hedge": None,
        "fallback_model": None,
        "cache": None,
        "prompt_cache": False,
        "cancel_upstream": False,
        "peek": False,
        "require_stop": False,
        "heartbeat": None,
        "http_parser": "httptools",
        "sse_headers": False,
        "batch_concurrency": None,
        "health_every": None,
        "rate_limit": None,
        "rate_limit_by": "address",
        "body_limit": None,
        "body_timeout": None,
        "cors_origins": ["*"],
        "drain": 0.0,
    },
    "production": {
        "client": "shared",
        "calls": "async",
        "sdk_retries": 0,
        "attempts": 3,
        "retry_on": "transient",
        "backoff": {"base": 0.25, "cap": 8.0, "jitter": "full", "honour_retry_after": True},
        "retry_budget": {"ratio": 0.1, "burst": 10.0},
        "deadline": 60.0,
        "caller_deadline": True,
        "connect_timeout": 5.0,
        "attempt_timeout": 30.0,
        "idle_timeout": 60.0,
        "stream_timeout": 600.0,
        "breaker": {"failures": 0.5, "window": 20, "cooldown": 5.0},
        "concurrency": {"limit": 100, "max_wait": 0.5, "order": "fifo", "adaptive": {"floor": 10, "tolerance": 1.5}},
        "bulkhead": {"limit": 80},
        "pace": {"max_wait": 5.0},
        "shed_by_priority": True,
        "hedge": {"after": 5.0, "share": 0.05},
        "fallback_model": "claude-haiku-4-5",
        "cache": {"ttl": 300.0, "size": 1000},
        "prompt_cache": True,
        "cancel_upstream": True,
        "peek": True,
        "require_stop": True,
        "heartbeat": 15.0,
        "http_parser": "httptools",
        "sse_headers": True,
        "batch_concurrency": 8,
        "health_every": 30.0,
        "rate_limit": "10000/minute",
        "rate_limit_by": "key",
        "body_limit": 1_000_000,
        "body_timeout": 10.0,
        "cors_origins": [],
        "drain": 10.0,
    },
}

Off = BeforeValidator(lambda value: None if value in ("none", "") else value)
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A pattern's own settings."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Backoff(Section):
    """How long to wait before a retry."""

    base: float = Field(0.25, ge=0)
    cap: float = Field(8.0, ge=0)
    jitter: Literal["none", "equal", "full"] = "full"
    honour_retry_after: bool = True


class RetryBudget(Section):
    """Retries are paid with what successes earn."""

    ratio: float = Field(0.1, ge=0)
    burst: float = Field(10.0, ge=0)


class Breaker(Section):
    """When Claude is left alone, and for how long."""

    failures: float = Field(0.5, gt=0, le=1)
    window: Count = 20
    cooldown: Seconds = 5.0


class Adaptive(Section):
    """The limit falls to no less than `floor` while the time to first token is over `tolerance` times the usual."""

    floor: Count = 10
    tolerance: float = Field(1.5, ge=1)


class Concurrency(Section):
    """Attempts in flight at once, and how long others may wait for a place."""

    limit: Count = 100
    max_wait: float = Field(0.5, ge=0)
    order: Literal["fifo", "lifo"] = "fifo"
    adaptive: Annotated[Adaptive | None, Off] = None


class Bulkhead(Section):
    """Attempts in flight at once of one route; there is no line in front of it."""

    limit: Count = 80


class Pace(Section):
    """How long an attempt may wait for the rate limit, so as not to run into it."""

    max_wait: Seconds = 5.0


class Hedge(Section):
    """A second attempt `after` seconds without a first token, for at most a `share` of all requests."""

    after: Seconds = 5.0
    share: float = Field(0.05, ge=0, le=1)


class Cache(Section):
    """How long answers are kept, in seconds, and how many."""

    ttl: Seconds = 300.0
    size: Count = 1000


class Switched(BaseModel):
    """The fields of all switches; `settings.Switches` says where their values come from."""

    preset: Literal["naive", "production"] = "production"
    client: Literal["shared", "per_request"]
    calls: Literal["async", "sync", "threadpool"]
    sdk_retries: int = Field(ge=0)
    attempts: Count
    retry_on: Literal["transient", "every_status"]
    backoff: Backoff
    retry_budget: Annotated[RetryBudget | None, Off]
    deadline: Annotated[Seconds | None, Off]
    caller_deadline: bool
    connect_timeout: Annotated[Seconds | None, Off]
    attempt_timeout: Annotated[Seconds | None, Off]
    idle_timeout: Annotated[Seconds | None, Off]
    stream_timeout: Annotated[Seconds | None, Off]
    breaker: Annotated[Breaker | None, Off]
    concurrency: Annotated[Concurrency | None, Off]
    bulkhead: Annotated[Bulkhead | None, Off]
    pace: Annotated[Pace | None, Off]
    shed_by_priority: bool
    hedge: Annotated[Hedge | None, Off]
    fallback_model: Annotated[str | None, Off]
    cache: Annotated[Cache | None, Off]
    prompt_cache: bool
    cancel_upstream: bool
    peek: bool
    require_stop: bool
    heartbeat: Annotated[Seconds | None, Off]
    http_parser: Literal["httptools", "h11"]
    sse_headers: bool
    batch_concurrency: Annotated[Count | None, Off]
    health_every: Annotated[Seconds | None, Off]
    rate_limit: Annotated[str | None, Off] = Field(pattern=r"^\d+/(second|minute|hour|day)$")
    rate_limit_by: Literal["address", "key"]
    body_limit: Annotated[Count | None, Off]
    body_timeout: Annotated[Seconds | None, Off]
    cors_origins: list[str]
    drain: float = Field(ge=0)
    model: str = Field("claude-haiku-4-5", min_length=1)


SECTIONS: dict[tuple[str | int, ...], type[BaseModel]] = {
    ("backoff",): Backoff,
    ("retry_budget",): RetryBudget,
    ("breaker",): Breaker,
    ("concurrency",): Concurrency,
    ("concurrency", "adaptive"): Adaptive,
    ("bulkhead",): Bulkhead,
    ("pace",): Pace,
    ("hedge",): Hedge,
    ("cache",): Cache,
}
