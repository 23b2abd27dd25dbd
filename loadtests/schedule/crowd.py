"""Who comes when, and what each of them asks: first, and then, having got an answer."""

import dataclasses
import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence

from loadtests.documents.field import Shares
from loadtests.schedule import amount, arrivals, rate, words
from loadtests.schedule.load import MOST_OUTPUT, Arrival, Ask, Load, User, most_input
from loadtests.schedule.rate import Stretch

REPEATED = 10
"""How many questions there are that are asked again and again."""
MOST = 10**7  # visitors of a run
BREATH = 0.001
"""Seconds that pass in a closed loop before the next question, even of one who does not think."""


class Crowd:
    """The visitors of one run. What they do depends on load and seed alone: each variant meets the same crowd.

    `start` counts from 1: a later start of the same load asks under other names and in other words.
    """

    def __init__(self, load: Load, stretches: Sequence[Stretch], seed: int, variant: str, start: int = 1) -> None:
        self._load, self._stretches, self._seed = load, stretches, seed
        self._name, self._start = f"{variant}-{seed}", start
        self._end = stretches[-1].end
        self._repeated = _Traits(load, f"{seed}").repeated(seed)

    def arrivals(self) -> list[Arrival]:
        """The first question of each visitor, in the order of time."""
        traits = _Traits(self._load, f"{self._seed}")
        coming = self._users() if self._load.waits else self._visitors()
        in_time = itertools.takewhile(lambda at: at < self._end, coming)
        return [self._arrival(at, visitor, 1, traits) for visitor, at in enumerate(in_time, start=1)]

    def after(self, last: Arrival, now: float) -> Arrival | None:
        """What the same visitor asks next, `last` having ended just `now`; None: no more, or not in this run."""
        if not self._load.waits and last.turn >= self._load.turns:
            return None
        turn = last.turn + 1
        traits = self._traits(last.visitor, turn)
        at = round(now + max(traits.think(), BREATH if self._load.waits else 0.0), 6)
        if at >= self._end:
            return None
        coming = self._arrival(at, last.visitor, turn, traits)
        if last.turn % self._load.turns == 0:
            return coming
        told = (*last.ask.history, *last.ask.texts, traits.answer(last.ask.max_tokens))
        ask = dataclasses.replace(coming.ask, history=told, model=last.ask.model)
        return dataclasses.replace(coming, ask=ask, priority=last.priority, user=last.user)

    def texts(self, request_id: str) -> tuple[str, ...] | None:
        """What was asked in a later turn, by the name of the request; None when there is no such turn."""
        found = re.fullmatch(rf"{re.escape(self._name)}-(\d{{6,}})-(\d+)", request_id)
        if found is None:
            return None
        visitor, turn = map(int, found.groups())
        return self._arrival(0.0, visitor, turn, self._traits(visitor, turn)).ask.texts

    def _traits(self, visitor: int, turn: int) -> "_Traits":
        return _Traits(self._load, f"{self._seed}:{visitor}:{turn}")

    def _visitors(self) -> Iterator[float]:
        counts = arrivals.counts(self._load.arrivals, random.Random(f"{self._seed}:arrivals"))
        return (round(at, 6) for at in rate.moments(counts, self._stretches))

    def _users(self) -> Iterator[float]:
        """All are there from the start, each at some point of its thinking."""
        rng, traits = random.Random(f"{self._seed}:arrivals"), _Traits(self._load, f"{self._seed}:users")
        return iter(sorted(round(rng.random() * traits.think(), 6) for _ in range(self._load.users or 0)))

    def _arrival(self, at: float, visitor: int, turn: int, traits: "_Traits") -> Arrival:
        number = f"{visitor:06d}" if turn == 1 else f"{visitor:06d}-{turn}"
        ask = traits.ask(
            visitor if turn == 1 else f"{visitor}, turn {turn}", visitor + (turn - 1) * MOST, self._repeated
        )
        waiting, reading = traits.leaves()
        who = (traits.priority(), traits.user(), visitor, turn)
        coming = Arrival(at, f"{self._name}-{number}", ask, *who, waiting, reading)
        return coming.again(self._start)


class _Traits:
    """Chances of what is asked. Each trait has one of its own, so that a share changes nothing but itself."""

    def __init__(self, load: Load, whose: str) -> None:
        self._load, self._whose = load, whose
        self._chances: dict[str, random.Random] = {}

    def ask(self, name: object, number: int, repeated: Sequence[str]) -> Ask:
        text = self._filled(words.question(name, self._chance("prompts")))
        again = self._chance("repeat").choice(repeated)
        if self._chance("repeat").random() < self._load.repeat:
            text = again
        malformed = self._chance("malformed").random() < self._load.malformed
        texts = _blanks(number, self._load.prompts) if malformed else _parts(text, self._load.prompts)
        model = _one_of(self._load.model, self._chance("model"))
        tokens = self._load.system_tokens
        return Ask(texts, model, self._max_tokens(), words.system_prompt(tokens) if tokens else None)

    def repeated(self, seed: int) -> list[str]:
        asked = (words.question(f"again {n}", random.Random(f"{seed}:again:{n}")) for n in range(1, REPEATED + 1))
        return [self._filled(text) for text in asked]

    def answer(self, tokens: int) -> str:
        """What stands in a history in the place of an answer: as long as one, so that a context grows as if each had
        been given."""
        return words.filled("Answer:", tokens, self._chance("answer"))

    def priority(self) -> str | None:
        shares = self._load.priority
        return None if shares is None else _one_of(shares, self._chance("priority"))

    def user(self) -> str:
        return _one_of(self._load.user, self._chance("user"))

    def think(self) -> float:
        return amount.draw(self._load.think, self._chance("think"))

    def leaves(self) -> tuple[float | None, float | None]:
        """After how many seconds of waiting or of reading."""
        leaving = self._load.leaves
        if leaving is None:
            return None, None
        chance = self._chance("leaves")
        goes = chance.random() < leaving.share
        given = leaving.waiting if leaving.reading is None else leaving.reading
        seconds = amount.draw(given or 0.0, chance)
        if not goes:
            return None, None
        return (seconds, None) if leaving.reading is None else (None, seconds)

    def _filled(self, text: str) -> str:
        tokens = amount.draw(self._load.prompt_tokens, self._chance("prompt_tokens"))
        return words.filled(text, min(tokens, *map(most_input, self._load.mix)), self._chance("filling"))

    def _max_tokens(self) -> int:
        return round(min(max(1.0, amount.draw(self._load.max_tokens, self._chance("max_tokens"))), MOST_OUTPUT))

    def _chance(self, name: str) -> random.Random:
        if name not in self._chances:
            self._chances[name] = random.Random(f"{self._whose}:{name}")
        return self._chances[name]


def _one_of(shares: Shares | Mapping[User, float], rng: random.Random) -> str:
    return shares if isinstance(shares, str) else rng.choices(list(shares), list(shares.values()))[0]


def _parts(text: str, count: int) -> tuple[str, ...]:
    return (text,) if count == 1 else tuple(f"{text} Part {part} of {count}." for part in range(1, count + 1))


def _blanks(number: int, count: int) -> tuple[str, ...]:
    return tuple(words.blank(number * count + part) for part in range(count))
