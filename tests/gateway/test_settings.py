"""Settings: presets under what is given, and errors that say where, what was got and what was expected."""

import io
import json
import re
import sys

import pytest
from pydantic import BaseModel

from gateway_under_test import cli, settings, switches
from gateway_under_test.settings import Settings, SettingsError, check, from_environment
from gateway_under_test.switches import PRESETS, SECTIONS


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_states_every_switch(preset):
    assert set(PRESETS[preset]) == set(settings.Switches.model_fields) - {"preset", "model"}
    for section, values in PRESETS[preset].items():
        if isinstance(values, dict):
            assert set(values) == set(SECTIONS[(section,)].model_fields)


def test_the_table_of_switches_says_what_the_presets_are():
    """Each row of the docstring is a switch with both its values (a star: the preset leaves it, see below it)."""
    rows = re.findall(r"^    ([a-z_.]+)  +(.+?)  +(.+?)  +", switches.__doc__, re.M)
    told = {name.partition(".")[0] for name, *_ in rows if name != "switch"}

    assert told == set(PRESETS["naive"])
    for name, naive, production in rows[1:]:
        for preset, said in (("naive", naive), ("production", production)):
            value = PRESETS[preset]
            for step in name.split("."):
                value = (value or {}).get(step)
            if not said.endswith("*"):
                assert said == shown(value), (preset, name)


def shown(value):
    if isinstance(value, dict):
        return ", ".join(shown(each) for each in value.values() if not isinstance(each, dict | str))
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    return f"{value:.10g}" if isinstance(value, int | float) else value


def test_production_is_the_default():
    chosen = check({})

    assert (chosen.attempts, chosen.deadline, chosen.attempt_timeout) == (3, 60.0, 30.0)
    assert (chosen.retry_budget.ratio, chosen.retry_budget.burst) == (0.1, 10.0)
    assert (chosen.concurrency.limit, chosen.concurrency.max_wait) == (100, 0.5)
    assert (chosen.backoff.base, chosen.backoff.jitter, chosen.backoff.honour_retry_after) == (0.25, "full", True)


def test_naive_has_no_hidden_safety():
    chosen = check({"preset": "naive"})

    off = (chosen.retry_budget, chosen.concurrency, chosen.deadline, chosen.attempt_timeout)
    assert off == (None, None, None, None)
    assert (chosen.backoff.jitter, chosen.backoff.honour_retry_after) == ("none", False)


@pytest.mark.parametrize(
    ("variant", "budget"),
    [
        ({"preset": "naive", "attempts": 4, "backoff": {"base": 0.1, "jitter": "none"}}, None),
        ({"preset": "naive", "retry_budget": {"ratio": 0.1, "burst": 5}}, (0.1, 5)),
        ({"preset": "naive", "retry_budget": {"ratio": 0.2}}, (0.2, 10)),
        ({"preset": "production", "retry_budget": {"burst": 5}}, (0.1, 5)),
        ({"preset": "production", "retry_budget": None}, None),
        ({"preset": "production", "retry_budget": "none"}, None),
    ],
    ids=["naive", "switched on", "on with a default", "merged into the preset", "null", "none"],
)
def test_a_variant_is_merged_over_its_preset(variant, budget):
    chosen = check(variant)

    got = chosen.retry_budget and (chosen.retry_budget.ratio, chosen.retry_budget.burst)
    assert got == budget


@pytest.mark.parametrize(
    ("variant", "loc", "words"),
    [
        ({"retry_budgt": {}}, ("retry_budgt",), 'did you mean "retry_budget"'),
        ({"backoff": {"jiter": "full"}}, ("backoff", "jiter"), 'did you mean "jitter"'),
        ({"retry_budget": {"xyz": 1}}, ("retry_budget", "xyz"), "expected one of ratio, burst"),
        ({"retry_budget": {"ratio": "x"}}, ("retry_budget", "ratio"), 'got "x", expected'),
        ({"retry_budget": {"ratio": "0.1"}}, ("retry_budget", "ratio"), 'got "0.1", expected'),
        ({"retry_budget": 3}, ("retry_budget",), "got 3, expected"),
        ({"attempts": 0}, ("attempts",), "got 0, expected greater than or equal to 1"),
        ({"attempts": 2.5}, ("attempts",), "got 2.5, expected integer"),
        ({"attempts": True}, ("attempts",), "got true, expected integer"),
        ({"backoff": {"jitter": "some"}}, ("backoff", "jitter"), "'none', 'equal' or 'full'"),
        ({"preset": "prodution"}, ("preset",), "'naive' or 'production'"),
        ({"preset": ["naive"]}, ("preset",), "'naive' or 'production'"),
        ({"deadline": -1}, ("deadline",), "greater than 0"),
        ({"deadline": float("nan")}, ("deadline",), "finite"),
        ({"concurrency": {"limit": 0}}, ("concurrency", "limit"), "greater than or equal to 1"),
        ({"anthropic_api_key": "x"}, ("anthropic_api_key",), "unknown setting"),
        ([], (), "expected an object"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict | list) else "",
)
def test_a_bad_setting_is_named_with_its_place(variant, loc, words):
    with pytest.raises(SettingsError) as caught:
        check(variant)

    [problem] = caught.value.problems
    assert problem.loc == loc
    assert words in problem.message
    assert ".".join(loc) in str(caught.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(SettingsError) as caught:
        check({"attempts": 0, "deadline": "soon"})

    assert [problem.loc for problem in caught.value.problems] == [("attempts",), ("deadline",)]


@pytest.mark.parametrize(
    ("environ", "given"),
    [
        ({"GATEWAY_RETRY_BUDGET__RATIO": "0.2"}, {"retry_budget": {"ratio": 0.2}}),
        ({"GATEWAY_RETRY_BUDGET": "none"}, {"retry_budget": "none"}),
        ({"GATEWAY_RETRY_BUDGET": ""}, {"retry_budget": ""}),
        ({"GATEWAY_CONCURRENCY": '{"limit": 3}'}, {"concurrency": {"limit": 3}}),
        ({"GATEWAY_CONCURRENCY": '{"limit": 3}', "GATEWAY_CONCURRENCY__LIMIT": "4"}, {"concurrency": {"limit": 4}}),
        ({"GATEWAY_BACKOFF__JITTER": "none"}, {"backoff": {"jitter": "none"}}),
        ({"GATEWAY_PRESET": "naive", "GATEWAY_ATTEMPTS": "4"}, {"preset": "naive", "attempts": 4}),
        ({"GATEWAY_SERVICE_HOST": "10.0.0.1", "PATH": "/bin"}, {}),
        ({"VALID_API_KEYS": "a, b,,"}, {"valid_api_keys": ("a", "b")}),
        ({"ANTHROPIC_API_KEY": "123", "ANTHROPIC_BASE_URL": ""}, {"anthropic_api_key": "123"}),
    ],
    ids=lambda value: ",".join(value) if all(key.isupper() for key in value) else "",
)
def test_the_environment_is_read_nested(environ, given):
    assert from_environment(environ) == given


def test_the_environment_beats_the_preset_and_code_beats_the_environment(monkeypatch):
    monkeypatch.setenv("GATEWAY_PRESET", "naive")
    monkeypatch.setenv("GATEWAY_ATTEMPTS", "7")
    monkeypatch.setenv("GATEWAY_BACKOFF__BASE", "2")

    chosen = Settings(attempts=9)

    assert (chosen.preset, chosen.attempts, chosen.backoff.base, chosen.backoff.jitter) == ("naive", 9, 2.0, "none")


@pytest.mark.parametrize("off", ["none", ""])
@pytest.mark.parametrize("name", ["RETRY_BUDGET", "CONCURRENCY", "DEADLINE", "ATTEMPT_TIMEOUT"])
def test_a_pattern_is_switched_off_from_the_environment(monkeypatch, name, off):
    monkeypatch.setenv(f"GATEWAY_{name}", off)

    assert getattr(Settings.load(), name.lower()) is None


def test_a_bad_value_in_the_environment_is_told_by_its_path(monkeypatch):
    monkeypatch.setenv("GATEWAY_RETRY_BUDGET__RATO", "0.1")

    with pytest.raises(SettingsError, match=r'retry_budget.rato: unknown setting; did you mean "ratio"'):
        Settings.load()


def test_a_stranger_in_the_environment_is_worth_a_warning_only():
    environ = {"GATEWAY_SERVICE_HOST": "10.0.0.1", "GATEWAY_RETRY_BUGET__RATIO": "1", "GATEWAY_ATTEMPTS": "3"}

    assert settings.unknown(environ) == {
        "GATEWAY_RETRY_BUGET__RATIO": "GATEWAY_RETRY_BUDGET",
        "GATEWAY_SERVICE_HOST": None,
    }


def test_a_gateway_without_keys_says_which_are_missing():
    with pytest.raises(SettingsError) as caught:
        Settings(anthropic_api_key=None, valid_api_keys=()).require_keys()

    assert "ANTHROPIC_API_KEY: is not set" in str(caught.value)
    assert "VALID_API_KEYS: is not set" in str(caught.value)


def test_keys_are_never_shown():
    chosen = Settings(anthropic_api_key="sk-secret", valid_api_keys=("caller-secret",))

    assert "secret" not in repr(chosen)


def test_every_section_forbids_what_it_does_not_know():
    for section in (*SECTIONS.values(), settings.Switches):
        assert issubclass(section, BaseModel)
        assert section.model_config["extra"] == "forbid"
        assert section.model_config["strict"]


@pytest.mark.parametrize(
    ("text", "code", "locs"),
    [
        ('{"preset": "naive"}', 0, None),
        ('{"retry_budget": {"ratio": -1}}', 2, [["retry_budget", "ratio"]]),
        ("[1]", 2, [[]]),
        ("{", 2, [[]]),
    ],
    ids=["good", "bad", "not an object", "not JSON"],
)
def test_check_tells_problems_as_json(tmp_path, capsys, text, code, locs):
    file = tmp_path / "variant.json"
    file.write_text(text)

    got = cli.main(["--check", str(file)])

    out = capsys.readouterr().out
    assert got == code
    assert ([problem["loc"] for problem in json.loads(out)] if out else None) == locs


def test_check_reads_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"atempts": 3}'))

    code = cli.main(["--check", "-"])

    [problem] = json.loads(capsys.readouterr().out)
    assert (code, problem["loc"]) == (2, ["atempts"])
    assert "attempts" in problem["message"]


def test_check_of_a_missing_file_is_a_problem_too(capsys):
    code = cli.main(["--check", "/nowhere/at/all.json"])

    assert code == 2
    assert "cannot read" in json.loads(capsys.readouterr().out)[0]["message"]
