"""Two JSON schemas made one that allows what both allow, and what can be told of a schema without making a value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mockclaude.speech import quantity

Value = Any
"""Any JSON."""
Schema = Mapping[str, Value]

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
ENDLESS = 100_000
HINTS = re.compile(r"\{([^\n]+)\}$")
RULES = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern"),
    *("minItems", "maxItems", "uniqueItems"),
)
HINT = re.compile(rf"(?:^|, )({'|'.join(RULES)}): ")


def hinted(schema: Schema) -> Schema:
    """The schema with the rules at the end of its description: `A number {minimum: 1, maximum: 10}`.

    Claude's structured output takes no such keywords; the official SDKs write them there for the model to read.
    """
    found = HINTS.search(schema["description"][-1000:]) if isinstance(schema.get("description"), str) else None
    if found is None:
        return schema
    _, *parts = HINT.split(found[1])
    return {**{key: _read(said) for key, said in zip(parts[::2], parts[1::2], strict=True)}, **schema}


def _read(said: str) -> Value:
    try:
        return json.loads(said)
    except ValueError:
        return {"True": True, "False": False}.get(said, said)


def merged(one: Schema, other: Schema) -> Schema:
    """What both allow, keyword by keyword."""
    if not one or not other:
        return one or other
    both = {**one, **other}
    for key in one.keys() & other.keys():
        both[key] = _both(key, one[key], other[key])
    if "type" in one and "type" in other:
        both["type"] = _common_types(one, other)
    return both


def _both(key: str, one: Value, other: Value) -> Value:
    if key == "properties":
        first, second = mapping(one), mapping(other)
        shared = {name: {"allOf": [first[name], second[name]]} for name in first.keys() & second.keys()}
        return {**first, **second, **shared}
    if key in ("items", "additionalProperties", "contains", "propertyNames"):
        return False if one is False or other is False else {"allOf": [one, other]}
    if key == "prefixItems":
        longer, shorter = sorted((listed(one), listed(other)), key=len, reverse=True)
        return [{"allOf": [item, *shorter[place : place + 1]]} for place, item in enumerate(longer)]
    if key == "enum":
        allowed = {canonical(item) for item in listed(other)}
        return [item for item in listed(one) if canonical(item) in allowed]
    if key == "required":
        return list(dict.fromkeys(name for name in (*listed(one), *listed(other)) if isinstance(name, str)))
    return quantity.narrower(key, one, other)


def _common_types(one: Schema, other: Schema) -> list[str]:
    first, second = types(one) or [], types(other) or []
    shared = [kind for kind in first if kind in second]
    mixed = {"integer", "number"} <= {*first, *second} and "number" not in shared and "integer" not in shared
    return [*shared, "integer"] if mixed else shared


def types(flat: Schema) -> list[str] | None:
    """The types it names; None when it names none."""
    said = flat.get("type")
    named = [
        kind for kind in ([said] if isinstance(said, str) else listed(said)) if isinstance(kind, str) and kind in TYPES
    ]
    return named if named or isinstance(said, list) else None


def possible(flat: Schema) -> bool:
    """Whether anything at all can be what a folded schema says, as far as is plain."""
    if "const" in flat:
        return fits(flat["const"], flat)
    if "enum" in flat and not any(fits(one, flat) for one in listed(flat["enum"])):
        return False
    return flat.get("type") != []


def fits(one: object, flat: Schema) -> bool:
    """Whether a value that the schema itself names keeps the plainest of its other rules; `enum` is not looked at."""
    named = types(flat)
    if named is not None:
        kinds = tuple(kind for name in named for kind in TYPES[name])
        if not isinstance(one, kinds) or (isinstance(one, bool) and bool not in kinds):
            return False
    if isinstance(one, str | list):
        words = ("minLength", "maxLength") if isinstance(one, str) else ("minItems", "maxItems")
        return quantity.whole(flat.get(words[0]), 0) <= len(one) <= quantity.whole(flat.get(words[1]), ENDLESS)
    return quantity.within(one, flat)


def canonical(item: object) -> str:
    """The same text for equal values."""
    return json.dumps(item, sort_keys=True)


def listed(item: object) -> list[Value]:
    """A list, or none of it."""
    return item if isinstance(item, list) else []


def mapping(item: object) -> Schema:
    """A mapping, or none of it."""
    return item if isinstance(item, Mapping) else {}
