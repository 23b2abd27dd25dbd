"""Who may ask: the caller's key against the keys we know, those in the settings and those in a file.

The file holds one key a line, with blank lines and `# comments`. It is read again when it changes, so that keys are
rotated without a restart; write it beside and rename it, else a look in between sees half of it. A file that vanishes
or holds no key changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Annotated

from fastapi import Header, Request

from gateway_under_test import errors, logs, settings, watched

COMMENT = re.compile(r"(^|\s)#.*")


class Keys:
    """The keys of our callers; raises SettingsError if there is a file that cannot be used."""

    def __init__(self, chosen: settings.Settings, log: logs.Log) -> None:
        self._log = log
        self._given = [key.get_secret_value() for key in chosen.valid_api_keys]
        self._file = watched.Watched(chosen.valid_api_keys_file) if chosen.valid_api_keys_file else None
        self._names = _names(self._given)
        if self._file is not None:
            try:
                self._names = self._with(self._file.read())
            except (OSError, ValueError) as error:
                problem = settings.Problem(("VALID_API_KEYS_FILE",), f"{error}; expected a file with one key a line")
                raise settings.SettingsError([problem]) from None

    async def require(self, request: Request, x_api_key: Annotated[str | None, Header()] = None) -> None:
        """What an endpoint of ours depends on: who asks is checked, and noted in the request's line."""
        request.state.line.tenant = self.check(x_api_key)

    async def require_as_claude(
        self,
        request: Request,
        x_api_key: Annotated[str | None, Header()] = None,
        authorization: Annotated[str | None, Header()] = None,
    ) -> None:
        """The same where we speak as Claude does."""
        request.state.line.tenant = self.check_as_claude(x_api_key, authorization)

    def check(self, key: str | None) -> str:
        """The name of the key's holder; raises Rejected: 401 without a key, 403 with a wrong one."""
        if not key:
            raise errors.Rejected("X-API-Key is missing", status=401)
        holder = self._holder(key)
        if holder is None:
            raise errors.Rejected("X-API-Key is not one of the valid keys", status=403)
        return holder

    def check_as_claude(self, key: str | None, authorization: str | None) -> str:
        """The name of the holder of the key or of the bearer token; raises Rejected (401, in Claude's words)."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        if not key and not token:
            raise errors.Rejected("x-api-key header is required", status=401)
        holders = [holder for given in (key, token) if given and (holder := self._holder(given))]
        if not holders:
            raise errors.Rejected("invalid x-api-key" if key else "Invalid bearer token", status=401)
        return holders[0]

    def _holder(self, given: str) -> str | None:
        """Every key is compared, so that the time taken tells nothing."""
        self._look()
        found = [name for key, name in self._names.items() if hmac.compare_digest(given.encode(), key)]
        return found[0] if found else None

    def _look(self) -> None:
        if self._file is None:
            return
        try:
            text = self._file.news(asyncio.get_running_loop().time())
            if text is None:
                return
            self._names = self._with(text)
        except (OSError, ValueError) as error:
            self._log.warning("keys_kept", file=str(self._file.path), error=str(error))
        else:
            self._log.info("keys_read", file=str(self._file.path), keys=len(self._names))

    def _with(self, text: str) -> dict[bytes, str]:
        keys = parse(text)
        if not keys:
            raise ValueError(f"{self._file and self._file.path} holds no key")
        return _names([*self._given, *keys])


def parse(text: str) -> list[str]:
    """The keys in the text of a file."""
    return [key for line in text.splitlines() if (key := COMMENT.sub("", line).strip())]


def name_of(key: str) -> str:
    """What the holder of a key is called in logs and limits: the key cannot be told from it."""
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:6]}"


def _names(keys: Iterable[str]) -> dict[bytes, str]:
    return {key.encode(): name_of(key) for key in keys}
