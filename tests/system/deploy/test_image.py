"""The image without an engine: what the Dockerfile copies is enough for a wheel that has everything."""

import fnmatch
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("mockclaude", "gateway_under_test", "loadtests")
LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
COPIED = [
    (source, target)
    for words in (shlex.split(line, comments=True) for line in LINES)
    if words[:1] == ["COPY"] and not words[1].startswith("--")
    for source in words[1:-1]
    for target in words[-1:]
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """What `pip wheel` makes in the first stage."""
    folder = tmp_path_factory.mktemp("context")
    for source, target in COPIED:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (folder / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, folder / target)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stdout + built.stderr
    (made,) = (folder / "dist").iterdir()
    return zipfile.ZipFile(made)


def test_the_linter_has_nothing_to_say(tool):
    said = tool("hadolint", "Dockerfile")

    assert said.returncode == 0, said.stdout + said.stderr


def test_both_stages_stand_on_one_pinned_python_that_the_project_supports():
    bases = {line.split()[1] for line in LINES if line.startswith("FROM ")}
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]

    (base,) = bases
    version = re.fullmatch(r"python:(\d+\.\d+)\.\d+-slim-[a-z]+", base)
    assert version, base
    assert required == f">={version[1]}"


def test_it_does_not_run_as_root_and_kubernetes_can_see_that():
    users = [line.split()[1] for line in LINES if line.startswith("USER ")]

    assert users == ["10001:10001"]


def test_the_wheel_has_every_file_of_the_three_programs(wheel):
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert files - {*wheel.namelist()} == set()
    assert {name for name in wheel.namelist() if name.startswith("tests/")} == set()


def test_the_wheel_has_the_commands_and_the_extra_that_the_image_is_made_of(wheel):
    (metadata,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
    (commands,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]

    assert "Provides-Extra: all" in wheel.read(metadata).decode()
    assert "mockclaude = mockclaude.cli:main" in wheel.read(commands).decode()
    assert any('"${wheel}[all]"' in line for line in LINES)


def test_the_context_is_what_is_copied_and_nothing_else():
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}

    assert next(rule for rule in rules if not rule.startswith("#")) == "*"
    assert "**/__pycache__" in rules
    for source, _ in COPIED:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, rule) or source.startswith(f"{rule}/") for rule in allowed), source
    assert allowed <= {source for source, _ in COPIED}
