"""Where a judged run is told: files for pipelines, and GitHub's own pages."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loadtests import cli
from loadtests.errors import CannotRun
from loadtests.experiment.scenario import Scenario
from tests.load.written import Written

NO_GITHUB = {"GITHUB_ACTIONS": None, "GITHUB_STEP_SUMMARY": None}


@pytest.fixture
def failed(tmp_path: Path, small: Scenario) -> Written:
    written = Written(tmp_path, small, ["naive"])
    written.variant("naive", "timeout")
    return written


def test_a_run_goes_to_the_files_that_were_asked_for(both: Written, tmp_path: Path):
    junit, markdown = tmp_path / "new" / "junit.xml", tmp_path / "run.md"

    ended = CliRunner().invoke(
        cli.app, ["report", str(both.run.path), "--junit", str(junit), "--markdown", str(markdown)], env=NO_GITHUB
    )

    assert ended.exit_code == 0
    assert junit.read_text().startswith("<?xml")
    assert markdown.read_text().startswith("## ✅ pass: small")
    assert both.run.figures.read_text().startswith("variant,phase,metric,value\n")
    assert "::error" not in ended.output


def test_on_github_the_summary_page_is_added_to_and_failures_are_annotated(failed: Written, tmp_path: Path):
    page = tmp_path / "summary.md"
    page.write_text("of another step\n")
    on_github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(page)}

    ended = CliRunner().invoke(cli.app, ["report", str(failed.run.path)], env=on_github)

    assert ended.exit_code == 1
    assert page.read_text().startswith("of another step\n## ❌ fail: small")
    said = '::error title=small%3A fail::naive: gate "error_ratio < 0.01" failed, measured 1'
    assert said in ended.output.splitlines()


def test_json_stays_alone_on_stdout(failed: Written):
    ended = CliRunner().invoke(cli.app, ["report", str(failed.run.path), "--json"], env={"GITHUB_ACTIONS": "true"})

    assert json.loads(ended.stdout)["verdict"] == "fail"
    assert "::error" in ended.stderr


def test_a_file_that_cannot_be_written_is_named(both: Written, tmp_path: Path):
    (tmp_path / "taken").write_text("")

    ended = CliRunner().invoke(
        cli.app, ["report", str(both.run.path), "--junit", str(tmp_path / "taken" / "junit.xml")], env=NO_GITHUB
    )

    assert isinstance(ended.exception, CannotRun)
    assert "taken" in str(ended.exception)
