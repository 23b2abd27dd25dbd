"""JSON Schemas: of scenarios and targets, so that editors complete them, and of summary.json, so that pipelines can
rely on it.

A schema says what shape a file has. What else must fit (names, bounds, the programs' own sections) is checked when it
is read.
"""

from collections.abc import Iterable
from pathlib import Path

from loadtests.experiment import gates
from loadtests.experiment.scenario import Scenario
from loadtests.experiment.target import Target
from loadtests.sample import OUTCOMES, Row

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SUMMARY_FILE = Path(__file__).parents[1] / "summary.schema.json"

TEXT: Row = {"type": "string"}
NUMBER: Row = {"type": "number"}
MEASURED: Row = {"type": ["number", "null"]}
COUNT: Row = {"type": ["integer", "null"], "minimum": 0}
POSSIBLY_FOR_EVER: Row = {"anyOf": [MEASURED, {"const": gates.INFINITE}]}
VERDICT: Row = {"enum": ["pass", "fail", "invalid"]}


def scenario() -> Row:
    """Of a scenario file; the sections of the mock and the gateway are theirs to judge."""
    found = Scenario.model_json_schema()
    found["$defs"]["Expectation"]["properties"]["metric"] = {"enum": sorted(gates.METRICS)}
    return {"$schema": DRAFT, **found, "title": "A scenario of loadtests"}


def target() -> Row:
    """Of a target's file."""
    return {"$schema": DRAFT, **Target.model_json_schema(), "title": "A target of loadtests"}


def summary() -> Row:
    """Of summary.json. New keys may come; those that are required here stay, and stay what they are."""
    texts = {"type": "array", "items": TEXT}
    return {
        "$schema": DRAFT,
        "title": "summary.json of a run of loadtests",
        **_object(
            schema={"const": 1},
            scenario=TEXT,
            verdict=VERDICT,
            reasons=texts,
            seed={"type": "integer"},
            slo=_mapping(NUMBER),
            phases=_list(_object(name=TEXT, seconds=NUMBER, judge={"type": "boolean"})),
            variants=_mapping(
                _object(
                    verdict=VERDICT,
                    invalid_because=texts,
                    phases=_mapping({"$ref": "#/$defs/figures"}),
                    judged={"$ref": "#/$defs/figures"},
                    **dict.fromkeys(gates.OF_A_VARIANT, MEASURED),
                )
            ),
            expectations=_list(
                _object(
                    variant=TEXT,
                    phase={"type": ["string", "null"]},
                    metric={"enum": sorted(gates.METRICS)},
                    predicted=NUMBER,
                    measured=POSSIBLY_FOR_EVER,
                    status={"enum": ["pass", "fail", "skipped"]},
                    because=TEXT,
                    reason={"type": ["string", "null"]},
                )
            ),
            gates=_list(
                _object(
                    gate=TEXT,
                    variant=TEXT,
                    phase={"type": ["string", "null"]},
                    metric={"enum": sorted(gates.METRICS)},
                    measured=POSSIBLY_FOR_EVER,
                    status={"enum": ["pass", "fail", "skipped"]},
                )
            ),
            steered=texts,
            findings=texts,
            machine={"type": "object"},
            versions=_mapping(TEXT),
        ),
        "$defs": {
            "figures": _figures(),
            "distribution": _object(**_each(gates.QUANTILES, MEASURED) | {"n": COUNT}),
            "adjusted": _object(**_each(gates.QUANTILES[1:], POSSIBLY_FOR_EVER) | {"n": COUNT}),
        },
    }


def _figures() -> Row:
    """Of the figures of one phase. Seconds are seconds, ratios are of 1, rates are per second."""
    return _object(
        **_each(gates.COUNTS, COUNT) | {"seconds": NUMBER},
        **_each(gates.RATES, MEASURED),
        **_each(gates.TOKENS, COUNT),
        **_each(gates.RATIOS, MEASURED),
        **_each(gates.BATCHES, MEASURED),
        **_each(gates.DISTRIBUTIONS, {"$ref": "#/$defs/distribution"}),
        **_each(gates.ADJUSTED, {"$ref": "#/$defs/adjusted"}),
        cost=_object(**_each(gates.COST, MEASURED) | {"tokens": COUNT}),
        generator=_object(**_each(gates.GENERATOR, MEASURED) | {"sockets": COUNT}),
        breakpoint=_object(**_each(gates.BREAKPOINT, MEASURED)),
        outcomes=_some_of(OUTCOMES, COUNT),
        **_each(gates.USAGE, _some_of(gates.PROGRAMS, NUMBER)),
        **{gates.LAG: _object(max=MEASURED)},
    )


def _object(**properties: Row) -> Row:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _some_of(names: Iterable[str], shape: Row) -> Row:
    return {"type": "object", "properties": _each(names, shape), "additionalProperties": False}


def _each(names: Iterable[str], shape: Row) -> Row:
    return dict.fromkeys(names, shape)


def _mapping(values: Row) -> Row:
    return {"type": "object", "additionalProperties": values}


def _list(items: Row) -> Row:
    return {"type": "array", "items": items}
