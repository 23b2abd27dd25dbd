"""The gateway's protocol as a caller speaks it, without sockets: bytes and times go in, a `Sample` comes out."""

import json
from typing import Any

from loadtests.sample import Sample

KEY = "loadtest"  # of the tenant that we are to a gateway of our own
PATHS = {"chat": "/chat", "stream": "/chat/stream"}

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
}
# A body that names no type we know (a proxy's page, another gateway): the status has to do.
OUTCOME_OF_STATUS = {429: "throttled", 503: "overloaded", 529: "overloaded"}


def body_of(message: str, model: str, max_tokens: int) -> bytes:
    return json.dumps({"message": message, "model": model, "max_tokens": max_tokens}).encode()


def headers_of(request_id: str, key: str) -> dict[str, str]:
    return {"content-type": "application/json", "x-api-key": key, "x-request-id": request_id}


class Exchange:
    """One request on its way: `head`, then `feed` for each read, then `end`, or `fail` at any moment.

    A reply is complete only when its protocol says so (a JSON body with text; a stream with its `done` event and
    `[DONE]`): a 200 that merely stops is `truncated`.
    """

    def __init__(self, request_id: str, intended: float, sent: float) -> None:
        self.request_id = request_id
        self.intended = intended
        self.sent = sent
        self.status: int | None = None
        self.streaming = False
        self._buffer = b""
        self._first_delta: float | None = None
        self._last_delta = 0.0
        self._gaps: list[float] = []
        self._usage = (0, 0)
        self._done = False
        self._terminated = False
        self._error: str | None = None

    def head(self, status: int, content_type: str) -> None:
        self.status = status
        self.streaming = content_type.partition(";")[0].strip().lower() == "text/event-stream"

    def feed(self, data: bytes, now: float) -> None:
        self._buffer += data
        if not self.streaming:
            return
        # SSE ends an event with a blank line, in any of three line endings; what we read uses LF or CRLF.
        *events, self._buffer = self._buffer.replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            self._event(event, now)

    def end(self, now: float) -> Sample:
        """The body ended as HTTP says it should."""
        if self.streaming:
            return self._sample(self._stream_outcome(), now)
        return self._sample(self._json_outcome(), now)

    def fail(self, outcome: str, now: float, error: str | None = None) -> Sample:
        """The exchange broke off: refused, reset, truncated, timeout, left or aborted."""
        self._error = error
        return self._sample(outcome, now)

    def _event(self, event: bytes, now: float) -> None:
        name, data = "message", b""
        for line in event.split(b"\n"):
            field, _, value = line.partition(b":")
            if field == b"event":
                name = value.strip().decode("utf-8", "replace")
            elif field == b"data":
                data += value.strip()
        if data == b"[DONE]":
            self._terminated = True
            return
        body = _object(data)
        if name == "error":
            self._error = _error_type(body) or "unknown"
        elif body.get("done"):
            self._done = True
            usage = body.get("usage")
            if isinstance(usage, dict):
                self._usage = (_count(usage.get("input")), _count(usage.get("output")))
        elif "text" in body:
            self._delta(now)

    def _delta(self, now: float) -> None:
        if self._first_delta is None:
            self._first_delta = now
        else:
            self._gaps.append(now - self._last_delta)
        self._last_delta = now

    def _stream_outcome(self) -> str:
        if self._error is not None:
            if self._first_delta is None:
                return OUTCOME_OF_ERROR.get(self._error, "failed")
            return "error_event"
        return "complete" if self._done and self._terminated else "truncated"

    def _json_outcome(self) -> str:
        body = _object(self._buffer)
        if self.status == 200:
            if not isinstance(body.get("text"), str):
                self._error = "a 200 without text"
                return "failed"
            self._usage = (_count(body.get("input_tokens")), _count(body.get("output_tokens")))
            return "complete"
        self._error = _error_type(body)
        if self._error in OUTCOME_OF_ERROR:
            return OUTCOME_OF_ERROR[self._error]
        status = self.status or 0
        return OUTCOME_OF_STATUS.get(status, "rejected" if 400 <= status < 500 else "failed")

    def _sample(self, outcome: str, now: float) -> Sample:
        return Sample(
            request_id=self.request_id,
            intended=self.intended,
            sent=self.sent,
            ended=now,
            outcome=outcome,
            status=self.status,
            error=self._error,
            first_delta=self._first_delta,
            gaps=tuple(self._gaps),
            input_tokens=self._usage[0],
            output_tokens=self._usage[1],
        )


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _error_type(body: dict[str, Any]) -> str | None:
    error = body.get("error")
    kind = error.get("type") if isinstance(error, dict) else None
    return kind if isinstance(kind, str) else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
