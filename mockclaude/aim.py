"""Which attempts are meant: by what they ask, by their number, or by lot."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple

from annotated_types import Ge, Le, Len
from pydantic import AfterValidator, ConfigDict, Strict

from mockclaude import settings
from mockclaude.request import ask

Share = Annotated[float, Strict(), Ge(0), Le(1)]


class Facts(NamedTuple):
    """What a fault's aim is compared with: attempt number `n` since the reset, and what it asks."""

    n: int
    asked: ask.Ask
    headers: Mapping[str, str]


def _pattern(text: str) -> str | None:
    """`...` of `/.../`."""
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == "/" else None


def _searchable(text: str) -> str:
    try:
        re.compile(_pattern(text) or "")
    except re.error as error:
        raise ValueError(f"no regular expression ({error})") from None
    return text


def _names(asked: ask.Ask) -> tuple[str, str]:
    return asked.model.id, str(asked.body.get("model"))


Text = Annotated[str, AfterValidator(_searchable)]


@functools.lru_cache(maxsize=10_000)
def _search(wanted: str) -> Callable[[str], bool]:
    """Compiled once: `re` itself remembers 512 patterns, and more would be compiled again for each request."""
    pattern = _pattern(wanted)
    if pattern is None:
        return lambda text: wanted in text
    search = re.compile(pattern).search
    return lambda text: search(text) is not None


@dataclass(frozen=True)
class Match:
    """Which attempts are meant: all that is given must hold. Models, keys and headers may have wildcards (`*`).

    A model may be named by its id or as it was asked for; a tool is one that is offered. `text` must occur in the last
    user message, `system` in the system prompt or, between slashes, be found there as a pattern.
    """

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    model: str | None = None
    key: str | None = None
    stream: bool | None = None
    text: Text | None = None
    system: Text | None = None
    tool: str | None = None
    header: Mapping[str, str] = field(default_factory=dict)

    def holds(self, facts: Facts) -> bool:
        """Compare."""
        asked = facts.asked
        return (
            (self.model is None or any(fnmatch.fnmatchcase(name, self.model) for name in _names(asked)))
            and (self.key is None or fnmatch.fnmatchcase(asked.key, self.key))
            and (self.stream is None or self.stream == asked.stream)
            and self._says(asked.body)
            and all(
                fnmatch.fnmatchcase(facts.headers.get(name.lower(), ""), glob) for name, glob in self.header.items()
            )
        )

    def _says(self, body: Mapping[str, Any]) -> bool:
        return (
            (self.text is None or _search(self.text)(ask.last_user_text(body["messages"])))
            and (self.system is None or _search(self.system)(ask.plain(body.get("system"))))
            and (self.tool is None or any(tool.get("name") == self.tool for tool in body.get("tools") or ()))
        )


@dataclass(frozen=True, kw_only=True)
class Aim:
    """Whom a fault strikes: a `share` of attempts, only the `nth` since the last reset, only those that `match`."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    share: Share = 1.0
    nth: Annotated[tuple[Annotated[int, Strict(), Ge(1)], ...], Len(1)] | None = None
    match: Match | None = None

    def strikes(self, facts: Facts, lot: float) -> bool:
        """Whether it strikes this attempt, which drew `lot`, from 0 to 1."""
        return (
            lot < self.share
            and (self.nth is None or facts.n in self.nth)
            and (self.match is None or self.match.holds(facts))
        )
