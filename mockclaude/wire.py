"""The Messages API on the wire: what a request must look like, and Claude's exact bytes for errors, replies and events.

Facts and evidence: docs.claude.com/en/api (messages, errors, streaming, versioning) and captured traffic. JSON is
compact with raw UTF-8; every event but ping is padded with 0 to 15 spaces before its last brace.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError
from pydantic_core import ErrorDetails

from mockclaude import tokens

BODY_LIMIT = 32 * 1024 * 1024
VERSIONS = ("2023-06-01", "2026-10-21")
SAMPLING = ("temperature", "top_p", "top_k")
FAMILIES = ("haiku", "sonnet", "opus", "fable", "mythos")
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
ALIASES = {
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-opus-4-5": "claude-opus-4-5-20251101",
}
MARKER = re.compile(r"\[id:([^\]]+)\]")

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


class ApiError(Exception):
    """What Claude answers instead of a reply: `status`, `kind`, `message`, and headers beyond the usual ones.

    One class for the whole tree, since a client tells them apart by status and type alone:

        4xx the caller's   400 401 402 403 404 405 409 413     429 retryable
        5xx Claude's       500 502 503 504 529                 all retryable
    """

    def __init__(self, status: int, message: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.kind, usual = ERRORS[status]
        self.message = usual if message is None else message
        self.headers = dict(headers or {})
        super().__init__(f"{status} {self.kind}: {self.message}")

    @property
    def retryable(self) -> bool:
        """What Claude says in `x-should-retry`."""
        return self.status in (409, 429) or self.status >= 500

    def body(self, request_id: str) -> bytes:
        """The envelope. A 413 is Cloudflare's and knows no request id."""
        error: dict[str, object] = {"type": self.kind, "message": self.message}
        if self.status == 413:
            return dumps({"error": error})
        return dumps({"type": "error", "error": error, "request_id": request_id})


class Letter(NamedTuple):
    """A request as it came in, before it is judged: its JSON if it is any, and the digest that seeds its fate."""

    data: Any
    digest: bytes
    fault: str | None = None
    oversize: bool = False


class Labels(NamedTuple):
    """What can be told of any request, even one that will be refused."""

    model: str | None
    stream: bool | None
    request_id: str | None


class Ask(NamedTuple):
    """A request Claude would answer."""

    key: str
    model: str
    family: str
    max_tokens: int
    stream: bool
    fast: bool
    input_tokens: int


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Block(_Open):
    type: StrictStr


class _Message(_Closed):
    role: StrictStr = Field(pattern="^(user|assistant|system)$")
    content: StrictStr | list[_Block]


class _Metadata(_Closed):
    user_id: StrictStr | None = None


class _Body(_Closed):
    """Top-level fields of the GA endpoint and of the betas that share its path; content is open for now."""

    model: StrictStr
    max_tokens: StrictInt = Field(ge=0)
    messages: list[_Message] = Field(max_length=100_000)
    metadata: _Metadata | None = None
    stream: StrictBool = False
    speed: StrictStr | None = Field(None, pattern="^(standard|fast)$")
    stop_sequences: list[StrictStr] | None = None
    system: StrictStr | list[_Block] | None = None
    tools: list[dict[str, object]] | None = None
    service_tier: StrictStr | None = Field(None, pattern="^(auto|standard_only)$")
    inference_geo: StrictStr | None = None
    output_config: dict[str, object] | None = None
    thinking: dict[str, object] | None = None
    tool_choice: dict[str, object] | None = None
    cache_control: dict[str, object] | None = None
    container: object = None
    diagnostics: object = None
    billing_policy: object = None
    compaction: object = None
    context_management: object = None
    fallback_credit_token: object = None
    fallbacks: object = None
    mcp_servers: object = None
    thread: object = None
    output_format: object = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


def dumps(value: object) -> bytes:
    """Compact JSON with raw UTF-8, as Claude writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def identifier(prefix: str, length: int, rng: random.Random) -> str:
    """A `msg_01...` or `req_011C...` id: the prefix and `length` characters of base58."""
    return prefix + "".join(rng.choices(BASE58, k=length))


def open_letter(raw: bytes) -> Letter:
    """Read a body leniently. The digest leaves out `metadata`, so who asks does not change what is answered."""
    if len(raw) > BODY_LIMIT:
        return Letter(None, _digest(raw), oversize=True)
    try:
        data = json.loads(raw, parse_constant=_no_constant)
        rest = {name: value for name, value in data.items() if name != "metadata"} if isinstance(data, dict) else data
        canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        return Letter(None, _digest(raw), str(error))
    return Letter(data, _digest(canonical))


def labels(letter: Letter, headers: Mapping[str, str]) -> Labels:
    """The model, the mode and the caller's own id: header `x-request-id`, `metadata.user_id`, or `[id:...]`."""
    data = letter.data if isinstance(letter.data, dict) else {}
    model, stream, metadata = data.get("model"), data.get("stream", False), data.get("metadata")
    user_id = metadata.get("user_id") if isinstance(metadata, dict) else None
    request_id = headers.get("x-request-id") or user_id or _marker(data.get("messages"))
    return Labels(
        model if isinstance(model, str) else None,
        stream if isinstance(stream, bool) and data else None,
        request_id if isinstance(request_id, str) else None,
    )


def family(model: str) -> str | None:
    """The family of a model id such as `claude-haiku-4-5`, or None when Claude has no such model."""
    vendor, *words = model.split("-")
    return next((word for word in words if word in FAMILIES), None) if vendor == "claude" else None


def credential(headers: Mapping[str, str]) -> str:
    """The key a caller shows, or ''; `x-api-key` wins over a bearer token."""
    if key := headers.get("x-api-key", "").strip():
        return key
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def parse(letter: Letter, headers: Mapping[str, str]) -> Ask:
    """Judge a request in Claude's order; raises `ApiError` 400, 401, 404 or 413 in Claude's words."""
    if letter.oversize:
        raise ApiError(413)
    key = credential(headers)
    if not key:
        raise ApiError(401, "x-api-key header is required")
    version = headers.get("anthropic-version")
    if version is None:
        raise ApiError(400, "anthropic-version: header is required")
    if version not in VERSIONS:  # [C] no capture of this text is known
        raise ApiError(400, f'anthropic-version: "{version}" is not a valid version')
    if letter.fault is not None:
        raise ApiError(400, f"The request body is not valid JSON: {letter.fault}")
    body = _validated(letter.data, version)
    of = family(body.model)
    if of is None:
        raise ApiError(404, f"model: {body.model}")
    model = ALIASES.get(body.model, body.model)
    _check_length(body.max_tokens, model)
    size = tokens.count(_text(letter.data)) if letter.data else 0
    return Ask(key, model, of, body.max_tokens, body.stream, body.speed == "fast", size)


def _validated(data: Any, version: str) -> _Body:
    try:
        body = _Body.model_validate(data)
    except ValidationError as error:
        _refuse(error.errors(include_url=False), data)
    if version == VERSIONS[1]:
        for name in SAMPLING:
            if name in data:
                raise ApiError(400, f"{name}: Extra inputs are not permitted")
    if not body.messages:
        raise ApiError(400, "messages: at least one message is required")
    if body.messages[0].role != "user":
        raise ApiError(400, 'messages: first message must use the "user" role')
    return body


def _refuse(errors: Sequence[ErrorDetails], data: object) -> NoReturn:
    """Claude names one field: pydantic's first, and of the arms of a union the one that got furthest."""
    first = errors[0]["loc"][:1]
    detail = max((item for item in errors if item["loc"][:1] == first), key=lambda item: len(item["loc"]))
    place = ".".join(str(step) for step in detail["loc"] if step != "str" and not str(step).startswith("list["))
    raise ApiError(400, f"{place}: {detail['msg']}" if place else "Input should be a valid dictionary")


def _check_length(max_tokens: int, model: str) -> None:
    cap = 64_000 if "-4-5" in model else 128_000
    if max_tokens > cap:
        limit = f"{max_tokens} > {cap}, which is the maximum allowed number of output tokens for {model}"
        raise ApiError(400, f"max_tokens: {limit}")


def _text(data: Mapping[str, Any]) -> str:
    """All text a model would read: system, messages, and the tools as JSON."""
    parts = [_plain(data.get("system"))]
    parts += [_plain(message.get("content")) for message in data["messages"]]
    if data.get("tools"):
        parts.append(dumps(data["tools"]).decode())
    return "\n".join(part for part in parts if part)


def _plain(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (block.get("text") for block in content if isinstance(block, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def _marker(messages: object) -> str | None:
    """`[id:...]` in the last user text."""
    users = (
        [m for m in messages if isinstance(m, dict) and m.get("role") == "user"] if isinstance(messages, list) else []
    )
    found = MARKER.findall(_plain(users[-1].get("content"))) if users else []
    return str(found[-1]) if found else None


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"Expecting value: {name} is not JSON")


def usage(ask: Ask, output_tokens: int) -> dict[str, object]:
    """A reply's usage, in Claude's key order."""
    counted: dict[str, object] = {
        "input_tokens": ask.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens,
        "service_tier": "standard",
        "inference_geo": "not_available" if "-4-5" in ask.model else "global",
    }
    return counted | {"speed": "fast"} if ask.fast else counted


def message(
    ask: Ask, message_id: str, content: list[dict[str, object]], stop_reason: str | None, output_tokens: int
) -> dict[str, object]:
    """A message in Claude's key order: the body of a JSON reply, or what `message_start` holds."""
    return {
        "model": ask.model,
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage(ask, output_tokens),
    }


def event(name: str, fields: Mapping[str, object], rng: random.Random) -> bytes:
    """One server-sent event; its JSON starts with the event's own name as `type`."""
    data = dumps({"type": name, **fields})
    return b"event: %b\ndata: %b%b}\n\n" % (name.encode(), data[:-1], b" " * rng.randrange(16))


def text_delta(text: str, rng: random.Random) -> bytes:
    """The event that carries `text`."""
    return event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": text}}, rng)
