"""The spend guard's word on where load may go."""

import pytest

from loadtests import guard
from loadtests.errors import CannotRun


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8200", "http://localhost:1/", "http://[::1]:9", "https://127.9.9.9", "http://a.localhost"]
)
def test_this_machine_needs_no_permission(url: str):
    assert guard.check(url, allow_remote=False, i_will_pay=False) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.5",
        "https://example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.nip.io",
        "http://1270",
    ],
)
def test_another_machine_needs_allow_remote(url: str):
    with pytest.raises(CannotRun, match="--allow-remote"):
        guard.check(url, allow_remote=False, i_will_pay=False)

    assert guard.check(url, allow_remote=True, i_will_pay=False) == url


@pytest.mark.parametrize(
    "url", ["https://api.anthropic.com", "https://API.Anthropic.com./v1", "https://eu.anthropic.com"]
)
def test_the_paid_api_needs_a_word_of_its_own(url: str):
    with pytest.raises(CannotRun, match="--i-will-pay"):
        guard.check(url, allow_remote=True, i_will_pay=False)

    assert guard.check(url, allow_remote=False, i_will_pay=True)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8200", "ftp://localhost", "http://", "localhost"])
def test_what_is_no_url_is_said_to_be_none(url: str):
    with pytest.raises(CannotRun, match="expected a URL"):
        guard.check(url, allow_remote=True, i_will_pay=True)
