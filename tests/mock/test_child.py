"""What a process that is measured is given by whoever measures it."""

import json
import os
import resource
import subprocess
import sys

import pytest

from mockclaude.bench import child

TELL = "import json, os, resource as r; print(json.dumps([*os.sched_getaffinity(0), *r.getrlimit(r.RLIMIT_NOFILE)]))"


@pytest.mark.parametrize(
    "name",
    [
        "GATEWAY_RETRY__MAX",
        "MOCKCLAUDE_CONFIG",
        "ANTHROPIC_BASE_URL",
        "VALID_API_KEYS",
        "LOCUST_LOGLEVEL",
        "BENCH_RATE",
        "HTTPS_PROXY",
        "http_proxy",
        "no_proxy",
    ],
)
def test_no_setting_of_the_callers_comes_along(name):
    assert child.environment({name: "x", "PATH": "/bin", "LANG": "C"}) == {"PATH": "/bin", "LANG": "C"}


def test_what_it_needs_itself_is_added():
    around = {"ANTHROPIC_BASE_URL": "https://api.example.com", "PATH": "/bin"}

    given = child.environment(around, {"BENCH_RATE": "90"}, {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"})

    assert given == {"PATH": "/bin", "BENCH_RATE": "90", "ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}


@pytest.mark.system
def test_it_has_one_core_and_as_many_files_as_there_may_be():
    core, hard = min(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def begin():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        child.pinned(core)()

    told = subprocess.run([sys.executable, "-c", TELL], preexec_fn=begin, capture_output=True, check=True)

    assert json.loads(told.stdout) == [core, hard, hard]
