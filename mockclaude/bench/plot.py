"""Cost against size as a picture: a panel for each series, both axes logarithmic, the dashed line is linear growth.

The picture is SVG, in the reader's own colours (light or dark), and can be read on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from mockclaude.bench.growth import Curve

WIDTH, HEIGHT = 260, 214
"""Of a panel; two stand beside each other."""
LEFT, TOP, RIGHT, BOTTOM = 44, 78, 244, 182
"""The axes within a panel."""
LINE = 16
SHOWN = 760
"""Pixels that the picture is wide where there is room."""
CAPTION = (
    "What all of them cost together. Dashed: as their number.",
    "(^n): the steepest step grows as the n-th power.",
)
STYLE = """
:root { --paper: #ffffff; --ink: #1a1f26; --faint: #c9ced6; --a: #1f5fa8; --b: #a8480a; --c: #15703a; --bad: #c01c28 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181d; --ink: #e4e8ee; --faint: #4a525d; --a: #86b9f5; --b: #f0a45c; --c: #74d39c; --bad: #ff7b72 }
}
svg { max-width: 100%; height: auto; background: var(--paper) }
text { font: 13px system-ui, sans-serif; fill: var(--ink) }
.tick { font-size: 12px }
.title { font-size: 14px; font-weight: 600 }
path { fill: none; stroke-width: 2.5 }
.axis, .linear { stroke: var(--faint); stroke-width: 1.5 }
.linear { stroke-dasharray: 5 4 }
.a { stroke: var(--a) } .b { stroke: var(--b) } .c { stroke: var(--c) } .missed { stroke: var(--bad); stroke-width: 4 }
text.a { fill: var(--a); stroke: none } text.b { fill: var(--b); stroke: none } text.c { fill: var(--c); stroke: none }
text.missed { fill: var(--bad); stroke: none }
"""


def svg(curves: Sequence[Curve], counts: Mapping[str, str]) -> str:
    """The picture; `counts` says what the sizes of a series count."""
    names = list(dict.fromkeys(curve.series for curve in curves))
    below = HEIGHT * math.ceil(len(names) / 2) + LINE
    height = below + LINE * len(CAPTION)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {height}" width="{SHOWN}">',
        f"<title>What the mock costs, against what grows</title><style>{STYLE}</style>",
    ]
    for index, name in enumerate(names):
        row, column = divmod(index, 2)
        parts.append(f'<g transform="translate({column * WIDTH} {row * HEIGHT})">')
        parts += _panel(counts[name], [curve for curve in curves if curve.series == name])
        parts.append("</g>")
    said = [f'<text x="{LEFT - 34}" y="{below + LINE * row}">{line}</text>' for row, line in enumerate(CAPTION)]
    return "\n".join([*parts, *said, "</svg>", ""])


def _panel(title: str, curves: Sequence[Curve]) -> Iterator[str]:
    lines = [[(x, y) for x, y in zip(curve.sizes, _grown(curve), strict=True) if x > 0] for curve in curves]
    first, last = lines[0][0][0], lines[0][-1][0]
    across, up = math.log10(last / first) or 1.0, max(1.0, *(math.log10(y) for line in lines for _, y in line))

    def point(size: float, grown: float) -> str:
        x = LEFT + (RIGHT - LEFT) * math.log10(size / first) / across
        y = BOTTOM - (BOTTOM - TOP) * max(0.0, math.log10(grown)) / up
        return f"{x:.1f} {y:.1f}"

    yield f'<text class="title" x="{LEFT - 34}" y="{LINE + 4}">{escape(title)}</text>'
    yield f'<path class="axis" d="M{LEFT} {TOP - 6}V{BOTTOM}H{RIGHT}"/>'
    for size in (first, last):
        x, _, anchor = *point(size, 1).split(), "start" if size == first else "end"
        yield f'<text class="tick" x="{x}" y="{BOTTOM + LINE}" text-anchor="{anchor}">{size:,}</text>'
    for decade in range(math.floor(up) + 1):
        y = point(first, 10**decade).split()[1]
        yield f'<text class="tick" x="{LEFT - 5}" y="{float(y) + 4:.1f}" text-anchor="end">×{_short(10**decade)}</text>'
    linear = min(up, across)
    yield f'<path class="linear" d="M{point(first, 1)}L{point(first * 10**linear, 10**linear)}"/>'
    for row, (curve, line) in enumerate(zip(curves, lines, strict=True)):
        kind = "missed" if curve.verdict == "missed" else "abc"[row % 3]
        said = f"{curve.what} (^{curve.steepest:.2f})"
        yield f'<text class="{kind}" x="{LEFT - 34}" y="{2 * LINE + 4 + row * LINE}">{escape(said)}</text>'
        yield f'<path class="{kind}" d="M{"L".join(point(size, grown) for size, grown in line)}"/>'


def _grown(curve: Curve) -> list[float]:
    """By what factor each size is dearer than the first that is not 0."""
    first = next(total for size, total in zip(curve.sizes, curve.totals, strict=True) if size)
    return [max(total / first, 1e-3) for total in curve.totals]


def _short(number: int) -> str:
    return f"{number // 1000:,}k" if number >= 1000 else str(number)
