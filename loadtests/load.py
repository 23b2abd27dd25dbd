"""When requests are meant to start, and what each asks: the schedule of a run, whatever the server does."""

import dataclasses
import functools
import itertools
import random
from collections.abc import Sequence
from typing import Literal

import pydantic
from pydantic import Field

from loadtests import arrivals, field, rate
from loadtests.arrivals import Arrivals, Trace
from loadtests.field import Count, NotNegative, Positive, Section, Share, Shares, Switch
from loadtests.rate import Rate, Stretch

WORDS = [
    "queue",
    "retry",
    "budget",
    "latency",
    "stream",
    "token",
    "gateway",
    "slot",
    "burst",
    "jitter",
    "limit",
    "deadline",
    "breaker",
    "shed",
    "hedge",
    "backlog",
    "timeout",
    "recovery",
    "throughput",
    "percentile",
    "arrival",
    "capacity",
    "overload",
    "collapse",
    "goodput",
    "attempt",
]
REPEATED = 10
"""How many questions there are that are asked again and again."""
BYTES_PER_TOKEN = 3.5
PRIORITIES = ("low", "normal", "high")

User = Literal[
    "chat",
    "stream",
    "quick",
    "batch",
    "fanout",
    "summarize",
    "analyze",
    "route",
    "messages",
    "messages_stream",
    "health",
]
# What only some users send; the others would leave it out without a word.
SYSTEM = ("chat", "stream", "batch", "fanout", "route", "messages", "messages_stream")
VERBATIM = (*SYSTEM, "quick")
TAKEN_BY: dict[str, Sequence[str]] = {"prompts": ("batch", "fanout"), "system_tokens": SYSTEM, "malformed": VERBATIM}


class Probe(Section):
    """A load balancer in miniature: it asks for `path` every so many seconds, and after so many failures in a row
    (no 2xx within `timeout`) sends nobody to the gateway until it is healthy again."""

    path: str = Field(pattern="^/")
    every: Positive = 0.5
    timeout: Positive = 1.0
    unhealthy_after: Count = 3
    healthy_after: Count = 1


class Load(Section):
    """`patience`: seconds from the intended start after which the caller gives up.

    `attempts` and `backoff`: how often the caller tries in all, and how long before its first retry; doubled for each.
    """

    user: User
    arrivals: Arrivals = "poisson"
    rate: Rate | None = Field(None, validate_default=True)
    patience: Positive = 60.0
    model: Shares = "claude-haiku-4-5"
    max_tokens: int = Field(120, ge=1, le=8096, strict=True)
    prompts: int = Field(1, ge=1, le=100, strict=True)
    system_tokens: int = Field(0, ge=0, le=200_000, strict=True)
    repeat: Share = 0.0
    malformed: Share = 0.0
    priority: Shares | None = None
    deadline: Switch = False
    attempts: int = Field(1, ge=1, le=100, strict=True)
    backoff: NotNegative = 0.5
    probe: Probe | None = None

    @pydantic.field_validator("rate")
    @classmethod
    def _has_one_pace(cls, value: Rate | None, info: pydantic.ValidationInfo) -> Rate | None:
        traced = isinstance(info.data.get("arrivals"), Trace)
        if value is None and not traced and "arrivals" in info.data:
            raise ValueError("is missing; every load needs it, or a trace")
        if value is not None and traced:
            raise ValueError("got a rate and a trace, expected one of them: a trace has its own pace")
        return value

    @pydantic.field_validator("model", mode="plain")
    @classmethod
    def _claudes(cls, value: object) -> Shares:
        return field.shares(value, lambda word: word.startswith("claude-"), 'a model that starts with "claude-"')

    @pydantic.field_validator("priority", mode="plain")
    @classmethod
    def _priorities(cls, value: object) -> Shares | None:
        return None if value is None else field.shares(value, PRIORITIES.__contains__, "low, normal or high")

    @pydantic.field_validator(*TAKEN_BY)
    @classmethod
    def _is_sent(cls, value: float, info: pydantic.ValidationInfo) -> float:
        name = str(info.field_name)
        user, users = info.data.get("user"), TAKEN_BY[name]
        if user is not None and user not in users and value != cls.model_fields[name].default:
            verb = "asks in words of its own" if users is VERBATIM else "sends none"
            raise ValueError(f"got {value:g}, but user {user} {verb}; expected user {', '.join(users)}")
        return value

    @property
    def pace(self) -> Rate:
        """Its rate; that of a trace is 1: its moments are as they are."""
        return 1.0 if self.rate is None else self.rate

    @property
    def models(self) -> list[str]:
        return [self.model] if isinstance(self.model, str) else list(self.model)


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """What one request asks: one text, or some in a batch."""

    texts: tuple[str, ...]
    model: str
    max_tokens: int
    system: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """`at`: intended start, seconds since T0. `request_id` names it in every program's records."""

    at: float
    request_id: str
    ask: Ask
    priority: str | None = None

    def again(self, start: int) -> "Arrival":
        """Itself in a later start of the load, which counts from 1: under another name, and in words that a gateway
        with a cache has not yet heard."""
        texts = tuple(f"{text}{' ' * start if text.isspace() else f' ({start})'}" for text in self.ask.texts)
        ask = dataclasses.replace(self.ask, texts=texts)
        return self if start == 1 else dataclasses.replace(self, request_id=f"{self.request_id}.{start}", ask=ask)


def schedule(load: Load, stretches: Sequence[Stretch], seed: int, variant: str) -> list[Arrival]:
    """Every arrival of a run. Times depend on load and seed alone: each variant meets the same crowd."""
    counts = arrivals.counts(load.arrivals, random.Random(f"{seed}:arrivals"))
    times = (round(at, 6) for at in rate.moments(counts, stretches))
    starts = itertools.takewhile(lambda at: at < stretches[-1].end, times)
    crowd = _Crowd(load, seed)
    return [
        Arrival(at, f"{variant}-{seed}-{number:06d}", crowd.ask(number), crowd.priority())
        for number, at in enumerate(starts, start=1)
    ]


class _Crowd:
    """What those who come ask. Each trait has a chance of its own, so that a share changes nothing but itself."""

    def __init__(self, load: Load, seed: int) -> None:
        names = ("prompts", "repeat", "malformed", "model", "priority")
        self._load = load
        self._chance = {name: random.Random(f"{seed}:{name}") for name in names}
        self._repeated = [question(f"again {n}", random.Random(f"{seed}:again:{n}")) for n in range(1, REPEATED + 1)]
        self._system = system_prompt(load.system_tokens) if load.system_tokens else None

    def ask(self, number: int) -> Ask:
        text = question(number, self._chance["prompts"])
        repeated = self._chance["repeat"].choice(self._repeated)
        if self._chance["repeat"].random() < self._load.repeat:
            text = repeated
        malformed = self._chance["malformed"].random() < self._load.malformed
        texts = _blanks(number, self._load.prompts) if malformed else _parts(text, self._load.prompts)
        return Ask(texts, _one_of(self._load.model, self._chance["model"]), self._load.max_tokens, self._system)

    def priority(self) -> str | None:
        shares = self._load.priority
        return None if shares is None else _one_of(shares, self._chance["priority"])


def _one_of(shares: Shares, rng: random.Random) -> str:
    return shares if isinstance(shares, str) else rng.choices(list(shares), list(shares.values()))[0]


def _parts(text: str, count: int) -> tuple[str, ...]:
    return (text,) if count == 1 else tuple(f"{text} Part {part} of {count}." for part in range(1, count + 1))


def _blanks(number: int, count: int) -> tuple[str, ...]:
    """Texts of white space, which Claude refuses with a 400; no two of a run are the same."""
    return tuple(f"{number * count + part:b}".replace("0", " ").replace("1", "\t") for part in range(count))


def question(name: object, rng: random.Random) -> str:
    """Unique by its name, so that each request draws its own reply and latency at the mock."""
    return f"Question {name}: how do {' and '.join(rng.sample(WORDS, 4))} work together?"


@functools.cache
def system_prompt(tokens: int) -> str:
    """A text of about so many tokens, at 3.5 bytes each; the same for all who ask for that many."""
    size, rng = round(tokens * BYTES_PER_TOKEN), random.Random("system prompt")
    words = " ".join(rng.choices(WORDS, k=size // 4))
    return f"{f'You answer questions about {words}'[: size - 1]}."
