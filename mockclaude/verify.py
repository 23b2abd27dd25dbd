"""The capacity model against queueing theory: the real core, driven by an event heap instead of an event loop.

Thirteen checks, V1 to V13, each with its closed form. Means come with the standard error of batch means (Law and
Kelton, "Simulation Modeling and Analysis", chapter 9); seeds are fixed, so two runs print the same.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mockclaude import catalog, faults, terms, theory
from mockclaude.aim import Facts
from mockclaude.capacity import Capacity, Linear, Order, Size, State, Ticket
from mockclaude.limits import Claim, Limits
from mockclaude.request.ask import Ask

BATCHES = 30
WARMUP = 0.1
"""The first tenth of a run is not counted: it begins with an empty queue."""

Draws = Callable[[random.Random], float]


class Check(NamedTuple):
    """One check: what theory predicts, what the core did, the standard error, and whether they agree."""

    name: str
    what: str
    predicted: float
    measured: float
    error: float | None
    passed: bool


class Done(NamedTuple):
    """One attempt that was served: when it arrived, began and ended, and how long it would have taken alone."""

    arrived: float
    began: float
    ended: float
    work: float


class Run:
    """Attempts driven through one `Capacity`; raises `AssertionError` as soon as one is lost (V13).

    `queue_area` and `run_area` are the integrals over time of how many wait and how many run, for Little's law.
    """

    def __init__(self, size: Size) -> None:
        self.core = Capacity(size)
        self.done: list[Done] = []
        self.now = self.queue_area = self.run_area = 0.0
        self.steps = 0
        self._ends: list[tuple[float, int, Ticket, float]] = []
        self._work: dict[Ticket, float] = {}

    def arrive(self, at: float, work: float) -> Ticket:
        """An attempt arrives that takes `work` seconds alone; what ends before is served first."""
        while self._ends and (end := self._next_end()) <= at:
            self.end_next(end)
        self._pass(at)
        ticket = self.core.offer(at)
        if ticket.state is State.RUNNING:
            self._begin(ticket, work)
        elif ticket.state is State.QUEUED:
            self._work[ticket] = work
        self._conserved()
        return ticket

    def end_next(self, end: float) -> Done:
        """The next generation to end does so at `end`."""
        _, _, ticket, work = heapq.heappop(self._ends)
        self._pass(end)
        done = Done(ticket.offered, ticket.started or 0.0, end, work)
        self.done.append(done)
        for started in self.core.leave(ticket, end):
            self._begin(started, self._work.pop(started))
        self._conserved()
        return done

    def drain(self) -> None:
        """Serve whoever is left."""
        while self._ends:
            self.end_next(self._next_end())

    @property
    def next_end(self) -> float:
        """When the next generation ends, if nobody comes before; infinite when none runs."""
        return self._next_end() if self._ends else math.inf

    def _next_end(self) -> float:
        target = self._ends[0][0]
        return max(self.now, self.now + (target - self.now + self.core.lag(self.now)) * self.core.stretch)

    def _begin(self, ticket: Ticket, work: float) -> None:
        began = self.now - ticket.started_lag
        self.steps += 1
        heapq.heappush(self._ends, (began + work, self.steps, ticket, work))

    def _pass(self, now: float) -> None:
        self.queue_area += self.core.queued * (now - self.now)
        self.run_area += self.core.running * (now - self.now)
        self.now = now

    def _conserved(self) -> None:
        core = self.core
        if core.arrived != core.completed + core.running + core.queued + core.turned_away + core.cancelled:
            raise AssertionError(f"an attempt is lost at {self.now}: {core.arrived} arrived")


def exponential(mean: float) -> Draws:
    """Exponential with a mean; the coefficient of variation is 1."""
    return lambda rng: rng.expovariate(1 / mean)


def constant(value: float) -> Draws:
    """Always the same."""
    return lambda rng: value


def lognormal(mean: float, cv: float) -> Draws:
    """Lognormal with a mean and a coefficient of variation."""
    sigma2 = math.log(1 + cv**2)
    mu = math.log(mean) - sigma2 / 2
    return lambda rng: rng.lognormvariate(mu, math.sqrt(sigma2))


def gamma(mean: float, cv: float) -> Draws:
    """Gamma with a mean and a coefficient of variation."""
    return lambda rng: rng.gammavariate(1 / cv**2, mean * cv**2)


def open_loop(size: Size, between: Draws, service: Draws, arrivals: int, seed: int) -> Run:
    """A run whose attempts arrive whatever the server does."""
    gaps, works = random.Random(f"{seed}/arrivals"), random.Random(f"{seed}/service")
    run, at = Run(size), 0.0
    for _ in range(arrivals):
        at += between(gaps)
        run.arrive(at, service(works))
    run.drain()
    return run


def closed_loop(size: Size, users: int, think: Draws, service: Draws, answers: int, seed: int) -> Run:
    """A run of `users` who each wait for an answer, then think, then ask again."""
    rng = random.Random(seed)
    run = Run(size)
    asking = sorted(think(rng) for _ in range(users))
    while len(run.done) < answers:
        if asking and asking[0] <= run.next_end:
            run.arrive(heapq.heappop(asking), service(rng))
        else:
            heapq.heappush(asking, run.end_next(run.next_end).ended + think(rng))
    return run


def batch_means(values: Sequence[float]) -> tuple[float, float]:
    """The mean of what is left after the warm-up, and its standard error over batches."""
    counted = values[int(len(values) * WARMUP) :]
    size = len(counted) // BATCHES
    means = [statistics.fmean(counted[k * size : (k + 1) * size]) for k in range(BATCHES)]
    return statistics.fmean(means), statistics.stdev(means) / math.sqrt(BATCHES)


def _statistical(name: str, what: str, predicted: float, values: Sequence[float]) -> Check:
    """Within three standard errors, and the standard error at most 2 %."""
    mean, error = batch_means(values)
    return Check(name, what, predicted, mean, error, abs(mean - predicted) <= 3 * error and error <= 0.02 * predicted)


def _within(name: str, what: str, predicted: float, measured: float, tolerance: float) -> Check:
    return Check(name, what, predicted, measured, None, abs(measured - predicted) <= tolerance * abs(predicted))


ENDLESS = Size(slots=1, queue=None)
ANYBODY = Facts(1, Ask("", "", frozenset(), catalog.Model("", "", (5, 0)), {}, 0), {})
TEN = Size(slots=10, queue=None)


def little() -> Iterator[Check]:
    """V1: L = λW in the queue and in the slots."""
    run = open_loop(TEN, exponential(1 / 8), lognormal(1, 1.5), 40_000, 1)
    rate = len(run.done) / run.now
    waited = statistics.fmean(one.began - one.arrived for one in run.done)
    served = statistics.fmean(one.ended - one.began for one in run.done)
    yield _within("V1", "Little's law in the queue: L = λW", rate * waited, run.queue_area / run.now, 0.005)
    yield _within("V1", "Little's law in the slots: L = λS", rate * served, run.run_area / run.now, 0.005)


def one_server() -> Iterator[Check]:
    """V2: M/M/1."""
    gaps, works = random.Random("2/arrivals"), random.Random("2/service")
    run, at, present = Run(ENDLESS), 0.0, []
    for _ in range(400_000):
        at += gaps.expovariate(0.5)
        run.arrive(at, works.expovariate(1))
        present.append(float(run.core.running + run.core.queued - 1))
    run.drain()
    sojourns = [one.ended - one.arrived for one in run.done]
    yield _statistical("V2", "M/M/1 at ρ = 0.5: W = 1/(μ - λ)", 2.0, sojourns)
    yield _statistical("V2", "M/M/1 at ρ = 0.5: L = ρ/(1 - ρ), as arrivals see it", 1.0, present)
    yield _statistical("V2", "M/M/1: P(T > 2.303/(μ - λ)) = 10 %", 0.1, [float(one > 2.302585 * 2) for one in sojourns])


def many_servers(service: float = 1.0) -> Iterator[Check]:
    """V3: M/M/c with a queue. Theory takes a `service` of 1 s for granted."""
    four = Size(slots=4, queue=None)
    run = open_loop(four, exponential(1 / 2.8), exponential(service), 400_000, 3)
    waits = [one.began - one.arrived for one in run.done]
    yield _statistical(
        "V3", "M/M/4 at ρ = 0.7: P(wait) is Erlang C", theory.erlang_c(4, 2.8), [float(w > 0) for w in waits]
    )
    yield _statistical("V3", "M/M/4 at ρ = 0.7: mean wait", theory.mean_wait(4, 2.8, 1), waits)


def loss() -> Iterator[Check]:
    """V4: no queue, turned away; insensitive to the distribution of service."""
    for what, service in (("exponential", exponential(1)), ("lognormal, cv 1.5", lognormal(1, 1.5))):
        gaps, works = random.Random("4/arrivals"), random.Random(f"4/{what}")
        run, at, away = Run(Size(slots=10, queue=0)), 0.0, []
        for _ in range(500_000):
            at += gaps.expovariate(8)
            away.append(float(run.arrive(at, service(works)).state is State.TURNED_AWAY))
        yield _statistical("V4", f"M/G/10/10 at a = 8, {what}: Erlang B", theory.erlang_b(10, 8), away)


def general_service() -> Iterator[Check]:
    """V5: Pollaczek and Khinchine."""
    for what, service, second in (("constant", constant(1), 1.0), ("lognormal, cv 0.5", lognormal(1, 0.5), 1.25)):
        run = open_loop(ENDLESS, exponential(2), service, 120_000, 5)
        predicted = theory.pollaczek_khinchine(0.5, 1, second)
        yield _statistical(
            "V5", f"M/G/1 at ρ = 0.5, {what}: mean wait", predicted, [one.began - one.arrived for one in run.done]
        )


def processor_sharing() -> Iterator[Check]:
    """V6: with stretch(N) = N all share one processor, whatever the distribution of work."""
    shared = Size(slots=1000, queue=None, slowdown=1000.0)
    for what, service in (("constant", constant(1)), ("lognormal, cv 1", lognormal(1, 1))):
        run = open_loop(shared, exponential(2), service, 100_000, 6)
        slower = [(one.ended - one.began) / one.work for one in sorted(run.done)]
        yield _statistical("V6", f"M/G/1-PS at ρ = 0.5, {what}: E[T|x]/x = 1/(1 - ρ)", 2.0, slower)


def slow_down() -> Iterator[Check]:
    """V7: S(N) = s0 + aN settles where the mean field says."""
    linear = Linear(1.0, 0.01)
    run = open_loop(Size(slots=10_000, queue=None, slowdown=linear), exponential(1 / 80), constant(1), 60_000, 7)
    yield _within(
        "V7", "S(N) = 1 + N/100 at 80/s: N = λs0/(1 - aλ)", theory.running_at(linear, 80), run.run_area / run.now, 0.03
    )


def interactive() -> Iterator[Check]:
    """V8: the interactive response time law, and its bounds."""
    run = closed_loop(TEN, 25, exponential(1), exponential(1), 60_000, 8)
    rate = len(run.done) / run.now
    cycle = statistics.fmean(one.ended - one.arrived for one in run.done) + 1
    yield _within("V8", "closed loop of 25: N = X(R + Z)", 25, rate * cycle, 0.005)
    bound = min(25 / 2, 10.0)
    yield Check("V8", "closed loop of 25: X <= min(N/(S + Z), c/S)", bound, rate, None, rate <= bound * 1.005)


def scalability() -> Iterator[Check]:
    """V9: throughput of a batch that slows down follows Gunther's law; α is what the slow-down says."""
    linear = Linear(1.0, 0.05)
    points = []
    for users in (1, 2, 4, 8, 16, 32):
        run = closed_loop(Size(slots=64, queue=None, slowdown=linear), users, constant(0), exponential(1), 6_000, users)
        points.append((users, len(run.done) / run.now))
    alpha, r2 = _usl([(float(n), n / x) for n, x in points])
    yield Check("V9", "universal scalability law: R² of the fit", 1.0, r2, None, r2 >= 0.99)
    yield _within("V9", "universal scalability law: α = a/(s0 + a)", 0.05 / 1.05, alpha, 0.1)


def _usl(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Fit N/X = 1/γ + (α/γ)(N - 1): the slope in units of the intercept, and R²."""
    fit = statistics.linear_regression([n - 1 for n, _ in points], [y for _, y in points])
    r = statistics.correlation([n for n, _ in points], [y for _, y in points])
    return fit.slope / fit.intercept, r**2


def token_bucket() -> Iterator[Check]:
    """V10: accepted(T) = min(n, B + rT), exactly."""
    limits = Limits(terms.parse({"requests_per_minute": 60.0, "burst": 10.0}))
    claim = Claim("key", catalog.listed()[0])
    accepted = 0
    for k in range(1200):  # 40 a second for 30 seconds, on a grid that floating point holds exactly
        quota = limits.take(claim, k / 64)
        accepted += quota is not None and not quota.wait
    predicted = 10 + math.floor(1199 / 64)
    yield Check(
        "V10", "token bucket, 60 a minute and a burst of 10: B + rT", predicted, accepted, None, accepted == predicted
    )


def retries() -> Iterator[Check]:
    """V11: independent failures; attempts and successes of requests that may try three times."""
    rng, failing = random.Random(11), (faults.Status(529, share=0.5),)
    attempts, successes = [], []
    for _ in range(40_000):
        tried = next((k for k in range(1, 4) if not faults.drawn(failing, ANYBODY, rng)), None)
        attempts.append(float(tried or 3))
        successes.append(float(tried is not None))
    yield _statistical(
        "V11", "p = 0.5, three tries: (1 - p³)/(1 - p) attempts", theory.attempts_per_request(0.5, 3), attempts
    )
    yield _statistical("V11", "p = 0.5, three tries: 1 - p³ succeed", 1 - 0.5**3, successes)


def general_arrivals() -> Iterator[Check]:
    """V12: G/G/c, approximately."""
    run = open_loop(TEN, gamma(1 / 8, 1.2), lognormal(1, 0.8), 200_000, 12)
    waits = [one.began - one.arrived for one in run.done]
    predicted = theory.allen_cunneen(10, 8, 1, 1.2**2, 0.8**2)
    yield _within("V12", "G/G/10 at ρ = 0.8: Allen and Cunneen's mean wait", predicted, statistics.fmean(waits), 0.2)


def conservation() -> Iterator[Check]:
    """V13: nobody is lost, at any step, also while sizes change and callers leave."""
    rng = random.Random(13)
    core, broken = Capacity(Size(slots=3, queue=5)), 0
    alive: list[Ticket] = []
    orders: tuple[Order, ...] = ("fifo", "lifo", "deadline")
    for now in range(50_000):
        alive = [one for one in alive if one.state in (State.RUNNING, State.QUEUED)]
        kind = rng.random()
        if kind < 0.5 or not alive:
            alive.append(core.offer(float(now), deadline=now + rng.random() * 20, needs=rng.random() * 5))
        elif kind < 0.95:
            one = rng.choice(alive)
            finish = core.leave if one.state is State.RUNNING and kind < 0.8 else core.abandon
            finish(one, float(now))
        else:
            order = rng.choice(orders)
            core.resize(
                Size(rng.randint(0, 5), rng.randint(0, 9), order=order, slowdown=rng.choice((None, 2.0))), float(now)
            )
        broken += core.arrived != core.completed + core.running + core.queued + core.turned_away + core.cancelled
    yield Check("V13", "conservation, 50,000 steps of every kind: broken", 0, broken, None, broken == 0)


CHECKS = (
    little,
    one_server,
    many_servers,
    loss,
    general_service,
    processor_sharing,
    slow_down,
    interactive,
    scalability,
    token_bucket,
    retries,
    general_arrivals,
    conservation,
)
