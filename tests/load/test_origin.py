"""Whose requests are ours."""

import pytest

from loadtests.control import origin


@pytest.mark.parametrize(
    ("host", "given"),
    [
        ("127.0.0.1:8089", None),
        ("127.0.0.1:8089", "http://127.0.0.1:8089"),
        ("localhost:8089", "http://localhost:8089"),
        ("[::1]:8089", "http://[::1]:8089"),
    ],
)
def test_a_page_of_ours_may_ask(host: str, given: str | None):
    assert origin.stranger(host, given) is None


@pytest.mark.parametrize(
    ("host", "given", "why"),
    [
        pytest.param("127.0.0.1:8089", "https://evil.example", "another website", id="another site"),
        pytest.param("127.0.0.1:8089", "http://127.0.0.1:3000", "another website", id="another port of ours"),
        pytest.param("127.0.0.1:8089", "null", "another website", id="a sandboxed frame"),
        pytest.param("evil.example:8089", "http://evil.example:8089", "not at evil.example", id="a name bound anew"),
        pytest.param("", None, "not at", id="no host"),
    ],
)
def test_a_stranger_may_not(host: str, given: str | None, why: str):
    assert why in str(origin.stranger(host, given))
