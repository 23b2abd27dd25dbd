"""The shape of what comes in: bytes or values read into a type, or a 400 in Claude's words, which are pydantic's."""

from __future__ import annotations

from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from mockclaude.wire import ApiError, no_json

M = TypeVar("M", bound=BaseModel)


def decoded(raw: bytes | bytearray) -> object:
    """The JSON in `raw`; raises a 400 when it is none."""
    try:
        value: object = orjson.loads(raw)
        return value
    except orjson.JSONDecodeError as error:
        raise no_json(str(error)) from None


def encoded(value: object) -> bytes:
    """A value that came in as JSON, as JSON again; raises a 400 when it is more than 254 levels deep."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise no_json("depth limit exceeded") from None


def read(kind: type[M], data: object) -> M:
    """Read `data` as a `kind`; the 400 names the first field that is wrong: `limit: Input should be ...`."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise ApiError(400, f"{place}: {first['msg']}" if place else "Input should be a valid dictionary") from None
