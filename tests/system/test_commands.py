"""The commands of the README, as they are typed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from loadtests.experiment import scenario


def test_list_names_every_scenario_with_its_question(loadtests):
    command = loadtests("list")

    assert command.end(20) == 0
    for name in scenario.names():
        assert re.search(rf"^{name} +{re.escape(scenario.load(name)[0].about)}$", command.output(), re.MULTILINE)


def test_show_prints_a_scenario_that_can_be_run_again(loadtests, tmp_path: Path):
    command = loadtests("show", "retry_storm", "--set", "load.rate=5")

    assert command.end(20) == 0
    shown = tmp_path / "shown.yaml"
    shown.write_text(command.output())
    assert scenario.load(str(shown))[0] == scenario.load("retry_storm", ["load.rate=5"])[0]
    assert yaml.safe_load(command.output())["load"]["rate"] == 5


def test_a_bare_command_and_help_teach(loadtests):
    for arguments in ([], ["--help"]):
        command = loadtests(*arguments)
        command.end(20)
        for word in ("list", "show", "run", "map", "agree", "ui", "report", "Exit codes"):
            assert word in command.output()


def test_json_is_alone_on_standard_output(tmp_path: Path):
    finished = subprocess.run(
        [sys.executable, "-m", "loadtests", "run", "smoke", "--clock", "virtual", "--json", "--out", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert "smoke: pass" in finished.stderr


def test_a_report_says_again_what_the_run_said(loadtests):
    run = loadtests("run", "smoke", "--clock", "virtual", "--out", "run")
    assert run.end(60) == 0, run.output()
    before = run.summary()

    report = loadtests("report", str(run.run))

    assert report.end(20) == 0
    assert run.summary() == before
    assert run.output()[run.output().index("\nvariant") :].split("report:")[0] in report.output()


def test_a_run_has_its_folder_under_runs_and_two_at_once_have_two(loadtests, tmp_path: Path):
    short = ["run", "smoke", "--clock", "virtual", "--set", "phases.steady.seconds=1"]
    command = [sys.executable, "-m", "loadtests", *short]
    both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(2)]

    assert [process.wait(60) for process in both] == [0, 0]

    folders = sorted((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    assert {"samples.jsonl", "journal.jsonl", "summary.json", "report.html", "scenario.yaml", "logs"} <= set(
        os.listdir(folders[0])
    )


def test_a_missing_extra_is_one_line_that_says_what_to_type(loadtests, tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['psutil'] = None\n")

    command = loadtests("list", env={"PYTHONPATH": str(tmp_path)})

    assert command.end(20) == 2
    assert command.output() == "loadtests: psutil is not installed; type: pip install 'mockclaude[all]'\n"


def test_colour_is_left_out_where_nobody_sees_it(loadtests):
    command = loadtests("run", "smoke", "--clock", "virtual", "--out", "run", env={"NO_COLOR": "1"})

    assert command.end(60) == 0
    assert "\x1b[" not in command.output()
