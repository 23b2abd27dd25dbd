"""The GitHub Action, as far as it goes without GitHub: what its script makes of its inputs."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
[SCRIPT] = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
UVX = """#!/bin/sh
printf '%s\\n' "$@" > told
exit 3
"""


@pytest.fixture
def rehearse(tmp_path):
    """Run the script as GitHub does, with a `uvx` that notes what it is told and ends with 3."""
    program = tmp_path / "uvx"
    program.write_text(UVX)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def rehearse(scenario="smoke", arguments="", gates=""):
        env = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "SCENARIO": scenario,
            "ARGUMENTS": arguments,
            "GATES": gates,
            "GITHUB_ACTION_PATH": "/actions/mockclaude",
            "GITHUB_OUTPUT": str(tmp_path / "output"),
        }
        bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", SCRIPT]
        ended = subprocess.run(bash, cwd=tmp_path, env=env, timeout=20)
        return ended.returncode, (tmp_path / "told").read_text().splitlines(), (tmp_path / "output").read_text()

    return rehearse


def test_it_runs_the_scenario_from_its_own_checkout_and_ends_as_it_ended(rehearse):
    code, told, output = rehearse()

    name, _, folder = output.strip().partition("=")
    assert (code, name) == (3, "run")
    assert told == [
        "--from",
        "mockclaude[all] @ file:///actions/mockclaude",
        "loadtests",
        "run",
        "smoke",
        f"--out={folder}",
        f"--junit={folder}/junit.xml",
    ]


def test_each_line_is_an_argument_and_none_is_a_command(rehearse):
    code, told, _ = rehearse("my scenario.yaml", "--set=load.rate=4\n\n--note=a > b; $(touch gone)\n")

    assert code == 3
    assert told[4] == "my scenario.yaml"
    assert told[7:] == ["--set=load.rate=4", "--note=a > b; $(touch gone)"]


def test_each_line_is_a_gate(rehearse):
    _, told, _ = rehearse(gates="after.goodput_ratio > 0.9\n\nttft.p95 < 1.5\n", arguments="--seed=2")

    assert told[7:] == ["--gate=after.goodput_ratio > 0.9", "--gate=ttft.p95 < 1.5", "--seed=2"]


def test_it_says_nothing_of_inputs_or_outputs_it_does_not_have():
    said = (ROOT / "action.yml").read_text()

    for name in ACTION["inputs"]:
        assert f"inputs.{name}" in said
    assert ACTION["outputs"]["run"]["value"] == "${{ steps.rehearsal.outputs.run }}"
