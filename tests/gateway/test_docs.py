"""docs/gateway.md names every switch, endpoint and metric there is, and their values as they are."""

import re
from pathlib import Path

from gateway_under_test import create_app
from gateway_under_test.settings import Settings
from gateway_under_test.switches import PRESETS

DOCS = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text()
APP = create_app(Settings(anthropic_api_key="sk", valid_api_keys=("good",)))


def leaves(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_every_switch_has_a_row_with_its_production_value():
    rows = [row.split(" | ") for row in re.findall(r"^\| (`[a-z_.]+`.*) \|$", DOCS, re.M)]
    told = {}
    for names, _, production, *_ in (row for row in rows if len(row) == 4):
        parts = re.findall(r"`([a-z_.]+)`", names)
        stem = parts[0].rpartition(".")[0]
        told |= zip(
            (name if not name.startswith(".") else stem + name for name in parts), production.split(", "), strict=True
        )

    assert told == {name: shown(value) for name, value in leaves(PRESETS["production"])}


def shown(value):
    if isinstance(value, bool) or value in (None, []):
        return "true" if value else "none" if value in (None, []) else "false"
    return f"{value:.10g}" if isinstance(value, int | float) else value


def test_every_endpoint_is_told():
    paths = {path for path in APP.openapi()["paths"]}

    assert {path for path in paths if path.replace("{model_id}", "{id}") not in DOCS} == set()


async def test_every_metric_is_told(gateway):
    async with gateway() as g:
        await g.chat()
        text = (await g.caller.get("/metrics")).text

    names = set(re.findall(r"^# TYPE (gateway_\w+)", text, re.M))
    assert len(names) > 12
    assert {name for name in names if name not in DOCS} == set()
