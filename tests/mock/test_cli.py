import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from mockclaude import __version__, cli


@pytest.fixture
def run():
    return lambda *words, stdin="": CliRunner().invoke(cli.app, list(words), input=stdin)


def test_it_says_its_version(run):
    result = run("--version")

    assert (result.exit_code, result.stdout) == (0, f"mockclaude {__version__}\n")


def test_a_good_configuration_passes(run, tmp_path):
    file = tmp_path / "mock.yaml"
    file.write_text("capacity: {slots: 16}\ntimeline: [{at: 1, for: 2, limits: {requests_per_minute: 5}}]\n")

    result = run("check", str(file))

    assert result.exit_code == 0
    first, *drawing = result.stdout.splitlines()
    assert first == f"{file}: ok"
    assert drawing[0].startswith("limits.requests_per_minute ")


def test_each_problem_has_a_line_of_its_own(run):
    result = run("check", "-", stdin="capacity: {slot: 16}\nlatency: {ttft: {p50: soon}}\n")

    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "-: latency.ttft.p50: expected a valid number, got 'soon'",
        '-: capacity.slot: unknown key; did you mean "slots"? (known: '
        "slots, queue, on_disconnect, order, max_queue_wait, on_full, slowdown)",
    ]


def test_problems_come_as_json_with_their_exact_places(run):
    result = run("check", "-", "--json", stdin="timeline: [{at: 0, for: 1, capacity: {slots: -1}}]")

    assert result.exit_code == 2
    assert json.loads(result.stdout) == [
        {"loc": ["timeline", 0, "capacity", "slots"], "message": "expected greater than or equal to 0, got -1"}
    ]


def test_no_problems_are_an_empty_list(run):
    result = run("check", "-", "--json", stdin="seed: 3")

    assert (result.exit_code, result.stdout) == (0, "[]\n")


def test_broken_yaml_names_its_line(run):
    result = run("check", "-", stdin="seed: 1\ncapacity: [")

    assert result.exit_code == 2
    assert "line 2, column" in result.stderr


def test_a_file_that_is_not_there_is_one_line(run):
    result = run("check", "/nowhere/mock.yaml")

    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_bad_configuration_is_refused_before_anything_listens(run, tmp_path):
    file = tmp_path / "mock.yaml"
    file.write_text("capacity: {slots: -1}")

    result = run("serve", "--config", str(file), "--port", "0")

    assert result.exit_code == 2
    assert "capacity.slots" in result.stderr


def test_more_than_one_worker_is_refused_with_the_reason(run):
    result = run("serve", "--workers", "2", "--port", "0")

    assert result.exit_code == 2
    assert "--workers 2: one process is one mock" in result.stderr


def test_checking_loads_no_server():
    program = "import sys, mockclaude.cli; print({'fastapi', 'uvicorn', 'starlette'} & set(sys.modules))"

    told = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout == "set()\n"
