"""A run as Markdown, for a pull request or the summary page of a job."""

from collections.abc import Iterable, Iterator, Sequence

from loadtests.experiment import gates
from loadtests.judging import summary
from loadtests.judging.compare import Difference
from loadtests.sample import Row
from loadtests.telling import story

SIGNS = {"pass": "✅ pass", "fail": "❌ fail", "invalid": "⚠️ invalid", "skipped": "⏭️ skipped"}
HEADS = (
    "variant",
    "phase",
    "goodput",
    "attempts",
    "errors",
    "e2e p50",
    "p99",
    "wasted tokens",
    "$/1,000 good",
    "recovery",
)


def render(run: Row, *, about: str = "", command: str = "") -> str:
    """`run` is summary.json, `command` the line that reproduces it."""
    parts = [f"## {SIGNS[run['verdict']]}: {_text(run['scenario'])}"]
    parts += [_text(about)] if about else []
    parts += ["\n".join(f"- {_text(reason)}" for reason in run["reasons"])] if run["reasons"] else []
    parts.append(_table(HEADS, before_after(run), numbers=range(2, len(HEADS))))
    if run["expectations"]:
        heads = ("expected of", "metric", "predicted", "bound", "measured", "", "because")
        parts.append(_table(heads, map(_expectation, run["expectations"]), numbers=(2, 4)))
    if run["gates"]:
        parts.append(_table(("gate", "variant", "measured", ""), map(_gate, run["gates"]), numbers=(2,)))
    if run["steered"]:
        parts.append("\n".join(f"- by hand: {_text(told)}" for told in run["steered"]))
    if run["findings"]:
        parts.append("\n".join(f"- finding: {_text(finding)}" for finding in run["findings"]))
    parts += [f"```\n{command}\n```"] if command else []
    return "\n\n".join(parts) + "\n"


def render_repeats(found: Row, judged: Sequence[str], *, command: str) -> str:
    """`found` is repeat.json, `judged` names the figures that expectations and gates look at."""
    heads = ("figure", "mean", "low", "high", "deviation")
    rows = []
    for name in judged or found["spread"]:
        row = found["spread"][name]
        rows.append((f"`{name}`", *(story.measure(row["metric"], row[key]) for key in heads[1:])))
    parts = [f"## {SIGNS[found['verdict']]}: {_text(found['scenario'])}, {len(found['seeds'])} times"]
    parts += ["\n".join(f"- {_text(reason)}" for reason in found["reasons"])] if found["reasons"] else []
    parts += [_table(heads, rows, numbers=range(1, 5)), f"```\n{command}\n```"]
    return "\n\n".join(parts) + "\n"


def render_comparison(scenario: str, differences: Sequence[Difference]) -> str:
    """What changed between two runs; what did not is only counted."""
    changed = [each for each in differences if each.verdict != "same"]
    worse = sum(each.verdict == "worse" for each in changed)
    title = f"## {'❌ worse' if worse else '✅ no worse'}: {_text(scenario)}"
    rows = [
        (f"`{each.name}`", *(story.measure(each.metric, value) for value in each[2:5]), each.verdict)
        for each in sorted(changed, key=lambda each: (each.verdict != "worse", each.name))
    ]
    table = [_table(("figure", "before", "after", "noise", ""), rows, numbers=(1, 2, 3))] if rows else []
    counted = f"{worse} worse, {len(changed) - worse} better, {len(differences) - len(changed)} the same within noise."
    return "\n\n".join([title, *table, counted]) + "\n"


def before_after(run: Row) -> Iterator[tuple[str, ...]]:
    """A row for each judged phase of each variant."""
    judged = [phase["name"] for phase in run["phases"] if phase["judge"]]
    for name, variant in run["variants"].items():
        for phase in judged:
            figures = variant["phases"][phase]
            yield (
                name if phase == judged[0] else "",
                phase,
                story.percent(figures["goodput_ratio"]),
                _times(figures["amplification"]),
                story.percent(figures["error_ratio"]),
                story.duration(figures["e2e"]["p50"]),
                story.duration(figures["e2e"]["p99"]),
                story.number(figures["wasted_output_tokens"]),
                story.dollars(figures["cost"]["usd_per_good"], 1000),
                story.duration(variant["recovery_s"]) if phase == judged[-1] else "",
            )


def _expectation(row: Row) -> tuple[str, ...]:
    where = f"{row['variant']}.{row['phase']}" if row["phase"] else row["variant"]
    predicted, measured = (story.measure(row["metric"], row[key]) for key in ("predicted", "measured"))
    because = row["because"] if row["reason"] is None else row["reason"]
    return where, f"`{row['metric']}`", predicted, summary.bound(row), measured, SIGNS[row["status"]], because


def _gate(row: Row) -> tuple[str, ...]:
    return f"`{row['gate']}`", row["variant"], story.number(gates.number(row["measured"])), SIGNS[row["status"]]


def _times(value: float | None) -> str:
    return story.DASH if value is None else f"{value:.3g} x"


def _table(heads: Sequence[str], rows: Iterable[tuple[str, ...]], *, numbers: Sequence[int]) -> str:
    rule = ["---:" if column in numbers else "---" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(_text(cell) for cell in row)} |" for row in (heads, rule, *rows))


def _text(cell: str) -> str:
    """What people wrote must not break the table or begin markup of its own."""
    return " ".join(cell.split()).replace("|", "\\|").replace("<", "&lt;")
