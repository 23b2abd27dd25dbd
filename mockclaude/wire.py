"""Claude's exact bytes for errors, replies and events.

Facts and evidence: docs.claude.com/en/api (messages, errors, streaming, versioning) and captured traffic. JSON is
compact with raw UTF-8; every event but ping is padded with 0 to 15 spaces before its last brace.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeGuard

import orjson

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
LETTERS = bytes(ord(BASE58[byte % len(BASE58)]) for byte in range(256))
"""Byte -> letter of an id."""
ORGANIZATION = "6d6f636b-636c-4175-8465-000000000001"
"""`anthropic-organization-id`: "mockclaude" in ASCII, in the shape of a UUID."""
WORKSPACE = "wrkspc_01MockMockMockMockMockMo"
"""`anthropic-workspace-id`, once the caller is known."""
_quoted = json.encoder.encode_basestring
_lenient = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
SPACES = tuple(b" " * k for k in range(16))
TEXT_DELTA = (
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":"'
)
"""A delta of plain text begins so, and ends in one of these."""
ENDS = tuple(f'"}}{spaces.decode()}}}\n\n' for spaces in SPACES)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'

ERRORS = {
    400: ("invalid_request_error", "Invalid request"),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low to access the Anthropic API."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not found"),
    405: ("invalid_request_error", "Method Not Allowed"),
    409: ("conflict_error", "Conflict"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit. Please try again later."),
    500: ("api_error", "Internal server error"),
    502: ("api_error", "Bad gateway"),
    503: ("api_error", "Service unavailable"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}
"""Status -> Claude's error type and its usual words."""
STATUSES = {kind: status for status, (kind, _) in reversed(ERRORS.items())}
"""Error type -> its status, the first where there are several."""
REFUSALS = {
    "credit": (
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or "
        "purchase credits.",
        None,
    ),
    "spend_limit": (
        "You have reached your specified API usage limits. You will regain access on {day} at 00:00 UTC.",
        None,
    ),
    "workspace_spend_limit": (
        "You have reached your specified workspace API usage limits. You will regain access on {day} at 00:00 UTC.",
        None,
    ),
    "spend_cap": (
        "You have reached your API usage limits: your organization has crossed its monthly API usage threshold, set "
        "based on your organization's API tier. You will regain access on {day} at 00:00 UTC.",
        "enforced_spend_limit_reached",
    ),
}
"""Refusals known word for word: their text and their `error_code`. `{day}` is the first of the next month, in UTC."""
LONGEST = 4096
"""Characters of a message: it may quote what was sent, and that may be megabytes."""


class ApiError(Exception):
    """What Claude answers instead of a reply: `status`, `kind`, `message`, and headers beyond the usual ones.

    `details` becomes `error.details`, where clients look for an `error_code`. One class for the whole tree, since a
    client tells them apart by status and type alone:

        4xx the caller's   400 401 402 403 404 405 409 413     429 retryable
        5xx Claude's       500 502 503 504 529                 all retryable
    """

    def __init__(
        self,
        status: int,
        message: str | None = None,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        self.status = status
        self.kind, usual = ERRORS[status]
        self.message = (usual if message is None else message)[:LONGEST]
        self.headers = dict(headers or {})
        self.details = details
        super().__init__(f"{status} {self.kind}: {self.message}")

    def again(self) -> ApiError:
        """Another like it, of what is kept or raised anew: what was raised holds frames, which hold what keeps it."""
        return ApiError(self.status, self.message, self.headers, self.details)

    @property
    def retryable(self) -> bool:
        """What Claude says in `x-should-retry`."""
        return self.status in (409, 429) or self.status >= 500

    def body(self, request_id: str) -> bytes:
        """The envelope. A 413 without details is Cloudflare's and knows no request id."""
        error: dict[str, object] = {"type": self.kind, "message": self.message}
        if self.details is not None:
            error["details"] = self.details
        if self.status == 413 and self.details is None:
            return dumps({"error": error})
        return dumps({"type": "error", "error": error, "request_id": request_id})

    def event(self, request_id: str, rng: random.Random) -> bytes:
        """The event that says it in the middle of a stream; a client sees no status then."""
        error = {"details": self.details, "type": self.kind, "message": self.message}
        return event("error", {"error": error, "request_id": request_id}, rng)


def no_json(why: str) -> ApiError:
    """The 400 for a body that is no JSON."""
    return ApiError(400, f"The request body is not valid JSON: {why}")


class Usage(NamedTuple):
    """What a reply is charged for, in tokens. `input` is the prompt without what the cache read or wrote."""

    input: int = 0
    written_5m: int = 0
    written_1h: int = 0
    read: int = 0
    output: int = 0
    thinking: int | None = None
    tier: str = "standard"
    geography: str = "not_available"
    speed: str | None = None
    server_tools: Mapping[str, int] | None = None

    @property
    def prompt(self) -> int:
        """All tokens of the prompt."""
        return self.input + self.written_5m + self.written_1h + self.read

    def as_json(self) -> dict[str, object]:
        """Claude's `usage`, in its key order."""
        written = {"ephemeral_5m_input_tokens": self.written_5m, "ephemeral_1h_input_tokens": self.written_1h}
        said = {**self._input(), "cache_creation": written, "output_tokens": self.output}
        if self.thinking is not None:
            said["output_tokens_details"] = {"thinking_tokens": self.thinking}
        said["service_tier"] = self.tier
        said["inference_geo"] = self.geography
        if self.server_tools is not None:
            said["server_tool_use"] = dict(self.server_tools)
        return said if self.speed is None else said | {"speed": self.speed}

    def cumulative(self) -> dict[str, object]:
        """The `usage` of `message_delta`: what has been used so far."""
        said = self._input() | {"output_tokens": self.output}
        if self.thinking is not None:
            said["output_tokens_details"] = {"thinking_tokens": self.thinking}
        return said if self.server_tools is None else said | {"server_tool_use": dict(self.server_tools)}

    def _input(self) -> dict[str, object]:
        return {
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.written_5m + self.written_1h,
            "cache_read_input_tokens": self.read,
        }


UNDECIDED = {"stop_reason": None, "stop_sequence": None, "stop_details": None}
"""How a message stops, before it has."""


def dumps(value: object) -> bytes:
    """Compact JSON with raw UTF-8, as Claude writes it; half a surrogate pair becomes a question mark."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # that, a number beyond 64 bits, or a mapping that is no dict
        return _lenient.encode(value).encode("utf-8", "replace")


def moment(wall: float) -> str:
    """A wall-clock time, in seconds since the Unix epoch, as RFC 3339 in UTC with microseconds."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def identifier(prefix: str, length: int, rng: random.Random) -> str:
    """A `msg_01...` or `req_011C...` id: the prefix and `length` characters of base58."""
    return prefix + "".join(rng.choices(BASE58, k=length))


def spelled(prefix: str, digest: bytes) -> str:
    """An id as `identifier` makes it, of a digest instead of chance: every answer has two."""
    return prefix + digest.translate(LETTERS).decode("ascii")


def message(
    model: str,
    message_id: str,
    content: Sequence[Mapping[str, object]],
    stop: Mapping[str, object],
    usage: Usage,
) -> dict[str, object]:
    """A message in Claude's key order: the body of a JSON reply, or what `message_start` holds."""
    return {
        "model": model,
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "content": content,
        **stop,
        "usage": usage.as_json(),
    }


def text_bytes(delta: Mapping[str, object]) -> int:
    """How many bytes of text a delta says, in UTF-8 and without JSON's escapes: what no gateway changes of it."""
    text = delta.get("text")
    return len(text.encode("utf-8", "replace")) if isinstance(text, str) else 0


def event(name: str, fields: Mapping[str, object], rng: random.Random) -> bytes:
    """One server-sent event; its JSON starts with the event's own name as `type`."""
    data = dumps({"type": name, **fields})
    return b"event: %b\ndata: %b%b}\n\n" % (name.encode(), data[:-1], SPACES[rng.getrandbits(4)])


def deltas(index: int, said: Sequence[Mapping[str, object] | str], rng: random.Random) -> tuple[list[bytes], list[int]]:
    """Some of a block's `content_block_delta` events, and how many bytes of text (`text_bytes`) each says.

    Text is said as it is: nearly all events of a mock are such, and plain, and made here in a third of the time that
    `event` takes.
    """
    if _plain(said):
        head, bits = TEXT_DELTA % index, rng.getrandbits
        return [f"{head}{one}{ENDS[bits(4)]}".encode() for one in said], [len(one) for one in said]
    shown = [{"type": "text_delta", "text": one} if isinstance(one, str) else one for one in said]
    events = [event("content_block_delta", {"index": index, "delta": one}, rng) for one in shown]
    return events, [text_bytes({"text": one}) if isinstance(one, str) else 0 for one in said]


def _plain(said: Sequence[Mapping[str, object] | str]) -> TypeGuard[Sequence[str]]:
    """Whether all of it is text that JSON needs not escape, a byte each character."""
    try:
        text = "".join(said)  # type: ignore[arg-type]  # found out here, for the price of one
    except TypeError:
        return False
    return text.isascii() and len(_quoted(text)) == len(text) + 2
