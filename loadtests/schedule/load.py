"""What a load is, as a scenario says it; and one request that comes of it."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, get_args

import pydantic
from pydantic import Field, WrapValidator

from loadtests.documents import field
from loadtests.documents.field import Count, NotNegative, Positive, Section, Share, Shares, Switch
from loadtests.schedule import amount
from loadtests.schedule.amount import Amount
from loadtests.schedule.arrivals import Arrivals, Trace
from loadtests.schedule.rate import Rate

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
USERS: tuple[str, ...] = get_args(User)
# What only some users send; the others would leave it out without a word.
SYSTEM = ("chat", "stream", "batch", "fanout", "route", "messages", "messages_stream")
VERBATIM = (*SYSTEM, "quick")
STREAMS = ("stream", "quick", "messages_stream")
CLAUDES = ("messages", "messages_stream")
TAKEN_BY: dict[str, Sequence[str]] = {
    "prompts": ("batch", "fanout"),
    "system_tokens": SYSTEM,
    "malformed": VERBATIM,
    "turns": CLAUDES,
}
INSTEAD = {"malformed": "asks in words of its own", "turns": "has no history to send"}
MOST_OUTPUT = 8096


def most_input(user: str) -> int:
    """How many tokens a prompt may have: the gateway's own routes take 10,000 characters."""
    return 0 if user == "health" else 200_000 if user in CLAUDES else 2_850


def mix_of(user: Iterable[str]) -> list[str]:
    """The kinds of user there are in it."""
    return [user] if isinstance(user, str) else list(user)


Mix = Annotated[
    User | dict[User, float],
    WrapValidator(lambda value, _: field.shares(value, USERS.__contains__, ", ".join(USERS))),
]


class Probe(Section):
    """A load balancer in miniature: it asks for `path` every so many seconds, and after so many failures in a row
    (no 2xx within `timeout`) sends nobody to the gateway until it is healthy again."""

    path: str = Field(pattern="^/")
    every: Positive = 0.5
    timeout: Positive = 1.0
    unhealthy_after: Count = 3
    healthy_after: Count = 1


class Leaving(Section):
    """A `share` of callers goes away on purpose: after so many seconds of `waiting`, from the send on, or of `reading`,
    from the first words on."""

    share: Share = 1.0
    waiting: Amount | None = None
    reading: Amount | None = None

    @pydantic.model_validator(mode="after")
    def _one_moment(self) -> "Leaving":
        if (self.waiting is None) == (self.reading is None):
            raise ValueError('expected exactly one of "waiting", "reading"')
        return self


class Load(Section):
    """Requests come at a `rate`, whatever the server does; or `users` ask, wait for the answer, think, and ask again.
    With both it is so many users who share what comes at that rate.

    `patience`: seconds from the intended start after which the caller gives up. `reads`: bytes a second that it takes
    of an answer. `turns`: questions of a conversation, each asked with all before it. `attempts` and `backoff`: how
    often the caller tries in all, and how long before its first retry; doubled for each.
    """

    user: Mix
    arrivals: Arrivals = "poisson"
    users: Count | None = None
    rate: Rate | None = Field(None, validate_default=True)
    patience: Positive = 60.0
    leaves: Leaving | None = None
    reads: Positive | None = None
    turns: Count = 1
    think: Amount = 0.0
    model: Shares = "claude-haiku-4-5"
    max_tokens: Amount = 120
    prompt_tokens: Amount = 0
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
        users = info.data.get("users")
        if value is None and not traced and users is None and "arrivals" in info.data:
            raise ValueError("is missing; every load needs it, or a trace, or users")
        if value is not None and traced:
            raise ValueError("got a rate and a trace, expected one of them: a trace has its own pace")
        return value

    @pydantic.field_validator("leaves")
    @classmethod
    def _reads(cls, value: Leaving | None, info: pydantic.ValidationInfo) -> Leaving | None:
        others = [user for user in mix_of(info.data.get("user", {})) if user not in STREAMS]
        if value is not None and value.reading is not None and others:
            raise ValueError(f"user {others[0]} gets all words at once; expected {', '.join(STREAMS)}, or waiting")
        return value

    @pydantic.field_validator("think")
    @classmethod
    def _asks_again(cls, value: Amount, info: pydantic.ValidationInfo) -> Amount:
        once = info.data.get("turns") == 1 and (info.data.get("users") is None or info.data.get("rate") is not None)
        if once and amount.highest(value) > 0:
            raise ValueError(f"got {value}, but nobody asks again; expected turns, or users without a rate")
        return value

    @pydantic.field_validator("max_tokens", "prompt_tokens")
    @classmethod
    def _is_taken(cls, value: Amount, info: pydantic.ValidationInfo) -> Amount:
        least = int(info.field_name == "max_tokens")
        most = MOST_OUTPUT if least else min(map(most_input, mix_of(info.data.get("user", "messages"))))
        whole = not isinstance(value, float) or value.is_integer()
        if not (least <= amount.highest(value) <= most and whole):
            raise ValueError(f"got {amount.highest(value):g}, expected a whole number from {least} to {most}")
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
        mix, users = mix_of(info.data.get("user", {})), TAKEN_BY[name]
        others = [user for user in mix if user not in users]
        in_vain = others and (others == mix or name == "turns")  # some of a mix may send it; all of it must converse
        if in_vain and value != cls.model_fields[name].default:
            does = INSTEAD.get(name, "sends none")
            raise ValueError(f"got {value:g}, but user {others[0]} {does}; expected user {', '.join(users)}")
        return value

    @property
    def waits(self) -> bool:
        """Whether it is a closed loop: who asks again waits for the answer, however long that takes."""
        return self.users is not None and self.rate is None and not isinstance(self.arrivals, Trace)

    @property
    def shared(self) -> bool:
        """Whether so many users share what comes: what comes while all are busy is sent late, and not for our sake."""
        return self.users is not None and not self.waits

    @property
    def pace(self) -> Rate:
        """Its rate; that of a trace is 1: its moments are as they are."""
        return 1.0 if self.rate is None else self.rate

    @property
    def mix(self) -> list[str]:
        return mix_of(self.user)

    @property
    def models(self) -> list[str]:
        return [self.model] if isinstance(self.model, str) else list(self.model)


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """What one request asks: one text, or some in a batch. `history`: what was asked and answered before, by turns."""

    texts: tuple[str, ...]
    model: str
    max_tokens: int
    system: str | None = None
    history: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """`at`: intended start, seconds since T0. `request_id` names it in every program's records. `turn`: how often its
    `visitor` has asked with it. Who leaves on purpose does so after so many seconds of `waiting` or of `reading`."""

    at: float
    request_id: str
    ask: Ask
    priority: str | None = None
    user: str | None = None
    visitor: int = 0
    turn: int = 1
    waiting: float | None = None
    reading: float | None = None

    def again(self, start: int) -> "Arrival":
        """Itself in a later start of the load, which counts from 1: under another name, and in words that a gateway
        with a cache has not yet heard."""
        if start == 1:
            return self
        texts = tuple(f"{text}{' ' * start if text.isspace() else f' ({start})'}" for text in self.ask.texts)
        ask = dataclasses.replace(self.ask, texts=texts)
        return dataclasses.replace(self, request_id=f"{self.request_id}.{start}", ask=ask)
