"""Requests that came before: what a body was found to be is not found out again.

A load test says the same things over and over, and a retry is the same to the byte. What JSON a body is and what Claude
makes of it depends on its bytes, on the headers that say who asks, and on the door: it is kept under all of these.
Refusals are not kept, and nobody changes a body.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeVar

from mockclaude.request import ask, intake
from mockclaude.wire import ApiError

ROOM = 4 * 1024 * 1024
"""Bytes of all the bodies remembered, each with `BESIDE`; many small objects of JSON take some times that."""
BESIDE = 1024
"""Bytes that a body's verdict takes, however short it is."""
LONGEST = 32 * 1024
"""Bytes of a body that is worth it: a longer one is hardly ever said twice, and would push out many."""
CALLERS = 16
"""Who asks the same; of more, none is remembered."""

Verdict = TypeVar("Verdict", ask.Ask, int)


class Memory:
    """The bodies that came last, at most `room` bytes of them; those not seen for longest are forgotten."""

    def __init__(self, room: int = ROOM, longest: int = LONGEST) -> None:
        self._letters: OrderedDict[bytes, ask.Letter] = OrderedDict()
        self._left = room
        self._longest = longest

    def __len__(self) -> int:
        return len(self._letters)

    def received(self, whole: intake.Intake) -> ask.Letter:
        """As `ask.received` reads it."""
        try:
            raw = whole.body()
        except ApiError:
            return ask.received(whole)
        if len(raw) > self._longest:
            return ask.open_letter(raw)
        raw = bytes(raw)
        letter = self._letters.get(raw)
        if letter is None:
            letter = ask.open_letter(raw)
            return (
                letter
                if letter.error is not None
                else self._keep(raw, ask.Letter(letter.data, letter.digest, judged={}))
            )
        self._letters.move_to_end(raw)
        return letter

    def labels(self, letter: ask.Letter, headers: Mapping[str, str]) -> ask.Labels:
        """As `ask.labels` reads them."""
        judged = letter.judged
        if judged is None or "x-request-id" in headers:
            return ask.labels(letter, headers)
        if (found := judged.get(ask.labels)) is None:
            found = judged[ask.labels] = ask.ANYONE, ask.labels(letter, headers)
        labels: ask.Labels = found[1]
        return labels

    def parse(self, letter: ask.Letter, headers: Mapping[str, str], door: ask.Door) -> ask.Ask:
        """As `ask.parse` judges it."""
        return _once(ask.parse, letter, headers, door)

    def counted(self, letter: ask.Letter, headers: Mapping[str, str], door: ask.Door) -> int:
        """As `ask.counted` does."""
        return _once(ask.counted, letter, headers, door)

    def _keep(self, raw: bytes, letter: ask.Letter) -> ask.Letter:
        self._letters[raw] = letter
        self._left -= len(raw) + BESIDE
        while self._left < 0:
            oldest, _ = self._letters.popitem(last=False)
            self._left += len(oldest) + BESIDE
        return letter


def _once(
    judge: Callable[[ask.Letter, Mapping[str, str], ask.Door], Verdict],
    letter: ask.Letter,
    headers: Mapping[str, str],
    door: ask.Door,
) -> Verdict:
    judged = letter.judged
    if judged is None:
        return judge(letter, headers, door)
    get = headers.get
    asking = judge, get("x-api-key"), get("authorization"), get("anthropic-version"), get("anthropic-beta")
    if (found := judged.get(asking)) is not None and found[0] is door:
        verdict: Verdict = found[1]
        return verdict
    verdict = judge(letter, headers, door)
    if len(judged) >= CALLERS:
        judged.clear()
    judged[asking] = door, verdict
    return verdict
