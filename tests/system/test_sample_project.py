"""What people install: the built wheel in a venv of its own, with what its metadata asks for and nothing else.

What it asks for is linked from here instead of fetched: nothing is downloaded, and the venv stands in two seconds.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import urllib.request
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "your_project"
ASK = {"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
OURS = ("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "NO_PROXY", "no_proxy")


class Installed:
    """A venv with the wheel in it."""

    def __init__(self, folder: Path, wheel: Path, *beside: str) -> None:
        venv.create(folder, symlinks=True)
        self.bin = folder / "bin"
        self.site = next(folder.glob("lib/python*/site-packages"))
        install = [sys.executable, "-m", "pip", "--python", self.bin / "python", "install", "--quiet", "--no-deps"]
        subprocess.run([*install, "--no-index", wheel], check=True, timeout=100)
        told = metadata.PathDistribution(next(self.site.glob("mockclaude-*.dist-info"))).requires or []
        for distribution in needed([Requirement(line) for line in (*told, *beside)]):
            self._link(distribution)

    def _link(self, distribution: metadata.Distribution) -> None:
        tops = {path.parts[0] for path in distribution.files or ()} - {"..", "__pycache__"}
        for top in tops:
            if not (self.site / top).exists():
                (self.site / top).symlink_to(str(distribution.locate_file(top)))

    def popen(self, program: str, *arguments: str, cwd: Path | None = None, **env: str) -> subprocess.Popen[str]:
        """Start one of its programs, in an environment without ours."""
        kept = {name: value for name, value in os.environ.items() if name not in OURS}
        whole = [self.bin / program, *arguments]
        return subprocess.Popen(
            whole, cwd=cwd, env=kept | env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, program: str, *arguments: str, cwd: Path | None = None, **env: str) -> tuple[int, str]:
        """Run one of its programs; its exit code and what it said."""
        with self.popen(program, *arguments, cwd=cwd, **env) as process:
            said, _ = process.communicate(timeout=100)
        return process.returncode, said


def needed(asked: list[Requirement]) -> list[metadata.Distribution]:
    """The distributions that these requirements come to."""
    found, todo = {}, [one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]
    while todo:
        one = todo.pop()
        if (one.name, *sorted(one.extras)) in found:
            continue
        distribution = found[(one.name, *sorted(one.extras))] = metadata.distribution(one.name)
        for line in distribution.requires or ():
            brought = Requirement(line)
            extras = one.extras or {""}
            if brought.marker is None or any(brought.marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(brought)
    return list(found.values())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, built."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", folder, ROOT], check=True, timeout=100)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel without any extra."""
    return Installed(tmp_path_factory.mktemp("bare"), wheel)


def test_the_sample_project_tests_its_client_with_the_installed_plugin(wheel, tmp_path):
    project = tomllib.loads((SAMPLE / "pyproject.toml").read_text())
    beside = [line for line in project["dependency-groups"]["test"] if not line.startswith("mockclaude")]
    installed = Installed(tmp_path / "venv", wheel, *project["project"]["dependencies"], *beside)
    shutil.copytree(SAMPLE, tmp_path / "project")

    shell = {"HTTP_PROXY": "http://127.0.0.1:9", "ANTHROPIC_AUTH_TOKEN": "sk-ant-real"}
    code, said = installed.run("python", "-m", "pytest", cwd=tmp_path / "project", **shell)

    assert code == 0, said
    assert "3 passed" in said
    assert "plugins: mockclaude-" in said


def test_the_mock_serves_with_its_base_dependencies_alone(bare):
    with bare.popen("mockclaude", "serve", "--port", "0") as process:
        try:
            url = process.stdout.readline().split()[-1]
            headers = {"x-api-key": "a", "anthropic-version": "2023-06-01"}
            request = urllib.request.Request(url + "/v1/messages", json.dumps(ASK).encode(), headers)
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
                answer = json.load(response)
        finally:
            process.terminate()

    assert answer["usage"]["output_tokens"] == 10
    assert not [top for top in ("anthropic", "locust", "pytest") if (bare.site / top).exists()]


def test_what_needs_an_extra_says_which(bare):
    code, said = bare.run("loadtests", "list")

    assert code == 2
    assert "pip install 'mockclaude[all]'" in said
    assert "Traceback" not in said


def test_a_rehearsal_needs_no_clone(wheel, tmp_path):
    """As with `uvx --from 'mockclaude[all]' loadtests`: the wheel, what it asks for, and an empty folder."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = Installed(tmp_path / "venv", wheel, *extras["gateway"], *extras["loadtests"])
    here = tmp_path / "here"
    here.mkdir()

    made = installed.run("loadtests", "new", "mine", cwd=here)
    options = ("--variant", "fixed", "--out", "run", "--junit", "junit.xml")
    code, said = installed.run("loadtests", "run", "mine.yaml", "--clock", "virtual", *options, cwd=here)

    assert made[0] == 0, made[1]
    assert code == 0, said
    assert "mine: pass" in said
    assert (here / "run" / "report.html").stat().st_size > 100_000
    assert (here / "junit.xml").read_text().count("<testcase") == 4
    assert installed.run("loadtests", "schema", "summary")[0] == 0
