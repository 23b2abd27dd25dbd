"""How long Claude takes: time to first token as a lognormal, then a steady pace, per model family."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from pydantic import Strict

from mockclaude import settings

Z95 = 1.6448536
"""The standard normal's 95th percentile: sigma = ln(p95/p50) / Z95."""


@dataclass(frozen=True)
class Profile:
    """The speed of one model family: TTFT percentiles in seconds, the pace, and the reply's length in tokens.

    Without `output_tokens` a reply is exactly `max_tokens` long.
    """

    p50: float
    p95: float
    tokens_per_second: float
    output_tokens: int | None = None

    def ttft(self, rng: random.Random) -> float:
        """Draw a time to first token; constant when p95 equals p50."""
        deviate = rng.gauss(0.0, 1.0)
        if self.p95 == self.p50:
            return self.p50
        return self.p50 * math.exp(math.log(self.p95 / self.p50) / Z95 * deviate)

    def length(self, max_tokens: int) -> int:
        """How many tokens a reply limited to `max_tokens` has."""
        return max_tokens if self.output_tokens is None else min(self.output_tokens, max_tokens)


Latency = Mapping[str, Profile]

DEFAULT: Latency = {
    "haiku": Profile(0.2, 0.6, 150.0),
    "sonnet": Profile(0.4, 1.2, 90.0),
    "opus": Profile(0.8, 2.5, 40.0),
}

AS_FAST_AS = {"fable": "opus", "mythos": "opus"}


def profile(latency: Latency, family: str) -> Profile:
    """The speed of a model family; Fable and Mythos are as fast as Opus."""
    return latency[AS_FAST_AS.get(family, family)]


class _Percentiles(settings.Section):
    p50: Annotated[float, Strict(), Ge(0)] | None = None
    p95: Annotated[float, Strict(), Ge(0)] | None = None


class _Pace(settings.Section):
    ttft: _Percentiles | None = None
    tokens_per_second: Annotated[float, Strict(), Gt(0)] | None = None
    output_tokens: Annotated[int, Strict(), Ge(0)] | None = None


class _Families(settings.Section):
    haiku: _Pace | None = None
    sonnet: _Pace | None = None
    opus: _Pace | None = None


def parse(section: object, base: Latency = DEFAULT, loc: settings.Loc = ("latency",)) -> Latency:
    """Lay a section over `base`: flat for all families, or per family; every part of it is optional."""
    if isinstance(section, Mapping) and any(name in section for name in DEFAULT):
        families = settings.read(_Families, section, loc)
        changes = {name: (getattr(families, name), (*loc, name)) for name in DEFAULT}
    else:
        flat = settings.read(_Pace, section, loc)
        changes = {name: (flat, loc) for name in DEFAULT}
    return {name: _over(base[name], *changes[name]) for name in DEFAULT}


def _over(base: Profile, change: _Pace | None, loc: settings.Loc) -> Profile:
    if change is None:
        return base
    ttft = change.ttft or _Percentiles()
    changed = Profile(
        _first(ttft.p50, base.p50),
        _first(ttft.p95, base.p95),
        _first(change.tokens_per_second, base.tokens_per_second),
        base.output_tokens if change.output_tokens is None else change.output_tokens,
    )
    _check(changed, (*loc, "ttft", "p95" if ttft.p95 is not None else "p50"))
    return changed


def _first(changed: float | None, base: float) -> float:
    return base if changed is None else changed


def _check(profile: Profile, loc: settings.Loc) -> None:
    if profile.p95 < profile.p50:
        why = f"p95 {profile.p95:g} is below p50 {profile.p50:g}; expected p95 >= p50 (equal means constant)"
        raise settings.ConfigError([settings.Problem(loc, why)])
    if profile.p50 == 0 < profile.p95:
        why = f"p50 is 0 but p95 is {profile.p95:g}; a lognormal needs p50 > 0 (both 0 means no wait)"
        raise settings.ConfigError([settings.Problem(loc, why)])


def as_config(latency: Latency) -> dict[str, object]:
    """The section that gives this latency."""
    return {name: _profile_config(one) for name, one in latency.items()}


def _profile_config(profile: Profile) -> dict[str, object]:
    section: dict[str, object] = {
        "ttft": {"p50": profile.p50, "p95": profile.p95},
        "tokens_per_second": profile.tokens_per_second,
    }
    if profile.output_tokens is not None:
        section["output_tokens"] = profile.output_tokens
    return section
