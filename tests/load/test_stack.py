"""What the programs of a run are given."""

import socket

import pytest

from loadtests.errors import CannotRun
from loadtests.programs import stack


def test_nested_settings_become_environment_variables():
    variables = stack.environment_of(
        {
            "preset": "naive",
            "attempts": 4,
            "retry_budget": {"ratio": 0.1},
            "deadline": None,
            "cors": ["a", "b"],
            "backoff": {},
        }
    )

    assert variables == {
        "GATEWAY_PRESET": "naive",
        "GATEWAY_ATTEMPTS": "4",
        "GATEWAY_RETRY_BUDGET__RATIO": "0.1",
        "GATEWAY_DEADLINE": "none",
        "GATEWAY_CORS": '["a", "b"]',
        "GATEWAY_BACKOFF": "{}",  # an empty section is a section: all its defaults, not none of it
    }


def test_a_child_sees_no_key_no_endpoint_no_proxy_and_no_setting_of_the_callers_shell():
    found = stack.clean_environment(
        {
            "PATH": "/bin",
            "HOME": "/root",
            "ANTHROPIC_API_KEY": "k",
            "ANTHROPIC_BASE_URL": "u",
            "HTTPS_PROXY": "p",
            "https_proxy": "p",
            "ALL_PROXY": "p",
            "GATEWAY_ATTEMPTS": "9",
            "LOCUST_HEADLESS": "1",
            "VALID_API_KEYS": "x",
        }
    )

    assert found == {"PATH": "/bin", "HOME": "/root", "NO_PROXY": "127.0.0.1,localhost", "PYTHONUNBUFFERED": "1"}


def test_the_web_port_is_the_wanted_one_or_a_free_one():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = taken.getsockname()[1]

        with pytest.raises(CannotRun, match=f"--port {busy}"):
            stack.web_port(busy)
        assert stack.web_port(None, usual=busy) not in (0, busy)

    assert stack.web_port(busy) == busy


def test_a_program_that_never_started_has_nothing_to_stop(tmp_path):
    program = stack.Program("mock", tmp_path / "mock.log")

    stack.stop(program)

    assert program.exit_code is None
    assert "(nothing)" in program.last_words()
