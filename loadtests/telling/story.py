"""What happened, told from the figures: a few sentences per variant, and how each kind of number is written."""

import math
from collections.abc import Iterable, Mapping, Sequence

from loadtests.experiment import gates
from loadtests.experiment.gates import CLOCKS
from loadtests.judging.breaking import HELD
from loadtests.judging.metrics import Series
from loadtests.sample import Row

DASH = "–"
SPACE = "\u202f"  # narrow and unbreakable: a number and its unit stay on one line

Cell = Row
"""The figures of one phase of one variant, as in summary.json."""


def duration(seconds: float | None) -> str:
    """0.25 s, 13.4 s, 6.7 ms."""
    if seconds is None or not math.isfinite(seconds):
        return number(seconds)
    if 0 < abs(seconds) < 0.1:
        return f"{seconds * 1000:.2g}{SPACE}ms"
    decimals = 0 if abs(seconds) >= 100 or seconds == int(seconds) else 1 if abs(seconds) >= 10 else 2
    return f"{seconds:.{decimals}f}{SPACE}s"


def percent(ratio: float | None) -> str:
    """98 %, and near the ends 99.6 % or 0.4 %: only all of it is 100 %, only nothing of it is 0 %."""
    if ratio is None or not math.isfinite(ratio):
        return number(ratio)
    share = ratio * 100
    if 0 < share < 0.1:
        return f"<{SPACE}0.1{SPACE}%"
    if 99 <= share < 100:
        share = math.floor(share * 10) / 10
    return f"{share:.{0 if 10 <= share < 99 else 1}f}".removesuffix(".0") + f"{SPACE}%"


def number(value: float | None) -> str:
    """0.9812, 4.03, 12 345."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞"
    return f"{value:,.0f}".replace(",", SPACE) if abs(value) >= 1000 else f"{value:.4g}"


def dollars(usd: float | None, times: int = 1) -> str:
    """$0.62, and below a cent $0.00062: two digits that count."""
    if usd is None:
        return DASH
    whole = usd * times
    return f"${whole:,.2f}" if whole >= 0.1 or not whole else f"${whole:.2g}"


def times(ratio: float | None) -> str:
    """3.93 of something for each."""
    return DASH if ratio is None else f"{ratio:.3g}"


def moment(at: float) -> str:
    """Where on a clock: 15.02 s, as fine at its end as at its beginning."""
    return f"{at:.2f}{SPACE}s"


def measure(metric: str, figure: float | str | None) -> str:
    """A figure in the unit of its metric: `e2e.p95` is a duration, `goodput_ratio` a plain number."""
    value = gates.number(figure)
    name, _, part = metric.partition(".")
    if name == "cost" and "usd" in part:
        return dollars(value)
    return duration(value) if name in (*CLOCKS, "recovery_s", "batch_interval") and part != "n" else number(value)


def tell(variant: str, summary: Row, series: Mapping[str, Series]) -> str:
    """Up to three sentences on one variant, made from its figures alone."""
    figures = summary["variants"][variant]
    cells: dict[str, Cell] = figures.get("phases") or {}
    met = "met the SLO" if summary.get("slo") else "was answered"
    lines = series.get(variant)
    if lines and lines["faults"]:
        sentences = _about_a_trigger(cells, lines, met, figures.get("recovery_s"))
    else:
        sentences = _about_steady_load([cells[name] for name in judged(cells, lines)], met)
        sentences[2:] = _about_a_break((figures.get("judged") or {}).get("breakpoint") or {}) or sentences[2:]
    return " ".join(sentences)


def _about_a_trigger(cells: Mapping[str, Cell], lines: Series, met: str, recovery: float | None) -> list[str]:
    """Several faults count as one trigger, from the start of the first to the end of the last."""
    start = min(fault["start"] for fault in lines["faults"])
    end = max(fault["end"] for fault in lines["faults"])
    known = [phase for phase in lines["phases"] if phase["judge"] and phase["name"] in cells]
    before = [cells[phase["name"]] for phase in known if phase["end"] <= start][-1:]
    during = [cells[phase["name"]] for phase in known if phase["start"] < end and phase["end"] > start]
    after = [cells[phase["name"]] for phase in known if phase["start"] >= end][-1:]

    shares = {
        when: share
        for when, group in {"before": before, "during": during, "after": after}.items()
        if (share := _mean(group, "goodput_ratio", "offered")) is not None
    }
    told = [_tell_shares(shares, met)]
    cost = _mean(after or during, "amplification", "started")
    if cost is not None:
        told.append(f"{'Afterwards' if after else 'During it'} each request cost {cost:.1f} attempts.")
    return [*told, _tell_recovery(recovery, shares.get("after"))]


def _tell_shares(shares: Mapping[str, float], met: str) -> str:
    if not shares:
        return "No request of a judged phase was measured."
    first, *others = shares
    told = [f"{percent(shares[first])} of offered load {met} {first} the trigger"]
    told += [f"{percent(shares[when])} {when} it" for when in others]
    return " and ".join([", ".join(told[:-1]), told[-1]] if others else told) + "."


def _tell_recovery(recovery: float | None, share_after: float | None) -> str:
    if recovery is not None:
        when = f"{duration(recovery)} after the trigger ended" if recovery else "as soon as the trigger ended"
        return f"It was back within the SLO {when}."
    if share_after is None:
        return "Whether it recovered was not measured."
    return "It did not recover." if share_after < HELD else "It came back, but did not hold to the end."


def _about_steady_load(cells: Sequence[Cell], met: str) -> list[str]:
    share = _mean(cells, "goodput_ratio", "offered")
    if share is None:
        return ["No request of a judged phase was measured."]
    told = [f"{percent(share)} of offered load {met}."]
    errors, cost = _mean(cells, "error_ratio", "started"), _mean(cells, "amplification", "started")
    if errors is not None and cost is not None:
        told.append(f"Each request cost {cost:.1f} attempts and {percent(errors)} ended in an error.")
    slowest = [p95 for cell in cells if (p95 := (cell.get("e2e") or {}).get("p95")) is not None]
    if slowest:
        told.append(f"The E2E p95 was {'at most ' if len(slowest) > 1 else ''}{duration(max(slowest))}.")
    return told


def _about_a_break(found: Mapping[str, float | None]) -> list[str]:
    rate, low, high = (found.get(name) for name in gates.BREAKPOINT)
    if rate is None:
        return []
    sure = [f"beyond doubt from {low:.3g} on" if low is not None else "", f"no longer at {high:.3g}" if high else ""]
    told = ", and ".join(part for part in sure if part)
    return [f"It held up to a rate of {rate:.3g} per second" + (f": {told}." if told else ".")]


def _mean(cells: Iterable[Cell], ratio: str, of: str) -> float | None:
    """A ratio over several phases together, each weighing as much as what it is a ratio of."""
    known = [(cell[ratio], cell.get(of) or 0) for cell in cells if cell.get(ratio) is not None]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None


def judged(cells: Mapping[str, Cell], lines: Series | None) -> list[str]:
    """The judged phases among those measured; all of them where no timeline tells."""
    unjudged = {phase["name"] for phase in lines["phases"] if not phase["judge"]} if lines else set()
    return [name for name in cells if name not in unjudged]


def of_load(lines: Series) -> str:
    offered = [value for value in lines["offered"] if value is not None]
    mean = f"{sum(offered) / len(offered):.1f}" if offered else DASH
    return f"attempts up to {_peak(lines['attempts'])}/s, offered {mean}/s"


def of_levels(lines: Series) -> str:
    return f"in flight up to {_peak(lines['inflight'])}, queued up to {_peak(lines['queued'])}"


def of_latency(lines: Series) -> str:
    return f"E2E p95 up to {duration(max(_known(lines['e2e_p95']), default=None))}"


def _peak(values: Sequence[float | None]) -> str:
    return number(max((round(value) for value in _known(values)), default=None))


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]
