"""A small scenario in memory and on disk, for tests of what reads one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.experiment import scenario
from loadtests.experiment.scenario import Scenario
from tests.load.written import Written

TEXT = """\
about: A small experiment.
slo: {e2e: 2.0}
load: {user: chat, arrivals: constant, rate: 4, patience: 5}
phases:
  - {name: warmup, seconds: 2, judge: false}
  - {name: before, seconds: 4}
  - {name: dip, seconds: 2}
  - {name: after, seconds: 8}
mock:
  capacity: {slots: 3, queue: 10}
  timeline: [{phase: dip, capacity: {slots: 1}}]
variants:
  naive: {preset: naive}
  fixed: {preset: production}
expect:
  - {variant: naive, phase: after, metric: goodput_ratio, predicted: 0.0, at_most: 0.5, because: "theory"}
gates:
  - error_ratio < 0.01
"""


@pytest.fixture
def text() -> str:
    return TEXT


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def written(content: str) -> str:
        path = tmp_path / "small.yaml"
        path.write_text(content, encoding="utf-8")
        return str(path)

    return written


@pytest.fixture
def small(write: Callable[[str], str]) -> Scenario:
    return scenario.load(write(TEXT))[0]


@pytest.fixture
def both(tmp_path: Path, small: Scenario) -> Written:
    """naive collapsed as expected; fixed is well."""
    written = Written(tmp_path, small.model_copy(update={"gates": ["fixed.error_ratio < 0.01"]}), ["naive", "fixed"])
    written.variant("naive", "timeout")
    written.variant("fixed")
    return written
