"""A timeline drawn in the terminal: what changes when, one line for each value that does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from mockclaude import timeline

BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 60
FAMILIES = 3


def draw(plan: timeline.Plan, width: int = WIDTH) -> list[str]:
    """Lines of text; none when nothing changes. Bars reach from 0 to the largest value of their line."""
    if not plan.bounds:
        return []
    end = plan.bounds[-1] * 1.05
    seen = [dict(_leaves(timeline.as_config(plan, plan.at(t)))) for t in _moments(plan.bounds, end, width)]
    rows: dict[tuple[str, str, tuple[object, ...]], list[str]] = {}
    for name in sorted({name for leaves in seen for name in leaves}):
        values = tuple(leaves.get(name, 0) for leaves in seen)
        if len(set(values)) > 1:
            rows.setdefault((name.partition(".")[0], name.rpartition(".")[2], values), []).append(name)
    names = {values: _joined(same) for values, same in rows.items()}
    margin = max(map(len, names.values()), default=0)
    lines = [f"{name:{margin}}  {_bars(key[2])}  {_range(key[2])}" for key, name in names.items()]
    return [*lines, f"{'':{margin}}  0 s{end:>{width - 5}.4g} s"]


def _moments(bounds: Sequence[float], end: float, width: int) -> list[float]:
    """What each column shows: its middle, or the beginning of something too short to reach the middle of any."""
    moments = [end * (k + 0.5) / width for k in range(width)]
    for begin, over in pairwise(bounds):
        if not any(begin <= moment < over for moment in moments):
            moments[int(begin / end * width)] = begin
    return moments


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value of a configuration by its path; a fault by its name, with its share."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if path or name not in ("seed", "timeline", "responders"):
                yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, Mapping) and "name" in one:
                yield f"{path}.{one['name']}", one.get("share", 1.0)
    else:
        yield path, value


def _joined(names: list[str]) -> str:
    """One name for the same value of all families."""
    if len(names) < FAMILIES:
        return ", ".join(names)
    section, _, rest = names[0].partition(".")
    return f"{section}.*.{rest.partition('.')[2]}"


def _bars(values: Sequence[object]) -> str:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        return "".join(" " if value == values[0] else BARS[-1] for value in values)
    top = max(numbers) or 1
    return "".join(BARS[-(-int(number * (len(BARS) - 1) * 1000 // top) // 1000)] for number in numbers)


def _range(values: Sequence[object]) -> str:
    steps = [value for k, value in enumerate(values) if k == 0 or value != values[k - 1]]
    shown = [f"{step:.4g}" if isinstance(step, float) else str(step) for step in steps]
    return " → ".join(shown if len(shown) <= 4 else [shown[0], "...", shown[-1]])
