"""Limits as the official SDK meets them."""

import time

import anthropic
import pytest

from mockclaude import wire

REGAIN = r"You will regain access on \d{4}-\d\d-01 at 00:00 UTC\."


def test_headers_tell_how_every_bucket_stands(client, mock, ask):
    mock.configure(limits={"preset": "start"})

    raw = client.messages.with_raw_response.create(**ask())

    prefix = "anthropic-ratelimit-"
    limits = {name[len(prefix) :]: raw.headers[name] for name in raw.headers if name.startswith(prefix)}
    assert {name: value for name, value in limits.items() if name.endswith("limit")} == {
        "requests-limit": "1000",
        "input-tokens-limit": "2000000",
        "output-tokens-limit": "400000",
        "tokens-limit": "2400000",
    }
    assert limits["requests-remaining"] == "999"
    assert raw.parse().usage.output_tokens == 20


def test_a_stream_has_the_headers_too(client, mock, ask):
    mock.configure(limits={"requests_per_minute": 50})

    with client.messages.stream(**ask()) as stream:
        assert stream.response.headers["anthropic-ratelimit-requests-remaining"] == "49"


def test_headers_can_be_switched_off(client, mock, ask):
    mock.configure(limits={"preset": "start", "headers": False})

    raw = client.messages.with_raw_response.create(**ask())

    assert not [name for name in raw.headers if "ratelimit" in name]


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        ({"requests_per_minute": 1}, "1 requests per minute"),
        ({"input_tokens_per_minute": 1200}, "1,200 input tokens per minute"),
        ({"output_tokens_per_minute": 20}, "20 output tokens per minute"),
    ],
    ids=["requests", "input", "output"],
)
def test_beyond_a_limit_is_a_rate_limit_error(client, mock, ask, limits, what):
    mock.configure(limits=limits)
    long = ask("word " * 500)
    client.messages.create(**long)

    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(**long)

    assert f"rate limit of {what} (org: {wire.ORGANIZATION}, model: claude-haiku-4-5-20251001)." in caught.value.message
    assert int(caught.value.response.headers["retry-after"]) > 0


def test_the_sdk_waits_as_long_as_it_is_told_and_then_succeeds(mock, ask):
    mock.configure(limits={"requests_per_minute": 60, "burst": 1})

    with anthropic.Anthropic(base_url=mock.url, api_key="a", max_retries=1) as client:
        client.messages.create(**ask())
        began = time.monotonic()
        client.messages.create(**ask())
        waited = time.monotonic() - began

    assert 1.0 <= waited < 2.0
    assert [record["status"] for record in mock.journal()] == [200, 429, 200]


def test_keys_of_one_organization_can_share_its_limits(mock, ask):
    mock.configure(limits={"requests_per_minute": 1, "scope": "organization"})

    with (
        anthropic.Anthropic(base_url=mock.url, api_key="a", max_retries=0) as one,
        anthropic.Anthropic(base_url=mock.url, api_key="b", max_retries=0) as other,
    ):
        one.messages.create(**ask())
        with pytest.raises(anthropic.RateLimitError):
            other.messages.create(**ask())
        other.messages.create(**ask(model="claude-opus-4-5"))


def test_the_ramp_has_an_error_of_its_own(client, mock, ask):
    mock.configure(limits={"ramp": 1000})
    long = ask("word " * 500)
    client.messages.create(**long)

    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(**long)

    assert type(caught.value).__name__ == "RampLimitExceededError"
    assert "Your current limit is 1,000 input tokens per minute, and will increase to 1," in caught.value.message
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 60


def test_the_tiers_spend_cap_has_an_error_of_its_own_and_no_wait(client, mock, ask):
    mock.configure(limits={"spend": {"tokens": 20}})
    client.messages.create(**ask())

    with pytest.raises(anthropic.RateLimitError, match=REGAIN) as caught:
        client.messages.create(**ask())

    assert type(caught.value).__name__ == "EnforcedSpendLimitReachedError"
    assert "retry-after" not in caught.value.response.headers


def test_the_customers_own_spend_limit_is_a_bad_request(client, mock, ask):
    mock.configure(limits={"spend": {"tokens": 20, "kind": "user"}})
    client.messages.create(**ask())

    with pytest.raises(anthropic.BadRequestError, match=REGAIN) as caught:
        client.messages.create(**ask())

    assert "You have reached your specified API usage limits." in caught.value.message
