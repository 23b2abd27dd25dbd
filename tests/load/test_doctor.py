"""What the doctor says of a machine: fake programs in a folder stand for those that are installed."""

import dataclasses
import resource
from pathlib import Path

import pytest

from loadtests.errors import CannotRun
from loadtests.programs import doctor
from loadtests.programs.doctor import Found, Here, Machine

ROOMY = Machine(cores=8, files=(20_000, 20_000))


@pytest.fixture
def put(tmp_path: Path):
    """A program in a folder of the PATH (or of the project) that says `words` when asked for its version."""

    def program(name: str, words: str = "", folder: str = "bin") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho '{words}' >&2\n")
        path.chmod(0o755)
        return path

    return program


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here({"PATH": str(tmp_path / "bin")}, project=tmp_path, beyond=())


@pytest.mark.parametrize(
    ("name", "program", "words", "version"),
    [
        ("nginx", "nginx", "nginx version: nginx/1.22.1", "1.22.1"),
        ("toxiproxy", "toxiproxy-server", "toxiproxy-server version 2.12.0", "2.12.0"),
        ("toxiproxy", "toxiproxy-server", "toxiproxy-server version git", "git"),
        ("redis", "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "7.0.15"),
        ("prometheus", "prometheus", "prometheus, version 2.42.0+ds (branch: debian/sid)", "2.42.0"),
        ("browser", "chromium", "Chromium 156.0.8078.79 built on Debian GNU/Linux 12 (bookworm)", "156.0.8078.79"),
        ("browser", "google-chrome", "Google Chrome 140.0.1", "140.0.1"),
    ],
)
def test_what_is_installed_is_found_with_its_version(put, here, name, program, words, version):
    path = put(program, words)

    found = doctor.look(doctor.TOOLS[name], here)

    assert (found.path, found.version, found.state) == (str(path), version, "ok")


def test_the_variable_goes_before_the_projects_own_toxiproxy_and_that_before_the_paths(put, here, tmp_path):
    on_path, own, named = put("toxiproxy-server"), put("toxiproxy-server", folder=".tools"), put("mine", folder="else")

    named_here = dataclasses.replace(here, environment={**here.environment, "TOXIPROXY_BIN": str(named)})
    assert doctor.find(doctor.TOXIPROXY, dataclasses.replace(here, project=tmp_path / "another")) == str(on_path)
    assert doctor.find(doctor.TOXIPROXY, here) == str(own)
    assert doctor.find(doctor.TOXIPROXY, named_here) == str(named)


def test_a_variable_that_names_no_program_is_said_and_nothing_else_is_taken(put, here):
    put("toxiproxy-server")
    environment = {**here.environment, "TOXIPROXY_BIN": "/no/such"}

    found = doctor.look(doctor.TOXIPROXY, dataclasses.replace(here, environment=environment))

    (line, *_) = doctor.lines([found], ROOMY)
    assert line.state == "missing"
    assert "TOXIPROXY_BIN says /no/such" in line.detail


def test_a_program_that_cannot_be_asked_is_there_all_the_same(put, here):
    put("nginx").write_text("#!/no/such/shell\n")

    found = doctor.look(doctor.NGINX, here)

    assert (found.state, found.version) == ("ok", None)
    assert "of no known version" in doctor.lines([found], ROOMY)[0].detail


def test_too_old_a_version_is_told_with_what_would_do():
    found = Found(doctor.TOXIPROXY, "/bin/toxiproxy-server", "2.1.4", install="make setup-toxiproxy")

    line, *_ = doctor.lines([found], ROOMY)

    assert (line.state, line.advice) == ("old", "make setup-toxiproxy")
    assert "2.1.4 at /bin/toxiproxy-server; 2.12 or newer" in line.detail


def test_what_is_missing_is_told_with_the_command_that_installs_it(here, tmp_path):
    (tmp_path / "Makefile").touch()

    lines = doctor.lines([doctor.look(tool, here) for tool in doctor.TOOLS.values()], ROOMY)

    assert [(line.name, line.state, line.advice) for line in lines] == [
        ("nginx", "missing", "sudo apt-get install nginx"),
        ("toxiproxy", "missing", "make setup-toxiproxy"),
        ("redis", "missing", "sudo apt-get install redis-server"),
        ("prometheus", "missing", "sudo apt-get install prometheus"),
        ("browser", "missing", "sudo apt-get install chromium"),
        ("open files", "ok", ""),
        ("cores", "ok", ""),
    ]


def test_the_command_is_one_that_works_here(put, here):
    put("brew")

    assert doctor.install(doctor.REDIS, here) == "brew install redis"
    assert doctor.install(doctor.TOXIPROXY, here).startswith("go install github.com/Shopify/toxiproxy")


@pytest.mark.parametrize(
    ("files", "state", "advice"),
    [
        ((8192, 8192), "ok", ""),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), "ok", ""),
        ((1024, 65_536), "few", "ulimit -n 8192"),
        ((1024, resource.RLIM_INFINITY), "few", "ulimit -n 8192"),
        ((1024, 4096), "few", "sudo prlimit --pid $$ --nofile=8192"),
    ],
)
def test_few_open_files_are_told_with_the_way_to_have_more(files, state, advice):
    line = doctor.lines([], Machine(2, files))[0]

    assert (line.name, line.state, line.advice) == ("open files", state, advice)


def test_one_core_is_told():
    assert doctor.lines([], Machine(1, ROOMY.files))[1].state == "few"


def test_this_machine_has_a_core_and_may_open_files():
    found = doctor.machine()

    assert found.cores >= 1
    assert found.files[0] > 0 or found.files[0] == resource.RLIM_INFINITY


def test_a_scenario_that_needs_what_is_missing_ends_in_one_line(put, here, tmp_path):
    (tmp_path / "Makefile").touch()
    put("redis-server")

    with pytest.raises(CannotRun) as refused:
        doctor.demand("nginx_buffering", ["processes", "nginx", "redis", "toxiproxy"], here)

    said = "nginx_buffering needs nginx and toxiproxy, not found here; type: "
    assert str(refused.value) == said + "sudo apt-get install nginx && make setup-toxiproxy"
    assert refused.value.exit_code == 2


def test_a_scenario_that_has_all_it_needs_passes(put, here):
    put("redis-server")

    doctor.demand("fifo", ["redis", "threads"], here)
