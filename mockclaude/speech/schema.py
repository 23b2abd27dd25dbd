"""A value for a JSON schema: what Claude passes to a tool, or answers when asked for structured output.

The schema is folded flat first (`$ref`, `allOf`, one arm of `anyOf` and `oneOf`), then a value is made of its type. An
object gets all its properties while it is shallow and only what it must have further down, so that recursive schemas
end. Whatever the schema is, something comes out: one that cannot be satisfied gets a value that does not. `not`, `if`
and `dependent...` are not looked at.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from mockclaude.speech import content, fold, pattern, quantity
from mockclaude.speech.fold import Schema, Value

SHALLOW, DEEPEST = 3, 64
PLENTY, MOST = 200, 2000
"""Values after which a schema gets only what it must have, and after which it gets nothing more."""
FOLDS = 10_000
"""Keywords, properties and so on that are folded before the rest is left out: aliases of aliases end, too."""
LONGEST = 10_000
TRIES = 20

KEYWORDS = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
"""What tells the type of a schema that does not say it."""
COMBINING = ("$ref", "allOf", "anyOf", "oneOf")


def value(schema: object, rng: random.Random) -> Value:
    """A value that `schema` allows, as far as can be told; never raises."""
    return _Maker(schema, rng).make(schema, 0)


class _Maker:
    """Makes the values of one schema, within a budget."""

    def __init__(self, root: object, rng: random.Random) -> None:
        self._root = root
        self._rng = rng
        self._patterns = pattern.Writer(rng)
        self._made = 0
        self._folded = 0
        self._taken: list[tuple[Sequence[object], object]] = []
        self._stuck = False

    def make(self, schema: object, depth: int) -> Value:
        self._made += 1
        if depth > DEEPEST or self._made > MOST:
            return None
        lean = depth > SHALLOW or self._made > PLENTY
        flat = self._fold(schema, lean)
        if "const" in flat:
            return flat["const"]
        given = [[one for one in fold.listed(flat.get(name)) if fold.fits(one, flat)] for name in ("enum", "examples")]
        given.append([flat["default"]] if fold.fits(flat.get("default"), flat) and "default" in flat else [])
        for options in given:
            if options:
                return self._rng.choice(options)
        return self._of_type(flat, depth, lean)

    def _of_type(self, flat: Schema, depth: int, lean: bool) -> Value:
        match self._type(flat):
            case "object":
                return self._object(flat, depth + 1, lean)
            case "array":
                return self._array(flat, depth + 1, lean)
            case "string":
                return self._string(flat)
            case "integer":
                return quantity.integer(flat, self._rng)
            case "number":
                return quantity.number(flat, self._rng)
            case "boolean":
                return self._rng.random() < 0.5
        return None

    def _type(self, flat: Schema) -> str:
        named = fold.types(flat)
        if named is None:
            told = (kind for kind, words in KEYWORDS.items() if any(word in flat for word in words))
            return next(told, "string")
        some = [kind for kind in named if kind != "null"]
        return self._rng.choice(some) if some else "null"

    def _fold(self, schema: object, lean: bool) -> Schema:
        """The schema flat. An arm that leaves a later choice nothing was the wrong one: then all is drawn anew."""
        flat: Schema = {}
        for _ in range(TRIES):
            self._taken.clear()
            self._stuck = False
            flat = self._flat(schema, {}, lean, ())
            if not self._stuck:
                break
        return flat

    def _flat(self, schema: object, beside: Schema, lean: bool, seen: tuple[str, ...]) -> Schema:
        """What the schema and the flat one `beside` it allow, without references and combinations; an arm of a choice
        is drawn among those that are possible."""
        if schema is False:
            return fold.merged(beside, {"enum": []})
        if not isinstance(schema, Mapping) or self._folded > FOLDS or len(seen) > DEEPEST:
            return beside
        self._folded += 1 + sum(len(part) if isinstance(part, Mapping | list) else 1 for part in schema.values())
        own = {key: said for key, said in fold.hinted(schema).items() if key not in COMBINING}
        flat = fold.merged(beside, own)
        ref = schema.get("$ref")
        if isinstance(ref, str) and ref not in seen:
            flat = self._flat(self._referred(ref), flat, lean, (*seen, ref))
        for part in fold.listed(schema.get("allOf")):
            flat = self._flat(part, flat, lean, (*seen, "allOf"))
        for key in ("anyOf", "oneOf"):
            if arms := fold.listed(schema.get(key)):
                flat = self._arm(flat, arms, lean, (*seen, key))
        return flat

    def _arm(self, flat: Schema, arms: Sequence[object], lean: bool, seen: tuple[str, ...]) -> Schema:
        """One of `arms`, not null if it can be something, but what ends soonest where the value is deep already. A
        choice that stands there twice (a part that two others refer to) is made once."""
        drawn = self._rng.sample(arms, len(arms))
        drawn.sort(key=_weight if lean else _is_null)
        drawn[:0] = [arm for given, arm in self._taken if given == arms][:1]
        for arm in drawn[:TRIES]:
            merged = self._flat(arm, flat, lean, seen)
            if fold.possible(merged):
                self._taken.append((arms, arm))
                return merged
        self._stuck = True
        return flat

    def _referred(self, ref: str) -> object:
        at: Value = self._root
        for step in ref.removeprefix("#").split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(at, Mapping):
                at = at.get(name, {})
            elif isinstance(at, list) and name.isdecimal() and int(name) < len(at):
                at = at[int(name)]
            else:
                return {}
        return at

    def _object(self, flat: Schema, depth: int, lean: bool) -> dict[str, Value]:
        properties = fold.mapping(flat.get("properties"))
        required = dict.fromkeys(name for name in fold.listed(flat.get("required")) if isinstance(name, str))
        most = max(quantity.whole(flat.get("maxProperties"), MOST), len(required))
        optional = [name for name in properties if name not in required and properties[name] is not False]
        wanted = {**required, **dict.fromkeys([] if lean else optional[: most - len(required)])}
        named = [name for name in properties if name in wanted] + [name for name in required if name not in properties]
        made = {name: self.make(properties.get(name, _additional(flat)), depth) for name in named}
        least = quantity.whole(flat.get("minProperties"), 0)
        if not properties and not lean and ("patternProperties" in flat or isinstance(_additional(flat), Mapping)):
            least = max(least, min(self._rng.randint(1, 2), most))
        self._fill_up(made, least, flat, depth)
        return made

    def _fill_up(self, made: dict[str, Value], least: int, flat: Schema, depth: int) -> None:
        """Add properties that no one named."""
        patterns = list(fold.mapping(flat.get("patternProperties")).items())
        for _ in range(min(least, MOST) * 2):
            if len(made) >= least or self._made > MOST:
                return
            if patterns:
                name, schema = self._rng.choice(patterns)
                key = self._patterns.text(name) or ""
            else:
                key, schema = self._name(flat), _additional(flat)
            if key not in made:
                made[key] = self.make(schema, depth)

    def _name(self, flat: Schema) -> str:
        if isinstance(flat.get("propertyNames"), Mapping):
            return str(self.make({"type": "string", **flat["propertyNames"]}, SHALLOW))
        return content.words(self._rng, 2).replace(" ", "_")

    def _array(self, flat: Schema, depth: int, lean: bool) -> list[Value]:
        tuple_like = isinstance(flat.get("items"), list)  # as it was written until 2020
        prefix = fold.listed(flat.get("items" if tuple_like else "prefixItems"))
        rest = flat.get("additionalItems" if tuple_like else "items", {})
        sought = quantity.whole(flat.get("minContains"), 1) if "contains" in flat else 0
        made: list[Value] = []
        taken: set[str] | None = set() if flat.get("uniqueItems") is True else None
        for index in range(max(self._size(flat, len(prefix), rest, depth, lean), sought)):
            if self._made > MOST:
                break
            schema = prefix[index] if index < len(prefix) else rest
            if index < sought:
                schema = {"allOf": [schema, flat["contains"]]}
            made.append(self.make(schema, depth) if taken is None else self._new(schema, depth, taken))
        return made

    def _size(self, flat: Schema, fixed: int, rest: object, depth: int, lean: bool) -> int:
        """How many elements; the deeper the fewer."""
        least = quantity.whole(flat.get("minItems"), 0)
        size = least if lean else max(least, fixed or self._rng.randint(1, max(1, 4 - depth)))
        size = max(least, min(size, quantity.whole(flat.get("maxItems"), MOST)))
        return min(size, fixed) if rest is False else size

    def _new(self, schema: object, depth: int, taken: set[str]) -> Value:
        """An element unlike those that are `taken`, if that can be had."""
        for _ in range(TRIES):
            one = self.make(schema, depth)
            name = fold.canonical(one)
            if name not in taken:
                break
        taken.add(name)
        return one

    def _string(self, flat: Schema) -> str:
        least = min(quantity.whole(flat.get("minLength"), 0), LONGEST)
        most = max(quantity.whole(flat.get("maxLength"), LONGEST), least)
        if isinstance(flat.get("pattern"), str) and (text := self._matching(flat["pattern"], least, most)) is not None:
            return self._counted(text)
        known = str(flat.get("format"))
        if known in content.FORMATS:
            return content.FORMATS[known](self._rng)
        said = content.words(self._rng, self._rng.randint(2, 4))
        while len(said) < least:
            said += " " + content.words(self._rng, 8)
        return self._counted(said[:most].rstrip().ljust(least, "s"))

    def _counted(self, text: str) -> str:
        """A long text counts as several values."""
        self._made += len(text) // 100
        return text

    def _matching(self, wanted: str, least: int, most: int) -> str | None:
        text = None
        for _ in range(TRIES):
            text = self._patterns.text(wanted)
            if text is None or least <= len(text) <= most:
                break
        return text


def _weight(arm: object) -> int:
    """How much there may be below an arm of a choice."""
    flat = arm if isinstance(arm, Mapping) else {}
    if "const" in flat or "enum" in flat or flat.get("type") in ("null", "boolean", "integer", "number", "string"):
        return 0
    return 2 if "$ref" in flat or "allOf" in flat else 1


def _is_null(arm: object) -> bool:
    return isinstance(arm, Mapping) and (arm.get("type") == "null" or arm.get("const", 0) is None)


def _additional(flat: Schema) -> object:
    return flat.get("additionalProperties", True)
