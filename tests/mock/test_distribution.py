import random
import statistics

import pytest

from mockclaude import distribution, settings
from mockclaude.distribution import Constant, Empirical, Exponential, Gamma, Lognormal


@pytest.mark.parametrize(
    ("drawn", "cv"),
    [
        (Constant(0.5), 0.0),
        (Exponential(0.5), 1.0),
        (Gamma(0.5, 0.7), 0.7),
        (Gamma(2.0, 1.5), 1.5),
        (Empirical((1, 3)), 0.5),
    ],
    ids=repr,
)
def test_draws_have_the_mean_and_the_spread_they_should(drawn, cv):
    rng = random.Random(1)

    values = [drawn.draw(rng) for _ in range(40_000)]

    assert statistics.fmean(values) == pytest.approx(drawn.mean, rel=0.03)
    assert statistics.pstdev(values) / drawn.mean == pytest.approx(cv, rel=0.05, abs=1e-9)


def test_a_lognormal_goes_through_its_percentiles_and_knows_its_mean():
    drawn, rng = Lognormal(0.2, 0.6), random.Random(2)

    values = sorted(drawn.draw(rng) for _ in range(40_000))

    assert values[20_000] == pytest.approx(0.2, rel=0.03)
    assert values[38_000] == pytest.approx(0.6, rel=0.05)
    assert statistics.fmean(values) == pytest.approx(drawn.mean, rel=0.02)


@pytest.mark.parametrize(
    "drawn", [Constant(1.0), Exponential(2.0), Lognormal(1.0, 2.0), Gamma(1.0, 0.5), Empirical((1.0, 2.0))], ids=repr
)
def test_what_is_shown_can_be_read_back(drawn):
    assert distribution.parse(distribution.as_config(drawn), ()) == drawn


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"distribution": "gamma", "mean": 1.0, "cv": 1e-200}, "cv: expected"),
        ({"distribution": "gamma", "mean": 1.0, "cv": 1e200}, "cv: expected"),
        ({"distribution": "lognormal", "p50": 1.0, "p95": 1e300}, "too far from p50"),
        ({"distribution": "lognormal", "p50": 1e300, "p95": 1e-300}, "too far from p50"),
    ],
)
def test_a_spread_that_cannot_be_drawn_is_refused(section, why):
    with pytest.raises(settings.ConfigError, match=why):
        distribution.parse(section, ())


def test_measured_numbers_come_from_a_column_of_a_file_beside_the_configuration(tmp_path):
    (tmp_path / "ttft.csv").write_text("when,ttft\n1,0.5\n2,0.75\n")
    config = tmp_path / "mock.yaml"
    config.write_text("latency: {ttft: {distribution: empirical, file: ttft.csv, column: ttft}}")

    section = settings.load_file(config)["latency"]["ttft"]

    assert distribution.parse(section, ()) == Empirical((0.5, 0.75))


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("a,b\n1,2\n", None, "column: expected one of the columns of x.csv: a, b; got None"),
        ("a,b\n1,2\n", "c", "got 'c'"),
        ("a\n1\nsoon\n", None, "file: line 3 of x.csv: expected a number, got 'soon'"),
        ("a\n", None, "at least 1 item"),
        ("a\n-1\n", "a", "greater than or equal to 0"),
        ("", "a", "column: expected one of the columns"),
        (None, "a", "file: 'x.csv' can only be named in a file"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(text, column, reason):
    section = {"distribution": "empirical", "file": "x.csv", "column": column, "text": text}

    with pytest.raises(settings.ConfigError, match=reason):
        distribution.parse(section, ())


def test_a_file_that_is_not_there_is_named(tmp_path):
    config = tmp_path / "mock.yaml"
    config.write_text("latency: {ttft: {distribution: empirical, file: nowhere.csv}}")

    with pytest.raises(settings.ConfigError, match=r"latency\.ttft\.file: cannot read .*nowhere\.csv"):
        settings.load_file(config)
