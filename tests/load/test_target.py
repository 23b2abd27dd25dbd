"""A target's file, and what becomes of a scenario that is aimed at it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.errors import CannotRun
from loadtests.experiment import scenario, target
from loadtests.experiment.scenario import Scenario
from loadtests.experiment.target import Aim, Target
from loadtests.protocol import client
from loadtests.schedule.load import Ask

ASK = Ask(("why?",), "claude-haiku-4-5", 50)
ENVIRONMENT = {"KEY": "secret", "GATEWAY_KEY": "k"}
Write = Callable[[str], str]


def load(path: str) -> Target:
    return target.load(Path(path), ENVIRONMENT)


@pytest.mark.parametrize("name", target.names())
def test_the_examples_that_come_along_are_good(name: str):
    found = target.load(target.find(name), ENVIRONMENT)

    assert found.about.endswith(".")
    assert "chat" in found.kinds(ENVIRONMENT)


def test_headers_come_from_the_environment_and_not_into_what_is_written_down(write: Write):
    found = load(write('{url: "http://127.0.0.1:1", speaks: messages, headers: {Authorization: "Bearer ${KEY}"}}'))

    call = found.kinds(ENVIRONMENT)["chat"].call(ASK, "r1", found.key(client.KEY))

    assert (call.method, call.path, call.headers["authorization"]) == ("POST", "/v1/messages", "Bearer secret")
    assert call.headers["anthropic-version"] and "x-api-key" not in call.headers
    assert found.variables == {"KEY"}
    assert "secret" not in found.model_dump_json()


def test_a_model_is_called_what_the_target_calls_it():
    found = Target(url="http://127.0.0.1:1", speaks="gateway", models={"claude-haiku-4-5": "small"})

    body = found.kinds({})["chat"].call(ASK, "r1", "k").body

    assert b'"model":"small"' in body
    assert found.kinds({})["health"].call(ASK, "r1", "k").method == "GET"


def test_who_asks_a_question_asks_it_in_claudes_own_words_where_nothing_else_is_spoken():
    kinds = Target(url="http://127.0.0.1:1", speaks="messages").kinds({})

    assert b'"stream":true' in kinds["stream"].call(ASK, "r1", "k").body
    assert b'"user_id":"r1"' in kinds["chat"].call(ASK, "r1", "k").body
    assert "batch" not in kinds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("url: http://127.0.0.1:1", 'expected "speaks" (gateway or messages), or an "endpoint"'),
        ("url: http://127.0.0.1:1\nspeaks: gateway\nendpoint: {path: /a, text: b}", 'expected "speaks"'),
        ('url: "http://127.0.0.1:{port}"\nspeaks: gateway', 'expected "start"'),
        ("url: http://127.0.0.1:1\nspeaks: gateway\nreday: /x", '.yaml:3: reday: unknown key; did you mean "ready"?'),
        ("url: http://127.0.0.1:1\nspeaks: loud", ".yaml:2: speaks: got"),
        ("url: http://127.0.0.1:1\nspeaks: messages\nready: x", '.yaml:3: ready: got "x", expected a path'),
        (
            "url: http://127.0.0.1:1\nspeaks: messages\nheaders:\n  a: $NOWHERE",
            ".yaml:4: headers.a: the environment has no NOWHERE; set it",
        ),
        (
            "url: http://127.0.0.1:1\nendpoint:\n  path: /a\n  text: t\n  done: {evnt: x}",
            '.yaml:5: endpoint.done.evnt: unknown key; did you mean "event"?',
        ),
        ("speaks: messages", "url is missing; every target needs it"),
    ],
)
def test_a_bad_file_is_told_by_its_line_and_what_was_expected(write: Write, text: str, said: str):
    with pytest.raises(CannotRun) as refused:
        load(write(text))

    assert said in str(refused.value)


def test_an_aim_is_a_url_a_file_or_an_example(write: Write):
    file = write("url: http://127.0.0.1:5/\nmock: http://127.0.0.1:6\nspeaks: messages\nheaders: {x-api-key: $KEY}")

    by_url = target.aim("http://127.0.0.1:8/", "http://127.0.0.1:9", "k")
    by_file = target.aim(file, environment=ENVIRONMENT)
    by_name = target.aim("own_endpoint", environment=ENVIRONMENT)

    assert (by_url.target.url, by_url.target.speaks, by_url.mock, by_url.key) == (
        *("http://127.0.0.1:8", "gateway", "http://127.0.0.1:9", "k"),
    )
    assert (by_file.target.url, by_file.mock, by_file.key) == ("http://127.0.0.1:5", "http://127.0.0.1:6", "")
    assert by_file.folder == Path(file).parent
    assert (by_name.starts, by_name.mock) == (True, None)


@pytest.mark.parametrize(
    ("given", "mock", "said"),
    [
        ("http://127.0.0.1:8", None, "--target needs --mock URL"),
        ("http://10.0.0.5", "http://127.0.0.1:9", "--allow-remote"),
        ("http://127.0.0.1:8", "http://10.0.0.5", "--allow-remote"),
        ("https://api.anthropic.com", "http://127.0.0.1:9", "--i-will-pay"),
        ("own_endpiont", None, 'did you mean "own_endpoint"?'),
        ("nowhere.yaml", None, "nowhere.yaml"),
        ("", "http://127.0.0.1:9", "expected a URL"),
    ],
)
def test_an_aim_that_cannot_be_is_refused(given: str, mock: str | None, said: str):
    with pytest.raises(CannotRun, match=said.replace("?", r"\?")):
        target.aim(given, mock)


def test_an_aim_carries_the_permissions_it_was_given():
    toxic = "http://127.0.0.1:8474/"
    aimed = target.aim("http://10.0.0.5/", "http://127.0.0.1:1", "k", toxiproxy=toxic, allow_remote=True)

    assert aimed == Aim(
        *(aimed.target, "http://127.0.0.1:1", "k", Path().resolve(), ("--allow-remote",), "http://127.0.0.1:8474")
    )


SPEAKING = Target(url="http://127.0.0.1:1", speaks="messages")


def test_a_target_meets_the_first_variants_load_and_what_was_predicted_of_its_switches_stays_there(small: Scenario):
    variants = {"naive": {"preset": "naive", "load": {"rate": 2}, "mock": {"seed": 3}}, "fixed": {"load": {"rate": 9}}}
    aimed, run = target.experiment_at(SPEAKING, small.model_copy(update={"variants": variants}), [])

    assert run == ["target"]
    assert list(aimed.variants) == ["target", "naive", "fixed"]
    assert aimed.variants["target"] == {"load": {"rate": 2}, "mock": {"seed": 3}}
    assert [expectation.variant for expectation in aimed.expect] == ["naive"]


def test_what_was_predicted_of_no_switch_is_asked_of_the_target(text: str, write: Write):
    plain = scenario.load(write(text.replace("{preset: naive}", "{}")))[0]

    aimed, _ = target.experiment_at(SPEAKING, plain, [])

    assert [expectation.variant for expectation in aimed.expect] == ["target"]


def test_a_target_that_is_asked_to_be_a_variant_is_judged_as_that(small: Scenario):
    assert target.experiment_at(SPEAKING, small, ["fixed"]) == (small, ["fixed"])


def test_a_target_is_one_gateway(small: Scenario):
    with pytest.raises(CannotRun, match="expected one --variant; got naive, fixed"):
        target.experiment_at(SPEAKING, small, ["naive", "fixed"])


def test_what_a_target_cannot_be_asked_is_said_before_anything_starts(small: Scenario):
    load = small.load.model_copy(update={"user": "analyze"})

    with pytest.raises(CannotRun, match="cannot be asked what user analyze asks; expected chat, messages"):
        target.experiment_at(SPEAKING, small.model_copy(update={"load": load}), [])
