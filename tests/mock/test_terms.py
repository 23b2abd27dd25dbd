import pytest

from mockclaude import catalog, terms
from mockclaude.settings import ConfigError
from mockclaude.terms import Rate, Spend, Terms


def test_without_a_section_nothing_is_limited():
    assert terms.parse({}) == Terms()
    assert set(terms.parse({}).rates.values()) == {Rate()}


def test_burst_is_a_minutes_worth_unless_said():
    assert Rate(30).depth == 30
    assert Rate(30, 5).depth == 5


def test_flat_rates_hold_for_every_family():
    told = terms.parse({"requests_per_minute": 50, "input_tokens_per_minute": 30_000, "output_tokens_per_minute": 8000})

    assert set(told.rates) == set(catalog.FAMILIES)
    assert set(told.rates.values()) == {Rate(50, None, 30_000, 8000)}


def test_a_section_is_laid_over_what_is_in_force():
    under = terms.parse({"requests_per_minute": 60, "scope": "organization"})

    over = terms.parse({"burst": 3}, under)

    assert over.rates["opus"] == Rate(60, 3)
    assert over.scope == "organization"
    assert terms.parse({"requests_per_minute": 10}, over).rates["opus"] == Rate(10, 3)


def test_what_is_said_of_a_family_goes_over_what_is_said_of_all_and_that_over_the_preset():
    told = terms.parse({"preset": "start", "requests_per_minute": 90, "opus": {"output_tokens_per_minute": 7}})

    assert told.rates["haiku"] == Rate(90, None, 2_000_000, 400_000)
    assert told.rates["opus"] == Rate(90, None, 2_000_000, 7)


@pytest.mark.parametrize(
    ("preset", "usual", "fable"),
    [
        ("start", (1_000, 2_000_000, 400_000), (1_000, 500_000, 100_000)),
        ("build", (5_000, 5_000_000, 1_000_000), (2_000, 1_500_000, 300_000)),
        ("scale", (10_000, 10_000_000, 2_000_000), (4_000, 4_000_000, 800_000)),
        ("none", (None, None, None), (None, None, None)),
    ],
)
def test_the_presets_are_the_published_tiers(preset, usual, fable):
    rates = terms.parse({"preset": preset}, terms.parse({"requests_per_minute": 1})).rates

    for family in ("haiku", "sonnet", "opus"):
        assert rates[family] == Rate(usual[0], None, *usual[1:])
    assert rates["fable"] == Rate(fable[0], None, *fable[1:])


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"requests_per_minute": 5},
        {"requests_per_minute": 5, "burst": 2, "input_tokens_per_minute": 9, "output_tokens_per_minute": 8},
        {"opus": {"requests_per_minute": 5}},
        {"scope": "workspace", "headers": False, "ramp": 10_000, "spend": {"tokens": 0, "kind": "user"}},
    ],
    ids=["nothing", "requests", "all rates", "one family", "the rest"],
)
def test_what_is_in_force_is_told_as_it_was_said(section):
    assert terms.as_config(terms.parse(section)) == section


@pytest.mark.parametrize("preset", terms.PRESETS)
def test_a_preset_is_told_in_a_way_that_can_be_read_back(preset):
    told = terms.parse({"preset": preset})

    assert terms.parse(terms.as_config(told)) == told


def test_the_usual_spend_limit_is_the_tiers():
    assert terms.parse({"spend": {"tokens": 10}}).spend == Spend(10, "tier")


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"burst": 3}, 'limits.burst: needs "requests_per_minute"'),
        ({"opus": {"burst": 3}}, 'limits.opus.burst: needs "requests_per_minute"'),
        ({"requests_per_minute": 0}, "limits.requests_per_minute: expected greater than 0"),
        ({"requests_per_minute": 0.5}, "limits.burst: a bucket of 0.5 never holds one request"),
        ({"requests_per_minute": "many"}, "limits.requests_per_minute: expected a valid number, got 'many'"),
        ({"output_tokens_per_minute": 0.5}, "limits.output_tokens_per_minute: expected greater than or equal to 1"),
        ({"haiku": {"input_tokens_per_minute": -1}}, "limits.haiku.input_tokens_per_minute: expected greater than"),
        ({"rpm": 3}, "limits.rpm: unknown key"),
        ({"opus": {"rpm": 3}}, "limits.opus.rpm: unknown key"),
        ({"opus": 3}, "limits.opus: expected a mapping, got 3"),
        ({"preset": "free"}, "limits.preset: expected 'none', 'start', 'build' or 'scale'"),
        ({"scope": "me"}, "limits.scope: expected 'key', 'workspace' or 'organization'"),
        ({"input_tokens_per_minute": 1e300}, "limits.input_tokens_per_minute: expected less than or equal to"),
        ({"headers": "no"}, "limits.headers: expected a valid boolean"),
        ({"ramp": 0}, "limits.ramp: expected greater than 0"),
        ({"spend": {}}, "limits.spend.tokens: is missing"),
        ({"spend": {"tokens": -1}}, "limits.spend.tokens: expected greater than or equal to 0"),
        ({"spend": {"tokens": 1, "kind": "mine"}}, "limits.spend.kind: expected 'tier' or 'user'"),
        ({"spend": {"tokens": 1, "cap": 2}}, "limits.spend.cap: "),
        (7, "limits: expected a mapping, got 7"),
    ],
)
def test_what_makes_no_sense_is_refused(section, reason):
    with pytest.raises(ConfigError, match=reason):
        terms.parse(section)
