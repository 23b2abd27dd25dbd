"""What a test's attempts sent: their headers and bodies, which the journal does not keep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mockclaude.journal import Attempt, Journal
from mockclaude.request.intake import LIMIT, Intake

KEPT = 1_000
ROOM = 64 * 1024 * 1024
TOLD = 20


@dataclass(frozen=True)
class Received:
    """An attempt as the mock received it, and what has become of it.

    It is number `n` and came `t` seconds after T0. While it runs, `outcome` is None, and `status` too until something
    was answered; then `outcome` is the journal's: complete, turned_away, rejected, fault or left.
    """

    n: int
    t: float
    model: str | None
    stream: bool | None
    retry_count: int
    status: int | None
    outcome: str | None
    fault: str | None
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded; raises `ValueError` when it is no JSON."""
        whole = Intake(self.headers.get("content-encoding", ""))
        whole.take(self.body)
        return json.loads(whole.body())

    def __str__(self) -> str:
        kind = "stream" if self.stream else "whole"
        ending = self.outcome or "still running"
        cause = f" ({self.fault})" if self.fault else ""
        line = f"{self.n:>4} {self.t:>8.3f} s  {self.model or '-'}  {kind}  retry {self.retry_count}"
        return f"{line}  {self.status or '-'}  {ending}{cause}"


class Inbox:
    """The mock's application, with a look at what attempts send on the way in.

    The newest `kept` attempts are remembered, as long as their bodies have at most `room` bytes together.
    """

    def __init__(self, app: ASGIApp, journal: Journal, kept: int = KEPT, room: int = ROOM) -> None:
        self._app = app
        self._journal = journal
        self._kept = kept
        self._room = room
        self._letters: list[_Letter] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request."""
        if scope["type"] == "http" and (scope["method"], scope["path"]) == ("POST", "/v1/messages"):
            receive = self._noting(scope, receive)
        await self._app(scope, receive, send)

    def received(self, since: float, outcomes: Mapping[int, str]) -> list[Received]:
        """The newest attempts of this epoch, in the order of arrival; `since` is T0, `outcomes` those that ended."""
        letters = [letter for letter in self._letters.copy() if letter.attempt.epoch == self._journal.epoch]
        return [letter.received(since, outcomes.get(letter.attempt.n)) for letter in letters]

    def _noting(self, scope: Scope, receive: Receive) -> Receive:
        letter: _Letter | None = None

        async def read() -> Message:
            nonlocal letter
            if letter is None:  # the mock opens an attempt and begins to read it in one breath: it is the newest
                letter = self._keep(_Letter(self._journal.open_attempts[-1], Headers(raw=scope["headers"])))
            message = await receive()
            letter.take(message.get("body", b""))
            return message

        return read

    def _keep(self, letter: _Letter) -> _Letter:
        self._letters.append(letter)
        while len(self._letters) > self._kept or sum(map(len, self._letters)) > self._room:
            del self._letters[0]
        return letter


class _Letter:
    """What an attempt has sent so far."""

    def __init__(self, attempt: Attempt, headers: Mapping[str, str]) -> None:
        self.attempt = attempt
        self._headers = headers
        self._body = bytearray()

    def __len__(self) -> int:
        return len(self._body)

    def take(self, part: bytes) -> None:
        """Keep as much as Claude would read."""
        self._body += part[: LIMIT - len(self._body)]

    def received(self, since: float, outcome: str | None) -> Received:
        attempt, labels = self.attempt, self.attempt.labels
        return Received(
            attempt.n,
            round(attempt.arrived - since, 6),
            labels.model,
            labels.stream,
            attempt.retry_count,
            attempt.status,
            outcome,
            attempt.fault,
            self._headers,
            bytes(self._body),
        )


def told(attempts: Sequence[Received]) -> str:
    """The attempts, a line each; the last twenty."""
    left_out = [f"     ... {len(attempts) - TOLD} before"] if len(attempts) > TOLD else []
    return "\n".join([*left_out, *map(str, attempts[-TOLD:])]) or "     no attempt"
