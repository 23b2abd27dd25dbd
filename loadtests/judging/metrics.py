"""From raw rows to figures: each phase by its cohort, recovery, and the run second by second.

A cohort is the requests whose intended start lies in a phase, with all their attempts, whenever those came.
"""

import bisect
import dataclasses
import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict

from loadtests.experiment.gates import ADJUSTED, DISTRIBUTIONS, INFINITE
from loadtests.experiment.scenario import Scenario, Slo, Span
from loadtests.judging import breaking, cost, detector, fitness, held
from loadtests.judging.detector import Finding, Trace
from loadtests.record import usage
from loadtests.record.usage import Lag, Use
from loadtests.sample import OUTCOMES, Attempt, Row, Sample
from loadtests.schedule import rate
from loadtests.schedule.rate import Stretch

RECOVERY_WINDOW = 3.0
PEAK_WINDOW = 0.1
GRAIN = 1e-6  # of the times in records


@dataclasses.dataclass(frozen=True)
class Observed:
    """What one variant's run left behind: the schedule, the callers' samples, the mock's journal, the lags of the
    gateway's event loop, if it told of any, what the programs took of the machine, and what the load processes told of
    themselves; and the rates that were meant, if the load had any."""

    offered: Sequence[float]
    samples: Sequence[Sample]
    journal: Sequence[Attempt]
    lags: Sequence[Lag] | None = None
    uses: Sequence[Use] = ()
    pulses: Sequence[Row] = ()
    rates: Sequence[Stretch] = ()

    @functools.cached_property
    def traces(self) -> dict[str, Trace]:
        """Of each stream, what was sent and what came, by the id of its request."""
        return held.traces(self.samples, self.attempts_of())

    @functools.cached_property
    def offset(self) -> float:
        return held.offset(self.traces.values())

    def attempts_of(self) -> dict[str, list[Attempt]]:
        found: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in self.journal:
            found[str(attempt["request_id"])].append(attempt)
        return found


class Series(TypedDict):
    """A variant second by second, for charts: rates and levels per 1 s bucket, percentiles in seconds or None."""

    phases: list[Row]
    faults: list[Row]
    marks: list[Row]
    t: list[int]
    offered: list[float]
    goodput: list[float]
    attempts: list[float]
    inflight: list[float]
    running: list[float]
    queued: list[float]
    slots: list[float | None]
    ttft_p50: list[float | None]
    ttft_p95: list[float | None]
    e2e_p50: list[float | None]
    e2e_p95: list[float | None]


def silenced(series: Series, unfit: Sequence[Span]) -> Series:
    """A variant's series without the percentiles of what was meant to start in one of those spans."""
    heard = [not any(span.start < t + 1 and t < span.end for span in unfit) for t in series["t"]]

    def told(values: Sequence[float | None]) -> list[float | None]:
        return [value if hear else None for value, hear in zip(values, heard, strict=True)]

    return {
        **series,
        "ttft_p50": told(series["ttft_p50"]),
        "ttft_p95": told(series["ttft_p95"]),
        "e2e_p50": told(series["e2e_p50"]),
        "e2e_p95": told(series["e2e_p95"]),
    }


def is_good(sample: Sample, slo: Slo) -> bool:
    """Complete, and within the SLO: the stuff of goodput."""
    if sample.outcome != "complete":
        return False
    late = slo.e2e is not None and sample.e2e > slo.e2e
    slow = slo.ttft is not None and sample.ttft is not None and sample.ttft > slo.ttft
    return not late and not slow


def percentile(ordered: Sequence[float], q: float) -> float | None:
    """Percentile `q` in 0..1 of sorted values, interpolated between ranks (numpy's default); None of nothing."""
    if not ordered:
        return None
    rank = q * (len(ordered) - 1)
    low = math.floor(rank)
    high = min(low + 1, len(ordered) - 1)
    if rank == low or ordered[low] == ordered[high]:  # for ever is no number to reckon with
        return ordered[low]
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


def distribution(values: Iterable[float | None]) -> dict[str, float | int | None]:
    """Mean and p50 to max in seconds, rounded to microseconds, and how many values there were."""
    ordered = sorted(value for value in values if value is not None)
    quantiles = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}
    row: dict[str, float | int | None] = {name: _rounded(percentile(ordered, q), 6) for name, q in quantiles.items()}
    return {"mean": _ratio(sum(ordered), len(ordered)), **row, "n": len(ordered)}


def adjusted(values: Iterable[float | None], failed: int) -> dict[str, float | int | str | None]:
    """The percentiles of requests of which so many failed, each as if it had taken for ever. A mean they have none."""
    known = [value for value in values if value is not None]
    row = distribution([*known, *[math.inf] * failed])
    return {name: INFINITE if value == math.inf else value for name, value in row.items() if name != "mean"}


def phase_figures(observed: Observed, spans: Sequence[Span], slo: Slo) -> Row:
    """The figures of the requests whose intended start lies in one of `spans`: a phase of summary.json."""
    seconds = sum(span.end - span.start for span in spans)
    offered = sum(any(span.holds(at) for span in spans) for at in observed.offered)
    cohort = _cohort(observed, spans)
    attempts_of = observed.attempts_of()
    attempts = [attempt for sample in cohort for attempt in attempts_of.get(sample.request_id, [])]
    traces = traces_of(observed, cohort)
    outcomes = Counter(sample.outcome for sample in cohort)
    good = sum(is_good(sample, slo) for sample in cohort)
    bad = len(cohort) - outcomes["complete"] - outcomes["left"]
    waits = [attempt["queued"] for attempt in attempts if attempt["outcome"] in ("complete", "left")]
    return {
        "seconds": seconds,
        "offered": offered,
        "started": len(cohort),
        "not_sent": offered - len(cohort),
        "completed": outcomes["complete"],
        "goodput": good,
        "goodput_ratio": _ratio(good, offered),
        "error_ratio": _ratio(bad, len(cohort)),
        "hidden_error_ratio": _ratio(sum(map(_hides_an_error, cohort)), len(cohort)),
        "outcomes": {name: outcomes[name] for name in OUTCOMES if outcomes[name]},
        **_distributions(cohort, waits, detector.lags(traces, observed.offset)),
        **_adjusted(cohort, streams=any(sample.first_delta is not None for sample in observed.samples)),
        **_batches(detector.judge(traces, observed.offset)),
        "attempts": len(attempts),
        "amplification": _ratio(len(attempts), len(cohort)),
        "waited_ratio": _ratio(sum(wait > 0 for wait in waits), len(waits)),
        "output_tokens": sum(attempt["output_tokens"] for attempt in attempts),
        **_wasted(cohort, attempts_of),
        **_at_claude(attempts, len(cohort)),
        "cost": cost.of(cohort, attempts_of, good),
        "goodput_rate": _ratio(good, seconds),
        "breakpoint": _breakpoint(observed, spans, slo),
        **_meanwhile(observed, spans, seconds),
        "generator": fitness.figures(observed.pulses, spans),
    }


def traces_of(observed: Observed, cohort: Sequence[Sample]) -> list[Trace]:
    return [observed.traces[sample.request_id] for sample in cohort if sample.request_id in observed.traces]


def holding(observed: Observed, spans: Sequence[Span]) -> Finding | None:
    """What held the text of the streams that were meant to start in one of `spans`."""
    return detector.judge(traces_of(observed, _cohort(observed, spans)), observed.offset)


def recovery(observed: Observed, scenario: Scenario) -> float | None:
    """Seconds from the end of the last timeline entry to the first second from which every 3 s window, until the last
    judged phase ends, has a goodput ratio of at least 0.9. None: it never came back, or nothing was done to it."""
    ends = [entry["at"] + entry["for"] for entry in scenario.triggers()]
    if not ends:
        return None
    trigger_end = max(ends)
    last = max(span.end for span in scenario.spans() if span.judge)
    offered = sorted(observed.offered)
    good = sorted(sample.intended for sample in observed.samples if is_good(sample, scenario.slo))
    recovered = None
    for second in range(math.floor(last - trigger_end - RECOVERY_WINDOW), -1, -1):
        start = trigger_end + second
        came = _between(offered, start, start + RECOVERY_WINDOW)
        if came and _between(good, start, start + RECOVERY_WINDOW) / came < breaking.HELD:
            break
        recovered = float(second)
    return recovered


def series(observed: Observed, scenario: Scenario) -> Series:
    seconds = math.ceil(scenario.seconds)
    complete = [sample for sample in observed.samples if sample.outcome == "complete"]
    good = [sample.intended for sample in observed.samples if is_good(sample, scenario.slo)]
    queued, running = [], []
    for attempt in observed.journal:
        start = attempt["t"] + (attempt["queued"] or 0.0)
        queued.append((attempt["t"], start))
        if attempt["outcome"] in ("complete", "left"):
            running.append((start, attempt["ended"]))
    return {
        "phases": [dataclasses.asdict(span) for span in scenario.spans()],
        "faults": faults(scenario),
        "marks": [],
        "t": list(range(seconds)),
        "offered": _counts(observed.offered, seconds),
        "goodput": _counts(good, seconds),
        "attempts": _counts((attempt["t"] for attempt in observed.journal), seconds),
        "inflight": _levels(((sample.sent, sample.ended) for sample in observed.samples), seconds),
        "running": _levels(running, seconds),
        "queued": _levels(queued, seconds),
        "slots": [_slots(scenario, second + 0.5) for second in range(seconds)],
        "ttft_p50": _percentiles(complete, lambda sample: sample.ttft, 0.5, seconds),
        "ttft_p95": _percentiles(complete, lambda sample: sample.ttft, 0.95, seconds),
        "e2e_p50": _percentiles(complete, lambda sample: sample.e2e, 0.5, seconds),
        "e2e_p95": _percentiles(complete, lambda sample: sample.e2e, 0.95, seconds),
    }


def _cohort(observed: Observed, spans: Sequence[Span]) -> list[Sample]:
    return [sample for sample in observed.samples if any(span.holds(sample.intended) for span in spans)]


def _batches(finding: Finding | None) -> Row:
    """Whether streams were held, and in what batches they came then."""
    return {
        "held_ratio": None if finding is None else _rounded(finding.share, 6),
        "batch_interval": None if finding is None else _rounded(finding.batch_interval, 6),
        "batch_bytes": None if finding is None else _rounded(finding.batch_bytes, 1),
    }


def faults(scenario: Scenario) -> list[Row]:
    """`{start, end, label}` of all that goes wrong for a while."""
    return [_fault(entry) for entry in scenario.triggers()]


def _wasted(cohort: Sequence[Sample], attempts_of: dict[str, list[Attempt]]) -> Row:
    """Output tokens that Claude produced and no caller got. For Claude an attempt is well spent that its gateway saw to
    the end; whether somebody still waited there, only the callers know."""
    produced = wasted = 0
    for sample in cohort:
        attempts = attempts_of.get(sample.request_id, [])
        made = sum(attempt["output_tokens"] for attempt in attempts)
        untold = sample.outcome == "complete" and not sample.output_tokens  # an answer that tells of no tokens
        produced += made
        wasted += (
            sum(attempt["wasted_tokens"] for attempt in attempts) if untold else max(0, made - sample.output_tokens)
        )
    return {"wasted_output_tokens": wasted, "wasted_ratio": _ratio(wasted, produced)}


def _at_claude(attempts: Sequence[Attempt], requests: int) -> Row:
    """What became of a cohort's attempts, and over how many connections they came. An attempt is refused when all it
    got was an error's status, whatever the reason; its prompt was not read, nor that of who left Claude's queue."""
    refused = sum(map(_is_refused, attempts))
    read = [attempt for attempt in attempts if cost.is_billed(attempt)]
    peers = {attempt["peer"] for attempt in attempts if attempt.get("peer")}
    return {
        "refused_attempts": refused,
        "refused_ratio": _ratio(refused, len(attempts)),
        "input_tokens": sum(attempt["input_tokens"] for attempt in read),
        "cached_input_tokens": sum(attempt.get("cached_input_tokens", 0) for attempt in read),
        "connections": len(peers) or None,
        "connections_per_request": _ratio(len(peers), requests) if peers else None,
    }


def _hides_an_error(sample: Sample) -> bool:
    """Whether a failure stands behind a status of success, which is all that proxies and dashboards look at."""
    failed = sample.outcome not in ("complete", "left", "timeout", "aborted")
    return failed and sample.status is not None and 200 <= sample.status < 300


def _is_refused(attempt: Attempt) -> bool:
    return attempt["status"] is not None and attempt["status"] >= 400


def _meanwhile(observed: Observed, spans: Sequence[Span], seconds: float) -> Row:
    """What happened while the phases lasted, whichever cohort it was of."""
    completed = [sample.ended for sample in observed.samples if sample.outcome == "complete"]
    came = sorted(attempt["t"] for attempt in observed.journal)
    return {
        "throughput": _ratio(sum(any(span.holds(at) for span in spans) for at in completed), seconds),
        "attempts_per_second": _ratio(sum(_between(came, span.start, span.end) for span in spans), seconds),
        "peak_attempts": round(max(_most(came, span) for span in spans) / PEAK_WINDOW, 6),
        "gateway_lag": {"max": _longest_lag(observed.lags, spans)},
        **usage.figures(observed.uses, [(span.start, span.end) for span in spans]),
    }


def _most(came: Sequence[float], span: Span) -> int:
    """The most that came in any window of a phase."""
    inside = came[bisect.bisect_left(came, span.start) : bisect.bisect_left(came, span.end)]
    ends = (bisect.bisect_left(inside, at + PEAK_WINDOW - GRAIN) for at in inside)
    return max((end - begin for begin, end in enumerate(ends)), default=0)


def _longest_lag(lags: Sequence[Lag] | None, spans: Sequence[Span]) -> float | None:
    if lags is None:
        return None
    met = (
        lag.seconds for lag in lags if any(lag.at < span.end and lag.at + lag.seconds > span.start for span in spans)
    )
    return max(met, default=0.0)


def _adjusted(cohort: Sequence[Sample], *, streams: bool) -> Row:
    """Latency of all but those who left, where one that failed took for ever. Only what `streams` has a first word to
    wait for."""
    complete = [sample for sample in cohort if sample.outcome == "complete"]
    failed = sum(sample.outcome not in ("complete", "left") for sample in cohort)
    found = {}
    for name in ADJUSTED:
        known = [getattr(sample, name.removesuffix("_adjusted")) for sample in complete]
        found[name] = adjusted(known, failed if streams or not name.startswith("ttft") else 0)
    return found


def _distributions(cohort: Sequence[Sample], waits: Sequence[float], lags: Sequence[float]) -> Row:
    """Latency is of the complete; the dispatch lag of all that was sent; `waits` of attempts in Claude's queue; `lags`
    of pieces of text."""
    complete = [sample for sample in cohort if sample.outcome == "complete"]
    values: dict[str, Iterable[float | None]] = {
        name: [getattr(sample, name) for sample in complete]
        for name in DISTRIBUTIONS
        if name not in ("itl", "queue_wait", "added_lag")
    }
    values["itl"] = [gap for sample in complete for gap in sample.gaps]
    values["queue_wait"] = waits
    values["added_lag"] = lags
    values["dispatch_lag"] = [sample.dispatch_lag for sample in cohort]
    return {name: distribution(values[name]) for name in DISTRIBUTIONS}


def _breakpoint(observed: Observed, spans: Sequence[Span], slo: Slo) -> Row:
    """The largest rate that held the SLO, where the rate rises."""
    moments = sorted(at for at in observed.offered if any(span.holds(at) for span in spans)) if observed.rates else []
    good = Counter(sample.intended for sample in observed.samples if is_good(sample, slo))
    kept = []
    for at in moments:
        kept.append(good[at] > 0)
        good[at] -= 1
    found = breaking.find(kept, [rate.at(observed.rates, at) for at in moments])
    return {name: _rounded(value, 3) for name, value in found._asdict().items()}


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _between(ordered: Sequence[float], start: float, end: float) -> int:
    return bisect.bisect_left(ordered, end) - bisect.bisect_left(ordered, start)


def _counts(times: Iterable[float], seconds: int) -> list[float]:
    counts = [0.0] * seconds
    for at in times:
        if 0 <= at < seconds:
            counts[int(at)] += 1
    return counts


def _levels(spans: Iterable[tuple[float, float]], seconds: int) -> list[float]:
    """How many spans were open in each second, on average over it."""
    levels = [0.0] * seconds
    for start, end in spans:
        for second in range(max(0, int(start)), min(seconds, math.ceil(end))):
            levels[second] += max(0.0, min(end, second + 1) - max(start, second))
    return [round(level, 3) for level in levels]


def _percentiles(
    samples: Iterable[Sample], value: Callable[[Sample], float | None], q: float, seconds: int
) -> list[float | None]:
    buckets: list[list[float]] = [[] for _ in range(seconds)]
    for sample in samples:
        found = value(sample)
        if found is not None and 0 <= sample.intended < seconds:
            buckets[int(sample.intended)].append(found)
    return [_rounded(percentile(sorted(bucket), q), 4) for bucket in buckets]


def _slots(scenario: Scenario, at: float) -> float | None:
    """The mock's slots at a moment, as far as the scenario says; the later entry of a timeline wins."""
    slots: float | None = scenario.mock_config().get("capacity", {}).get("slots")
    for entry in scenario.mock_config().get("timeline", []):
        if entry["at"] <= at < entry["at"] + entry["for"]:
            slots = (entry.get("capacity") or {}).get("slots", slots)
    return slots


def _fault(entry: Row) -> Row:
    changes = {key: value for key, value in entry.items() if key not in ("at", "for")}
    label = "; ".join(f"{section}: {_brief(change)}" for section, change in changes.items())
    return {"start": entry["at"], "end": entry["at"] + entry["for"], "label": label}


def _brief(change: Any) -> str:
    if isinstance(change, dict):
        return ", ".join(f"{key} {_brief(value)}" for key, value in change.items())
    if isinstance(change, list):
        return ", ".join(_brief(item) for item in change)
    return str(change)
