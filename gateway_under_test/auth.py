"""Who may ask: the caller's X-API-Key against the keys we know."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from gateway_under_test import errors


def check(key: str | None, valid: Iterable[str]) -> None:
    """Raise Rejected (401 missing, 403 wrong) unless `key` is one of `valid`; the time taken tells nothing."""
    if not key:
        raise errors.Rejected("X-API-Key is missing", status=401)
    given = key.encode()
    if not any([hmac.compare_digest(given, each.encode()) for each in valid]):  # a list: every key is compared
        raise errors.Rejected("X-API-Key is not one of the valid keys", status=403)
