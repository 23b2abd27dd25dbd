"""The whole distribution of a latency, percentile by percentile, for a chart that stretches the tail."""

import math
from collections.abc import Sequence
from typing import TypedDict

from loadtests.judging import metrics
from loadtests.sample import Sample

CLOCKS = ("e2e", "service_time", "ttft", "ttft_sent")
STEPS = 10
"""Points from one nine to the next: from 0 to 0.9, to 0.99 and so on."""


class Curves(TypedDict):
    """`nines`: -log10(1 - percentile), 1 for the 90th, 2 for the 99th. Of each clock the seconds of the complete, and
    `_adjusted` those of all but who left, where one that failed took for ever: None from its percentile on."""

    nines: list[float]
    lines: dict[str, list[float | None]]


def of(samples: Sequence[Sample]) -> Curves:
    """As far out as there are requests for: the 99th percentile of ten requests is nobody's."""
    complete = [sample for sample in samples if sample.outcome == "complete"]
    failed = sum(sample.outcome not in ("complete", "left") for sample in samples)
    everybody = len(complete) + failed
    nines = [step / STEPS for step in range(math.floor(STEPS * math.log10(everybody)) + 1)] if everybody else []
    lines: dict[str, list[float | None]] = {}
    for clock in CLOCKS:
        known = sorted(value for sample in complete if (value := getattr(sample, clock)) is not None)
        if known:
            lines[clock] = _line(known, nines, len(known))
            lines[f"{clock}_adjusted"] = _line([*known, *[math.inf] * failed], nines, everybody)
    return {"nines": nines, "lines": lines}


def _line(ordered: Sequence[float], nines: Sequence[float], count: int) -> list[float | None]:
    reach = math.log10(count)
    values = [metrics.percentile(ordered, 1 - 10**-nine) if nine <= reach else None for nine in nines]
    return [round(value, 4) if value is not None and math.isfinite(value) else None for value in values]
