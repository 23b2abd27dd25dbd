"""What is in force when: a base configuration, and entries that change it from t for d seconds after T0."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

from annotated_types import Ge, Gt
from pydantic import Field, Strict, model_validator

from mockclaude import capacity, faults, latency, ramp, roster, settings, terms
from mockclaude.speech import responders

T = TypeVar("T")


class Conditions(NamedTuple):
    """What is in force at one moment."""

    latency: latency.Latency
    capacity: capacity.Size
    limits: terms.Terms
    faults: faults.Faults
    responders: responders.Rules = ()
    models: roster.Roster = roster.EVERYBODY


DEFAULT = Conditions(latency.DEFAULT, capacity.Size(), terms.Terms(), ())

PARSERS: Mapping[str, Callable[[object, Any, settings.Loc], object]] = {
    "latency": latency.parse,
    "capacity": capacity.parse,
    "limits": terms.parse,
    "faults": faults.parse,
    "responders": responders.parse,
    "models": roster.parse,
}
"""Section -> how the module that owns it lays it over what is in force without it."""


SHOWN: Mapping[str, Callable[[Any], object]] = {
    "latency": latency.as_config,
    "capacity": capacity.as_config,
    "limits": terms.as_config,
    "faults": faults.as_config,
    "responders": responders.as_config,
    "models": roster.as_config,
}
"""Section -> how what is in force is said in the words of a configuration."""


class _Sections(settings.Section):
    # Each is read by the module that owns it.
    latency: object = None
    capacity: object = None
    limits: object = None
    faults: object = None
    responders: object = None
    models: object = None


class _Entry(_Sections):
    at: Annotated[float, Strict(), Ge(0)]
    seconds: Annotated[float, Strict(), Gt(0)] = Field(alias="for")
    ramp: Annotated[float, Strict(), Gt(0)] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> _Entry:
        if all(getattr(self, name) is None for name in PARSERS):
            raise ValueError(f"it changes nothing; expected one of {', '.join(PARSERS)}")
        if self.ramp is not None and self.ramp > self.seconds:
            raise ValueError(f"a ramp of {self.ramp:g} s does not fit into {self.seconds:g} s; expected ramp <= for")
        return self

    @property
    def end(self) -> float:
        """When it is over."""
        return self.at + self.seconds

    @property
    def bounds(self) -> list[float]:
        """Every moment at which it changes something."""
        return [self.end, *([self.at] if self.ramp is None else ramp.bounds(self.at, self.ramp))]

    def on_its_way(self, under: Conditions, now: float) -> _Entry:
        """The entry as far as its ramp has come at `now`, from what is in force without it."""
        if self.ramp is None or now >= self.at + self.ramp:
            return self
        share = ramp.part(self.at, self.ramp, now)
        given = {name: getattr(self, name) for name in PARSERS if getattr(self, name) is not None}
        if "latency" in given:
            given["latency"] = latency.by_family(given["latency"])
        shown = {name: SHOWN[name](getattr(under, name)) for name in given}
        moved = {name: ramp.between(shown[name], section, share) for name, section in given.items()}
        return self.model_copy(update=moved)


class _Document(_Sections):
    seed: Annotated[int, Strict()] | None = None
    timeline: object = None


class Plan:
    """A whole configuration, as a step function of the seconds since T0."""

    def __init__(self, seed: int, bounds: Sequence[float], spans: Sequence[Conditions], entries: list[object]) -> None:
        self.seed = seed
        self.entries = entries
        self.bounds = bounds
        self._spans = spans

    def at(self, t: float) -> Conditions:
        """What is in force `t` seconds after T0."""
        return self._spans[bisect_right(self.bounds, t)]

    def next(self, t: float) -> float | None:
        """The first moment after `t` at which something changes."""
        index = bisect_right(self.bounds, t)
        return self.bounds[index] if index < len(self.bounds) else None


def parse(config: Mapping[str, object]) -> Plan:
    """Read a configuration; raises `ConfigError` with all its problems. Where entries overlap the later one wins."""
    found = _Problems()
    document = found.attempt(lambda: settings.read(_Document, config))
    if document is None:  # the sections that do have a name are checked all the same
        document = _Document(**{name: config.get(name) for name in (*PARSERS, "timeline")})
    base = _laid_over(DEFAULT, document, (), found)
    entries = _entries(document.timeline, found)
    found.raise_any()

    bounds = sorted({moment for _, entry in entries for moment in entry.bounds})
    spans = [base]
    for bound, active in zip(bounds, _active(entries, bounds), strict=True):
        conditions = base
        for index, entry in active:
            conditions = _laid_over(conditions, entry.on_its_way(conditions, bound), ("timeline", index), found)
        spans.append(conditions)
    found.raise_any()
    return Plan(document.seed or 0, bounds, spans, list(_listed(document.timeline)))


def _active(entries: Sequence[tuple[int, _Entry]], bounds: Sequence[float]) -> Iterator[list[tuple[int, _Entry]]]:
    """Which entries are in force at each bound, in their order: one pass over both, however long they are."""
    coming = deque(sorted(entries, key=lambda numbered: numbered[1].at))
    now: dict[int, _Entry] = {}
    for bound in bounds:
        while coming and coming[0][1].at <= bound:
            now.update([coming.popleft()])
        now = {index: entry for index, entry in sorted(now.items()) if bound < entry.end}
        yield list(now.items())


def as_config(plan: Plan, conditions: Conditions) -> dict[str, object]:
    """`conditions` in the words of a configuration, with the plan's seed and timeline."""
    sections = {name: show(getattr(conditions, name)) for name, show in SHOWN.items()}
    return {"seed": plan.seed, **sections, "timeline": plan.entries}


class _Problems:
    """Gathers what is wrong in every section, so that a user mends a file once."""

    def __init__(self) -> None:
        self._seen: dict[settings.Problem, None] = {}

    def attempt(self, parse: Callable[[], T]) -> T | None:
        try:
            return parse()
        except settings.ConfigError as error:
            self._seen.update(dict.fromkeys(error.problems))
            return None

    def raise_any(self) -> None:
        if self._seen:
            raise settings.ConfigError(list(self._seen))


def _laid_over(base: Conditions, sections: _Document | _Entry, loc: settings.Loc, found: _Problems) -> Conditions:
    changed = {}
    for name, parser in PARSERS.items():
        section, under = getattr(sections, name), getattr(base, name)
        if section is not None:
            read = found.attempt(lambda p=parser, s=section, u=under, n=name: p(s, u, (*loc, n)))  # type: ignore[misc]
            changed[name] = under if read is None else read
    return base._replace(**changed)


def _entries(section: object, found: _Problems) -> list[tuple[int, _Entry]]:
    if section is not None and (not isinstance(section, Sequence) or isinstance(section, str)):
        found.attempt(lambda: _complain(section))
    read = [
        (index, found.attempt(lambda i=index, e=entry: settings.read(_Entry, e, ("timeline", i))))  # type: ignore[misc]
        for index, entry in enumerate(_listed(section))
    ]
    return [(index, entry) for index, entry in read if entry is not None]


def _complain(section: object) -> None:
    raise settings.ConfigError([settings.Problem(("timeline",), f"expected a list of entries, got {section!r}")])


def _listed(section: object) -> Sequence[object]:
    return section if isinstance(section, Sequence) and not isinstance(section, str) else ()
