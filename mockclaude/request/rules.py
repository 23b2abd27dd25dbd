"""What Claude refuses in a body whose shape is good: limits of the model, and fields that do not go together.

Every text is one that clients have been sent [B] or that the documentation has [A], unless it is marked [C]: then only
the rule is known. The order is [C] too, where a body breaks several rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mockclaude import catalog
from mockclaude.request import dialogue
from mockclaude.tokens import Json
from mockclaude.wire import ApiError

SAMPLING = ("temperature", "top_p", "top_k")
BREAKPOINTS = 4
COMPOSED = ("oneOf", "allOf", "anyOf")
GUIDE = "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
CONSIDERATIONS = f"Please consult our documentation at {GUIDE}#important-considerations-when-using-extended-thinking"
LONGER = frozenset({"context-1m-2025-08-07"})
ENDS_AT_CONTEXT = "model-context-window-exceeded-2025-08-26"
INTERLEAVED = "interleaved-thinking-2025-05-14"
NO_THREADS = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
"""Makes the SDK's tool_runner send the whole conversation instead."""


def check(body: Json, model: catalog.Model, version: str, betas: frozenset[str]) -> None:
    """Apply every rule but those on the size of the prompt; raises a 400 in Claude's words."""
    if body.get("thread") is not None:
        raise ApiError(
            400, "thread: this server holds no threads; send the full conversation", details=NO_THREADS
        )  # [C]
    _length(body, model)
    _sampling(body, model)
    _thinking(body, model, betas)
    _effort(body, model)
    _stops(body)
    _tools(body)
    dialogue.check(body, model, version)
    _caching(body)


def fits(body: Json, model: catalog.Model, size: int, betas: frozenset[str]) -> None:
    """The prompt, `size` tokens, must leave room in the model's context; raises a 400."""
    room = 1_000_000 if betas & LONGER and model.family == "sonnet" else model.context
    if size > room:
        raise ApiError(400, f"prompt is too long: {size} tokens > {room} maximum")
    asked = body.get("max_tokens", 0)
    if size + asked > room and room == 200_000 and ENDS_AT_CONTEXT not in betas:
        sum_ = f"{size} + {asked} > {room}, decrease input length or `max_tokens` and try again"
        raise ApiError(400, f"input length and `max_tokens` exceed context limit: {sum_}")


def _length(body: Json, model: catalog.Model) -> None:
    asked, cap = body.get("max_tokens", 0), model.longest_reply
    if asked > cap:
        limit = f"{asked} > {cap}, which is the maximum allowed number of output tokens for {model.id}"
        raise ApiError(400, f"max_tokens: {limit}")


def _sampling(body: Json, model: catalog.Model) -> None:
    given = {name: body[name] for name in SAMPLING if body.get(name) is not None}
    if not given:
        return
    for name, value in given.items():
        if not model.takes_sampling and (name == "top_k" or value != 1):
            raise ApiError(400, f"`{name}` is deprecated for this model.")
        if name != "top_k" and not 0 <= value <= 1:
            raise ApiError(400, f"{name}: range: -1 or 0..1")
    if "temperature" in given and "top_p" in given and (4, 1) <= model.version < (4, 7):
        both = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        raise ApiError(400, both)


def _thinking(body: Json, model: catalog.Model, betas: frozenset[str]) -> None:
    kind = (body.get("thinking") or {}).get("type")
    if kind == "enabled":
        _budget(body, model, betas)
    elif kind == "adaptive" and not model.thinks_adaptively:
        raise ApiError(400, "adaptive thinking is not supported on this model")
    elif kind == "between_tools" and not model.thinks_adaptively:  # [C]
        raise ApiError(400, '"thinking.type.between_tools" is not supported for this model.')
    elif kind == "disabled" and model.always_thinks:
        instead = 'use "thinking.type.enabled" with "budget_tokens" for extended thinking.'
        defaults = "Thinking defaults to adaptive mode when not specified"
        raise ApiError(400, f'"thinking.type.disabled" is not supported for this model. {defaults}; {instead}')
    if kind in ("enabled", "adaptive"):
        _unsampled(body)


def _budget(body: Json, model: catalog.Model, betas: frozenset[str]) -> None:
    if not model.thinks_on_a_budget:
        if not model.thinks_adaptively:
            raise ApiError(400, f"'{model.id}' does not support thinking.")
        instead = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        raise ApiError(400, f'"thinking.type.enabled" is not supported for this model. {instead}')
    if body["thinking"]["budget_tokens"] >= body.get("max_tokens", 1 << 62) and INTERLEAVED not in betas:
        where = f"Please consult our documentation at {GUIDE}#max-tokens-and-context-window-size"
        raise ApiError(400, f"`max_tokens` must be greater than `thinking.budget_tokens`. {where}")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise ApiError(400, "Thinking may not be enabled when tool_choice forces tool use.")


def _unsampled(body: Json) -> None:
    when = f"when thinking is enabled or in adaptive mode. {CONSIDERATIONS}"
    if body.get("temperature") not in (None, 1):
        raise ApiError(400, f"`temperature` may only be set to 1 {when}")
    if (body.get("top_p") or 1) < 0.95:
        raise ApiError(400, f"`top_p` must be greater than or equal to 0.95 or unset {when}")
    if body.get("top_k") is not None:
        raise ApiError(400, f"`top_k` must be unset {when}")


def _effort(body: Json, model: catalog.Model) -> None:
    effort = (body.get("output_config") or {}).get("effort")
    if effort is None or effort in model.efforts:
        return
    if not model.efforts:
        raise ApiError(400, "This model does not support the effort parameter.")
    known = ", ".join(sorted(model.efforts))
    raise ApiError(400, f"This model does not support effort level '{effort}'. Supported levels: {known}.")


def _stops(body: Json) -> None:
    stops = body.get("stop_sequences")
    if stops and not all(stop.strip() for stop in stops):
        raise ApiError(400, "stop_sequences: each stop sequence must contain non-whitespace")


def _tools(body: Json) -> None:
    tools: Sequence[Json] = body.get("tools") or ()
    names = [tool["name"] for tool in tools if isinstance(tool.get("name"), str)]
    if len(set(names)) < len(names):
        raise ApiError(400, "tools: Tool names must be unique.")
    for k, tool in enumerate(tools):
        schema = tool.get("input_schema")
        if isinstance(schema, dict) and any(word in schema for word in COMPOSED):
            what = "input_schema does not support oneOf, allOf, or anyOf at the top level"
            raise ApiError(400, f"tools.{k}.custom.input_schema: {what}")
    choice = body.get("tool_choice")
    named_all = len(names) == len(tools)  # a toolset's members have names of their own
    if choice and choice.get("type") == "tool" and named_all and choice["name"] not in names:
        raise ApiError(400, f"Tool '{choice['name']}' not found in provided tools")


def _caching(body: Json) -> None:
    marks = list(_marks(body))
    if not marks:
        return
    if len(marks) > BREAKPOINTS:
        found = f"Found {len(marks)}."
        raise ApiError(400, f"A maximum of {BREAKPOINTS} blocks with cache_control may be provided. {found}")
    short = False
    for place, control in marks:
        if short and control.get("ttl") == "1h":
            order = "Note that blocks are processed in the following order: `tools`, `system`, `messages`."
            what = "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block."
            raise ApiError(400, f"{place}cache_control.ttl: {what} {order}")
        short = short or control.get("ttl") != "1h"


def _marks(body: Json) -> Iterator[tuple[str, Json]]:
    """Every breakpoint in Claude's order, with the path to it; the top-level one is for the last block."""
    yield from _listed("tools.", body.get("tools"))
    yield from _listed("system.", body.get("system"))
    for k, message in enumerate(body["messages"]):
        if not isinstance(message.get("content"), str):
            yield from _listed(f"messages.{k}.content.", message.get("content"))
    if body.get("cache_control"):
        yield "", body["cache_control"]


def _listed(place: str, blocks: object) -> Iterator[tuple[str, Json]]:
    for k, block in enumerate(blocks if isinstance(blocks, list) else ()):
        if not isinstance(block, dict):
            continue
        yield from _listed(f"{place}{k}.content.", _inside(block))
        if isinstance(block.get("cache_control"), dict):
            yield f"{place}{k}.", block["cache_control"]


def _inside(block: Json) -> object:
    """The blocks within a block."""
    source = block.get("source")
    return source.get("content") if isinstance(source, dict) else block.get("content")
