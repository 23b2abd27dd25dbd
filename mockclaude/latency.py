"""How long Claude takes: reading the prompt, a lognormal time to first token, then a steady pace, per model family."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from pydantic import Strict

from mockclaude import distribution, settings
from mockclaude.distribution import WIDEST, Constant, Distribution, Lognormal


@dataclass(frozen=True)
class Prefill:
    """How fast a prompt is read, in tokens per second; what the prompt cache holds is read faster."""

    tokens_per_second: float = 6_250.0
    cached_tokens_per_second: float = 100_000.0


@dataclass(frozen=True)
class Profile:
    """The speed of one model family: TTFT in seconds, tokens per second, and the reply's length in tokens.

    Without `length` a reply is exactly `max_tokens` long; without `prefill` reading the prompt takes no time. Without
    `tokens_per_delta` a delta brings some words at a time, as Claude's do.
    """

    ttft: Distribution
    pace: Distribution
    length: Distribution | None = None
    tokens_per_delta: int | None = None
    prefill: Prefill | None = None

    @classmethod
    def of(
        cls,
        p50: float,
        p95: float,
        tokens_per_second: float,
        output_tokens: int | None = None,
        tokens_per_delta: int | None = None,
        prefill: Prefill | None = None,
    ) -> Profile:
        """The usual one: a lognormal TTFT (constant when p95 equals p50), a steady pace, a steady length."""
        length = None if output_tokens is None else Constant(output_tokens)
        return cls(_between(p50, p95), Constant(tokens_per_second), length, tokens_per_delta, prefill)

    def reading(self, tokens: int, cached: int) -> float:
        """Seconds to read `tokens` that are new and `cached` that are in the prompt cache, on top of the TTFT."""
        if self.prefill is None:
            return 0.0
        return tokens / self.prefill.tokens_per_second + cached / self.prefill.cached_tokens_per_second

    def tokens(self, max_tokens: int, rng: Callable[[], random.Random]) -> int:
        """Draw how many tokens a reply limited to `max_tokens` has."""
        return max_tokens if self.length is None else min(round(distribution.drawn(self.length, rng)), max_tokens)


def _between(p50: float, p95: float) -> Distribution:
    return Constant(p50) if p95 == p50 else Lognormal(p50, p95)


Latency = Mapping[str, Profile]

DEFAULT: Latency = {
    "haiku": Profile.of(0.2, 0.6, 150.0, prefill=Prefill()),
    "sonnet": Profile.of(0.4, 1.2, 90.0, prefill=Prefill()),
    "opus": Profile.of(0.8, 2.5, 40.0, prefill=Prefill()),
}

AS_FAST_AS = {"fable": "opus", "mythos": "opus"}


def profile(latency: Latency, family: str) -> Profile:
    """The speed of a model family; Fable and Mythos are as fast as Opus."""
    return latency[AS_FAST_AS.get(family, family)]


class _Percentiles(settings.Section):
    p50: Annotated[float, Strict(), Ge(0)] | None = None
    p95: Annotated[float, Strict(), Ge(0)] | None = None


class _Prefill(settings.Section):
    tokens_per_second: Annotated[float, Strict(), Gt(0)] | None = None
    cached_tokens_per_second: Annotated[float, Strict(), Gt(0)] | None = None


class _Pace(settings.Section):
    # What may also be another kind of section is read by itself: a union would blur where a problem is.
    ttft: object = None
    tokens_per_second: object = None
    output_tokens: object = None
    tokens_per_delta: Annotated[int, Strict(), Ge(1)] | None = None
    prefill: object = None


class _Rate(settings.Section):
    tokens_per_second: Annotated[float, Strict(), Gt(0)]


class _Length(settings.Section):
    output_tokens: Annotated[int, Strict(), Ge(0)]


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


def by_family(section: object) -> object:
    """A flat section said once for each family; any other as it is."""
    if not isinstance(section, Mapping) or any(name in section for name in DEFAULT):
        return section
    return {name: section for name in DEFAULT}


def _over(base: Profile, change: _Pace | None, loc: settings.Loc) -> Profile:
    if change is None:
        return base
    return Profile(
        _ttft(change.ttft, base.ttft, (*loc, "ttft")),
        _pace(change.tokens_per_second, base.pace, loc),
        _length(change.output_tokens, base.length, loc),
        change.tokens_per_delta or base.tokens_per_delta,
        _prefill(change.prefill, base.prefill, (*loc, "prefill")),
    )


def _ttft(section: object, base: Distribution, loc: settings.Loc) -> Distribution:
    if section is None:
        return base
    if isinstance(section, Mapping) and "distribution" in section:
        return distribution.parse(section, loc)
    change = settings.read(_Percentiles, section, loc)
    p50, p95 = _percentiles(base)
    p50, p95 = _first(change.p50, p50), _first(change.p95, p95)
    _check(p50, p95, (*loc, "p95" if change.p95 is not None else "p50"))
    return _between(p50, p95)


def _pace(section: object, base: Distribution, loc: settings.Loc) -> Distribution:
    if section is None:
        return base
    if not isinstance(section, Mapping):
        return Constant(settings.read(_Rate, {"tokens_per_second": section}, loc).tokens_per_second)
    loc = (*loc, "tokens_per_second")
    drawn = distribution.parse(section, loc)
    least = min(drawn.values) if isinstance(drawn, distribution.Empirical) else drawn.mean
    if least <= 0:
        raise settings.ConfigError([settings.Problem(loc, f"expected a pace above 0, got {least:g}")])
    return drawn


def _length(section: object, base: Distribution | None, loc: settings.Loc) -> Distribution | None:
    if section is None:
        return base
    if isinstance(section, Mapping):
        return distribution.parse(section, (*loc, "output_tokens"))
    return Constant(settings.read(_Length, {"output_tokens": section}, loc).output_tokens)


def _percentiles(ttft: Distribution) -> tuple[float, float]:
    """What a change of one percentile is laid over."""
    return (ttft.p50, ttft.p95) if isinstance(ttft, Lognormal) else (ttft.mean, ttft.mean)


def _prefill(section: object, base: Prefill | None, loc: settings.Loc) -> Prefill | None:
    if section is None:
        return base
    if section is False:
        return None
    change, under = settings.read(_Prefill, section, loc), base or Prefill()
    return Prefill(
        _first(change.tokens_per_second, under.tokens_per_second),
        _first(change.cached_tokens_per_second, under.cached_tokens_per_second),
    )


def _first(changed: float | None, base: float) -> float:
    return base if changed is None else changed


def _check(p50: float, p95: float, loc: settings.Loc) -> None:
    if p95 < p50:
        why = f"p95 {p95:g} is below p50 {p50:g}; expected p95 >= p50 (equal means constant)"
        raise settings.ConfigError([settings.Problem(loc, why)])
    if p50 == 0 < p95:
        why = f"p50 is 0 but p95 is {p95:g}; a lognormal needs p50 > 0 (both 0 means no wait)"
        raise settings.ConfigError([settings.Problem(loc, why)])
    if p95 / WIDEST > p50:
        why = f"p95 {p95:g} is too far from p50 {p50:g}; expected at most {WIDEST:,} times it"
        raise settings.ConfigError([settings.Problem(loc, why)])


def as_config(latency: Latency) -> dict[str, object]:
    """The section that gives this latency."""
    return {name: _profile_config(one) for name, one in latency.items()}


def _profile_config(profile: Profile) -> dict[str, object]:
    p50, p95 = _percentiles(profile.ttft)
    usual = isinstance(profile.ttft, Constant | Lognormal)
    section: dict[str, object] = {
        "ttft": {"p50": p50, "p95": p95} if usual else distribution.as_config(profile.ttft),
        "tokens_per_second": _number(profile.pace),
    }
    if profile.length is not None:
        section["output_tokens"] = _number(profile.length)
    if profile.tokens_per_delta is not None:
        section["tokens_per_delta"] = profile.tokens_per_delta
    section["prefill"] = False if profile.prefill is None else asdict(profile.prefill)
    return section


def _number(drawn: Distribution) -> object:
    return drawn.value if isinstance(drawn, Constant) else distribution.as_config(drawn)
