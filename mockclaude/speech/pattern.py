"""A text that a regular expression matches, for schemas with a `pattern`.

It walks the parse tree that `re` makes, and counts its steps, so that nested repetitions end. What it cannot do
(look-around, conditions) it leaves out; such a text may not match.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Sequence
from re import _parser as parser  # type: ignore[attr-defined]  # the tree is the one thing `re` does not export
from typing import Any

Node = Any
"""A part of the tree that `re` makes: it has no types."""
PRINTABLE = string.digits + string.ascii_letters + "_" + string.punctuation.replace("_", "") + " "
KINDS = {
    "digit": set(string.digits),
    "word": set(string.ascii_letters + string.digits + "_"),
    "space": {" "},
}
CATEGORIES = {f"category_{name}": kind for name, kind in KINDS.items()} | {
    f"category_not_{name}": set(PRINTABLE) - kind for name, kind in KINDS.items()
}
EXTRA = 8
"""How many more repetitions than it must have an open one gets at most."""
LONGEST = 2048
STEPS = 50_000
"""Characters and repetitions after which nothing is repeated any more."""
NAMED_GROUP = re.compile(r"\(\?<(?![=!])")
"""JavaScript, whose patterns JSON schemas have, names a group without Python's P."""


class Writer:
    """Writes texts for patterns until its steps are used up; after that they are as short as can be."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._left = STEPS
        self._groups: dict[int, str] = {}

    def text(self, pattern: str) -> str | None:
        """A text for `pattern`; None when `re` cannot read it."""
        self._groups.clear()
        rest = max(0, self._left - LONGEST)
        kept, self._left = rest, self._left - rest
        try:
            return self._through(parser.parse(NAMED_GROUP.sub("(?P<", pattern)))[:LONGEST]
        except (re.error, RecursionError, OverflowError):
            return None
        finally:
            self._left = kept + max(0, self._left) - 1

    def _through(self, states: Node) -> str:
        return "".join(self._one(str(op).lower(), value) for op, value in states)

    def _one(self, op: str, value: Node) -> str:
        if op in ("literal", "not_literal", "any", "in"):
            return self._character(op, value)
        match op:
            case "max_repeat" | "min_repeat" | "possessive_repeat":
                return self._repeated(*value)
            case "subpattern":
                return self._group(value[0], value[-1])
            case "branch":
                return self._through(self._rng.choice(value[1]))
            case "atomic_group":
                return self._through(value)
            case "groupref":
                return self._groups.get(value, "")
        return ""

    def _character(self, op: str, value: Node) -> str:
        self._left -= 1
        if op == "literal":
            return chr(value)
        if op == "any":
            allowed = set(string.ascii_lowercase)
        else:
            allowed = _class(value) if op == "in" else set(PRINTABLE) - {chr(value)}
        return self._rng.choice(sorted(allowed)) if allowed else ""

    def _repeated(self, least: int, most: int, states: Node) -> str:
        times = self._rng.randint(least, max(least, min(most, least + EXTRA)))
        said: list[str] = []
        for _ in range(min(times, LONGEST)):
            if self._left <= 0:
                break
            self._left -= 1  # something that repeats nothing comes to an end, too
            said.append(self._through(states))
        return "".join(said)

    def _group(self, number: int | None, states: Node) -> str:
        said = self._through(states)
        if number is not None:
            self._groups[number] = said
        return said


def _class(items: Sequence[tuple[Node, Node]]) -> set[str]:
    """What a [...] may be, out of printable ASCII where it is that wide."""
    allowed: set[str] = set()
    negated = False
    for op, value in items:
        match str(op).lower():
            case "negate":
                negated = True
            case "literal":
                allowed.add(chr(value))
            case "range":
                allowed.update(map(chr, range(value[0], min(value[1], value[0] + 255) + 1)))
            case "category":
                allowed.update(CATEGORIES.get(str(value).lower(), set()))
    return set(PRINTABLE) - allowed if negated else allowed & set(PRINTABLE) or allowed
