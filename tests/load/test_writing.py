"""A scenario to begin with, and help that can be typed."""

import json
import shlex
from pathlib import Path

import jsonschema
import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from loadtests import cli
from loadtests.commands import writing
from loadtests.errors import CannotRun
from loadtests.experiment import scenario, schemas, target


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_scenario_can_be_read_and_completed_by_an_editor(folder: Path):
    ended = CliRunner().invoke(cli.app, ["new", "my_scenario"])

    assert ended.exit_code == 0, ended.output
    text = (folder / "my_scenario.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=scenario.schema.json\n")
    assert "loadtests run my_scenario.yaml" in text and "NAME" not in text
    schema = json.loads((folder / "scenario.schema.json").read_text())
    jsonschema.validate(yaml.safe_load(text), schema)
    assert scenario.load(str(folder / "my_scenario.yaml"))[0].expect


@pytest.mark.virtual
def test_a_new_scenario_runs_and_keeps_what_it_predicts(folder: Path):
    CliRunner().invoke(cli.app, ["new", "mine"])

    ended = CliRunner().invoke(cli.app, ["run", "mine.yaml", "--clock", "virtual", "--out", "run"])

    assert ended.exit_code == 0, ended.output
    assert "mine: pass" in ended.output
    jsonschema.validate(json.loads((folder / "run" / "summary.json").read_text()), schemas.summary())


def test_nothing_that_is_there_is_written_over(folder: Path):
    (folder / "mine.yaml").write_text("precious")

    ended = CliRunner().invoke(cli.app, ["new", "mine.yaml"])

    assert isinstance(ended.exception, CannotRun)
    assert "mine.yaml is there already" in str(ended.exception)
    assert (folder / "mine.yaml").read_text() == "precious"


@pytest.mark.parametrize("name", ["../mine", "a b", "", "2nd"])
def test_a_name_is_a_name(folder: Path, name: str):
    ended = CliRunner().invoke(cli.app, ["new", name])

    assert isinstance(ended.exception, CannotRun)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("of", writing.SCHEMAS)
def test_each_schema_is_printed(of: str):
    ended = CliRunner().invoke(cli.app, ["schema", of])

    jsonschema.Draft202012Validator.check_schema(json.loads(ended.stdout))


@pytest.mark.parametrize("name", target.names())
def test_every_target_fits_its_schema(name: str):
    text = target.find(name).read_text("utf-8")

    jsonschema.validate(yaml.safe_load(text), schemas.target())


@pytest.mark.parametrize("line", [line for lines in cli.EXAMPLES.values() for line in lines])
def test_every_example_of_the_help_can_be_typed(line: str):
    program, command, *arguments = shlex.split(line.partition(" > ")[0])
    group = typer.main.get_command(cli.app)

    context = group.commands[command].make_context(command, arguments)

    assert program == "loadtests"
    assert context.args == []


def test_help_teaches_with_examples_and_knows_no_colour():
    ended = CliRunner().invoke(cli.app, ["compare", "--help"], env={"NO_COLOR": "1", "COLUMNS": "100"})

    assert "Examples:" in ended.output
    assert "loadtests compare baseline.json repeats --markdown run.md" in ended.output
    assert "--markdown" in ended.output
    assert "\x1b[" not in ended.output
