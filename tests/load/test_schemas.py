"""The published schemas fit what they describe."""

import json
from typing import Any

import jsonschema
import pytest
import yaml

from loadtests.experiment import scenario, schemas, target
from tests.load.written import Written


def problems(schema: dict[str, Any], value: object) -> list[str]:
    found = jsonschema.Draft202012Validator(schema).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in found]


def test_the_published_schema_of_a_summary_is_the_one_we_keep():
    """When it differs: loadtests schema summary > loadtests/summary.schema.json"""
    assert json.loads(schemas.SUMMARY_FILE.read_text("utf-8")) == schemas.summary()


def test_a_summary_fits_its_schema_to_the_last_key(both: Written):
    run = both.judge()

    assert problems(schemas.summary(), run) == []
    assert set(run) == set(schemas.summary()["required"])
    figures = schemas.summary()["$defs"]["figures"]["required"]
    assert set(run["variants"]["fixed"]["phases"]["after"]) == set(figures)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        pytest.param(lambda run: run.pop("verdict"), "'verdict' is a required property", id="a key is gone"),
        pytest.param(lambda run: run.update(verdict="ok"), "$.verdict", id="another word"),
        pytest.param(
            lambda run: run["variants"]["fixed"]["judged"]["e2e"].update(p95="1 s"), "judged.e2e.p95", id="text"
        ),
        pytest.param(lambda run: run["variants"]["fixed"]["phases"]["after"].pop("goodput_ratio"), "after", id="deep"),
    ],
)
def test_the_schema_of_a_summary_sees_what_is_wrong(both: Written, break_it, said: str):
    run = both.judge()

    break_it(run)

    assert said in problems(schemas.summary(), run)[0]


@pytest.mark.parametrize("name", scenario.names())
def test_every_scenario_fits_its_schema(name: str):
    text = scenario.find(name).read_text("utf-8")

    assert problems(schemas.scenario(), yaml.safe_load(text)) == []


@pytest.mark.parametrize("name", target.names())
def test_every_target_fits_its_schema(name: str):
    text = target.find(name).read_text("utf-8")

    assert problems(schemas.target(), yaml.safe_load(text)) == []
    assert "reday" in problems(schemas.target(), {**yaml.safe_load(text), "reday": "/x"})[0]


def test_the_schema_of_a_scenario_sees_a_typo_and_knows_the_metrics(text: str):
    typo = yaml.safe_load(text.replace("metric: goodput_ratio", "metric: goodput_ration"))

    assert "goodput_ration" in problems(schemas.scenario(), typo)[0]
    assert problems(schemas.scenario(), {**yaml.safe_load(text), "varants": {}})


LOADS = [
    "{user: chat, rate: 4}",
    "{user: {chat: 0.5, stream: 0.5}, rate: 4}",
    "{user: chat, rate: {start: 2, end: 20}, arrivals: {cv: 2}}",
    "{user: chat, rate: {mean: 5, amplitude: 2, period: 60}, users: 3}",
    "{user: chat, arrivals: {trace: rush.csv}}",
    "{user: chat, arrivals: {trace: [0.5, 1]}}",
    "{user: messages, users: 5, turns: 3, think: {p50: 2, p95: 8}, max_tokens: {min: 10, max: 50}}",
    "{user: stream, rate: 4, leaves: {share: 0.5, reading: 1}, reads: 2000}",
]


@pytest.mark.parametrize("load", LOADS)
def test_the_schema_of_a_scenario_knows_every_kind_of_load(load: str):
    data = yaml.safe_load(f"about: x\nload: {load}\nphases: [{{name: a, seconds: 2, rate: {{start: 1, end: 2}}}}]\n")

    assert problems(schemas.scenario(), data) == []


@pytest.mark.parametrize(
    "load",
    [
        "{user: chatter, rate: 4}",
        "{user: chat, rate: fast}",
        "{user: chat, rate: {start: 2}}",
        "{user: chat, users: 0}",
    ],
)
def test_the_schema_of_a_scenario_sees_what_is_no_load(load: str):
    data = yaml.safe_load(f"about: x\nload: {load}\nphases: [{{name: a, seconds: 2}}]\n")

    assert problems(schemas.scenario(), data)
