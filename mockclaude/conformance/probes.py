"""The requests that conformance is judged by: few and small, for they may cost money."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from mockclaude import catalog
from mockclaude.conformance.exchange import Absent, Exchange, Request
from mockclaude.recordings import transcript
from mockclaude.recordings.recording import Event

Json = Mapping[str, Any]

OLD, NEW = "2023-06-01", "2026-10-21"
WRONG_KEY = "sk-ant-api03-no-such-key"
COUNT = [{"role": "user", "content": "Count from one to a hundred in words, separated by commas. No other text."}]
RIDDLE = [{"role": "user", "content": "Is 221 a prime number? Answer yes or no."}]
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}, "count": {"type": "integer"}},
    "required": ["colour", "count"],
    "additionalProperties": False,
}
TOOL = {"name": "pick_colour", "description": "Picks a colour and a count.", "input_schema": SCHEMA}
PAGE = 2


class Terms(NamedTuple):
    """Whom to ask for what: the model, and the caller's key."""

    model: str
    key: str

    @property
    def traits(self) -> catalog.Model | None:
        """What the model can do; None for one that Claude does not have."""
        return catalog.find(self.model)


Look = Callable[[str], Exchange]
"""The exchange of another probe, by its name."""
Probe = Callable[[Terms, Look], Request]


def message(
    terms: Terms, version: str = OLD, credential: str = "x-api-key", query: str = "", **fields: object
) -> Request:
    """A request for a message; a field that is None is left out."""
    body = {"model": terms.model, "max_tokens": 1, "messages": COUNT, **fields}
    told = {name: value for name, value in body.items() if value is not None}
    return Request(f"/v1/messages{query}", told, headers(terms, version, credential))


def headers(terms: Terms, version: str = OLD, credential: str = "x-api-key") -> dict[str, str]:
    """Who asks, in which version, by which of the two credentials."""
    shown = {"authorization": f"Bearer {terms.key}"} if credential == "bearer" else {credential: terms.key}
    return {"content-type": "application/json", "anthropic-version": version, **shown}


def asking(version: str = OLD, credential: str = "x-api-key", query: str = "", **fields: object) -> Probe:
    """A probe that asks for a message."""
    return lambda terms, look: message(terms, version, credential, query, **fields)


def getting(path: str, method: str = "GET") -> Probe:
    """A probe without a body."""
    return lambda terms, look: Request(path, None, headers(terms), method)


def _counting(terms: Terms, look: Look) -> Request:
    return Request("/v1/messages/count_tokens", {"model": terms.model, "messages": COUNT}, headers(terms))


def _next_page(terms: Terms, look: Look) -> Request:
    first = look("models")
    if first.status != 200 or first.json.get("has_more") is not True:
        raise Absent("there is no next page")
    return Request(f"/v1/models?limit={PAGE}&after_id={quote(first.json['last_id'])}", None, headers(terms), "GET")


def _one_model(terms: Terms, look: Look) -> Request:
    return Request(f"/v1/models/{quote(terms.model, safe='')}", None, headers(terms), "GET")


def _schema(terms: Terms, look: Look) -> Request:
    if terms.traits is not None and not terms.traits.keeps_to_a_schema:
        raise Absent(f"{terms.model} has no structured output")
    given = {"format": {"type": "json_schema", "schema": SCHEMA}}
    return message(terms, max_tokens=100, output_config=given, messages=RIDDLE)


def _thinking(terms: Terms) -> Json:
    traits = terms.traits
    if traits is None or traits.thinks_on_a_budget:
        return {"type": "enabled", "budget_tokens": 1024}
    if not traits.thinks_adaptively:
        raise Absent(f"{terms.model} does not think")
    return {"type": "adaptive", "display": "summarized"}


def _thought(terms: Terms, look: Look) -> Request:
    return message(terms, max_tokens=1100, thinking=_thinking(terms), messages=RIDDLE, stream=True)


def thought(said: Exchange) -> list[Any]:
    """The blocks of a streamed reply that begins with thinking. Raises `Absent`, or what bad events lead to."""
    if said.status != 200:
        raise Absent(f"the request for thinking was answered {said.excerpt}")
    whole = transcript.assembled([Event(0.0, event.name, event.json) for event in said.events])
    blocks: list[Any] = [] if whole is None else whole["content"]
    if not blocks or blocks[0].get("type") != "thinking":
        raise Absent("the model did not think")
    return blocks


def _thought_back(terms: Terms, look: Look) -> Request:
    said = {"role": "assistant", "content": thought(look("thinking"))}
    again = {"role": "user", "content": "And 223? Answer yes or no."}
    return message(terms, max_tokens=1100, thinking=_thinking(terms), messages=[*RIDDLE, said, again])


def _thought_altered(terms: Terms, look: Look) -> Request:
    first, *rest = thought(look("thinking"))
    seal = first["signature"]
    middle = len(seal) // 2
    forged = seal[:middle] + ("AAAA" if seal[middle : middle + 4] != "AAAA" else "BBBB") + seal[middle + 4 :]
    said = {"role": "assistant", "content": [first | {"signature": forged}, *rest]}
    again = {"role": "user", "content": "And 223? Answer yes or no."}
    return message(terms, max_tokens=1100, thinking=_thinking(terms), messages=[*RIDDLE, said, again])


PROBES: Mapping[str, Probe] = {
    "plain": asking(max_tokens=12),
    "stream": asking(NEW, "bearer", max_tokens=60, stream=True),
    "stop": asking(max_tokens=30, stop_sequences=["e", "a", "i", "o"]),
    "key-new": asking(NEW),
    "bearer-old": asking(OLD, "bearer"),
    "bearer-new": asking(NEW, "bearer"),
    "beta": asking(query="?beta=true"),
    "tool": asking(max_tokens=200, stream=True, tools=[TOOL], tool_choice={"type": "tool", "name": TOOL["name"]}),
    "schema": _schema,
    "thinking": _thought,
    "thought-back": _thought_back,
    "thought-altered": _thought_altered,
    "counting": _counting,
    "models": getting(f"/v1/models?limit={PAGE}"),
    "models-next": _next_page,
    "model": _one_model,
    "head": getting("/", "HEAD"),
}
"""What is asked, beside what is to be refused."""
