import math
import random
import statistics

import pytest

from mockclaude import latency
from mockclaude.latency import Profile
from mockclaude.settings import ConfigError


def test_the_percentiles_of_many_draws_are_the_ones_asked_for():
    profile = Profile(p50=0.2, p95=0.6, tokens_per_second=150)
    rng = random.Random(1)

    draws = sorted(profile.ttft(rng) for _ in range(20_000))

    assert draws[10_000] == pytest.approx(0.2, rel=0.03)
    assert draws[19_000] == pytest.approx(0.6, rel=0.05)


def test_the_mean_is_the_lognormals():
    profile = Profile(p50=0.2, p95=0.6, tokens_per_second=150)
    sigma = math.log(3) / latency.Z95
    rng = random.Random(2)

    mean = statistics.fmean(profile.ttft(rng) for _ in range(40_000))

    assert mean == pytest.approx(0.2 * math.exp(sigma**2 / 2), rel=0.02)


def test_equal_percentiles_mean_a_constant():
    assert {Profile(0.3, 0.3, 10).ttft(random.Random(seed)) for seed in range(20)} == {0.3}


def test_no_wait_at_all_can_be_asked_for():
    assert Profile(0.0, 0.0, 10).ttft(random.Random(1)) == 0.0


def test_a_draw_costs_the_same_randomness_whatever_the_shape():
    constant, spread = random.Random(5), random.Random(5)

    Profile(0.3, 0.3, 10).ttft(constant)
    Profile(0.3, 0.9, 10).ttft(spread)

    assert constant.random() == spread.random()


@pytest.mark.parametrize(
    ("output_tokens", "max_tokens", "length"), [(None, 120, 120), (50, 120, 50), (500, 120, 120), (0, 120, 0)]
)
def test_a_reply_is_as_long_as_configured_but_never_longer_than_max_tokens(output_tokens, max_tokens, length):
    assert Profile(0.1, 0.1, 10, output_tokens).length(max_tokens) == length


@pytest.mark.parametrize("family", ["fable", "mythos"])
def test_fable_and_mythos_are_as_fast_as_opus(family):
    assert latency.profile(latency.DEFAULT, family) == latency.DEFAULT["opus"]


def test_a_flat_section_overrides_all_families():
    parsed = latency.parse({"ttft": {"p50": 0.1, "p95": 0.3}, "tokens_per_second": 100, "output_tokens": 7})

    assert set(parsed.values()) == {Profile(0.1, 0.3, 100.0, 7)}


def test_any_part_of_a_section_may_be_left_out():
    parsed = latency.parse({"tokens_per_second": 10})

    assert parsed["haiku"] == Profile(0.2, 0.6, 10)
    assert parsed["opus"] == Profile(0.8, 2.5, 10)


def test_one_family_can_be_changed_alone():
    parsed = latency.parse({"sonnet": {"ttft": {"p95": 2.0}}})

    assert parsed["sonnet"] == Profile(0.4, 2.0, 90)
    assert parsed["haiku"] == latency.DEFAULT["haiku"]


def test_a_section_is_laid_over_what_is_in_force():
    base = latency.parse({"output_tokens": 5})

    parsed = latency.parse({"ttft": {"p50": 0.0, "p95": 0.0}}, base)

    assert parsed["haiku"] == Profile(0.0, 0.0, 150, 5)


@pytest.mark.parametrize(
    ("section", "place", "reason"),
    [
        ({"ttft": {"p50": 2.0}}, "latency.ttft.p50", "p95 0.6 is below p50 2"),
        ({"ttft": {"p50": 2.0, "p95": 1.0}}, "latency.ttft.p95", "expected p95 >= p50"),
        ({"ttft": {"p50": 0}}, "latency.ttft.p50", "a lognormal needs p50 > 0"),
        ({"opus": {"ttft": {"p95": 0.1}}}, "latency.opus.ttft.p95", "is below p50"),
        ({"tokens_per_second": 0}, "latency.tokens_per_second", "expected greater than 0, got 0"),
        ({"output_tokens": 1.5}, "latency.output_tokens", "expected a valid integer"),
        ({"ttft": {"p50": float("nan")}}, "latency.ttft.p50", "expected a finite number"),
        ({"ttft": 0.4}, "latency.ttft", "expected a mapping, got 0.4"),
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
    parsed = latency.parse({"opus": {"output_tokens": 3}})

    assert latency.parse(latency.as_config(parsed)) == parsed
