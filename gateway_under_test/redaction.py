"""What nobody may read in a log: keys, ours and the callers', wherever an error carried them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar

MASK = "[secret]"
CREDENTIALS = ("x-api-key", "authorization", "proxy-authorization", "cookie")
SHORTEST = 8
"""Characters; what is shorter is no secret, and would take ordinary words with it."""
LOOKS_LIKE_ONE = re.compile(r"(?i)\bsk-[\w-]{4,}|(?<=\bbearer )[^\s'\"\\,]+|(?<=://)[^/@\s'\"]+(?=@)")
"""A key of Claude, a bearer token, the user and password of a URL."""
FREE_TEXTS = ("exception", "error", "message", "path")
"""Fields whose words are not ours; in the others a caller could blot out what we say by choosing a key like it."""

# What the caller of the request that runs showed us; also for lines that the web server writes about it.
_shown: ContextVar[tuple[str, ...]] = ContextVar("shown", default=())


def remember(headers: Mapping[str, str]) -> None:
    """What a request's caller shows of itself is not told from now on, in this task."""
    values = [value for name in CREDENTIALS if (value := headers.get(name))]
    _shown.set(tuple(part for value in values for part in (value, value.partition(" ")[2])))


def redact(fields: Mapping[str, object], known: Iterable[str]) -> dict[str, object]:
    """A line's fields without a secret: none that is `known` or was shown, and nothing that looks like one."""
    secrets = [secret for secret in (*known, *_shown.get()) if len(secret) >= SHORTEST]
    return {name: _without(value, secrets if name in FREE_TEXTS else ()) for name, value in fields.items()}


def _without(value: object, secrets: Iterable[str]) -> object:
    if not isinstance(value, str):
        return value
    for secret in secrets:
        for form in (secret, repr(secret)[1:-1]):
            value = value.replace(form, MASK)
    return LOOKS_LIKE_ONE.sub(MASK, value)
