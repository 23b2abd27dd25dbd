"""Who may ask: the caller's key against the keys we know."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from gateway_under_test import errors


def check(key: str | None, valid: Iterable[str]) -> None:
    """Raise Rejected (401 missing, 403 wrong) unless `key` is one of `valid`; the time taken tells nothing."""
    if not key:
        raise errors.Rejected("X-API-Key is missing", status=401)
    if not _known(key, valid):
        raise errors.Rejected("X-API-Key is not one of the valid keys", status=403)


def check_as_claude(key: str | None, authorization: str | None, valid: Iterable[str]) -> None:
    """Raise Rejected (401, in Claude's words) unless the key or the bearer token is one of `valid`."""
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""
    if not key and not token:
        raise errors.Rejected("x-api-key header is required", status=401)
    if not any([_known(given, valid) for given in (key, token) if given]):
        raise errors.Rejected("invalid x-api-key" if key else "Invalid bearer token", status=401)


def _known(given: str, valid: Iterable[str]) -> bool:
    return any([hmac.compare_digest(given.encode(), each.encode()) for each in valid])  # a list: every key is compared
