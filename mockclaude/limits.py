"""How much a caller may still use: token buckets with continuous refill, the ramp, and what counts to the spend limit.

A caller has three buckets for each class of models: requests, input tokens, output tokens. An attempt takes a request
and, before its prompt is read, all its input tokens; what the prompt cache held is given back when it is read, and all
of it if it never is. Output tokens are taken when they have been produced, so that bucket may fall below zero; while it
holds less than a token, nothing passes. `max_tokens` counts for nothing. A refused attempt costs nothing.
"""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from mockclaude import catalog
from mockclaude.quota import GRAIN, Kind, Level, Over, Quota
from mockclaude.terms import Rate, Terms

CALLERS_KEPT = 100_000


class Gauge(NamedTuple):
    """A bucket's measure: what flows in, and how much it holds."""

    per_minute: float
    depth: float


def gauges(rate: Rate) -> dict[Kind, Gauge]:
    """The buckets that a rate asks for."""
    requests, ins, outs = rate.requests_per_minute, rate.input_tokens_per_minute, rate.output_tokens_per_minute
    found: dict[Kind, Gauge | None] = {
        "requests": Gauge(requests, rate.depth) if requests else None,
        "input tokens": Gauge(ins, ins) if ins else None,
        "output tokens": Gauge(outs, outs) if outs else None,
    }
    return {kind: gauge for kind, gauge in found.items() if gauge is not None}


@functools.lru_cache(maxsize=256)
def group(model: catalog.Model) -> str:
    """The class of models that shares limits [A]: all of 4.x together, each version from 5 on by itself, but all Fables
    (and all Mythos) of 5.x together.
    """
    major, minor = model.version
    alone = major >= 5 and model.family not in ("fable", "mythos")
    return f"{model.family} {major}.{minor if alone else 'x'}"


class Claim(NamedTuple):
    """What an attempt asks for: so many input tokens of a model, for a key and, if it says so, a workspace."""

    key: str
    model: catalog.Model
    tokens: int = 0
    workspace: str = ""


class Refusal(NamedTuple):
    """Which limit refuses, and as `Quota` tells it; the largest is the one that refuses longest."""

    wait: float
    over: Over
    limit: float
    rises_to: float = 0.0


class Bucket:
    """So many were left at time `stamp`; below zero when more was used than there was."""

    __slots__ = ("level", "stamp")

    def __init__(self, level: float, stamp: float) -> None:
        self.level = level
        self.stamp = stamp

    def refill(self, gauge: Gauge, now: float) -> None:
        """Bring the level up to `now`."""
        self.level, self.stamp = self.at(gauge, now), now

    def at(self, gauge: Gauge, now: float) -> float:
        """How much is left at `now`."""
        return min(gauge.depth, self.level + (now - self.stamp) * gauge.per_minute / 60)

    def wait(self, gauge: Gauge, needed: float) -> float:
        """Seconds until `needed` is there, 0 if it is."""
        missing = needed - self.level
        if missing <= GRAIN * gauge.per_minute / 60:
            return 0.0
        return math.inf if needed > gauge.depth else missing * 60 / gauge.per_minute


class Account:
    """What one caller has left of one class of models, and the input tokens of this minute and the one before."""

    __slots__ = ("before", "buckets", "family", "minute", "used")

    def __init__(self, family: str) -> None:
        self.family = family
        self.buckets: dict[Kind, Bucket] = {}
        self.minute = 0
        self.used = 0
        self.before = 0

    def refill(self, measures: Mapping[Kind, Gauge], now: float) -> None:
        """Bring every bucket up to `now`; one that is new is full."""
        for kind, gauge in measures.items():
            self.bucket(kind, gauge, now)

    def bucket(self, kind: Kind, gauge: Gauge, now: float) -> Bucket:
        """One bucket, at its level of now; one that is new is full."""
        bucket = self.buckets.get(kind)
        if bucket is None:
            bucket = self.buckets[kind] = Bucket(gauge.depth, now)
        else:
            bucket.refill(gauge, now)
        return bucket

    def turn(self, minute: int) -> None:
        """It is that minute now."""
        if minute > self.minute:
            self.before = self.used if minute == self.minute + 1 else 0
            self.minute, self.used = minute, 0

    def take(self, tokens: int) -> None:
        """Take a request with so many input tokens."""
        taken: dict[Kind, int] = {"requests": 1, "input tokens": tokens}
        for kind, amount in taken.items():
            if kind in self.buckets:
                self.buckets[kind].level -= amount
        self.used += tokens

    def rested(self, measures: Mapping[Kind, Gauge], minute: int, now: float) -> bool:
        """Whether it is the same as a new one."""
        self.refill(measures, now)
        self.turn(minute)
        return not (self.used or self.before) and all(self.buckets[k].level >= g.depth for k, g in measures.items())


class Charge:
    """What one attempt has taken, until it is known what it used."""

    __slots__ = ("_claim", "_limits", "_read", "_used")

    def __init__(self, limits: Limits, claim: Claim) -> None:
        self._limits = limits
        self._claim = claim
        self._used = claim.tokens
        self._read = False

    def read(self, cached: int, now: float) -> None:
        """The prompt has been read; what the cache held of it is free."""
        self._read = True
        if cached:
            self._used -= cached
            self._limits.correct(self._claim, cached, 0, now)

    def close(self, produced: int, now: float) -> None:
        """The attempt is over, after so many output tokens."""
        unread = 0 if self._read else self._claim.tokens
        self._limits.correct(self._claim, unread, produced, now)
        self._limits.spent += self._used - unread + produced


class Limits:
    """The accounts of all callers under the terms in force. `spent` counts the tokens used by all of them.

    Callers who are rested are forgotten, and of more than `kept` the one longest silent, so that memory is bounded.
    Minutes, which only the ramp knows, are counted from `zero`.
    """

    def __init__(self, terms: Terms, zero: float = 0.0, kept: int = CALLERS_KEPT) -> None:
        self.terms = terms
        self.spent = 0
        self._zero = zero
        self._kept = kept
        self._gauges = {family: gauges(rate) for family, rate in terms.rates.items()}
        self._accounts: OrderedDict[tuple[str, str], Account] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accounts)

    def take(self, claim: Claim, now: float) -> Quota | None:
        """Charge an attempt, or say what refuses it; None when nothing is limited."""
        terms, measures = self.terms, self._gauges[claim.model.family]
        if terms.spend is not None and self.spent >= terms.spend.tokens:
            return Quota({}, terms.spend.kind, math.inf)
        if not measures and terms.ramp is None:
            return None
        account = self._account(claim, now)
        account.refill(measures, now)
        account.turn(self._minute(now))
        refusal = self._refusal(account, claim, now)
        if refusal is None:
            account.take(claim.tokens)
        shown = measures if terms.headers else {}
        levels = {kind: _level(gauge, account.buckets[kind]) for kind, gauge in shown.items()}
        return Quota(levels) if refusal is None else Quota(levels, **refusal._asdict())

    def correct(self, claim: Claim, unused: int, produced: int, now: float) -> None:
        """Give back input tokens that were not used, and take the output tokens that were produced."""
        measures = self._gauges[claim.model.family]
        ins, outs = measures.get("input tokens"), measures.get("output tokens")
        if unused and ins is not None:  # beyond the brim it is lost when the bucket is next looked at
            self._account(claim, now).bucket("input tokens", ins, now).level += unused
        if produced and outs is not None:
            self._account(claim, now).bucket("output tokens", outs, now).level -= produced

    def change(self, terms: Terms, now: float) -> None:
        """Put other terms in force: what was spent stays spent, a smaller bucket spills at once."""
        measures = {family: gauges(rate) for family, rate in terms.rates.items()}
        for account in self._accounts.values():
            account.refill(self._gauges[account.family], now)
            after = measures[account.family]
            account.buckets = {kind: bucket for kind, bucket in account.buckets.items() if kind in after}
            account.refill(after, now)
        self.terms, self._gauges = terms, measures

    def lowest(self, kind: Kind, now: float) -> float:
        """The share that is left in the emptiest bucket of a kind: 1 when all are full or there is none."""
        lowest = 1.0
        measured = {family: measures.get(kind) for family, measures in self._gauges.items()}
        for account in self._accounts.values():
            gauge, bucket = measured[account.family], account.buckets.get(kind)
            if gauge is not None and bucket is not None:
                lowest = min(lowest, bucket.at(gauge, now) / gauge.depth)
        return lowest

    def _refusal(self, account: Account, claim: Claim, now: float) -> Refusal | None:
        """Of the buckets that do not hold what is needed the one that takes longest, and what the ramp makes of it."""
        needed: dict[Kind, int] = {"requests": 1, "input tokens": claim.tokens, "output tokens": 1}
        found = [
            Refusal(wait, kind, gauge.per_minute)
            for kind, gauge in self._gauges[account.family].items()
            if (wait := account.buckets[kind].wait(gauge, needed[kind]))
        ]
        longest = max(found, default=None)
        return longest if self.terms.ramp is None else self._ramped(account, claim, now, self.terms.ramp, longest)

    def _ramped(self, account: Account, claim: Claim, now: float, ramp: float, other: Refusal | None) -> Refusal | None:
        """The refusal when a minute's input may exceed the last one's by `ramp` only, and `other` refuses anyway.

        That the limit rises at minute boundaries is [B]; that it follows use like this is [C], from that capture's
        figures. It falls again in silence, so what matters is the minute in which the buckets would let it pass.
        """
        limit, rises_to = account.before + ramp, account.used + ramp
        begin = now if other is None else now + other.wait
        ahead = 2 if begin == math.inf else min(2, self._minute(begin) - account.minute)
        fits = account.used + claim.tokens <= limit, claim.tokens <= rises_to, claim.tokens <= ramp
        if fits[ahead]:
            return other
        if ahead == 0 and fits[1]:
            return Refusal(self._zero + 60 * (account.minute + 1) - now, "ramp", limit, rises_to)
        return Refusal(math.inf, "ramp", limit, rises_to) if other is None else other._replace(wait=math.inf)

    def _account(self, claim: Claim, now: float) -> Account:
        scope = self.terms.scope
        who = claim.key if scope == "key" else claim.workspace if scope == "workspace" else ""
        caller = (who, group(claim.model))
        account = self._accounts.get(caller)
        if account is None:
            self._forget(now)
            account = self._accounts[caller] = Account(claim.model.family)
        self._accounts.move_to_end(caller)
        return account

    def _forget(self, now: float) -> None:
        """Forget the two longest silent, if they have rested, so that each newcomer costs the same."""
        for _ in range(min(2, len(self._accounts))):
            oldest = next(iter(self._accounts))
            account = self._accounts[oldest]
            rested = account.rested(self._gauges[account.family], self._minute(now), now)
            if not rested and len(self._accounts) < self._kept:
                return
            del self._accounts[oldest]

    def _minute(self, now: float) -> int:
        return math.floor((now - self._zero + GRAIN) / 60)


def _level(gauge: Gauge, bucket: Bucket) -> Level:
    return Level(gauge.per_minute, bucket.level, (gauge.depth - bucket.level) * 60 / gauge.per_minute)
