"""The sections of a scenario that belong to the programs they configure: asked of those programs before a start."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.documents.document import Document
from loadtests.errors import CannotRun, ScenarioError
from loadtests.experiment.scenario import Scenario
from loadtests.programs.stack import START_TIMEOUT, clean_environment, die_with_parent
from loadtests.sample import Row


def check(scenario: Scenario, source: Document, variants: Sequence[str]) -> None:
    """Ask the programs about their sections of the scenario. Raises ScenarioError at the first problem."""
    for variant in _with_different_mocks(scenario, variants):
        for problem in problems_of("mockclaude", scenario.of(variant).mock_config()):
            own = ("variants", variant, "mock")
            raise _problem_at(own if (*own, *problem["loc"]) in source.places else ("mock",), problem, source)
    for variant in variants:
        for problem in problems_of("gateway_under_test", scenario.gateway_settings(variant)):
            own = ("variants", variant, *problem["loc"])
            inherited = own not in source.places and ("gateway", *problem["loc"]) in source.places
            raise _problem_at(("gateway",) if inherited else ("variants", variant), problem, source)


def _with_different_mocks(scenario: Scenario, variants: Sequence[str]) -> list[str]:
    """One variant for each configuration of the mock."""
    found: dict[str, str] = {}
    for variant in variants:
        found.setdefault(json.dumps(scenario.of(variant).mock_config(), default=repr), variant)
    return list(found.values())


def problems_of(module: str, settings: Mapping[str, Any]) -> list[Row]:
    """What a program says of its settings, before it is started: `{"loc": [...], "message": str}` for each problem."""
    arguments = {"mockclaude": ["check", "-", "--json"], "gateway_under_test": ["--check", "-"]}[module]
    finished = subprocess.run(
        [sys.executable, "-P", "-m", module, *arguments],
        input=json.dumps(settings),
        env=clean_environment(os.environ),
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT,
        preexec_fn=die_with_parent,
    )
    if finished.returncode == 0:
        return []
    try:
        found: list[Row] = json.loads(finished.stdout)
    except ValueError:
        said = (finished.stderr + finished.stdout)[-2000:]
        raise CannotRun(
            f"python -m {module} cannot check its settings, exit code {finished.returncode}:\n{said}"
        ) from None
    return found


def _problem_at(prefix: tuple[str, ...], problem: Row, source: Document) -> ScenarioError:
    path = (*prefix, *problem["loc"])
    dotted = ".".join(str(step) for step in path)
    return ScenarioError(source.place(path), f"{dotted}: {problem['message']}")
