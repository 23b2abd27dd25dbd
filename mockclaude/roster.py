"""Which models this Claude offers: all that exist, or only some, and names of a user's own."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import ConfigDict

from mockclaude import catalog, settings


@dataclass(frozen=True)
class Roster:
    """With `only`, models that match none of these ids (wildcards allowed) are withdrawn: Claude's 404.

    `also` gives more names to models there are: what a user's own name for one means.
    """

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    only: tuple[str, ...] | None = None
    also: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str) -> catalog.Model | None:
        """The model that answers to `name`, or None."""
        model = catalog.find(self.also.get(name, name))
        if model is None or self.only is None:
            return model
        wanted = any(fnmatch.fnmatchcase(known, glob) for glob in self.only for known in (model.id, name))
        return model if wanted else None


EVERYBODY = Roster()


def parse(section: object, base: Roster = EVERYBODY, loc: settings.Loc = ("models",)) -> Roster:
    """Read a section; it takes the place of `base` as a whole."""
    roster = settings.read(Roster, section, loc)
    for name, known in roster.also.items():
        if catalog.find(known) is None:
            problem = settings.Problem((*loc, "also", name), f"Claude has no model {known!r}")
            raise settings.ConfigError([problem])
    return roster


def as_config(roster: Roster) -> dict[str, object]:
    """The section that gives this roster."""
    only = {} if roster.only is None else {"only": list(roster.only)}
    return {**only, **({"also": dict(roster.also)} if roster.also else {})}
