"""Which scenarios there are, for people and for programs."""

import json

from typer.testing import CliRunner

from loadtests import cli
from loadtests.experiment import scenario


def test_the_list_is_the_same_for_people_and_for_programs():
    told = CliRunner().invoke(cli.app, ["list"]).stdout
    abouts = json.loads(CliRunner().invoke(cli.app, ["list", "--json"]).stdout)

    assert list(abouts) == scenario.names()
    assert all(f"{name} " in told and about in told for name, about in abouts.items())


def test_a_scenario_is_shown_in_yaml_or_in_json():
    yaml = CliRunner().invoke(cli.app, ["show", "smoke", "--set", "load.rate=7"]).stdout
    found = json.loads(CliRunner().invoke(cli.app, ["show", "smoke", "--set", "load.rate=7", "--json"]).stdout)

    assert "rate: 7.0" in yaml or "rate: 7" in yaml
    assert found["load"]["rate"] == 7
