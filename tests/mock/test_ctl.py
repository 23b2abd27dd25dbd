"""`mockclaude ctl` against a real mock: what it says over HTTP, and what it says when something is wrong."""

import json

import pytest
from typer.testing import CliRunner

from mockclaude.commands.ctl import app
from mockclaude.testing import MockClaude


@pytest.fixture(scope="module")
def mock():
    with MockClaude() as running:
        yield running


@pytest.fixture
def ctl(mock):
    mock.configure(faults=None, capacity=None, latency=None, limits=None, timeline=None)
    return lambda *arguments, url=mock.url, **surroundings: CliRunner().invoke(
        app, [*arguments, "--url", url], env=surroundings
    )


def test_a_fault_begins_and_ends(ctl, mock):
    ctl("fault", "status", "code=529", "share=0.2")
    shown = json.loads(ctl("fault", "stall", "after=2", "seconds=5").output)["faults"]

    assert [fault["name"] for fault in shown] == ["status", "stall"]
    assert json.loads(ctl("fault", "status", "--clear").output)["faults"] == shown[1:]
    assert json.loads(ctl("fault", "--clear").output)["faults"] == []


def test_a_change_leaves_the_rest_of_a_section_as_it_was(ctl, mock):
    ctl("capacity", "slots=4", "queue=unbounded")

    shown = json.loads(ctl("capacity", "order=lifo").output)

    assert (shown["slots"], shown["queue"], shown["order"]) == (4, "unbounded", "lifo")


def test_nested_keys_have_dots(ctl):
    shown = json.loads(ctl("latency", "haiku.ttft.p50=1", "haiku.ttft.p95=2").output)

    assert shown["haiku"]["ttft"] == {"p50": 1.0, "p95": 2.0}
    assert shown["opus"]["ttft"] == {"p50": 0.8, "p95": 2.5}


def test_null_takes_a_key_back(ctl):
    ctl("capacity", "slots=4", "queue=7")

    shown = json.loads(ctl("capacity", "slots=null").output)

    assert (shown["slots"], shown["queue"]) == (1000, 7)


def test_a_change_made_in_a_dip_does_not_make_the_dip_last(ctl, mock):
    mock.configure(timeline=[{"at": 0, "for": 3600, "capacity": {"slots": 1}}])
    mock.reset()
    ctl("capacity", "queue=7")
    mock.configure(timeline=None)

    assert json.loads(ctl("config").output)["capacity"]["slots"] == 1000


@pytest.mark.parametrize("what", ["stats", "config", "reset"])
def test_what_can_be_asked_is_printed_as_json(ctl, what):
    result = ctl(what)

    assert result.exit_code == 0
    assert json.loads(result.output)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["fault", "stauts"], "no fault is called 'stauts'"),
        (["fault", "status"], "code: is missing"),
        (["fault", "status", "code"], "expected key=value, got 'code'"),
        (["fault", "status", "=1"], "expected key=value, got '=1'"),
        (["fault", "status", "code=["], "expected key=value, got 'code=['"),
        (["fault"], "name a fault, or say --clear"),
        (["capacity", "slots=-1"], "capacity.slots: expected greater than or equal to 0, got -1"),
        (["capacity", "a=1", "a.b=1"], "a has a value already"),
        (["limits"], "nothing to change"),
    ],
)
def test_what_makes_no_sense_changes_nothing(ctl, mock, arguments, reason):
    before = mock.configure()

    result = ctl(*arguments)

    assert result.exit_code == 2
    assert reason in result.output
    assert mock.configure() == before


def test_where_there_is_no_mock_it_says_so(ctl):
    result = ctl("stats", url="http://127.0.0.1:9")

    assert result.exit_code == 2
    assert "no mock at http://127.0.0.1:9" in result.output


def test_a_mock_on_this_machine_is_asked_past_the_shells_proxy(ctl):
    nobody = "http://127.0.0.1:9"

    result = ctl("stats", http_proxy=nobody, HTTP_PROXY=nobody, no_proxy="", NO_PROXY="")

    assert result.exit_code == 0


def test_one_elsewhere_is_asked_through_it(ctl, mock):
    result = ctl("stats", url="http://mock.example", http_proxy=mock.url, no_proxy="", NO_PROXY="")

    assert json.loads(result.output)["instance"] == mock.stats()["instance"]
