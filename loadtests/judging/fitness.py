"""Whether the generator could measure anything but itself: how busy each of its processes was, and how late.

Each process tells once a second what share of a core it took and by how much its loop was late at most. What it could
not measure in a phase is not told of it.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from loadtests.experiment.gates import ADJUSTED, BATCHES, BREAKPOINT, DISTRIBUTIONS, QUANTILES
from loadtests.experiment.scenario import Span
from loadtests.sample import Row

MOST_CPU = 0.95
MOST_LAG = 0.1
MOST_LATE = 0.25
EVER_LATE = 1.0
MOST_ASTRAY = 0.005
FEWEST_LOOKS = 2

OF_OTHERS = ("dispatch_lag", "queue_wait")  # its own lag, and what the mock says
MEASURED = [name for name in (*DISTRIBUTIONS, *ADJUSTED) if name not in OF_OTHERS]
FROM_TIMES = ("goodput", "goodput_ratio", "goodput_rate", *BATCHES)
PARTS_FROM_TIMES = {"cost": ("tokens_per_good", "usd_per_good"), "breakpoint": BREAKPOINT}


def figures(events: Sequence[Row], spans: Sequence[Span]) -> Row:
    """While the spans lasted, of the process that has most of it: `cpu`, the share of a core it took on average; `lag`,
    by how many seconds its loop was late in half of all seconds or more; `sockets`, its open files. None where nobody
    looked."""
    looks = _looks(events, spans).values()
    return {
        "cpu": max((_mean(each, "cpu") for each in looks), default=None),
        "lag": max((_median(each, "lag") for each in looks), default=None),
        "sockets": max((look["sockets"] for each in looks for look in each), default=None),
    }


def reasons(events: Sequence[Row], phases: Mapping[str, Row], judged: Sequence[Span], *, late: bool) -> dict[str, str]:
    """By the name of a judged phase, why what was measured in it is rather the generator. `late`: whether it counts
    when requests are sent late."""
    found = {span.name: list(_unfit(events, phases[span.name], span, late=late)) for span in judged}
    return {name: "; ".join(texts) for name, texts in found.items() if texts}


def untold(row: Row) -> Row:
    """A phase of summary.json without what the generator was to measure; what it did and what others saw stays."""
    nothing: Row = {**dict.fromkeys(QUANTILES), "n": 0}
    blank = {name: {part: nothing[part] for part in row[name]} for name in MEASURED}
    parts = {name: {**row[name], **dict.fromkeys(parts)} for name, parts in PARTS_FROM_TIMES.items()}
    return {**row, **blank, **parts, **dict.fromkeys(FROM_TIMES)}


def doubtful_clocks(events: Sequence[Row]) -> Iterator[str]:
    """Of workers whose clock could not be compared with the mock's closely enough: latency counts from the intended
    start, which is told by it."""
    for event in events:
        if event["event"] == "aligned" and event["error"] > MOST_ASTRAY:
            astray = event["error"] * 1000
            yield f"the clock of the {event['program']} may be off by {astray:.0f} ms, its latencies with it"


def _unfit(events: Sequence[Row], row: Row, span: Span, *, late: bool) -> Iterator[str]:
    for program, looks in _looks(events, [span]).items():
        cpu, lag = _mean(looks, "cpu"), _median(looks, "lag")
        if cpu > MOST_CPU:
            yield f"the {program} took {cpu:.0%} of a core in {span.name}, and reads late what comes in time"
        if lag > MOST_LAG:
            yield f"the loop of the {program} was over {lag:.2f} s late in half the seconds of {span.name}"
    for event in events:
        if event["event"] == "starved" and span.holds(event["t"]):
            yield f"the {event['program']} ran out of sockets in {span.name}: {event['message']}"
            break
    p95, worst = row["dispatch_lag"]["p95"] or 0.0, row["dispatch_lag"]["max"] or 0.0
    if late and (p95 > MOST_LATE or worst > EVER_LATE):
        yield (
            f"requests of {span.name} left up to {worst:.1f} s late, a twentieth by over {p95:.2f} s: "
            "the generator could not keep up"
        )


def _looks(events: Sequence[Row], spans: Sequence[Span]) -> dict[str, list[Row]]:
    """What each process told of itself in the spans, where that is enough to say something."""
    found: dict[str, list[Row]] = defaultdict(list)
    for event in events:
        if event["event"] == "pulse" and any(span.holds(event["t"]) for span in spans):
            found[event["program"]].append(event)
    return {program: looks for program, looks in found.items() if len(looks) >= FEWEST_LOOKS}


def _mean(looks: Sequence[Row], name: str) -> float:
    return round(statistics.fmean(float(look[name]) for look in looks), 6)


def _median(looks: Sequence[Row], name: str) -> float:
    return round(statistics.median(float(look[name]) for look in looks), 6)
