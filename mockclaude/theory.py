"""What queueing theory says of a mock's settings: load, waits, and where retries make an overload permanent.

Closed forms: Erlang (1917) for M/M/c with and without a queue, Little (1961), Allen and Cunneen (1990) for G/G/c; the
collapse boundaries are those of a server that works on requests whose caller has already gone (Bronson et al.,
"Metastable failures in distributed systems", HotOS 2021, in the form for FIFO slots and for a batch that slows down).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from mockclaude.capacity import Linear, Size
from mockclaude.latency import Profile


def erlang_b(servers: int, load: float) -> float:
    """The share turned away by `servers` without a queue at an offered load in erlangs; any service distribution."""
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """The share that waits for one of `servers` with an endless queue; 1 when the load is too much."""
    if load >= servers:
        return 1.0
    blocked = erlang_b(servers, load)
    return blocked / (1 - load / servers * (1 - blocked))


def mean_wait(servers: int, rate: float, service: float) -> float:
    """Mean seconds in the queue of M/M/c; infinite when the load is too much."""
    load = rate * service
    return math.inf if load >= servers else erlang_c(servers, load) * service / (servers - load)


def wait_quantile(servers: int, rate: float, service: float, q: float) -> float:
    """The q-quantile of seconds in the queue of M/M/c: P(W > t) = C exp(-(c/S - λ) t)."""
    load = rate * service
    if load >= servers:
        return math.inf
    waits = erlang_c(servers, load)
    return max(0.0, math.log(waits / (1 - q)) * service / (servers - load)) if waits else 0.0


def pollaczek_khinchine(rate: float, service: float, second_moment: float) -> float:
    """Mean seconds in the queue of M/G/1: λE[S²] / 2(1-ρ)."""
    return rate * second_moment / (2 * (1 - rate * service))


def allen_cunneen(servers: int, rate: float, service: float, arrival_cv2: float, service_cv2: float) -> float:
    """Mean seconds in the queue of G/G/c, approximately; the arguments are squared coefficients of variation."""
    return mean_wait(servers, rate, service) * (arrival_cv2 + service_cv2) / 2


def attempts_per_request(failing: float, attempts: int) -> float:
    """Mean attempts of a request that may try `attempts` times, each failing on its own: (1 - p^A) / (1 - p)."""
    return float(attempts) if failing == 1 else (1 - failing**attempts) / (1 - failing)


def safe_queue(servers: int, service: float, timeout: float) -> float:
    """The longest queue whose last one is still served within `timeout`: K* = c(τ/S - 1)."""
    return max(0.0, servers * (timeout / service - 1))


def safe_retry_budget(utilization: float) -> float:
    """Retries per first try that fit beside a utilization: r < 1/ρ - 1."""
    return math.inf if utilization == 0 else max(0.0, 1 / utilization - 1)


def collapse_rate(linear: Linear, timeout: float) -> float:
    """Attempts per second above which a batch that slows down stays overloaded: Λ* = (1 - s0/τ) / a."""
    return math.inf if linear.a == 0 else max(0.0, 1 - linear.s0 / timeout) / linear.a


def running_at(linear: Linear, rate: float) -> float:
    """How many run at once in a batch that slows down: N = λs0 / (1 - aλ); infinite when it never settles."""
    return math.inf if linear.a * rate >= 1 else rate * linear.s0 / (1 - linear.a * rate)


def mean_service(profile: Profile, output_tokens: int, prompt_tokens: int = 0) -> float:
    """Mean seconds a slot is held by an attempt that runs alone."""
    return profile.ttft.mean + profile.reading(prompt_tokens, 0) + output_tokens / profile.pace.mean


def linear_of(size: Size, service: float) -> Linear | None:
    """The slow-down of `size` as S(N) = s0 + aN for attempts that take `service` alone; None without one."""
    if size.slowdown is None:
        return None
    if not isinstance(size.slowdown, Linear) and size.slots < 2:  # nobody is slowed down by himself
        return None
    if isinstance(size.slowdown, Linear):
        return Linear(service, size.slowdown.a * service / size.slowdown.s0)
    a = service * (size.slowdown - 1) / max(1, size.slots - 1)
    return Linear(service - a, a)


class Line(NamedTuple):
    """One figure of a forecast: its name, its value in words, and how it follows."""

    name: str
    value: str
    because: str


def forecast(size: Size, service: float, rate: float, timeout: float, attempts: int) -> list[Line]:
    """What to expect when `rate` requests a second arrive, each trying `attempts` times for `timeout` seconds.

    `service` is the mean time an attempt holds a slot, in seconds.
    """
    linear = linear_of(size, service)
    held = service
    if linear is not None:
        running = running_at(linear, rate)
        held = linear.s0 + linear.a * min(running, size.slots)
    load = rate * held
    use = load / size.slots if size.slots else math.inf
    lines = [
        Line("service time S", _seconds(held), "mean of TTFT, prefill and decode, while they run together"),
        Line("offered load a", f"{load:.3g} erlang", f"λ·S = {rate:g}/s x {held:.3g} s"),
        Line("utilization ρ", f"{use:.3g}", f"a/c = {load:.3g} / {size.slots}"),
        Line("capacity c/S", f"{size.slots / held:.3g}/s", "the most that can be answered"),
        Line("turned away without a queue", f"{erlang_b(size.slots, load):.3%}", "Erlang B"),
        Line("share that waits", f"{erlang_c(size.slots, load):.3%}", "Erlang C, with an endless queue"),
        Line("mean wait", _seconds(mean_wait(size.slots, rate, held)), "C·S / (c - a)"),
        Line("p99 wait", _seconds(wait_quantile(size.slots, rate, held, 0.99)), "ln(C/0.01)·S / (c - a)"),
    ]
    return lines + _collapse(size, linear, held, rate, timeout, attempts, use)


def _collapse(
    size: Size, linear: Linear | None, held: float, rate: float, timeout: float, attempts: int, use: float
) -> list[Line]:
    boundary = size.slots / held
    because = f"A·λ < c/S with A = {attempts}"
    if linear is not None:
        boundary = min(boundary, collapse_rate(linear, timeout))
        because = f"A·λ < (1 - s0/τ)/a with A = {attempts}, τ = {timeout:g} s"
    safe = attempts * rate < boundary
    queue = safe_queue(size.slots, held, timeout)
    bound = "unbounded" if size.queue is None else str(size.queue)
    return [
        Line(
            "collapse boundary", f"{boundary / attempts:.3g}/s: {'safe' if safe else 'NOT safe'} at {rate:g}/s", because
        ),
        Line("safe queue K*", f"{queue:.3g} (configured: {bound})", f"c(τ/S - 1) with τ = {timeout:g} s"),
        Line("safe retry budget r", f"{safe_retry_budget(use):.3g}", "1/ρ - 1"),
    ]


def _seconds(value: float) -> str:
    return "without end" if math.isinf(value) else f"{value:.3g} s"
