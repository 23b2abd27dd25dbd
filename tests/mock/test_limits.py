import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockclaude import limits
from mockclaude.limits import Bucket, Limits, Rate
from mockclaude.settings import ConfigError


def granted(quota):
    return quota is not None and not quota.wait


@given(
    burst=st.integers(1, 20),
    per_minute=st.integers(1, 600),
    gaps=st.lists(st.fractions(0, 2, max_denominator=50), max_size=80),
)
def test_a_bucket_never_accepts_more_than_burst_and_refill(burst, per_minute, gaps):
    rate, bucket, now, accepted = Rate(per_minute, burst), Bucket(Fraction(burst), Fraction(0)), Fraction(0), 0

    for gap in gaps:
        now += gap
        accepted += granted(bucket.take(rate, now))

        assert accepted <= burst + Fraction(per_minute, 60) * now


@given(burst=st.integers(1, 20), per_minute=st.integers(1, 120), seconds=st.integers(1, 6))
def test_under_pressure_a_bucket_accepts_exactly_the_least_of_what_came_and_what_it_holds(burst, per_minute, seconds):
    rate, bucket = Rate(per_minute, burst), Bucket(Fraction(burst), Fraction(0))
    arrivals = [Fraction(k, per_minute) for k in range(seconds * per_minute + 1)]  # 60 times what the bucket refills

    accepted = sum(granted(bucket.take(rate, now)) for now in arrivals)

    last = arrivals[-1]
    assert accepted == min(len(arrivals), burst + math.floor(Fraction(per_minute, 60) * last))


def test_whoever_waits_as_long_as_told_is_served():
    tight = Limits(Rate(7, burst=1))
    tight.take("a", 0.0)

    refused = tight.take("a", 1.0)
    assert refused is not None
    served = tight.take("a", 1.0 + refused.wait)

    assert refused.wait == pytest.approx(60 / 7 - 1)
    assert granted(served)


def test_the_wait_is_told_rounded_up():
    tight = Limits(Rate(60, burst=1))
    tight.take("a", 0.0)

    quota = tight.take("a", 0.4)

    assert quota is not None
    assert quota.headers(wall=0.0)["retry-after"] == "1"


def test_a_refused_attempt_costs_nothing():
    tight = Limits(Rate(60, burst=1))
    tight.take("a", 0.0)

    for now in (0.2, 0.4, 0.6, 0.8):
        assert not granted(tight.take("a", now))

    assert granted(tight.take("a", 1.0))


def test_each_key_has_its_own_bucket():
    tight = Limits(Rate(60, burst=1))

    assert granted(tight.take("a", 0.0))
    assert granted(tight.take("b", 0.0))
    assert not granted(tight.take("a", 0.0))


def test_without_limits_there_is_no_quota():
    assert Limits(Rate()).take("a", 0.0) is None


def test_headers_tell_limit_remaining_and_when_the_bucket_is_full_again():
    quota = Limits(Rate(60, burst=50)).take("a", 0.0)

    assert quota is not None
    assert quota.headers(wall=1_772_049_757.0) == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-02-25T20:02:38Z",
    }


def test_burst_is_a_minutes_worth_unless_said():
    assert Rate(30).depth == 30
    assert Rate(30, 5).depth == 5


def test_a_change_keeps_what_was_spent_and_spills_what_no_longer_fits():
    changing = Limits(Rate(60, burst=10))
    changing.take("a", 0.0)

    changing.change(Rate(60, burst=2), 0.0)

    assert [granted(changing.take("a", 0.0)) for _ in range(3)] == [True, True, False]


def test_switching_limits_off_and_on_begins_with_full_buckets():
    changing = Limits(Rate(60, burst=1))
    changing.take("a", 0.0)

    changing.change(Rate(), 1.0)
    changing.change(Rate(60, burst=1), 1.0)

    assert granted(changing.take("a", 1.0))


def test_rested_keys_are_forgotten():
    many = Limits(Rate(60, burst=1))

    for k in range(limits.KEYS_BEFORE_SWEEP * 3):
        many.take(f"key {k}", k / 100)

    assert len(many._buckets) <= limits.KEYS_BEFORE_SWEEP + 1


def test_a_section_is_laid_over_what_is_in_force():
    assert limits.parse({"burst": 3}, Rate(60)) == Rate(60, 3)
    assert limits.parse({"requests_per_minute": 10}, Rate(60, 3)) == Rate(10, 3)
    assert limits.parse({}) == Rate()


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"burst": 3}, 'limits.burst: needs "requests_per_minute"'),
        ({"requests_per_minute": 0}, "limits.requests_per_minute: expected greater than 0"),
        ({"requests_per_minute": 0.5}, "limits.burst: a bucket of 0.5 never holds one request"),
        ({"requests_per_minute": "many"}, "limits.requests_per_minute: expected a valid number, got 'many'"),
        ({"rpm": 3}, "limits.rpm: unknown key"),
    ],
)
def test_what_makes_no_sense_is_refused(section, reason):
    with pytest.raises(ConfigError, match=reason):
        limits.parse(section)
