"""A section on its way: numbers that move from what is in force to what an entry of the timeline asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

STEPS = 20
"""A linear ramp is a staircase of so many steps, each at the value of its middle: what is in force can be named."""


STEPPED = {"on_full"}
"""Numbers that are names: nothing lies between a 429 and a 529."""


def bounds(at: float, seconds: float) -> list[float]:
    """When each step of a ramp begins, and when it is over."""
    return [at + seconds * k / STEPS for k in range(STEPS + 1)]


def part(at: float, seconds: float, now: float) -> float:
    """How far a ramp of `seconds` is at `now`, 0 to 1: the middle of the step.

    Never beyond the end: 0.3 is before 0.1 + 0.2, though by less than a step can tell.
    """
    return min(1.0, (int((now - at) / seconds * STEPS + 1e-9) + 0.5) / STEPS)


def between(under: object, target: object, share: float) -> object:
    """`target` with each number `share` of the way from its counterpart in `under`; without one, at once.

    In a list of faults it is their share of attempts that grows, from none.
    """
    if isinstance(target, Mapping):
        beneath = under if isinstance(under, Mapping) else {}
        return {
            name: value if name in STEPPED else between(beneath.get(name), value, share)
            for name, value in target.items()
        }
    if isinstance(target, Sequence) and not isinstance(target, str):
        return [_grown(one, share) for one in target]
    if not _number(target) or not _number(under):
        return target
    moved = under + (target - under) * share  # type: ignore[operator]
    return round(moved) if isinstance(target, int) and isinstance(under, int) else moved


def _grown(fault: object, share: float) -> object:
    if not isinstance(fault, Mapping) or not _number(fault.get("share", 1.0)):
        return fault
    return {**fault, "share": fault.get("share", 1.0) * share}


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
