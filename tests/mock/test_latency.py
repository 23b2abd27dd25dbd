import math
import random
import statistics

import pytest

from mockclaude import distribution, latency
from mockclaude.latency import Prefill, Profile
from mockclaude.settings import ConfigError


def test_the_percentiles_of_many_draws_are_the_ones_asked_for():
    profile = Profile.of(p50=0.2, p95=0.6, tokens_per_second=150)
    rng = random.Random(1)

    draws = sorted(profile.ttft.draw(rng) for _ in range(20_000))

    assert draws[10_000] == pytest.approx(0.2, rel=0.03)
    assert draws[19_000] == pytest.approx(0.6, rel=0.05)


def test_the_mean_is_the_lognormals():
    profile = Profile.of(p50=0.2, p95=0.6, tokens_per_second=150)
    sigma = math.log(3) / distribution.Z95
    rng = random.Random(2)

    mean = statistics.fmean(profile.ttft.draw(rng) for _ in range(40_000))

    assert mean == pytest.approx(0.2 * math.exp(sigma**2 / 2), rel=0.02)


def test_equal_percentiles_mean_a_constant():
    assert {Profile.of(0.3, 0.3, 10).ttft.draw(random.Random(seed)) for seed in range(20)} == {0.3}


def test_no_wait_at_all_can_be_asked_for():
    assert Profile.of(0.0, 0.0, 10).ttft.draw(random.Random(1)) == 0.0


@pytest.mark.parametrize(
    ("output_tokens", "max_tokens", "length"), [(None, 120, 120), (50, 120, 50), (500, 120, 120), (0, 120, 0)]
)
def test_a_reply_is_as_long_as_configured_but_never_longer_than_max_tokens(output_tokens, max_tokens, length):
    assert Profile.of(0.1, 0.1, 10, output_tokens).tokens(max_tokens, lambda: random.Random(1)) == length


@pytest.mark.parametrize("family", ["fable", "mythos"])
def test_fable_and_mythos_are_as_fast_as_opus(family):
    assert latency.profile(latency.DEFAULT, family) == latency.DEFAULT["opus"]


def test_a_flat_section_overrides_all_families():
    parsed = latency.parse({"ttft": {"p50": 0.1, "p95": 0.3}, "tokens_per_second": 100, "output_tokens": 7})

    assert set(parsed.values()) == {Profile.of(0.1, 0.3, 100.0, 7, prefill=Prefill())}


def test_any_part_of_a_section_may_be_left_out():
    parsed = latency.parse({"tokens_per_second": 10})

    assert parsed["haiku"] == Profile.of(0.2, 0.6, 10, prefill=Prefill())
    assert parsed["opus"] == Profile.of(0.8, 2.5, 10, prefill=Prefill())


def test_one_family_can_be_changed_alone():
    parsed = latency.parse({"sonnet": {"ttft": {"p95": 2.0}}})

    assert parsed["sonnet"] == Profile.of(0.4, 2.0, 90, prefill=Prefill())
    assert parsed["haiku"] == latency.DEFAULT["haiku"]


def test_a_section_is_laid_over_what_is_in_force():
    base = latency.parse({"output_tokens": 5})

    parsed = latency.parse({"ttft": {"p50": 0.0, "p95": 0.0}}, base)

    assert parsed["haiku"] == Profile.of(0.0, 0.0, 150, 5, prefill=Prefill())


def test_a_prompt_is_read_at_its_own_speed_and_faster_where_it_is_cached():
    profile = Profile.of(0.4, 0.4, 90, prefill=Prefill())

    assert profile.reading(10_000, 0) == pytest.approx(1.6)
    assert profile.reading(0, 10_000) == pytest.approx(0.1)
    assert profile.reading(20, 0) == pytest.approx(0.0032)


def test_reading_costs_nothing_when_it_is_turned_off():
    parsed = latency.parse({"prefill": False})

    assert {profile.reading(10_000, 10_000) for profile in parsed.values()} == {0.0}


@pytest.mark.parametrize(
    ("base", "section", "prefill"),
    [
        ({}, {"tokens_per_second": 500}, Prefill(500, 100_000)),
        ({}, {"cached_tokens_per_second": 700}, Prefill(6_250, 700)),
        ({"prefill": False}, {"tokens_per_second": 500}, Prefill(500, 100_000)),
        ({"prefill": {"tokens_per_second": 9}}, {"cached_tokens_per_second": 8}, Prefill(9, 8)),
    ],
    ids=["reading", "cached", "on again", "over what is in force"],
)
def test_either_speed_of_reading_can_be_set_alone(base, section, prefill):
    parsed = latency.parse({"prefill": section}, latency.parse(base))

    assert parsed["opus"].prefill == prefill


def test_one_family_can_read_at_once():
    parsed = latency.parse({"haiku": {"prefill": False}})

    assert parsed["haiku"].prefill is None
    assert parsed["opus"].prefill == Prefill()


@pytest.mark.parametrize(
    ("section", "place", "reason"),
    [
        ({"ttft": {"p50": 2.0}}, "latency.ttft.p50", "p95 0.6 is below p50 2"),
        ({"ttft": {"p95": 1e300}}, "latency.ttft.p95", "p95 1e+300 is too far from p50 0.2"),
        ({"ttft": {"p50": 2.0, "p95": 1.0}}, "latency.ttft.p95", "expected p95 >= p50"),
        ({"ttft": {"p50": 0}}, "latency.ttft.p50", "a lognormal needs p50 > 0"),
        ({"opus": {"ttft": {"p95": 0.1}}}, "latency.opus.ttft.p95", "is below p50"),
        ({"tokens_per_second": 0}, "latency.tokens_per_second", "expected greater than 0, got 0"),
        ({"output_tokens": 1.5}, "latency.output_tokens", "expected a valid integer"),
        ({"ttft": {"p50": float("nan")}}, "latency.ttft.p50", "expected a finite number"),
        ({"ttft": 0.4}, "latency.ttft", "expected a mapping, got 0.4"),
        ({"prefill": {"tokens_per_second": 0}}, "latency.prefill.tokens_per_second", "expected greater than 0, got 0"),
        ({"prefill": {"pace": 1}}, "latency.prefill.pace", "unknown key"),
        ({"prefill": True}, "latency.prefill", "got True"),
        ({"tokens_per_delta": 0}, "latency.tokens_per_delta", "expected greater than or equal to 1, got 0"),
        ({"haiku": {}, "ttft": {}}, "latency.ttft", "unknown key"),
        ({"hiaku": {}}, "latency.hiaku", "unknown key"),
        ("fast", "latency", "expected a mapping, got 'fast'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(section, place, reason):
    with pytest.raises(ConfigError) as caught:
        latency.parse(section)

    assert f"{place}: " in str(caught.value)
    assert reason in str(caught.value)


def test_what_is_shown_can_be_read_back():
    parsed = latency.parse({"opus": {"output_tokens": 3, "tokens_per_delta": 2}, "haiku": {"prefill": False}})

    assert latency.parse(latency.as_config(parsed)) == parsed


@pytest.mark.parametrize(
    "section",
    [
        {"ttft": {"distribution": "gamma", "mean": 0.5, "cv": 0.7}},
        {"tokens_per_second": {"distribution": "lognormal", "p50": 80.0, "p95": 120.0}},
        {"output_tokens": {"distribution": "empirical", "values": [10.0, 20.0]}},
    ],
    ids=lambda section: next(iter(section)),
)
def test_any_part_may_be_a_distribution_by_name(section):
    parsed = latency.parse(section)

    assert latency.parse(latency.as_config(parsed)) == parsed
    assert latency.as_config(parsed)["opus"][next(iter(section))] == next(iter(section.values()))


@pytest.mark.parametrize(
    ("section", "loc", "reason"),
    [
        ({"ttft": {"distribution": "cauchy"}}, "latency.ttft.distribution", "no distribution is called 'cauchy'"),
        ({"ttft": {"distribution": "gamma", "mean": 1}}, "latency.ttft.cv", "is missing"),
        (
            {"haiku": {"output_tokens": {"distribution": "constant", "value": -1}}},
            "value",
            "greater than or equal to 0",
        ),
        ({"tokens_per_second": {"distribution": "constant", "value": 0}}, "tokens_per_second", "a pace above 0, got 0"),
        ({"tokens_per_second": {"distribution": "empirical", "values": [5, 0]}}, "tokens_per_second", "a pace above 0"),
        ({"output_tokens": {"distribution": "empirical", "values": []}}, "values", "at least 1 item"),
    ],
)
def test_a_distribution_that_makes_no_sense_is_refused(section, loc, reason):
    with pytest.raises(ConfigError) as caught:
        latency.parse(section)

    assert loc in str(caught.value)
    assert reason in str(caught.value)


def test_a_drawn_length_never_exceeds_max_tokens():
    profile = latency.parse({"output_tokens": {"distribution": "exponential", "mean": 100}})["haiku"]
    rng = random.Random(1)

    lengths = [profile.tokens(150, lambda: rng) for _ in range(1000)]

    assert max(lengths) == 150
    assert len(set(lengths)) > 50
