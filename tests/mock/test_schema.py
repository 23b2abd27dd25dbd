import json
import random
import re
import time
from typing import Annotated, Any, Literal

import jsonschema
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockclaude.speech import schema

NAMES = st.sampled_from(["a", "b", "c", "long_name", "with space", "ünï"])
SEEDS = st.integers(0, 2**32)


def made(of, seed=1):
    return schema.value(of, random.Random(seed))


def judge(of):
    return jsonschema.Draft202012Validator(of, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def satisfies(value, of):
    errors = [f"{error.json_path}: {error.message}" for error in judge(of).iter_errors(value)]
    assert errors == [], f"{json.dumps(value)} for {json.dumps(of)}"


ROWS: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "at least 40 characters": {"type": "string", "minLength": 40, "maxLength": 41},
    "at most 3 characters": {"type": "string", "maxLength": 3},
    "no characters": {"type": "string", "maxLength": 0},
    "pattern": {"type": "string", "pattern": r"^[A-Z]{2}-\d{4}(?:/(x|y))?$"},
    "pattern of a length": {"type": "string", "pattern": "^[a-z]+$", "minLength": 3, "maxLength": 6},
    "integer": {"type": "integer"},
    "integer between": {"type": "integer", "minimum": 7, "maximum": 8},
    "integer beyond": {"type": "integer", "exclusiveMinimum": -1, "exclusiveMaximum": 1},
    "multiple of 7": {"type": "integer", "multipleOf": 7, "minimum": 50},
    "integer at most": {"type": "integer", "maximum": -1000},
    "number": {"type": "number", "minimum": 0.5, "maximum": 0.501},
    "number beyond": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e-9},
    "multiple of a quarter": {"type": "number", "multipleOf": 0.25, "minimum": 10},
    "multiple of a tenth": {"type": "number", "multipleOf": 0.1},
    "whole multiples of 1.5": {"type": "integer", "multipleOf": 1.5, "minimum": 1},
    "boolean": {"type": "boolean"},
    "null": {"type": "null"},
    "one of several types": {"type": ["integer", "null"]},
    "enum": {"enum": ["red", 3, None, {"a": 1}]},
    "enum of a type": {"type": "integer", "enum": ["red", 3]},
    "const": {"const": {"x": [1, 2]}},
    "default": {"type": "integer", "minimum": 1, "default": 5},
    "a default that is none": {"type": "string", "default": None},
    "a default out of bounds": {"type": "integer", "maximum": 3, "default": 5},
    "examples": {"type": "string", "examples": ["Paris", "Rome"]},
    "array": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
    "no items": {"type": "array", "items": {"type": "integer"}, "maxItems": 0},
    "unlike items": {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    "tuple": {"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False, "minItems": 2},
    "contains": {"type": "array", "contains": {"const": "x"}, "items": {"type": "string"}},
    "object": {"properties": {"a": {"type": "integer"}}, "required": ["a", "b"]},
    "closed object": {"properties": {"a": {}, "b": {}}, "required": ["a"], "additionalProperties": False},
    "mapping": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 3},
    "named by a pattern": {"type": "object", "patternProperties": {"^x_[a-z]+$": {"type": "null"}}, "minProperties": 2},
    "names of a length": {"type": "object", "propertyNames": {"maxLength": 4}, "minProperties": 2},
    "few properties": {"properties": {"a": {}, "b": {}, "c": {}}, "required": ["c"], "maxProperties": 1},
    "property that may not be": {"type": "object", "properties": {"a": False, "b": True}},
    "anyOf": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "anyOf beside a type": {"type": "string", "anyOf": [{"type": "integer"}, {"minLength": 3}]},
    "oneOf": {
        "oneOf": [
            {"type": "object", "properties": {"kind": {"const": kind}, "n": {"type": "integer"}}, "required": ["kind"]}
            for kind in ("cat", "dog")
        ]
    },
    "allOf": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]},
            {"properties": {"a": {"type": "integer", "maximum": 4}, "b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    "allOf of numbers": {
        "allOf": [{"type": "number", "minimum": 1}, {"type": "integer", "maximum": 2}, {"exclusiveMinimum": 1}]
    },
    "allOf of enums": {"allOf": [{"enum": [1, 2, 3]}, {"enum": [3, 4]}]},
    "allOf of multiples": {"allOf": [{"type": "integer", "multipleOf": 4}, {"multipleOf": 6, "minimum": 1}]},
    "allOf of choices": {
        "allOf": [
            {"anyOf": [{"type": "boolean"}, {"type": "string", "format": "email"}]},
            {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        ]
    },
    "a choice that stands there twice": {
        "$defs": {"n": {"anyOf": [{"type": "integer", "maximum": 9}, {"type": "integer", "minimum": 90}]}},
        "allOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}],
    },
    "$ref": {"$defs": {"n/m~": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n~1m~0"}},
    "$ref with siblings": {"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n", "minimum": 1000},
    "list": {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
    },
    "tree": {
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {"n": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
                "required": ["n", "kids"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/tree",
    },
}


@pytest.mark.parametrize("of", ROWS.values(), ids=ROWS)
def test_a_value_satisfies_its_schema(of):
    for seed in range(50):
        satisfies(made(of, seed), of)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^(?<year>\d{4})-\d\d$", r"\d{4}-\d\d"),
        (r"^(\w)\1$", r"(\w)\1"),
        (r"[^\W\d]{3}\.", r"[^\W\d]{3}\."),
        (r"^[\s\S]{5}$", r"[\s\S]{5}"),
        (r"^.+?@[a-c-]*(?=x)x$", r".+?@[a-c-]*x"),
        (r"[é-ü]", r"[é-ü]"),
    ],
)
def test_a_text_is_what_its_pattern_says(pattern, text):
    for seed in range(20):
        assert re.fullmatch(text, made({"type": "string", "pattern": pattern}, seed))


def test_a_pattern_that_cannot_be_read_gives_words():
    assert made({"type": "string", "pattern": r"^\p{Lu}+$", "maxLength": 9})


@pytest.mark.parametrize("name", ["date", "time", "date-time", "duration", "email", "uuid", "ipv4", "ipv6", "regex"])
def test_a_value_has_its_format(name):
    for seed in range(20):
        satisfies(made({"type": "string", "format": name}, seed), {"type": "string", "format": name})


def ranged(kind, low, high):
    """A schema with bounds that leave something."""
    first, last = sorted((low, high))
    return {"type": kind, "minimum": first, "maximum": last}


def sized(kind, low, more, **rest):
    least, most = ("minLength", "maxLength") if kind == "string" else ("minItems", "maxItems")
    return {"type": kind, least: low, most: low + more, **rest}


def with_properties(properties, required, closed):
    names = [name for name in properties if name in required]
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": not closed}


SCALARS = st.one_of(
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": "string", "format": "email"}, True, {}]),
    st.builds(ranged, st.sampled_from(["integer", "number"]), st.integers(-1000, 1000), st.integers(-1000, 1000)),
    st.builds(sized, st.just("string"), st.integers(0, 60), st.integers(0, 60)),
    st.builds(lambda values: {"enum": values}, st.lists(st.integers() | st.text(), min_size=1)),
)
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(with_properties, st.dictionaries(NAMES, inner), st.sets(NAMES), st.booleans()),
        st.builds(sized, st.just("array"), st.integers(0, 3), st.integers(0, 3), items=inner),
        st.builds(lambda arms: {"anyOf": arms}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"allOf": [part, part]}, inner),
        st.builds(lambda of: {"type": "array", "prefixItems": of, "items": False}, st.lists(inner, max_size=3)),
    ),
    max_leaves=12,
)


@given(SCHEMAS, SEEDS)
@settings(max_examples=300, deadline=None)
def test_a_value_satisfies_any_schema_that_can_be_satisfied(of, seed):
    satisfies(made(of, seed), of)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
WORDS = st.sampled_from(
    [word for words in schema.KEYWORDS.values() for word in words]
    + ["type", "enum", "const", "default", "examples", "$ref", "$defs", "anyOf", "oneOf", "allOf", "additionalItems"]
    + ["propertyNames", "minContains", "maxProperties", "not", "if"]
)
ODD = st.recursive(
    JSON | st.sampled_from(["#", "#/$defs/a", "integer", "object", "array", "date", "(", "a{99999999}"]),
    lambda inner: st.dictionaries(WORDS | NAMES, inner | st.lists(inner, max_size=3), max_size=5),
    max_leaves=10,
)


@given(ODD, SEEDS)
@settings(max_examples=500, deadline=None)
def test_whatever_the_schema_something_comes_out(of, seed):
    assert len(json.dumps(made(of, seed))) < 3_000_000


BOTH = {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]}
ENDLESS: dict[str, Any] = {
    "itself": {"$ref": "#"},
    "itself and itself": {"allOf": [{"$ref": "#"}] * 3},
    "what needs itself twice": BOTH,
    "aliases of aliases": {
        "$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 10} for n in range(30)},
        "$ref": "#/$defs/0",
    },
    "a billion items": {"type": "array", "minItems": 10**9},
    "a billion characters": {"type": "string", "minLength": 10**9},
    "a billion properties": {"type": "object", "minProperties": 10**9},
    "a pattern of billions": {"type": "string", "pattern": "(((a{4000}){4000}){4000})"},
    "a pattern of nothing, often": {"type": "string", "pattern": "((((){4000}){4000}){4000})"},
    "many patterns of billions": {
        "type": "array",
        "minItems": 10**6,
        "items": {"type": "string", "pattern": "(a{4000}){4000}", "maxLength": 1},
    },
    "deep": json.loads('{"items":' * 250 + "{}" + "}" * 250),
}


@pytest.mark.parametrize("of", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.timeout(10)
def test_what_has_no_end_is_ended(of):
    assert len(json.dumps(made(of))) < 3_000_000


@pytest.mark.parametrize(
    "of",
    [False, {"type": "nothing"}, {"enum": []}, {"type": "integer", "minimum": 3, "maximum": 1}, {"$ref": "#/$defs/no"}],
    ids=str,
)
def test_what_nothing_satisfies_gets_something_all_the_same(of):
    json.dumps(made(of))


def test_a_tuple_may_be_written_as_it_was_until_2020():
    of = {"type": "array", "items": [{"type": "integer"}, {"type": "null"}], "additionalItems": False}

    for seed in range(20):
        assert [type(item) for item in made(of, seed)] == [int, type(None)]


def test_one_seed_makes_one_value():
    of = ROWS["tree"]

    assert made(of, 1) == made(of, 1)
    assert made(of, 1) != made(of, 2)


class Animal(pydantic.BaseModel):
    kind: Literal["cat", "dog"]
    name: Annotated[str, pydantic.Field(min_length=2, max_length=12)]
    age: Annotated[int, pydantic.Field(ge=0, lt=30)] = 3
    friends: list["Animal"] = []
    marks: dict[str, float] | None = None
    home: tuple[float, float]


def test_a_pydantic_model_takes_what_is_made_for_it():
    of = Animal.model_json_schema()

    for seed in range(50):
        Animal.model_validate(made(of, seed))


def test_optional_properties_are_there_too():
    assert set(made(Animal.model_json_schema())) == {"kind", "name", "age", "friends", "marks", "home"}


def test_something_is_preferred_to_null():
    assert made({"anyOf": [{"type": "null"}, {"type": "integer"}]}) is not None
    assert made({"type": ["null", "integer"]}) is not None


def test_rules_that_stand_in_the_description_are_kept():
    described = {
        "type": "object",
        "properties": {
            "age": {"type": "integer", "description": "In years.\n\n{minimum: 7, exclusiveMaximum: 9}"},
            "code": {"type": "string", "description": "{pattern: ^a{2}, b: c$}"},
            "tags": {
                "type": "array",
                "items": {"enum": [1, 2]},
                "description": "{maxItems: 2, minItems: 2, uniqueItems: True}",
            },
            "name": {"type": "string", "description": 'Its {name}.\n\n{pattern: "^x$"}'},
        },
        "required": ["age", "code", "tags", "name"],
    }

    for seed in range(20):
        found = made(described, seed)
        assert (found["age"] in (7, 8), sorted(found["tags"]), found["code"]) == (True, [1, 2], "aa, b: c")
        assert found["name"] == "x"


@pytest.mark.parametrize("description", ["{}", "{", "{minimum}", "{minimum: }", "{minimum: soon}", "see {a: 1}", 3])
def test_a_description_that_has_none_is_a_description(description):
    assert isinstance(made({"type": "integer", "description": description}), int)


LARGE = {
    "a large enum, often": {
        "type": "array",
        "minItems": 3000,
        "items": {"enum": [f"word {n}" for n in range(100_000)]},
    },
    "many properties": {"properties": {f"p{n}": {"type": "string"} for n in range(100_000)}},
    "many required": {"required": [f"p{n}" for n in range(100_000)]},
    "many parts": {"allOf": [{"properties": {f"p{n}": {}}, "required": [f"p{n}"]} for n in range(20_000)]},
    "many arms": {"anyOf": [{"type": "null", "enum": [n]} for n in range(20_000)]},
    "many unlike": {"type": "array", "minItems": 10**6, "uniqueItems": True, "items": {"type": "integer"}},
    "long texts": {"type": "array", "minItems": 10**6, "items": {"type": "string", "minLength": 9000}},
}


@pytest.mark.parametrize("of", LARGE.values(), ids=LARGE)
@pytest.mark.timeout(10)
def test_a_large_schema_costs_little(of):
    began = time.process_time()

    made(of)

    assert time.process_time() - began < 2.0
