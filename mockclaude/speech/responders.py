"""Who answers: rules that choose a responder for each request, and the responders, which make a script of it.

The first rule that matches answers; without one the reply is generated. To add a responder: a frozen dataclass with
`script`, and its name in `RESPONDERS`. Its fields are its YAML and its JSON.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

from annotated_types import Ge
from pydantic import ConfigDict, Strict

from mockclaude import settings, tokens
from mockclaude.aim import Facts, Match
from mockclaude.draw import Draw
from mockclaude.recordings.replay import Recorded
from mockclaude.request import ask
from mockclaude.speech import generated, script
from mockclaude.speech.scripted import Scripted

Count = Annotated[int, Strict(), Ge(0)]


class Responder(Protocol):
    """One way to answer."""

    def script(self, ask: ask.Ask, draw: Draw, length: int) -> script.Script:
        """What to say, about `length` tokens if that is its to choose; raises `ApiError` for a refusal."""

    def check(self, loc: settings.Loc) -> None:
        """Raises `ConfigError` for what its types alone do not tell."""

    def as_config(self) -> object:
        """The section that gives it."""


class _Plain:
    """What a responder without more to check does."""

    def check(self, loc: settings.Loc) -> None:
        """Nothing beyond the types."""

    def as_config(self) -> object:
        """Its fields that are set."""
        fields: dict[str, object] = dataclasses.asdict(self)  # type: ignore[call-overload]
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class Generated(_Plain):
    """What Claude says by default: seeded text, JSON for a schema, calls of tools; here its length may be set."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    output_tokens: Count | None = None
    thinking_tokens: Count | None = None

    def script(self, ask: ask.Ask, draw: Draw, length: int) -> script.Script:
        """A reply of `output_tokens`, `thinking_tokens` of them thinking if the request asks for that."""
        size = length if self.output_tokens is None else min(self.output_tokens, ask.max_tokens)
        return generated.reply(ask, draw, size, self.thinking_tokens)


@dataclass(frozen=True)
class Echo(_Plain):
    """The last user text, back."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    def script(self, asked: ask.Ask, draw: Draw, length: int) -> script.Script:
        """One text."""
        return _text(ask.last_user_text(asked.body["messages"]), asked)


@dataclass(frozen=True)
class Fixed(_Plain):
    """Always the same text."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    text: str

    def script(self, ask: ask.Ask, draw: Draw, length: int) -> script.Script:
        """One text."""
        return _text(self.text, ask)

    def as_config(self) -> object:
        """The text."""
        return self.text


RESPONDERS: Mapping[str, type[Any]] = {
    "generated": Generated,
    "echo": Echo,
    "fixed": Fixed,
    "scripted": Scripted,
    "recorded": Recorded,
}


@dataclass(frozen=True)
class Call(Match):
    """Which requests a rule is for: all that is given must hold. `nth` counts those for which the rest holds."""

    __pydantic_config__: ClassVar[ConfigDict] = settings.STRICT

    nth: tuple[Annotated[int, Strict(), Ge(1)], ...] | None = None


class Rule(NamedTuple):
    """One rule; `place` is where it stands in the configuration, under which its matches are counted."""

    place: settings.Loc
    match: Call
    responder: Responder


Rules = tuple[Rule, ...]
Counts = Counter[settings.Loc]
DEFAULT = Generated()


def reply(rules: Rules, counts: Counts, facts: Facts, draw: Draw, length: int) -> script.Script:
    """What the first matching rule says, fitted into what the request allows; raises `ApiError` for a refusal.

    `counts` has how many requests each rule was for since the last reset, and is kept up here.
    """
    asked = facts.asked
    said = chosen(rules, counts, facts).script(asked, draw, length)
    if asked.body.get("context_management") is not None:
        said = said._replace(extras={"context_management": {"applied_edits": []}, **(said.extras or {})})
    return script.fitted(said, asked.max_tokens, asked.stop_sequences, asked.model.token_scale)


def chosen(rules: Rules, counts: Counts, facts: Facts) -> Responder:
    """The responder of the first rule that matches."""
    for rule in rules:
        if rule.match.holds(facts):
            counts[rule.place] += 1
            if rule.match.nth is None or counts[rule.place] in rule.match.nth:
                return rule.responder
    return DEFAULT


def parse(section: object, base: Rules = (), loc: settings.Loc = ("responders",)) -> Rules:
    """Read a list of rules; it takes the place of `base` as a whole."""
    if not isinstance(section, Sequence) or isinstance(section, str):
        raise settings.ConfigError([settings.Problem(loc, f"expected a list of rules, got {section!r}")])
    rules: list[Rule] = []
    problems: list[settings.Problem] = []
    for index, entry in enumerate(section):
        try:
            rules.append(_rule(entry, (*loc, index)))
        except settings.ConfigError as error:
            problems += error.problems
    if problems:
        raise settings.ConfigError(problems)
    return tuple(rules)


def _rule(entry: object, loc: settings.Loc) -> Rule:
    if not isinstance(entry, Mapping):
        raise settings.ConfigError([settings.Problem(loc, f"expected a mapping, got {entry!r}")])
    known = ("match", *RESPONDERS)
    problems = [
        settings.Problem((*loc, str(key)), settings.unknown(str(key), known)) for key in entry if key not in known
    ]
    named = [name for name in RESPONDERS if name in entry]
    if len(named) != 1 and not problems:
        said = f"expected exactly one of {', '.join(RESPONDERS)}, got {' and '.join(named) or 'none'}"
        problems = [settings.Problem(loc, said)]
    if problems:
        raise settings.ConfigError(problems)
    match = settings.read(Call, {} if entry.get("match") is None else entry["match"], (*loc, "match"))
    return Rule(loc, match, _responder(named[0], entry[named[0]], (*loc, named[0])))


def _responder(name: str, section: object, loc: settings.Loc) -> Responder:
    """`fixed` may be its text alone; whatever needs nothing may be left empty."""
    if name == "fixed" and isinstance(section, str):
        section = {"text": section}
    responder: Responder = settings.read(RESPONDERS[name], {} if section is None else section, loc)
    responder.check(loc)
    return responder


def as_config(rules: Rules) -> list[dict[str, object]]:
    """The section that gives these rules."""
    names = {kind: name for name, kind in RESPONDERS.items()}
    return [_match(rule.match) | {names[type(rule.responder)]: rule.responder.as_config()} for rule in rules]


def _match(match: Call) -> dict[str, object]:
    set_here = {name: value for name, value in dataclasses.asdict(match).items() if value not in (None, {})}
    return {"match": set_here} if set_here else {}


def _text(text: str, asked: ask.Ask) -> script.Script:
    blocks = (script.Text(text, tokens.count(text, asked.model.token_scale)),) if text else ()
    return script.Script(blocks)
