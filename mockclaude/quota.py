"""What a caller is told of its limits: Claude's headers, and the refusals in Claude's words.

Facts: platform.claude.com/docs (rate limits, errors) and captured traffic.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from mockclaude import wire

GRAIN = 1e-6
"""Seconds. Floating point must not refuse whoever waited exactly long enough, and no loop's clock is finer."""
LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z: there is no later RFC 3339."""

Kind = Literal["requests", "input tokens", "output tokens"]
Over = Literal["requests", "input tokens", "output tokens", "ramp", "tier", "user"]

RATE = (
    "This request would exceed your organization's rate limit of {limit} {kind} per minute {where}. For details, refer "
    "to: https://docs.claude.com/en/api/rate-limits. You can see the response headers for current usage. Please reduce "
    "the prompt length or the maximum tokens requested, or try again later. You may also contact sales at "
    "https://claude.com/contact-sales to discuss your options for a rate limit increase."
)
RAMP = (
    "This request would exceed your organization's maximum usage increase rate for input tokens per minute {where}. "
    "Your current limit is {limit} input tokens per minute{rise}. Please scale up your input tokens usage more "
    "gradually to stay within the acceleration limit. For details, refer to: "
    "https://docs.claude.com/en/api/rate-limits."
)
"""These texts are [B]."""


class Level(NamedTuple):
    """How a bucket stands: its limit a minute, what remains, and the seconds until it is full."""

    limit: float
    remaining: float
    full_in: float


class Quota(NamedTuple):
    """How a caller stands after asking. When `over` says which limit refuses, `wait` is the seconds until it would not.

    No wait helps when it is infinite: a prompt larger than the bucket, a spend limit. `limit` is what was exceeded, and
    `rises_to` what the ramp allows in the next minute.
    """

    levels: Mapping[Kind, Level]
    over: Over | None = None
    wait: float = 0.0
    limit: float = 0.0
    rises_to: float = 0.0

    def headers(self, wall: float) -> dict[str, str]:
        """Claude's rate-limit headers as far as there are limits, and `retry-after`: the true wait, rounded up."""
        said: dict[str, str] = {}
        for kind, level in self.levels.items():
            said |= _three(kind, level.limit, _shown(kind, level), wall + level.full_in)
        tokens = [(level, _shown(kind, level)) for kind, level in self.levels.items() if kind != "requests"]
        if tokens:  # as captured [B], the sum of both
            limit, shown = sum(level.limit for level, _ in tokens), sum(shown for _, shown in tokens)
            said |= _three("tokens", limit, shown, wall + max(level.full_in for level, _ in tokens))
        if 0 < self.wait < math.inf:
            said["retry-after"] = str(max(1, math.ceil(self.wait - GRAIN)))
        return said

    def error(self, model: str, wall: float) -> wire.ApiError:
        """The refusal, of a request for that model at `wall` seconds after the Unix epoch."""
        headers = self.headers(wall)
        where = f"(org: {wire.ORGANIZATION}, model: {model})"
        limit = _number(self.limit)
        if self.over == "tier":
            said, code = wire.REFUSALS["spend_cap"]
            return wire.ApiError(429, said.format(day=next_month(wall)), headers, {"error_code": code})
        if self.over == "user":
            return wire.ApiError(400, wire.REFUSALS["spend_limit"][0].format(day=next_month(wall)), headers)
        if self.over == "ramp":
            rise = f", and will increase to {_number(self.rises_to)} at the next minute boundary"
            said = RAMP.format(where=where, limit=limit, rise=rise if self.rises_to > self.limit else "")
            return wire.ApiError(429, said, headers, {"error_code": "ramp_limit_exceeded"})
        return wire.ApiError(429, RATE.format(where=where, limit=limit, kind=self.over), headers)


def _shown(kind: Kind, level: Level) -> int:
    """Requests are told as they are, tokens to the nearest thousand [A]."""
    if kind == "requests":
        return max(0, math.floor(level.remaining + GRAIN))
    return min(int(level.limit), max(0, math.floor(level.remaining / 1000 + 0.5) * 1000))


def _three(kind: str, limit: float, remaining: float, full_at: float) -> dict[str, str]:
    most, left, reset = _names(kind)
    full = _rfc3339(math.ceil(min(full_at - GRAIN, LAST_SECOND)))
    return {most: str(int(limit)), left: str(int(remaining)), reset: full}


@functools.cache
def _names(kind: str) -> tuple[str, str, str]:
    name = f"anthropic-ratelimit-{kind.replace(' ', '-')}"
    return f"{name}-limit", f"{name}-remaining", f"{name}-reset"


@functools.lru_cache(maxsize=1024)
def _rfc3339(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _number(value: float) -> str:
    return f"{value:,.12g}"


def next_month(wall: float) -> str:
    """The first day of the month after the one of `wall`, in seconds since the Unix epoch, in UTC."""
    today = datetime.fromtimestamp(wall, UTC)
    return f"{today.year + today.month // 12}-{today.month % 12 + 1:02}-01"
