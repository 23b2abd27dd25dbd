"""What a person does to a run by hand."""

import pytest

from loadtests.documents import section
from loadtests.documents.section import Problem
from loadtests.experiment import toxics
from loadtests.record import byhand
from loadtests.record.byhand import CHOICES, WIRES, Capacity, Fault, Mark, Note, Rate, Wire
from mockclaude import faults


def test_every_fault_of_the_mock_has_a_choice():
    assert {choice.fields["name"] for choice in CHOICES.values()} == set(faults.FAULTS)


@pytest.mark.parametrize("choice", CHOICES)
def test_the_mock_understands_every_choice_as_it_stands(choice: str):
    asked = section.read(Fault, {"choice": choice, "percent": 50})

    (fault,) = faults.parse([asked.entry()])

    assert fault.share == 0.5


@pytest.mark.parametrize(
    ("data", "entry", "told"),
    [
        pytest.param(
            {"choice": "overloaded"}, {"name": "status", "code": 529, "share": 1.0}, "529 overloaded", id="a status"
        ),
        pytest.param(
            {"choice": "stall", "value": 2.5, "percent": 30},
            {"name": "stall", "after": 3, "seconds": 2.5, "share": 0.3},
            "stream stalls, for 2.5 s, 30 % of attempts",
            id="a knob and a share",
        ),
        pytest.param(
            {"choice": "cut", "value": 2.0},
            {"name": "cut", "how": "rst", "after": 2, "share": 1.0},
            "connection reset, after deltas 2",
            id="a number of deltas is whole",
        ),
    ],
)
def test_a_fault_is_told_to_the_mock_and_in_words(data, entry, told: str):
    asked = section.read(Fault, data)

    assert (asked.entry(), asked.told()) == (entry, told)


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (Fault, {"choice": "flood"}, 'got "flood", expected one of: overloaded, '),
        (Fault, {"choice": "cut", "percent": 0}, "percent: got 0, expected greater than 0"),
        (Fault, {"choice": "cut", "secnds": 3}, 'secnds: unknown key; did you mean "seconds"?'),
        (Capacity, {"slots": 0}, "slots: got 0, expected greater than or equal to 1"),
        (Capacity, {}, "slots: is missing"),
        (Rate, {"factor": 0}, "factor: got 0, expected greater than or equal to 0.01"),
        (Wire, {"hop": "claude", "choice": "flood"}, 'got "flood", expected one of: latency, '),
        (Mark, {"note": ""}, "note: "),
        (Mark, [], "expected a mapping"),
    ],
)
def test_a_deed_that_makes_no_sense_is_refused_in_words(kind, data, said: str):
    with pytest.raises(Problem) as refusal:
        section.read(kind, data)

    assert said in str(refusal.value)


def test_every_toxic_has_a_choice():
    assert {choice.fields["type"] for choice in WIRES.values()} == set(toxics.TOXICS)


@pytest.mark.parametrize("choice", WIRES)
def test_every_choice_is_a_toxic_as_it_stands(choice: str):
    asked = section.read(Wire, {"hop": "claude", "choice": choice})

    harm = asked.harm(["caller", "claude"])

    assert (harm.hop, toxics.NAMES[type(harm.toxic)]) == ("claude", WIRES[choice].fields["type"])


def test_a_toxic_is_told_with_its_value_and_its_way():
    asked = section.read(Wire, {"hop": "caller", "choice": "latency", "value": 800.0})

    assert asked.told() == "slow network, later by 800 ms, to the gateway"
    assert asked.harm(["caller"]).toxic == toxics.Latency(latency=800)


def test_a_hop_that_is_not_there_is_named():
    asked = section.read(Wire, {"hop": "redis", "choice": "down"})

    with pytest.raises(Problem, match='no hop is called "redis"; expected one of: caller, claude'):
        asked.harm(["caller", "claude"])


def test_a_note_comes_back_from_the_events_as_it_went_in():
    note = Note(1.5, "529 overloaded", opens="fault status", closes=("capacity",))
    events = [{"event": "started", "variant": "a"}, {"variant": "a", "event": "by_hand", **note.to_row()}]

    assert byhand.notes(events) == [note]


def test_what_nobody_ended_is_open_until_now():
    done = [
        Note(1.0, "529", opens="fault status"),
        Note(2.0, "1 slot", opens="capacity"),
        Note(3.0, "cleared", closes=("fault status",)),
    ]

    assert byhand.windows(done, 5.0) == [
        {"start": 1.0, "end": 3.0, "label": "529"},
        {"start": 2.0, "end": 5.0, "label": "1 slot"},
    ]
    assert byhand.still_open(done) == ("capacity",)
    assert byhand.still_open(done, "fault") == ()


def test_what_is_begun_anew_ends_what_it_was():
    done = [Note(1.0, "1 slot", opens="capacity"), Note(2.0, "2 slots", opens="capacity")]

    assert [(window["start"], window["end"]) for window in byhand.windows(done, 4.0)] == [(1.0, 2.0), (2.0, 4.0)]


def test_a_mark_is_a_moment_and_steers_nothing():
    done = [
        Note(1.0, "deployed", harmless=True),
        Note(1.5, "saved", harmless=True, silent=True),
        Note(2.0, "stopped by hand"),
    ]

    assert byhand.marks(done) == [{"at": 1.0, "label": "deployed"}, {"at": 2.0, "label": "stopped by hand"}]
    assert byhand.steered(done) == ["at 2.0 s: stopped by hand"]


def test_the_rate_that_counts_is_in_the_order_of_the_notes():
    done = [Note(1.0, "rate × 2", factor=2.0), Note(2.0, "deploy", harmless=True), Note(3.0, "as it was", factor=1.0)]

    assert byhand.paces(done) == [(1.0, 2.0), (3.0, 1.0)]
