"""Requests that Claude refuses, each with its words; a refusal costs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mockclaude import catalog
from mockclaude.conformance import probes
from mockclaude.conformance.exchange import Absent, Exchange, Request, Wrong
from mockclaude.conformance.probes import COUNT, NEW, TOOL, WRONG_KEY, Look, Probe, Terms, asking

INVALID = "invalid_request_error"
ASKED = COUNT[0]
MARK = {"cache_control": {"type": "ephemeral"}}
USE = {"type": "tool_use", "id": "toolu_01Conform", "name": TOOL["name"], "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_01Conform", "content": "red"}
SAID = {"role": "assistant", "content": "one, two"}


class Refusal(NamedTuple):
    """A request and the refusal it leads to: status, error type and message.

    In `text`, `*` stands for anything and ` | ` between texts that have all been seen.

    `open_door` is for what a server may well answer: why it did so.
    """

    probe: Probe
    text: str
    status: int = 400
    kind: str = INVALID
    evidence: str = "B"
    open_door: str | None = None


def _saying(*blocks: object) -> list[object]:
    return [{"role": "user", "content": list(blocks)}]


def _text(text: str) -> dict[str, object]:
    return {"type": "text", "text": text}


def _raw(body: bytes) -> Probe:
    return lambda terms, look: Request(body=body, headers=probes.headers(terms))


def _without(*names: str) -> Probe:
    """A good request without these headers."""

    def made(terms: Terms, look: Look) -> Request:
        request = probes.message(terms)
        return request._replace(headers={key: said for key, said in request.headers.items() if key not in names})

    return made


def _as_nobody(credential: str) -> Probe:
    return lambda terms, look: probes.message(terms._replace(key=WRONG_KEY), credential=credential)


def _only(fits: Callable[[catalog.Model], bool], why: str, probe: Probe) -> Probe:
    """For models that fit; others are told apart by the reason."""

    def made(terms: Terms, look: Look) -> Request:
        if terms.traits is None or not fits(terms.traits):
            raise Absent(f"{terms.model} {why}")
        return probe(terms, look)

    return made


REFUSALS: Mapping[str, Refusal] = {
    "missing-max-tokens": Refusal(asking(max_tokens=None), "max_tokens: Field required"),
    "missing-model": Refusal(asking(model=None), "model: Field required"),
    "missing-content": Refusal(asking(messages=[{"role": "user"}]), "messages.0.content: Field required"),
    "unknown-field": Refusal(asking(foo=1), "foo: Extra inputs are not permitted"),
    "invalid-json": Refusal(_raw(b'{"model": "x", "messages"'), "The request body is not valid JSON: *"),
    "no-messages": Refusal(asking(messages=[]), "messages: at least one message is required"),
    "first-role": Refusal(asking(messages=[SAID, ASKED]), 'messages: first message must use the "user" role'),
    "empty-text": Refusal(asking(messages=_saying(_text(""))), "messages: text content blocks must be non-empty"),
    "blank-text": Refusal(
        asking(messages=_saying(_text(" "))), "messages: text content blocks must contain non-whitespace text"
    ),
    "block-type": Refusal(
        asking(messages=_saying({"type": "nope"})),
        "messages.0.content.0: Input tag 'nope' found using 'type' does not match any of the expected tags: 'text', *",
    ),
    "longest-reply": Refusal(
        asking(max_tokens=10_000_000),
        "max_tokens: 10000000 > *, which is the maximum allowed number of output tokens for *",
    ),
    "tool-names": Refusal(asking(tools=[TOOL, TOOL]), "tools: Tool names must be unique."),
    "tool-name": Refusal(
        asking(tools=[{**TOOL, "name": "a b"}]),
        "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    ),
    "tool-schema": Refusal(asking(tools=[{"name": "bare"}]), "tools.0.custom.input_schema: Field required"),
    "tool-unknown": Refusal(
        asking(tools=[TOOL], tool_choice={"type": "tool", "name": "other"}), "Tool 'other' not found in provided tools"
    ),
    "tool-unanswered": Refusal(
        asking(tools=[TOOL], messages=[ASKED, {"role": "assistant", "content": [USE]}, ASKED]),
        (
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_01Conform. "
            "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
        ),
    ),
    "tool-unasked": Refusal(
        asking(tools=[TOOL], messages=_saying(RESULT)),
        (
            "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_01Conform. "
            "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
        ),
    ),
    "breakpoints": Refusal(
        asking(messages=_saying(*({**_text(f"part {k}"), **MARK} for k in range(5)))),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    "blank-stop": Refusal(
        asking(stop_sequences=[" "]), "stop_sequences: each stop sequence must contain non-whitespace"
    ),
    "small-budget": Refusal(
        asking(thinking={"type": "enabled", "budget_tokens": 100}, max_tokens=2000),
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    "forced-thought": Refusal(
        _only(
            lambda model: model.thinks_on_a_budget,
            "does not think on a budget",
            asking(
                thinking={"type": "enabled", "budget_tokens": 1024},
                max_tokens=2000,
                tools=[TOOL],
                tool_choice={"type": "any"},
            ),
        ),
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    "sampling": Refusal(asking(NEW, temperature=1), "temperature: Extra inputs are not permitted"),
    "sampling-both": Refusal(
        _only(lambda model: model.version == (4, 5), "is not a 4.5 model", asking(temperature=0.5, top_p=0.9)),
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
    ),
    "sampling-late": Refusal(
        _only(lambda model: not model.takes_sampling, "still takes temperature", asking(temperature=0.5)),
        "`temperature` is deprecated for this model.",
    ),
    "prefill": Refusal(
        _only(lambda model: not model.takes_prefill, "takes a prefill", asking(messages=[ASKED, SAID])),
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    "prefill-space": Refusal(
        _only(
            lambda model: model.takes_prefill,
            "takes no prefill",
            asking(messages=[ASKED, {"role": "assistant", "content": "one, "}]),
        ),
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    "no-version": Refusal(_without("anthropic-version"), "anthropic-version: header is required"),
    "no-key": Refusal(
        _without("x-api-key"),
        "x-api-key header is required",
        401,
        "authentication_error",
        open_door="the server asks for no key",
    ),
    "wrong-key": Refusal(
        _as_nobody("x-api-key"), "invalid x-api-key", 401, "authentication_error", open_door="the server takes any key"
    ),
    "wrong-bearer": Refusal(
        _as_nobody("bearer"),
        "Invalid bearer token | Invalid authentication credentials",
        401,
        "authentication_error",
        open_door="the server takes any key",
    ),
    "unknown-model": Refusal(asking(model="claude-nope"), "model: claude-nope", 404, "not_found_error"),
    "raw-utf-8": Refusal(asking(model="claude-né"), "model: claude-né", 404, "not_found_error"),
    "unknown-path": Refusal(probes.getting("/v1/nope"), "Not found", 404, "not_found_error"),
}
"""Name -> what is refused, and how."""


def judge(refusal: Refusal, said: Exchange) -> None:
    """Raises `Wrong` for other words than Claude's."""
    if said.status == 200 and refusal.open_door is not None:
        raise Absent(refusal.open_door)
    if said.status == 200:
        raise Wrong("200, the request was answered", f"{refusal.status} {refusal.kind}: {refusal.text}")
    error = said.json["error"]
    got, expected = (said.status, error["type"]), (refusal.status, refusal.kind)
    if got != expected or not _is_said(refusal.text, error["message"]):
        raise Wrong(f"{got[0]} {got[1]}: {error['message']}", f"{refusal.status} {refusal.kind}: {refusal.text}")


def _is_said(texts: str, message: str) -> bool:
    patterns = (".+".join(map(re.escape, text.split("*"))) for text in texts.split(" | "))
    return any(re.fullmatch(pattern, message, re.DOTALL) for pattern in patterns)
