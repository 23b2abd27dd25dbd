import math

import pytest

from mockclaude import wire
from mockclaude.quota import Level, Quota

WALL = 1_772_049_757.0  # 2026-02-25T20:02:37Z


def test_headers_are_as_captured():
    quota = Quota(
        {
            "requests": Level(50, 49, 0.0),
            "input tokens": Level(30_000, 28_104, 0.0),
            "output tokens": Level(8_000, 8_000, 0.0),
        }
    )

    prefix, reset = "anthropic-ratelimit-", "2026-02-25T20:02:37Z"
    assert quota.headers(WALL) == {
        f"{prefix}{kind}-{what}": value
        for kind, limit, remaining in [
            ("requests", "50", "49"),
            ("input-tokens", "30000", "28000"),
            ("output-tokens", "8000", "8000"),
            ("tokens", "38000", "36000"),
        ]
        for what, value in [("limit", limit), ("remaining", remaining), ("reset", reset)]
    }


def test_reset_is_when_the_bucket_is_full_and_of_tokens_when_both_are():
    said = Quota({"input tokens": Level(6000, 0, 59.5), "output tokens": Level(600, 600, 0.0)}).headers(WALL)

    resets = {name.split("-")[2]: value for name, value in said.items() if name.endswith("reset")}
    assert resets == {
        "input": "2026-02-25T20:03:37Z",
        "output": "2026-02-25T20:02:37Z",
        "tokens": "2026-02-25T20:03:37Z",
    }


@pytest.mark.parametrize("full_in", [6e12, math.inf])
def test_a_bucket_that_is_not_full_before_the_end_of_time_has_a_reset_all_the_same(full_in):
    said = Quota({"requests": Level(1e-9, 0, full_in)}).headers(WALL)

    assert said["anthropic-ratelimit-requests-reset"] == "9999-12-31T23:59:59Z"


@pytest.mark.parametrize(
    ("limit", "remaining", "shown"),
    [
        (30_000, 28_499, "28000"),
        (30_000, 28_500, "29000"),
        (30_000, 499, "0"),
        (30_000, -9000, "0"),
        (1600, 1600, "1600"),
    ],
    ids=["down", "up", "none", "a debt", "never more than the limit"],
)
def test_tokens_are_told_to_the_nearest_thousand(limit, remaining, shown):
    said = Quota({"output tokens": Level(limit, remaining, 0.0)}).headers(WALL)

    assert said["anthropic-ratelimit-output-tokens-remaining"] == shown
    assert said["anthropic-ratelimit-tokens-remaining"] == shown


@pytest.mark.parametrize(
    ("wait", "told"),
    [(0.0, None), (0.4, "1"), (1.0, "1"), (8.000_000_1, "8"), (8.1, "9"), (1e-7, "1"), (math.inf, None)],
)
def test_the_wait_is_told_rounded_up(wait, told):
    assert Quota({}, "requests", wait).headers(WALL).get("retry-after") == told


@pytest.mark.parametrize(
    ("over", "limit", "what"),
    [
        ("requests", 50.0, "50 requests per minute"),
        ("requests", 7.5, "7.5 requests per minute"),
        ("input tokens", 30_000.0, "30,000 input tokens per minute"),
        ("input tokens", 2e6, "2,000,000 input tokens per minute"),
        ("output tokens", 8_000.0, "8,000 output tokens per minute"),
    ],
)
def test_a_rate_limit_is_refused_in_claudes_words(over, limit, what):
    error = Quota({}, over, 3.2, limit).error("claude-opus-4-6", WALL)

    assert (error.status, error.kind, error.details) == (429, "rate_limit_error", None)
    assert error.headers == {"retry-after": "4"}
    assert error.message == (
        f"This request would exceed your organization's rate limit of {what} (org: {wire.ORGANIZATION}, model: "
        "claude-opus-4-6). For details, refer to: https://docs.claude.com/en/api/rate-limits. You can see the response "
        "headers for current usage. Please reduce the prompt length or the maximum tokens requested, or try again "
        "later. You may also contact sales at https://claude.com/contact-sales to discuss your options for a rate "
        "limit increase."
    )


@pytest.mark.parametrize(
    ("rises_to", "current"),
    [
        (68_276.0, "58,276 input tokens per minute, and will increase to 68,276 at the next minute boundary."),
        (20_000.0, "58,276 input tokens per minute."),
    ],
    ids=["it rises", "it falls"],
)
def test_a_ramp_too_steep_is_refused_in_claudes_words(rises_to, current):
    error = Quota({}, "ramp", 20.0, 58_276.0, rises_to).error("claude-opus-4-6", WALL)

    assert (error.status, error.details) == (429, {"error_code": "ramp_limit_exceeded"})
    assert error.headers == {"retry-after": "20"}
    assert error.message == (
        "This request would exceed your organization's maximum usage increase rate for input tokens per minute (org: "
        f"{wire.ORGANIZATION}, model: claude-opus-4-6). Your current limit is {current} Please scale up your input "
        "tokens usage more gradually to stay within the acceleration limit. For details, refer to: "
        "https://docs.claude.com/en/api/rate-limits."
    )


def test_the_tiers_cap_is_a_429_without_a_wait():
    error = Quota({}, "tier", math.inf).error("claude-opus-4-6", WALL)

    assert (error.status, error.kind, error.headers) == (429, "rate_limit_error", {})
    assert error.details == {"error_code": "enforced_spend_limit_reached"}
    assert error.message == (
        "You have reached your API usage limits: your organization has crossed its monthly API usage threshold, set "
        "based on your organization's API tier. You will regain access on 2026-03-01 at 00:00 UTC."
    )


def test_the_users_own_limit_is_a_400():
    error = Quota({}, "user", math.inf).error("claude-opus-4-6", 1_766_880_000.0)  # 28 December 2025

    assert (error.status, error.kind, error.headers, error.details) == (400, "invalid_request_error", {}, None)
    assert error.message == (
        "You have reached your specified API usage limits. You will regain access on 2026-01-01 at 00:00 UTC."
    )
