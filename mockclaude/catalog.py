"""Claude's models: which ids there are, what each can do, and where its limits lie.

What a model can do follows from its family and version, so that an id which is not in the list (one of last year, or
one of next month) still behaves as its generation does. Source: platform.claude.com/docs (models, extended thinking,
adaptive thinking, effort, prompt caching, migration guides).
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

FAMILIES = ("haiku", "sonnet", "opus", "fable", "mythos")
VERSION = r"\d\d?(?:-\d\d?)?"
PARTS = re.compile(
    rf"claude(?:-(?P<old>{VERSION}))?-(?P<family>[a-z]+)(?:-(?P<new>{VERSION}))?(?:-(?:\d{{8}}|latest|preview))?"
)

RELEASED = {
    "claude-fable-5-2": "2026-11-10",
    "claude-mythos-5-2": "2026-11-10",
    "claude-haiku-5-5": "2026-10-21",
    "claude-sonnet-5-5": "2026-10-21",
    "claude-fable-5-1": "2026-09-24",
    "claude-opus-5-5": "2026-09-24",
    "claude-mythos-5-1": "2026-09-24",
    "claude-sonnet-5": "2026-06-30",
    "claude-fable-5": "2026-06-16",
    "claude-mythos-5": "2026-06-16",
    "claude-opus-5": "2026-06-02",
    "claude-opus-4-8": "2026-05-05",
    "claude-opus-4-7": "2026-04-16",
    "claude-sonnet-4-6": "2026-02-17",
    "claude-opus-4-6": "2026-02-05",
    "claude-opus-4-5-20251101": "2025-11-24",
    "claude-haiku-4-5-20251001": "2025-10-15",
    "claude-sonnet-4-5-20250929": "2025-09-29",
}
"""Models that are offered, newest first, with their day of release ([C] from 4.7 on: only the order is known)."""

PAST = {
    "claude-opus-4-1-20250805": ("2025-08-05", "2026-04-14", "2026-08-05"),
    "claude-opus-4-20250514": ("2025-05-22", "2026-04-14", "2026-06-15"),
    "claude-sonnet-4-20250514": ("2025-05-22", "2026-04-14", "2026-06-15"),
    "claude-3-7-sonnet-20250219": ("2025-02-24", "2025-10-28", "2026-02-19"),
    "claude-3-5-haiku-20241022": ("2024-10-22", "2025-10-28", "2026-02-19"),
    "claude-3-opus-20240229": ("2024-02-29", "2025-06-30", "2026-01-05"),
    "claude-3-sonnet-20240229": ("2024-02-29", "2025-01-21", "2025-07-21"),
}
"""Models that are retired, newest first: the days they were released, deprecated and retired.

Days of retirement are [A] but for Opus 4.1, days of deprecation [C] from Opus 4 on. The mock still answers for them.
"""

LEAVING = {"claude-sonnet-4-5-20250929": ("2026-09-29", "2026-11-30")}
"""Models that are deprecated: since when [C], and when they retire [A]."""

ALIASES = {
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-opus-4-5": "claude-opus-4-5-20251101",
    "claude-opus-4-1": "claude-opus-4-1-20250805",
    "claude-opus-4-0": "claude-opus-4-20250514",
    "claude-sonnet-4-0": "claude-sonnet-4-20250514",
    "claude-3-7-sonnet-latest": "claude-3-7-sonnet-20250219",
    "claude-3-5-haiku-latest": "claude-3-5-haiku-20241022",
}

LONGEST = 100
"""Characters of a model's name; what is longer may be megabytes, and is not worth remembering."""

EVERY_EFFORT = ("low", "medium", "high", "xhigh", "max")


class Model(NamedTuple):
    """One model. `version` is (major, minor); token counts are whole tokens."""

    id: str
    family: str
    version: tuple[int, int]

    @property
    def context(self) -> int:
        """Tokens that prompt and reply may have together."""
        return 1_000_000 if self.version >= (4, 6) else 200_000

    @property
    def longest_reply(self) -> int:
        """The most `max_tokens` it takes."""
        if self.version >= (4, 6):
            return 128_000
        if self.version >= (4, 5) or (self.family == "sonnet" and self.version >= (3, 7)):
            return 64_000
        return 32_000 if self.version >= (4, 0) else 8_192

    @property
    def cache_minimum(self) -> int:
        """Tokens a prefix needs to be cached; a shorter one is silently not."""
        known = {"opus": {(4, 5): 4096, (4, 6): 4096, (4, 7): 2048, (4, 8): 1024}, "haiku": {(4, 5): 4096}}
        if self.version in known.get(self.family, {}):
            return known[self.family][self.version]
        if self.family in ("opus", "fable", "mythos") and self.version >= (5, 0):
            return 512
        return {"haiku": 4096 if self.version > (4, 5) else 2048}.get(self.family, 1024)

    @property
    def token_scale(self) -> float:
        """How many tokens it makes of what was one token until 4.6."""
        return 1.3 if self.version >= (4, 7) else 1.0

    @property
    def thinks_adaptively(self) -> bool:
        """Takes `thinking: {type: adaptive}`."""
        return self.version >= (4, 6)

    @property
    def thinks_on_a_budget(self) -> bool:
        """Takes `thinking: {type: enabled, budget_tokens}`."""
        return (3, 7) <= self.version <= (4, 6)

    @property
    def always_thinks(self) -> bool:
        """Refuses `thinking: {type: disabled}`."""
        return self.family in ("fable", "mythos") or (self.family == "opus" and self.version >= (5, 5))

    @property
    def hides_thinking(self) -> bool:
        """Leaves thinking out of the reply unless `display: summarized` asks for it: only its signature is sent."""
        return self.version >= (4, 7)

    @property
    def keeps_thinking(self) -> bool:
        """Reads what it thought in earlier turns again; others forget it when the user says something new."""
        return self.version >= (4, 6) or (self.family == "opus" and self.version >= (4, 5))

    @property
    def efforts(self) -> tuple[str, ...]:
        """The levels of `output_config.effort` it knows; none when it has no effort at all."""
        if self.version >= (4, 7):
            return EVERY_EFFORT
        if self.version == (4, 6):
            return ("low", "medium", "high", "max")
        return ("low", "medium", "high") if (self.family, self.version) == ("opus", (4, 5)) else ()

    @property
    def takes_prefill(self) -> bool:
        """Goes on from an assistant message at the end."""
        return self.version < (4, 6)

    @property
    def takes_system_messages(self) -> bool:
        """Takes messages of the role `system` in mid-conversation; Sonnet 5 does not."""
        return self.version >= (4, 8) and (self.family, self.version) != ("sonnet", (5, 0))

    @property
    def takes_sampling(self) -> bool:
        """Takes `temperature`, `top_p` and `top_k`, in the old API version."""
        return self.version < (4, 7)

    @property
    def geography(self) -> str:
        """`usage.inference_geo` when the request names none."""
        return "global" if self.version >= (4, 6) else "not_available"

    @property
    def released(self) -> str | None:
        """The day it came out; None for one that is not in the list."""
        return PAST[self.id][0] if self.id in PAST else RELEASED.get(self.id)

    @property
    def retirement(self) -> tuple[str, str] | None:
        """The days since when it is deprecated and on which it retires; None while neither is known."""
        return PAST[self.id][1:] if self.id in PAST else LEAVING.get(self.id)

    @property
    def lifecycle(self) -> str:
        """`active`, `deprecated` or `retired`."""
        if self.id in PAST:
            return "retired"
        return "deprecated" if self.id in LEAVING else "active"

    @property
    def thinks_between_tools(self) -> bool:
        """Takes `thinking: {type: between_tools}` ([C]: third parties send it to Sonnet 5.5 alone)."""
        return self.family == "sonnet" and self.version >= (5, 5)

    @property
    def calls_tools_from_code(self) -> bool:
        """Lets code that it runs call the request's other tools; Haiku 4.5 does not [B]."""
        return self.version > (4, 5) or (self.version == (4, 5) and self.family != "haiku")

    @property
    def compacts(self) -> bool:
        """Takes `compact_20260112` of context management: 4.6 does, Haiku 4.5 does not [B]."""
        return self.version >= (4, 6)

    @property
    def keeps_to_a_schema(self) -> bool:
        """Takes `output_config.format`."""
        return self.version >= (4, 5) or (self.family, self.version) == ("opus", (4, 1))

    @property
    def display_name(self) -> str:
        """As a person says it: Claude Haiku 4.5."""
        major, minor = self.version
        return f"Claude {self.family.capitalize()} {major}" + (f".{minor}" if minor else "")


def find(name: str) -> Model | None:
    """The model that answers to `name`, an id or an alias; None when Claude has no such model."""
    return _found(name) if len(name) <= LONGEST else None


@functools.lru_cache(maxsize=1024)
def _found(name: str) -> Model | None:
    model_id = ALIASES.get(name, name)
    parts = PARTS.fullmatch(model_id)
    if parts is None or parts["family"] not in FAMILIES:
        return None
    major, _, minor = (parts["new"] or parts["old"] or "5").partition("-")
    return Model(model_id, parts["family"], (int(major), int(minor or 0)))


def listed() -> list[Model]:
    """Every model that has a release day, newest first, retired ones included."""
    return [model for name in (*RELEASED, *PAST) if (model := find(name)) is not None]


def family(name: str) -> str | None:
    """The family of the model that answers to `name`, or None."""
    model = find(name)
    return None if model is None else model.family
