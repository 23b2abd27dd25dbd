"""How the endpoints read in /docs: the refusals that all have in common, and the headers that all take."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from gateway_under_test import errors


class Told(BaseModel):
    """What went wrong: `type` is for programs, `message` for people."""

    type: str
    message: str


class Problem(Told):
    """What went wrong with the request of this id."""

    request_id: str


class Envelope(BaseModel):
    """Every refusal, and the data of every `error` event."""

    error: Problem


def _refusal(when: str, error: errors.GatewayError) -> dict[str, Any]:
    body = error.body("5f2b8c0de1a94f7c8a6d3b2e1f0c9d87")
    described: dict[str, Any] = {"model": Envelope, "description": when}
    described["content"] = {"application/json": {"example": body}}
    if error.headers():
        again = {"description": "Seconds to wait before the next try", "schema": {"type": "integer"}}
        described["headers"] = {"Retry-After": again}
    return described


def _text(example: str) -> dict[str, Any]:
    return {"schema": {"type": "string"}, "example": example, "required": False, "in": "header"}


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: _refusal("Claude does not accept the request", errors.Rejected("Claude does not accept the request")),
    401: _refusal("The key is missing", errors.Rejected("X-API-Key is missing", status=401)),
    403: _refusal("The key is wrong", errors.Rejected("X-API-Key is not one of the valid keys", status=403)),
    408: _refusal("The body came too slowly", errors.Rejected("the request body did not arrive in time", status=408)),
    413: _refusal("The body is too large", errors.Rejected("the request body is too large", status=413)),
    415: _refusal(
        "The body is not said to be JSON",
        errors.Rejected("content-type: got text/plain, expected application/json", status=415),
    ),
    422: _refusal("The body is not as described", errors.Rejected("body.message: Field required", status=422)),
    429: _refusal("A rate limit, Claude's or ours", errors.Throttled("Claude's rate limit is reached; try later")),
    500: _refusal("We are set up wrongly", errors.Configuration("Claude refuses this gateway's key")),
    502: _refusal("Claude failed, or sent no text", errors.UpstreamError("Claude sent no text")),
    503: _refusal("Claude or this gateway is overloaded", errors.Overloaded("Claude is overloaded; try again later")),
    504: _refusal("It took too long", errors.Timeout("Claude did not answer in time")),
}
"""What every endpoint may answer instead, by status."""

HEADERS: dict[str, Any] = {
    "parameters": [
        {
            "name": "X-Request-ID",
            "description": "Its id in every log and at Claude; without one it gets one. It comes back in the response",
            **_text("order-4711"),
        },
        {
            "name": "X-Request-Deadline",
            "description": "Seconds for which the caller waits: no work is done beyond them",
            **_text("20"),
        },
        {
            "name": "X-Priority",
            "description": "`low` goes first when places run out, `high` goes last; anything else is `normal`",
            **_text("normal"),
        },
    ]
}
"""What every endpoint takes beside its body, as `openapi_extra`."""
