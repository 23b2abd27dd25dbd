"""What can go wrong with a request, and how it is told: one tree, mapped to HTTP once, here.

GatewayError
  Shed           503  we are full, or stopping
    CircuitOpen  503  Claude failed too often of late: it is left alone for a while
  Throttled      429  Claude's rate limit                              retryable
    SpendCap     429  the organization's spend cap, until its date     not
  Overloaded     503  Claude has no capacity (529)                     retryable
  Unreachable    503  no connection to Claude                          retryable
  Timeout        504  the attempt or the request ran out of time       retryable
  Rejected       4xx  the caller must change the request               not, but for Claude's 408 and 409
  UpstreamError  502  Claude failed, or its answer is broken or empty  retryable unless it says otherwise
  Configuration  500  we are set up wrongly: Claude refuses our key
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

from gateway_under_test import relay

# The types of Claude's error envelope, for an error event inside a 200 (docs: API errors).
STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
SPEND_CAP = "enforced_spend_limit_reached"
AGAIN_ON = re.compile(r"regain access on (\d{4}-\d\d-\d\d) at (\d\d:\d\d) UTC")
"""When a spend cap ends: Claude says it in the message alone (docs: API errors)."""
_TYPE_OF = {status: kind for kind, status in STATUS_OF.items()} | {408: "timeout_error"}
_AS_CLAUDE = {
    "shed": (529, "overloaded_error"),
    "overloaded": (529, "overloaded_error"),
    "unreachable": (502, "api_error"),
    "upstream_error": (502, "api_error"),
    "configuration": (500, "api_error"),
}


class GatewayError(Exception):
    """A failure that the caller is told about; `message` is ours, never Claude's raw text."""

    type: ClassVar[str]
    status: int
    retryable: bool = False
    final: bool = False  # not tried again by anybody, however naive: nothing was asked of Claude
    answer: relay.Head | None = None  # what Claude said, for a caller to whom everything is passed on as it is

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    def body(self, request_id: str) -> dict[str, object]:
        """The envelope, the same in a response's body and in a stream's error event."""
        return {"error": {"type": self.type, "message": self.message, "request_id": request_id}}

    def headers(self) -> dict[str, str]:
        """`Retry-After` in whole seconds on every 429 and 503."""
        if self.status not in (429, 503):
            return {}
        return {"retry-after": str(max(1, math.ceil(self.retry_after or 1)))}

    def as_claude(self) -> tuple[int, str]:
        """The status and the error type with which Claude would say it (docs: API errors)."""
        if self.type in _AS_CLAUDE:
            return _AS_CLAUDE[self.type]
        return self.status, _TYPE_OF.get(self.status, "invalid_request_error")

    def claude_body(self, request_id: str) -> dict[str, object]:
        """Claude's envelope, the same in a response's body and in a stream's error event."""
        error = {"type": self.as_claude()[1], "message": self.message}
        return {"type": "error", "error": error, "request_id": request_id}

    def claude_headers(self, request_id: str) -> dict[str, str]:
        """The headers that go with Claude's envelope."""
        status, _ = self.as_claude()
        again = status in (409, 429) or status >= 500
        close = {"connection": "close"} if status == 408 else {}  # the rest of the body need not come
        return {**self.headers(), **close, "request-id": request_id, "x-should-retry": str(again).lower()}


class Shed(GatewayError):
    type = "shed"
    status = 503
    final = True


class CircuitOpen(Shed):
    """`retry_after` is the time until Claude is asked again."""


class Throttled(GatewayError):
    type = "throttled"
    status = 429
    retryable = True


class SpendCap(Throttled):
    """`retry_after` is the time until the date that Claude names; None if it names none."""

    retryable = False


class Overloaded(GatewayError):
    type = "overloaded"
    status = 503
    retryable = True


class Unreachable(GatewayError):
    type = "unreachable"
    status = 503
    retryable = True


class Timeout(GatewayError):
    type = "timeout"
    status = 504
    retryable = True


class Rejected(GatewayError):
    type = "rejected"

    def __init__(self, message: str, *, status: int = 400, retryable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable


class UpstreamError(GatewayError):
    type = "upstream_error"
    status = 502

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class Configuration(GatewayError):
    type = "configuration"
    status = 500


def from_claude(
    status: int, headers: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
) -> GatewayError:
    """The error that Claude's HTTP `status` means to our caller; it is not tried again if Claude says so."""
    headers = headers or {}
    error = _spend_cap(headers, body or {}) or _of_status(status, seconds(headers.get("retry-after")))
    error.retryable = error.retryable and headers.get("x-should-retry") != "false"
    return error


def from_event(data: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> GatewayError:
    """The error that an `error` event inside a 200 means to our caller: that of the status its type stands for."""
    inner = data.get("error")
    kind = inner.get("type") if isinstance(inner, dict) else None
    return from_claude(STATUS_OF.get(str(kind), 500), headers, data)


def _of_status(status: int, retry_after: float | None) -> GatewayError:
    match status:
        case 429:
            return Throttled("Claude's rate limit is reached; try again later", retry_after=retry_after)
        case 529:
            return Overloaded("Claude is overloaded; try again later", retry_after=retry_after)
        case 401 | 403:
            return Configuration("Claude refuses this gateway's key; tell its operator")
        case 413:
            return Rejected("Claude says the request is too large", status=413)
        case _ if 400 <= status < 500:
            # 408 and 409 are of the moment: the SDK tries them again too (anthropic 2.10, _should_retry)
            return Rejected(f"Claude does not accept the request (its status {status})", retryable=status in (408, 409))
        case _:
            return UpstreamError(f"Claude failed (its status {status})", retryable=status >= 500)


def _spend_cap(headers: Mapping[str, str], body: Mapping[str, Any]) -> SpendCap | None:
    error = body.get("error")
    details = error.get("details") if isinstance(error, dict) else None
    if not isinstance(error, dict) or not isinstance(details, dict) or details.get("error_code") != SPEND_CAP:
        return None
    return SpendCap("Claude's spend cap is reached", retry_after=_until(str(error.get("message")), headers))


def _until(message: str, headers: Mapping[str, str]) -> float | None:
    """Seconds until the date in `message`, by Claude's own clock: its `date` header."""
    named = AGAIN_ON.search(message)
    try:
        said = parsedate_to_datetime(headers.get("date", ""))
        again = datetime.strptime(f"{named[1]} {named[2]}", "%Y-%m-%d %H:%M") if named else said
    except (ValueError, TypeError):
        return None
    return max(0.0, (again.replace(tzinfo=UTC) - said).total_seconds()) if named else None


def seconds(retry_after: str | None) -> float | None:
    """A `retry-after` header in seconds; None if it is absent, a date or nonsense (Claude sends seconds)."""
    try:
        value = float(retry_after or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
