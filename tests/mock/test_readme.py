"""What can be configured is in the README, so that nobody has to read the code to find it."""

import dataclasses
from pathlib import Path

import pytest

from mockclaude import capacity, distribution, faults, timeline
from mockclaude.speech import responders

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [*faults.FAULTS, *responders.RESPONDERS, *timeline.PARSERS, *distribution.DISTRIBUTIONS],
)
def test_everything_with_a_name_is_in_the_readme(name):
    assert name in README


@pytest.mark.parametrize("kind", [*faults.FAULTS.values(), capacity.Size], ids=lambda kind: kind.__name__)
def test_every_field_is_in_the_readme(kind):
    missing = [field.name for field in dataclasses.fields(kind) if f"`{field.name}`" not in README]

    assert [name for name in missing if name not in ("nth", "share", "match")] == []
