"""What comes back, read as it arrives and without sockets: in the gateway's own words, or in Claude's."""

import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

Json = dict[str, Any]

# How a refusal is named by the error type in its body; what is not here is a failure of the gateway.
OUTCOME_OF_ERROR = {
    "shed": "shed",
    "throttled": "throttled",
    "overloaded": "overloaded",
    "rejected": "rejected",
    "unreachable": "failed",
    "timeout": "failed",
    "upstream_error": "failed",
    "configuration": "failed",
    "failed": "failed",
    # Claude's own types (docs: API errors), in which /v1/messages speaks
    "rate_limit_error": "throttled",
    "overloaded_error": "overloaded",
    "invalid_request_error": "rejected",
    "authentication_error": "rejected",
    "billing_error": "rejected",
    "permission_error": "rejected",
    "not_found_error": "rejected",
    "conflict_error": "rejected",
    "request_too_large": "rejected",
    "api_error": "failed",
    "timeout_error": "failed",
}
INFLATED = ("gzip", "x-gzip", "deflate")
EITHER = 32 + zlib.MAX_WBITS  # gzip or zlib, by its own first bytes
# A body that names no type we know (a proxy's page, another gateway): the status has to do.
OUTCOME_OF_STATUS = {429: "throttled", 503: "overloaded", 529: "overloaded"}


class Said(NamedTuple):
    """What one event of a stream, or a whole answer, comes to; tokens are None where it tells of none.

    `text`: bytes of text in a `delta`. `mark`: a part of what ends a stream. `task`: the answer is still being made,
    and is asked for under this id.
    """

    delta: bool = False
    text: int = 0
    mark: str | None = None
    error: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    task: str | None = None


TEXT_ALONE = 2
NOTHING_ELSE = Said()[TEXT_ALONE:]
"""What most events say beside their text."""


class Dialect(NamedTuple):
    """How an answer is read: a whole one, an event of a stream by name and data, and the marks that end a stream."""

    whole: Callable[[Json], Said]
    event: Callable[[str, bytes], Said]
    ending: frozenset[str]


class Exchange:
    """One HTTP exchange on its way: `head`, then `feed` for each read, then `outcome`.

    An answer is complete only when its protocol says so (a JSON body with what was asked for; a stream with all that
    ends one): a 200 that merely stops is `truncated`.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.status: int | None = None
        self.error: str | None = None
        self.first_delta: float | None = None
        self.gaps: list[float] = []
        self.text_bytes: list[int] = []
        self.wire_bytes: list[int] = []
        self.encoding: str | None = None
        self.input_tokens = 0
        self.output_tokens = 0
        self.task: str | None = None
        self.streaming = False
        self._dialect = dialect
        self._buffer = b""
        self._inflate: Callable[[bytes], bytes] | None = None
        self._unclaimed = 0
        self._last_delta = 0.0
        self._marks: set[str] = set()

    def head(self, status: int, content_type: str, encoding: str = "") -> None:
        self.status = status
        self.streaming = content_type.partition(";")[0].strip().lower() == "text/event-stream"
        self.encoding = encoding.strip().lower() or None
        if self.encoding in INFLATED:
            self._inflate = zlib.decompressobj(EITHER).decompress

    def feed(self, data: bytes, now: float) -> None:
        """What one read brought; all events in it came now, however long ago they were sent."""
        self._unclaimed += len(data)
        self._buffer += data if self._inflate is None else self._plain(data, self._inflate)
        if not self.streaming:
            return
        # SSE ends an event with a blank line, in any of three line endings; what we read uses LF or CRLF.
        if b"\r" in self._buffer:
            self._buffer = self._buffer.replace(b"\r\n", b"\n")
        *events, self._buffer = self._buffer.split(b"\n\n")
        for event in events:
            said = self._dialect.event(*_fields(event))
            if said[TEXT_ALONE:] != NOTHING_ELSE:
                self._take(said)
            if said.delta:
                self._delta(said.text, now)

    def outcome(self) -> str:
        """How it ended, its body having ended as HTTP says it should."""
        if self.streaming:
            return self._outcome_of_stream()
        body = json_of(self._buffer)
        if self.status is not None and 200 <= self.status < 300:
            self._take(self._dialect.whole(body))
            return "complete" if self.error is None else OUTCOME_OF_ERROR.get(self.error, "failed")
        self.error = _type_of(body.get("error"))
        if self.error in OUTCOME_OF_ERROR:
            return OUTCOME_OF_ERROR[self.error]
        status = self.status or 0
        return OUTCOME_OF_STATUS.get(status, "rejected" if 400 <= status < 500 else "failed")

    def _outcome_of_stream(self) -> str:
        if self.error is not None:
            if self.first_delta is None:
                return OUTCOME_OF_ERROR.get(self.error, "failed")
            return "error_event"
        return "complete" if self._marks >= self._dialect.ending else "truncated"

    def _take(self, said: Said) -> None:
        self.error = said.error or self.error
        self.task = said.task
        self.input_tokens = self.input_tokens if said.input_tokens is None else said.input_tokens
        self.output_tokens = self.output_tokens if said.output_tokens is None else said.output_tokens
        if said.mark is not None:
            self._marks.add(said.mark)

    def _plain(self, data: bytes, inflate: Callable[[bytes], bytes]) -> bytes:
        """As much of the body as these bytes tell."""
        try:
            return inflate(data)
        except zlib.error as error:
            self.error = f"{self.encoding}: {error}"
            return b""

    def _delta(self, text: int, now: float) -> None:
        """Of the deltas that came in one read, the first has all its bytes on the wire."""
        self.text_bytes.append(text)
        self.wire_bytes.append(self._unclaimed)
        self._unclaimed = 0
        if self.first_delta is None:
            self.first_delta = now
        else:
            self.gaps.append(now - self._last_delta)
        self._last_delta = now


def json_of(data: bytes) -> Json:
    """The JSON object that `data` is; an empty one when it is none."""
    try:
        body = orjson.loads(data)
    except ValueError:  # or what only json takes: half of a surrogate pair, NaN
        try:
            body = json.loads(data)
        except ValueError:
            return {}
    return body if isinstance(body, dict) else {}


def _fields(event: bytes) -> tuple[str, bytes]:
    """The name and the data of one event."""
    name, data = "message", b""
    for line in event.split(b"\n"):
        if line.startswith(b"data:"):
            data += line[5:].strip()
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode("utf-8", "replace")
    return name, data


def _event(name: str, data: bytes) -> Said:
    """An event of the gateway's own streams: text, then `done` with its usage, then `[DONE]`."""
    if data == b"[DONE]":
        return Said(mark="[DONE]")
    body = json_of(data)
    if name == "error":
        return Said(error=_type_of(body.get("error")) or "unknown")
    if body.get("done"):
        usage = body.get("usage")
        used = usage if isinstance(usage, dict) else {}
        return Said(mark="done", input_tokens=count_of(used.get("input")), output_tokens=count_of(used.get("output")))
    return Said("text" in body, size_of(body.get("text")))


def _claudes_event(name: str, data: bytes) -> Said:
    """An event of a stream of messages; the counts in `message_delta` are cumulative."""
    body = json_of(data)
    match body.get("type"):
        case "message_start":
            message = body.get("message")
            return _used(message if isinstance(message, dict) else {})
        case "content_block_delta":
            delta = body.get("delta")
            return Said(True, size_of(delta.get("text")) if isinstance(delta, dict) else 0)
        case "message_delta":
            return _used(body)
        case "message_stop":
            return Said(mark="message_stop")
        case "error":
            return Said(error=_type_of(body.get("error")) or "unknown")
        case _:
            return Said()


def _text(key: str) -> Callable[[Json], Said]:
    """A body whose text stands under `key`."""

    def read(body: Json) -> Said:
        return _told(body) if isinstance(body.get(key), str) else Said(error=f"a 200 without {key}")

    return read


def _results(body: Json) -> Said:
    """Many answers in one; it is as good as the first of them that failed."""
    found = body.get("results")
    results = list(found.values()) if isinstance(found, dict) else found
    if not isinstance(results, list):
        return Said(error="a 200 without results")
    errors = [item["error"] for item in results if isinstance(item, dict) and item.get("error")]
    if not errors and not body.get("failed"):
        return _told(body)
    return _told(body)._replace(error=(_type_of(errors[0]) if errors else None) or "unknown")


def _task(body: Json) -> Said:
    """Work in the background: under way, done, or failed."""
    match body.get("status"):
        case "processing" if isinstance(body.get("task_id"), str):
            return Said(task=body["task_id"])
        case "complete":
            return _told(body)
        case "failed":
            return Said(error=_type_of(body.get("error")) or "unknown")
        case status:
            return Said(error=f'a task whose status is "{status}"')


def _message(body: Json) -> Said:
    if body.get("type") != "message" or not isinstance(body.get("content"), list) or body.get("stop_reason") is None:
        return Said(error="a 200 without a message")
    return _used(body)


def _anything(body: Json) -> Said:
    return Said()


def _told(body: Json) -> Said:
    """The tokens as the gateway tells them, beside the answer or in it."""
    result = body.get("result")
    told = {**(result if isinstance(result, dict) else {}), **body}
    return Said(input_tokens=count_of(told.get("input_tokens")), output_tokens=count_of(told.get("output_tokens")))


def _used(body: Json) -> Said:
    """The tokens as Claude tells them: its `input_tokens` leave out what the prompt cache read or wrote."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return Said()
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    whole = sum(count_of(usage.get(name)) for name in names) if "input_tokens" in usage else None
    return Said(input_tokens=whole, output_tokens=count_of(usage.get("output_tokens")))


def _type_of(error: object) -> str | None:
    kind = error.get("type") if isinstance(error, Mapping) else error
    return kind if isinstance(kind, str) else None


def size_of(text: Any) -> int:
    """Bytes of a text, by themselves: neither JSON's escapes nor any framing."""
    return len(text.encode("utf-8", "replace")) if isinstance(text, str) else 0


def count_of(value: Any) -> int:
    return value if isinstance(value, int) else 0


_OURS = frozenset({"done", "[DONE]"})
TEXT = Dialect(_text("text"), _event, _OURS)
SUMMARY = Dialect(_text("summary"), _event, _OURS)
RESULTS = Dialect(_results, _event, _OURS)
TASK = Dialect(_task, _event, _OURS)
ANYTHING = Dialect(_anything, _event, _OURS)
CLAUDES = Dialect(_message, _claudes_event, frozenset({"message_stop"}))
