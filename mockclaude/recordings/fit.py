"""From measured replies to a latency profile: percentiles of the TTFT, the median pace, and how well they fit."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mockclaude import distribution, latency, settings
from mockclaude.recordings import measured
from mockclaude.recordings.measured import Measured

LEAST = 2
FEW = 20
POOR, CHANCE, ENOUGH = 0.1, 1.8, 50
"""What Kolmogorov-Smirnov distance is no lognormal's any more, once there are `ENOUGH` samples to tell.

Chance alone brings one in a hundred samples from a true lognormal, fitted by percentiles, above `CHANCE` / sqrt(n): a
bare `POOR` would slander every second sample of 50.
"""
STEADY = 0.2
"""A length is one number when the tenth and the ninetieth percentile are within this part of the median."""
SAME = 1e-3
"""Times that differ by less than this part are the same."""
ALL = "all"


class Fit(NamedTuple):
    """The speed that describes `n` replies. `distance` is Kolmogorov's between their TTFTs and the lognormal.

    `tokens` are the tenth percentile, the median and the ninetieth of the lengths.
    """

    n: int
    p50: float
    p95: float
    pace: float
    distance: float
    tokens: tuple[int, int, int] | None = None

    @property
    def length(self) -> int | None:
        """The length of a reply, where it is nearly always the same."""
        if self.tokens is None or self.tokens[2] - self.tokens[0] > STEADY * self.tokens[1]:
            return None
        return self.tokens[1]

    @property
    def poor(self) -> bool:
        """Whether a lognormal is the wrong shape."""
        return self.n >= ENOUGH and self.distance > self.tolerated

    @property
    def tolerated(self) -> float:
        """The largest distance that says nothing against a lognormal."""
        return max(POOR, CHANCE / math.sqrt(self.n))

    def section(self) -> dict[str, object]:
        """What goes into the configuration."""
        said: dict[str, object] = {"ttft": {"p50": self.p50, "p95": self.p95}, "tokens_per_second": self.pace}
        if self.length:
            said["output_tokens"] = self.length
        return {**said, "prefill": False}

    def as_json(self) -> dict[str, object]:
        """Everything known of it."""
        spread = None if self.tokens is None else dict(zip(("p10", "p50", "p90"), self.tokens, strict=True))
        return {
            "n": self.n,
            "distance": self.distance,
            "poor": self.poor,
            "few": self.n < FEW,
            "output_tokens": spread,
        }


class Report(NamedTuple):
    """A fit for each family, or one for all; `left_out` counts what could not be used."""

    fits: Mapping[str, Fit]
    left_out: int

    def section(self) -> dict[str, object]:
        """The section `latency` of a configuration."""
        if ALL in self.fits:
            return self.fits[ALL].section()
        return {family: fit.section() for family, fit in self.fits.items()}

    def as_json(self) -> dict[str, object]:
        """The section, and how good it is."""
        fits = {family: fit.as_json() for family, fit in self.fits.items()}
        return {"latency": self.section(), "fits": fits, "left_out": self.left_out}


def report(text: str) -> Report:
    """Fit what is in a file; raises `ConfigError` that names the line, or says what is missing."""
    rows, left_out = measured.read(text)
    families = {one.family for one in rows}
    groups = {ALL: rows}
    if rows and None not in families:
        groups = {name: [one for one in rows if one.family == name] for name in latency.DEFAULT if name in families}
    fits = {name: fit(group) for name, group in groups.items() if usable(group)}
    if not fits:
        got = f"at least {LEAST} replies with a TTFT and a pace are needed, got {_most(groups)}"
        raise settings.ConfigError([settings.Problem((), got)])
    unused = sum(len(group) for name, group in groups.items() if name not in fits)
    return Report(fits, left_out + unused)


def usable(rows: Sequence[Measured]) -> bool:
    """Whether a profile can be had from them."""
    return len(rows) >= LEAST and any(one.pace for one in rows)


def fit(rows: Sequence[Measured]) -> Fit:
    """The profile of at least `LEAST` replies, of which one has a pace."""
    times = sorted(one.ttft for one in rows)
    p50, p95 = _rounded(percentile(times, 0.5)), _rounded(percentile(times, 0.95))
    pace = statistics.median(one.pace for one in rows if one.pace is not None)
    lengths = sorted(one.tokens for one in rows if one.tokens is not None)
    spread = tuple(round(percentile(lengths, share)) for share in (0.1, 0.5, 0.9)) if lengths else None
    distance = round(kolmogorov(times, p50, p95), 3)
    return Fit(len(rows), p50, p95, _rounded(pace), distance, spread)  # type: ignore[arg-type]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Between the two nearest of `ordered`."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def kolmogorov(ordered: Sequence[float], p50: float, p95: float) -> float:
    """The largest distance between the share of `ordered` up to a time and the share a lognormal has up to it."""
    n = len(ordered)
    if p95 == p50:
        at_most = bisect_right(ordered, p50 * (1 + SAME)) / n
        return max(1 - at_most, bisect_left(ordered, p50 * (1 - SAME)) / n)
    normal, sigma = statistics.NormalDist(), math.log(p95 / p50) / distribution.Z95
    shares = [normal.cdf(math.log(time / p50) / sigma) for time in ordered]
    return max(max((k + 1) / n - share, share - k / n) for k, share in enumerate(shares))


def _most(groups: Mapping[str, Sequence[Measured]]) -> int:
    return max(len([one for one in rows if one.pace]) for rows in groups.values())


def _rounded(value: float) -> float:
    """To four digits: more would be a claim."""
    return float(f"{value:.4g}")


def _plain(value: float) -> str:
    """Without an exponent, which YAML would take for a text."""
    return f"{value:.12f}".rstrip("0").removesuffix(".")


def as_yaml(report: Report) -> str:
    """The section, ready to be pasted, with what there is to say of it."""
    lines = ["latency:"]
    for name, fit in report.fits.items():
        inner = "  " if name == ALL else "    "
        lines += [f"  # {remark}" for remark in _remarks(name, fit)]
        lines += [] if name == ALL else [f"  {name}:"]
        lines += [f"{inner}{line}" for line in _settings(fit)]
    if report.left_out:
        lines.append(f"# left out: {report.left_out} without a time to first token, or too few of their family")
    return "\n".join(lines) + "\n"


def _settings(fit: Fit) -> Iterator[str]:
    yield f"ttft: {{p50: {_plain(fit.p50)}, p95: {_plain(fit.p95)}}}"
    yield f"tokens_per_second: {_plain(fit.pace)}"
    if fit.length:
        yield f"output_tokens: {fit.length}"
    yield "prefill: false # the time to read the prompt is in the measured TTFT"


def _remarks(name: str, fit: Fit) -> Iterator[str]:
    of = "" if name == ALL else f"{name}: "
    yield f"{of}n = {fit.n}, Kolmogorov-Smirnov distance to the lognormal {fit.distance:g}"
    if fit.n < FEW:
        yield f"few samples: p95 is a guess below {FEW}"
    if fit.poor:
        yield f"poor: above {fit.tolerated:.2g}; these times are no lognormal's, look at them before you trust it"
    if fit.tokens and fit.length is None:
        low, median, high = fit.tokens
        yield f"output_tokens varies: median {median}, {low} to {high} for eight in ten; a reply is max_tokens long"
