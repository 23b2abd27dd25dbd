"""What a caller may use: requests and tokens a minute by model family, who shares them, how fast use may grow, a cap.

Facts: platform.claude.com/docs (rate limits), read in October 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import Strict

from mockclaude import catalog, settings

Scope = Literal["key", "workspace", "organization"]
Preset = Literal["none", "start", "build", "scale"]

MOST = 1e12
"""More in a minute is no limit."""


@dataclass(frozen=True)
class Rate:
    """What may be used of one class of models in a minute; None is no limit.

    `burst` is how many requests a rested caller may make at once: without it, a minute's worth. Tokens have no burst of
    their own: a rested caller may use a minute's worth at once.
    """

    requests_per_minute: float | None = None
    burst: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None

    @property
    def depth(self) -> float:
        """How many requests a rested caller has."""
        return self.burst or self.requests_per_minute or 0


@dataclass(frozen=True)
class Spend:
    """No more once `tokens` were used since T0: `tier` is Claude's cap (a 429), `user` the customer's own (a 400)."""

    tokens: Annotated[int, Strict(), Ge(0)]
    kind: Literal["tier", "user"] = "tier"


def _everywhere(rate: Rate) -> dict[str, Rate]:
    return dict.fromkeys(catalog.FAMILIES, rate)


@dataclass(frozen=True)
class Terms:
    """The limits in force. Whoever is the same by `scope` shares buckets, one set for each class of models.

    `ramp` is the acceleration limit: by how many input tokens a minute may exceed the one before it.
    """

    rates: Mapping[str, Rate] = field(default_factory=lambda: _everywhere(Rate()))
    scope: Scope = "key"
    headers: bool = True
    ramp: float | None = None
    spend: Spend | None = None


def _tier(rate: Rate, larger_models: Rate) -> dict[str, Rate]:
    """Fable's limits are lower than the others' [A]; Mythos' are taken to be Fable's [C]."""
    return _everywhere(rate) | {"fable": larger_models, "mythos": larger_models}


PRESETS: Mapping[Preset, Mapping[str, Rate]] = {
    "none": _everywhere(Rate()),
    "start": _tier(Rate(1_000, None, 2e6, 400e3), Rate(1_000, None, 500e3, 100e3)),
    "build": _tier(Rate(5_000, None, 5e6, 1e6), Rate(2_000, None, 1.5e6, 300e3)),
    "scale": _tier(Rate(10_000, None, 10e6, 2e6), Rate(4_000, None, 4e6, 800e3)),
}
"""The published tiers; `none` lifts every rate, for a timeline's entry."""


class _Rate(settings.Section):
    requests_per_minute: Annotated[float, Strict(), Gt(0), Le(MOST)] | None = None
    burst: Annotated[float, Strict(), Ge(1), Le(MOST)] | None = None
    input_tokens_per_minute: Annotated[float, Strict(), Ge(1), Le(MOST)] | None = None
    output_tokens_per_minute: Annotated[float, Strict(), Ge(1), Le(MOST)] | None = None


class _Section(_Rate):
    preset: Preset | None = None
    haiku: _Rate | None = None
    sonnet: _Rate | None = None
    opus: _Rate | None = None
    fable: _Rate | None = None
    mythos: _Rate | None = None
    scope: Scope | None = None
    headers: Annotated[bool, Strict()] | None = None
    ramp: Annotated[float, Strict(), Gt(0), Le(MOST)] | None = None
    spend: Spend | None = None


def parse(section: object, base: Terms | None = None, loc: settings.Loc = ("limits",)) -> Terms:
    """Lay a section over `base`: first its preset, then its rates for all families, then those for one."""
    base = base or Terms()
    change = settings.read(_Section, section, loc)
    rates = base.rates if change.preset is None else PRESETS[change.preset]
    return Terms(
        {name: _rate(rates[name], change, getattr(change, name), loc, name) for name in catalog.FAMILIES},
        change.scope or base.scope,
        base.headers if change.headers is None else change.headers,
        change.ramp or base.ramp,
        change.spend or base.spend,
    )


def as_config(terms: Terms) -> dict[str, object]:
    """The section that gives these terms; what is as ever is left out."""
    rates = {name: _given(asdict(rate)) for name, rate in terms.rates.items()}
    alike = all(rate == rates["haiku"] for rate in rates.values())
    section: dict[str, object] = dict(rates["haiku"] if alike else {name: rate for name, rate in rates.items() if rate})
    if terms.scope != "key":
        section["scope"] = terms.scope
    if not terms.headers:
        section["headers"] = False
    return section | _given({"ramp": terms.ramp, "spend": None if terms.spend is None else asdict(terms.spend)})


def _rate(base: Rate, flat: _Rate, own: _Rate | None, loc: settings.Loc, family: str) -> Rate:
    rate = _over(_over(base, flat), own or _Rate())
    _check(rate, loc if own is None else (*loc, family))
    return rate


def _over(base: Rate, change: _Rate) -> Rate:
    values = ((getattr(change, one.name), getattr(base, one.name)) for one in fields(Rate))
    return Rate(*(under if new is None else new for new, under in values))


def _check(rate: Rate, loc: settings.Loc) -> None:
    if rate.burst and not rate.requests_per_minute:
        problem = settings.Problem((*loc, "burst"), 'needs "requests_per_minute" beside it')
        raise settings.ConfigError([problem])
    if rate.requests_per_minute and rate.depth < 1:
        why = f"a bucket of {rate.depth:g} never holds one request; set burst to at least 1"
        raise settings.ConfigError([settings.Problem((*loc, "burst"), why)])


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}
