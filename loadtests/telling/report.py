"""The report: one HTML file that shows what a run predicted, what it measured and what happened in between.

It opens offline, from the artefacts of a pipeline: style, script and data are inside, and its own policy forbids it
to fetch anything. It is a pure function of the summary and the series; the only files read are its template, its
style, its script and uPlot.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from loadtests.experiment.gates import ADJUSTED, DISTRIBUTIONS
from loadtests.judging.evidence import Evidence
from loadtests.judging.metrics import Series
from loadtests.judging.slowest import Slow, Step
from loadtests.sample import OUTCOMES, Row
from loadtests.telling import story

HERE = Path(__file__).parent
INLINED = {
    "css": "report.css",
    "charts_js": "charts.js",
    "js": "report.js",
    "uplot_css": "vendor/uPlot.min.css",
    "uplot_js": "vendor/uPlot.iife.min.js",
    "uplot_licence": "vendor/uPlot.LICENSE",
}
NOTHING: Mapping[str, Evidence] = MappingProxyType({})
QUANTILES = ("p50", "p90", "p95", "p99", "p999", "max")


def template(path: Path) -> jinja2.Template:
    """One of our pages' templates: what people wrote is escaped, what is missing is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(path.name)


def render(
    summary: Row,
    series: Mapping[str, Series],
    evidence: Mapping[str, Evidence] = NOTHING,
    *,
    about: str,
    command: str,
    config: str = "",
) -> str:
    """The page of one run. `summary` is summary.json, `command` the line that reproduces the run, `config` the scenario
    with all its defaults."""
    page = template(HERE / "report.html.j2")
    slo = {name: limit for name, limit in (summary.get("slo") or {}).items() if limit is not None}
    variants: Row = summary["variants"]
    curves = {name: each.curves for name, each in evidence.items() if each.curves["lines"]}
    return page.render(
        {name: Markup((HERE / path).read_text("utf-8")) for name, path in INLINED.items()},
        run=summary,
        about=about,
        command=command,
        data=embedded({"variants": series, "slo": slo, "curves": curves}),
        slo=[f"{metric.upper()} ≤ {story.measure(metric, limit)}" for metric, limit in slo.items()],
        score=_score(summary),
        stories=[(name, variants[name].get("verdict"), story.tell(name, summary, series)) for name in variants],
        comparison=_comparison(variants, series),
        gates=summary.get("gates") or [],
        series=series,
        curves=curves,
        evidence=evidence,
        config=config,
        waterfalls={name: waterfall(each.slowest) for name, each in evidence.items()},
        costs=list(_costs(summary)),
        outcomes=_outcomes(variants),
        percentiles=list(_percentiles(variants)),
        quantiles=QUANTILES,
        bound=_bound,
        story=story,
    )


def embedded(data: object) -> Markup:
    """JSON for a script element: nothing in it can close the element, and what JSON lacks, NaN, is null."""
    text = json.dumps(_finite(data), separators=(",", ":"))
    return Markup(re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text))


def _finite(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    if isinstance(data, float):
        return round(data, 4) if math.isfinite(data) else None
    return data


def _score(summary: Row) -> list[str]:
    """`4 of 5 expectations held`: how the verdict came about."""
    told = []
    for noun in ("expectation", "gate"):
        states = [check["status"] for check in summary.get(f"{noun}s") or []]
        counted = [state for state in states if state != "skipped"]
        skipped = f", {len(states) - len(counted)} skipped" if len(counted) < len(states) else ""
        if states:
            plural = "" if len(counted) == 1 else "s"
            told.append(f"{counted.count('pass')} of {len(counted)} {noun}{plural} held{skipped}")
    return told


def _bound(expectation: Row) -> str:
    """The side of the prediction on which the measured figure has to be."""
    for key, sign in (("at_most", "≤"), ("at_least", "≥")):
        if expectation.get(key) is not None:
            return f"{sign} {story.measure(expectation['metric'], expectation[key])}"
    tolerance = expectation.get("tolerance")
    if tolerance is None:
        return story.DASH
    return f"± {story.percent(tolerance) if expectation['predicted'] else story.number(tolerance)}"


class Figure(NamedTuple):
    """A column of the comparison; a difference up to `noise` is not worth a mark."""

    title: str
    path: tuple[str, ...]
    show: Callable[[float | None], str]
    noise: float
    higher_is_better: bool = False

    def of(self, cell: story.Cell) -> float | None:
        value: Any = cell
        for key in self.path:
            value = (value or {}).get(key)
        return None if value is None else float(value)

    def is_fair(self, cell: story.Cell) -> bool:
        """Percentiles cover complete requests only: what completed under half of its load wins none."""
        return len(self.path) == 1 or 2 * (cell.get("completed") or 0) >= (cell.get("offered") or 0)


def _hundredths(value: float | None) -> str:
    return story.DASH if value is None else f"{value:.2f}"


def _per_thousand(usd: float | None) -> str:
    return story.dollars(usd, 1000)


TTFT = Figure("TTFT p95", ("ttft", "p95"), story.duration, 0.05)
FIGURES = (
    Figure("goodput ratio", ("goodput_ratio",), story.percent, 0.015, higher_is_better=True),
    Figure("errors", ("error_ratio",), story.percent, 0.015),
    Figure("attempts per request", ("amplification",), _hundredths, 0.05),
    Figure("E2E p50", ("e2e", "p50"), story.duration, 0.1),
    Figure("E2E p95", ("e2e", "p95"), story.duration, 0.1),
    Figure("E2E p99", ("e2e", "p99"), story.duration, 0.1),
    TTFT,
    Figure("cost of 1,000 good", ("cost", "usd_per_good"), _per_thousand, 0.00005),
    Figure("wasted output tokens", ("wasted_output_tokens",), story.number, 500),
)
RECOVERY = Figure("recovery", ("recovery_s",), story.duration, 1)

Shown = tuple[str, str]
"""A figure as text, and its mark: best, worst or nothing."""


def _comparison(variants: Row, series: Mapping[str, Series]) -> Row:
    """A group of rows per judged phase, a row per variant; recovery in the last one, TTFT where it exists."""
    phases = {name: variant.get("phases") or {} for name, variant in variants.items()}
    judged = dict.fromkeys(phase for name, cells in phases.items() for phase in story.judged(cells, series.get(name)))
    triggered = any(lines["faults"] for lines in series.values())
    everything = [cell for of_variant in phases.values() for cell in of_variant.values()]
    streams = any(TTFT.of(cell) is not None for cell in everything)
    figures = [figure for figure in FIGURES if figure is not TTFT or streams]
    groups = []
    for phase in judged:
        cells = [of_variant.get(phase) or {} for of_variant in phases.values()]
        columns = [_column(figure, cells) for figure in figures]
        if triggered:
            last = phase == [*judged][-1]
            columns.append(_recovery(list(variants.values())) if last else [("", "")] * len(cells))
        rows = [(name, [column[row] for column in columns]) for row, name in enumerate(variants)]
        groups.append({"phase": phase, "window": _window(phase, series), "rows": rows})
    return {"heads": [figure.title for figure in (*figures, *[RECOVERY] * triggered)], "groups": groups}


def _column(figure: Figure, cells: Sequence[story.Cell]) -> list[Shown]:
    values = [figure.of(cell) for cell in cells]
    marks = _marks(figure, values, [figure.is_fair(cell) for cell in cells])
    return [(figure.show(value), mark) for value, mark in zip(values, marks, strict=True)]


def _recovery(variants: Sequence[Row]) -> list[Shown]:
    """Not to recover is worse than to recover late."""
    never = 1e9
    values = [RECOVERY.of(variant) for variant in variants]
    marks = _marks(RECOVERY, [never if value is None else value for value in values], [True] * len(values))
    return [(story.duration(value), mark) for value, mark in zip(values, marks, strict=True)]


def _marks(figure: Figure, values: Sequence[float | None], fair: Sequence[bool]) -> list[str]:
    """What is as good as the best of the variants, and as bad as the worst, where these differ at all."""
    sign = 1 if figure.higher_is_better else -1
    scores = [math.nan if value is None else sign * value for value in values]
    known = [score for score in scores if not math.isnan(score)]
    winners = [score for score, ok in zip(scores, fair, strict=True) if ok and not math.isnan(score)]
    if not winners or max(winners) - min(known) <= figure.noise:
        return [""] * len(values)

    best = [ok and score >= max(winners) - figure.noise for score, ok in zip(scores, fair, strict=True)]
    worst = [score <= min(known) + figure.noise for score in scores]
    return ["best" if b else "worst" if w else "" for b, w in zip(best, worst, strict=True)]


def _window(phase: str, series: Mapping[str, Series]) -> str:
    spans = [span for lines in series.values() for span in lines["phases"] if span["name"] == phase]
    return f"{story.number(spans[0]['start'])}–{story.number(spans[0]['end'])} s" if spans else ""


def _cells(variants: Row) -> Iterator[tuple[str, str, story.Cell]]:
    for name, variant in variants.items():
        for phase, cell in (variant.get("phases") or {}).items():
            yield name, phase, cell


def _costs(summary: Row) -> Iterator[tuple[str, str, story.Cell]]:
    """The judged phases of each variant, then all of them together."""
    judged = [phase["name"] for phase in summary.get("phases") or [] if phase["judge"]]
    for name, variant in summary["variants"].items():
        for phase in judged:
            yield name, phase, variant["phases"].get(phase) or {}
        if len(judged) > 1:
            yield name, "all judged", variant.get("judged") or {}


class Bar(NamedTuple):
    """A stretch of a request's life, in percent of the longest one shown."""

    kind: str
    left: float
    width: float


def waterfall(slow: Sequence[Slow]) -> list[list[list[Bar]]]:
    """For each request a row of bars for each attempt: its wait in Claude's queue, then its work; all on one scale."""
    whole = max((max(each.e2e, *(step.ended for step in each.steps), 1e-9) for each in slow), default=1.0)
    return [[list(_bars(step, whole)) for step in each.steps] for each in slow]


def _bars(step: Step, whole: float) -> Iterator[Bar]:
    kind = "complete" if step.how == "complete" else "left" if step.how.startswith("left") else "failed"
    for each, start, end in (("queue", step.came, step.began), (kind, step.began, step.ended)):
        if end > start or each != "queue":
            yield Bar(each, round(100 * max(0.0, start) / whole, 2), round(max(0.4, 100 * (end - start) / whole), 2))


def _outcomes(variants: Row) -> Row:
    """Counts per variant and phase; only the outcomes that occurred have a column."""
    rows = list(_cells(variants))
    seen = {name for _, _, cell in rows for name, times in (cell.get("outcomes") or {}).items() if times}
    named = [name for name in OUTCOMES if name in seen]
    return {"names": [*named, *sorted(seen.difference(OUTCOMES))], "rows": rows}


def _percentiles(variants: Row) -> Iterator[tuple[str, str, str, Row]]:
    for name, phase, cell in _cells(variants):
        for clock in (*DISTRIBUTIONS, *ADJUSTED):
            if (cell.get(clock) or {}).get("n"):
                yield name, phase, clock, cell[clock]
