"""What the control room does to a run, told to a mock that only listens."""

import json
from typing import Any

import pytest

from loadtests.control.hand import Hand, Load, Refused
from loadtests.experiment.plan import Plan
from loadtests.experiment.scenario import Scenario
from loadtests.record import byhand
from loadtests.record.byhand import Note
from loadtests.sample import Row

PLAN = Plan("s.yaml", "naive", 1, "http://127.0.0.1:1", "http://127.0.0.1:2", "k", "samples", "events")


class Answer:
    def __init__(self, status_code: int, body: Row) -> None:
        self.status_code, self._body = status_code, body

    def read(self) -> bytes:
        return json.dumps(self._body).encode()


class Listening:
    """A mock that does nothing, or refuses everything."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, Any]] = []
        self.refuses: str | None = None

    def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        self.told.append((method, path, json.loads(body) if body else None))
        return Answer(400 if self.refuses else 200, {"error": self.refuses} if self.refuses else {})


class Watching:
    """A run that has been going on for ten seconds."""

    def __init__(self, scenario: Scenario) -> None:
        self.plan, self.scenario, self.mock = PLAN, scenario, Listening()
        self.state, self.t, self.start = "running", 10.0, 1
        self.notes: list[Note] = []
        self.revised: Any = None

    def note(self, note: Note) -> None:
        self.notes.append(note)

    def revise(self, paces: Any) -> None:
        self.revised = paces


@pytest.fixture
def watch(small: Scenario) -> Watching:
    return Watching(small)


@pytest.fixture
def load() -> list[Any]:
    """What was done with it."""
    return []


@pytest.fixture
def hand(watch, load) -> Hand:
    return Hand(watch, Load(lambda: load.append("start"), lambda: load.append("stop"), load.append))


def test_a_fault_is_begun_at_the_mock_and_noted(hand: Hand, watch: Watching):
    told = hand.do("fault", {"choice": "overloaded", "percent": 20})

    assert told == "begun: 529 overloaded, 20 % of attempts"
    assert watch.mock.told == [("POST", "/_mock/faults", {"name": "status", "code": 529, "share": 0.2})]
    assert watch.notes == [Note(10.0, "529 overloaded, 20 % of attempts", opens="fault status")]


def test_what_the_mock_refuses_is_not_noted(hand: Hand, watch: Watching):
    watch.mock.refuses = "no room"

    with pytest.raises(Refused, match="no room"):
        hand.do("fault", {"choice": "overloaded"})

    assert watch.notes == []


def test_a_panic_stop_ends_the_load_first_and_leaves_neither_fault_nor_timeline(hand: Hand, watch: Watching, load):
    hand.do("capacity", {"slots": 1})
    watch.mock.told.clear()

    assert hand.do("panic", {}) == "the load is stopped; no fault is in force"

    assert load == ["stop"]
    assert watch.mock.told[0] == ("DELETE", "/_mock/faults", None)
    method, path, config = watch.mock.told[1]
    assert (method, path, config["capacity"]) == ("PUT", "/_mock/config", {"slots": 3, "queue": 10})
    assert config["timeline"] is None and config["faults"] is None
    assert byhand.still_open(watch.notes) == ()


def test_a_new_start_puts_back_what_was_touched_and_only_then(hand: Hand, watch: Watching):
    hand.restore()
    untouched = list(watch.mock.told)
    hand.do("fault", {"choice": "hang"})
    watch.mock.told.clear()

    hand.restore()
    hand.restore()

    assert untouched == []
    assert [told[:2] for told in watch.mock.told] == [("DELETE", "/_mock/faults"), ("PUT", "/_mock/config")]
    assert watch.mock.told[1][2]["timeline"] == [{"at": 6.0, "for": 2.0, "capacity": {"slots": 1}}]


def test_a_changed_rate_is_told_to_the_load_and_counts_from_a_moment_on(hand: Hand, watch: Watching, load):
    assert hand.do("rate", {"factor": 3}) == "rate × 3"
    assert hand.do("rate", {"factor": 1}) == "rate as in the scenario"

    first, second = watch.notes
    assert (first.factor, second.factor) == (3.0, 1.0)
    assert 10 < first.t < 11
    assert load[-1] == watch.revised == [(first.t, 3.0), (second.t, 1.0)]


def test_a_rate_that_makes_too_many_requests_is_refused(watch: Watching, load):
    long = watch.scenario.model_copy(update={"load": watch.scenario.load.model_copy(update={"rate": 4000.0})})
    watch.scenario, watch.t = long, 0.0

    with pytest.raises(Refused, match="expected at most 1,000,000"):
        Hand(watch, Load(lambda: None, lambda: None, load.append)).do("rate", {"factor": 100})

    assert load == [] and watch.notes == []


def test_a_rate_cannot_change_when_the_last_phase_is_over(hand: Hand, watch: Watching, load):
    watch.t = 15.9

    with pytest.raises(Refused, match="the schedule ends at 16 s, before"):
        hand.do("rate", {"factor": 2})

    assert load == []


def test_users_who_wait_have_no_rate(watch: Watching, hand: Hand):
    closed = watch.scenario.load.model_copy(update={"rate": None, "users": 5})
    watch.scenario = watch.scenario.model_copy(update={"load": closed})

    with pytest.raises(Refused, match="5 users who wait for their answers have no rate"):
        hand.do("rate", {"factor": 2})


def test_a_toxic_needs_a_toxiproxy(hand: Hand, watch: Watching):
    with pytest.raises(Refused, match="no Toxiproxy between the programs"):
        hand.do("heal", {})

    assert watch.notes == []


@pytest.mark.parametrize(
    ("state", "name", "said"), [("running", "start", "runs already"), ("ready", "save", "nothing")]
)
def test_what_cannot_be_done_now_is_refused(hand: Hand, watch: Watching, state: str, name: str, said: str):
    watch.state = state

    with pytest.raises(Refused, match=said):
        hand.do(name, {})
