"""Gates and expectations: what must hold, in words that can be checked, and whether it did."""

import dataclasses
import math
import operator
import re
from collections.abc import Callable, Collection
from typing import Literal, cast

from loadtests.sample import OUTCOMES, Row

Status = Literal["pass", "fail", "skipped"]

COUNTS = (
    *("seconds", "offered", "started", "not_sent", "completed", "goodput"),
    *("attempts", "refused_attempts", "connections"),
)
RATES = ("throughput", "goodput_rate", "attempts_per_second", "peak_attempts")
TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens", "wasted_output_tokens")
RATIOS = (
    *("goodput_ratio", "error_ratio", "hidden_error_ratio", "amplification", "refused_ratio", "waited_ratio"),
    *("wasted_ratio", "connections_per_request", "held_ratio"),
)
COST = ("tokens", "tokens_per_good", "usd", "wasted_usd", "usd_per_good")
DISTRIBUTIONS = ("ttft", "ttft_sent", "e2e", "service_time", "itl", "tpot", "added_lag", "dispatch_lag", "queue_wait")
ADJUSTED = tuple(f"{name}_adjusted" for name in ("ttft", "ttft_sent", "e2e", "service_time"))
"""The same of all requests, where one that failed took for ever: `"inf"` in JSON, which has no infinity."""
BATCHES = ("batch_interval", "batch_bytes")  # in which text came that was held
QUANTILES = ("mean", "p50", "p90", "p95", "p99", "p999", "max", "n")
BREAKPOINT = ("rate", "low", "high")
LAG = "gateway_lag"  # of which only the longest is known
CLOCKS = (*DISTRIBUTIONS, *ADJUSTED, LAG)
INFINITE = "inf"
USAGE = ("rss", "cpu")  # of each program that was looked at
GENERATOR = ("cpu", "lag", "sockets")  # of the load process that has most of it
PROGRAMS = ("load", "gateway", "mock", "nginx", "toxiproxy", "redis")
# Of a whole variant; every other metric is of a phase, or of all judged phases together.
OF_A_VARIANT = ("recovery_s",)

METRICS = frozenset(
    [*COUNTS, *RATES, *TOKENS, *RATIOS, *BATCHES, *OF_A_VARIANT, f"{LAG}.max"]
    + [f"{name}.{quantile}" for name in DISTRIBUTIONS for quantile in QUANTILES]
    + [f"{name}.{quantile}" for name in ADJUSTED for quantile in QUANTILES if quantile != "mean"]
    + [f"cost.{part}" for part in COST]
    + [f"generator.{part}" for part in GENERATOR]
    + [f"breakpoint.{part}" for part in BREAKPOINT]
    + [f"outcomes.{outcome}" for outcome in OUTCOMES]
    + [f"{name}.{program}" for name in USAGE for program in PROGRAMS]
)

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


@dataclasses.dataclass(frozen=True)
class Gate:
    """`[variant.][phase.]metric op number [abort_on_fail]`, such as `after.goodput_ratio > 0.9` or `ttft.p95 < 1.5`.

    Without a variant it holds in each; without a phase, for all judged phases together. What was not measured (a
    percentile of nothing) does not hold. With `abort_on_fail` it ends the run when it cannot hold any more.
    """

    text: str
    variant: str | None
    phase: str | None
    metric: str
    op: str
    bound: float
    abort_on_fail: bool = False

    def holds(self, measured: float | None) -> bool:
        return measured is not None and OPERATORS[self.op](measured, self.bound)


def parse(text: str, variants: Collection[str], phases: Collection[str]) -> Gate:
    """The gate written as `text`. Raises ValueError with what was expected."""
    match = re.fullmatch(r"\s*([\w.-]+)\s*(<=|>=|==|<|>)\s*(-?\d+(?:\.\d+)?)(\s+abort_on_fail)?\s*", text)
    if not match:
        raise ValueError(
            f'got "{text}", expected "[variant.][phase.]metric op number [abort_on_fail]", such as "ttft.p95 < 1.5"'
        )
    path, op, bound, abort = match.groups()
    head, _, rest = path.partition(".")
    variant = phase = None
    if path not in METRICS and head in variants and rest:
        variant, path = head, rest
        head, _, rest = path.partition(".")
    if path not in METRICS and head in phases and rest:
        phase, path = head, rest
    if path not in METRICS:
        raise ValueError(f'got "{text}": {unknown_metric(path)}')
    if path in OF_A_VARIANT and phase:
        raise ValueError(f'got "{text}": {path} is of a whole variant, expected no phase')
    return Gate(text, variant, phase, path, op, float(bound), abort is not None)


def unknown_metric(path: str) -> str:
    names = ", ".join([*RATIOS, *RATES, *OF_A_VARIANT, "e2e.p99", "ttft.p95", "outcomes.timeout", "cost.usd_per_good"])
    return f'no metric, phase or variant is called "{path}"; metrics are {names} and so on'


def value(figures: Row, metric: str) -> float | None:
    """The figure a metric names, from one phase of summary.json."""
    name, _, part = metric.partition(".")
    found = figures[name]
    return number(found.get(part, 0 if name == "outcomes" else None) if part else found)


def number(figure: float | str | None) -> float | None:
    """What a figure of summary.json comes to, where `"inf"` may stand for one that has no end."""
    return math.inf if figure == INFINITE else cast("float | None", figure)


def figure(number: float | None) -> float | str | None:
    """How a number stands in summary.json."""
    return INFINITE if number == math.inf else number


def met(expectation: Row, measured: float | None) -> bool:
    """Whether a measured figure keeps an expectation's bound. `tolerance` is relative to the prediction, or absolute
    when 0 is predicted."""
    if measured is None:
        return False
    if expectation.get("at_most") is not None:
        return bool(measured <= expectation["at_most"])
    if expectation.get("at_least") is not None:
        return bool(measured >= expectation["at_least"])
    predicted, tolerance = expectation["predicted"], expectation["tolerance"]
    return bool(abs(measured - predicted) <= tolerance * (abs(predicted) or 1.0))
