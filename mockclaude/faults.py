"""How the API misbehaves on demand: each fault is a value that turns a lazy run of chunks into a worse one.

To add one: a frozen dataclass with `share` and `apply`, and its name in `FAULTS`. Its fields are its YAML and its JSON.
Raising `Injected` before the first chunk is a status.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol

from annotated_types import Ge, Le
from pydantic import ConfigDict, Strict

from mockclaude import settings, wire
from mockclaude.reply import Chunk

Share = Annotated[float, Strict(), Ge(0), Le(1)]


class Fault(Protocol):
    """One way to go wrong, for a `share` of attempts."""

    @property
    def share(self) -> float:
        """The part of attempts it strikes, 0 to 1."""

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """A worse run than `run`."""


class Injected(wire.ApiError):
    """An error that a fault asked for: the journal tells it from the mock's own."""


@dataclass(frozen=True)
class Status:
    """Refuse with a status, in Claude's envelope."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    code: Literal[400, 401, 403, 404, 413, 429, 500, 502, 503, 504, 529]
    share: Share = 1.0

    def apply(self, run: Iterable[Chunk]) -> Iterator[Chunk]:
        """No chunk at all: the error comes first."""
        raise Injected(self.code)
        yield from run  # type: ignore[unreachable]  # a generator: nothing happens before the first chunk is due


FAULTS: Mapping[str, type[Any]] = {"status": Status}
Faults = tuple[Fault, ...]


def parse(section: object, base: Faults = (), loc: settings.Loc = ("faults",)) -> Faults:
    """Read a list of faults; it takes the place of `base` as a whole."""
    if not isinstance(section, Sequence) or isinstance(section, str):
        raise settings.ConfigError([settings.Problem(loc, f"expected a list of faults, got {section!r}")])
    return tuple(_one(entry, (*loc, index)) for index, entry in enumerate(section))


def _one(entry: object, loc: settings.Loc) -> Fault:
    if not isinstance(entry, Mapping):
        raise settings.ConfigError([settings.Problem(loc, f"expected a mapping with a name, got {entry!r}")])
    name = entry.get("name")
    if not isinstance(name, str) or name not in FAULTS:
        problem = "is missing" if name is None else f"no fault is called {name!r}"
        raise settings.ConfigError([settings.Problem((*loc, "name"), f"{problem} (known: {', '.join(FAULTS)})")])
    fields = {field: value for field, value in entry.items() if field != "name"}
    fault: Fault = settings.read(FAULTS[name], fields, loc)
    return fault


def drawn(faults: Faults, rng: random.Random) -> Faults:
    """The faults that strike this attempt. Each draws its own number, so one does not change another's luck."""
    return tuple(fault for fault, lot in [(fault, rng.random()) for fault in faults] if lot < fault.share)


def worsen(faults: Faults, run: Iterable[Chunk]) -> Iterable[Chunk]:
    """Apply all of them, the first one innermost."""
    for fault in faults:
        run = fault.apply(run)
    return run


def refuse(faults: Faults) -> None:
    """Raise what a fault says before the first chunk. Run on nothing, only such a fault has anything to say."""
    next(iter(worsen(faults, ())), None)


def as_config(faults: Faults) -> list[dict[str, object]]:
    """The section that gives these faults."""
    names = {kind: name for name, kind in FAULTS.items()}
    return [{"name": names[type(fault)], **dataclasses.asdict(fault)} for fault in faults]  # type: ignore[call-overload]
