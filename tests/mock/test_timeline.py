import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockclaude import capacity, timeline
from mockclaude.capacity import Size
from mockclaude.faults import Status
from mockclaude.settings import ConfigError
from mockclaude.terms import Rate


def entry(at, seconds, **sections):
    return {"at": at, "for": seconds, **sections}


def problems_of(config):
    with pytest.raises(ConfigError) as caught:
        timeline.parse(config)
    return [(problem.loc, problem.message) for problem in caught.value.problems]


def test_without_a_configuration_the_defaults_hold_for_ever():
    plan = timeline.parse({})

    assert plan.at(0.0) == plan.at(1e9) == timeline.DEFAULT
    assert plan.next(0.0) is None
    assert plan.seed == 0


def test_an_entry_holds_from_its_start_up_to_its_end():
    plan = timeline.parse({"capacity": {"slots": 16}, "timeline": [entry(15, 8, capacity={"slots": 1})]})

    slots = [plan.at(t).capacity.slots for t in (0, 14.999, 15, 22.999, 23, 100)]

    assert slots == [16, 16, 1, 1, 16, 16]


def test_an_entry_changes_only_what_it_names():
    plan = timeline.parse(
        {
            "capacity": {"slots": 16, "queue": 200, "on_disconnect": "finish"},
            "timeline": [entry(0, 5, capacity={"slots": 1})],
        }
    )

    assert plan.at(1).capacity == Size(1, 200, "finish")


def test_the_next_boundary_is_the_first_after_now():
    plan = timeline.parse({"timeline": [entry(5, 2, capacity={"slots": 1}), entry(6, 4, limits={"burst": 1} | RPM)]})

    assert [plan.next(t) for t in (0, 5, 5.5, 6, 7, 10)] == [5, 6, 6, 7, 10, None]


RPM = {"requests_per_minute": 60}


def test_where_entries_overlap_the_later_one_wins():
    first, second = entry(0, 10, capacity={"slots": 1, "queue": 7}), entry(5, 10, capacity={"slots": 2})
    plan = timeline.parse({"timeline": [first, second]})

    assert [(plan.at(t).capacity.slots, plan.at(t).capacity.queue) for t in (1, 6, 12)] == [(1, 7), (2, 7), (2, 1000)]


def test_every_kind_of_section_can_change():
    plan = timeline.parse(
        {
            "timeline": [
                entry(
                    1,
                    1,
                    latency={"tokens_per_second": 5},
                    limits=RPM,
                    faults=[{"name": "status", "code": 529, "share": 0.1}],
                )
            ]
        }
    )

    during = plan.at(1.5)
    assert during.latency["haiku"].pace.mean == 5
    assert during.limits.rates["haiku"] == Rate(60)
    assert during.faults == (Status(529, share=0.1),)
    assert plan.at(2) == timeline.DEFAULT


def test_what_is_in_force_can_be_shown_and_read_back():
    config = {"seed": 7, "limits": RPM, "timeline": [entry(1, 1, capacity={"slots": 1})]}
    plan = timeline.parse(config)

    shown = timeline.as_config(plan, plan.at(1.5))

    assert shown["capacity"] == capacity.as_config(Size(slots=1))
    assert timeline.parse(shown).at(0) == plan.at(1.5)
    assert shown["seed"] == 7


def test_twice_as_many_entries_are_twice_the_work():
    def work(count):
        calls, entries = Counter(), [entry(10 * k, 5, capacity={"slots": 1}) for k in range(count)]
        sys.setprofile(lambda frame, event, said: calls.update([event]))
        timeline.parse({"timeline": entries})
        sys.setprofile(None)
        return calls["call"]

    assert work(400) < 2.2 * work(200)


def test_an_entry_that_changes_nothing_is_a_mistake():
    assert problems_of({"timeline": [entry(0, 1)]}) == [
        (
            ("timeline", 0),
            "it changes nothing; expected one of latency, capacity, limits, faults, responders, models, "
            "got {'at': 0, 'for': 1}",
        ),
    ]


def test_a_problem_in_an_entry_has_its_whole_path():
    config = {"timeline": [entry(0, 1, faults=[]), entry(0, 1, capacity={"slots": 1.5})]}

    assert problems_of(config) == [
        (("timeline", 1, "capacity", "slots"), "expected a valid integer, got 1.5"),
    ]


def test_a_problem_that_holds_over_several_spans_is_told_once():
    config = {"timeline": [entry(0, 10, capacity={"slots": -1}), entry(2, 1, faults=[]), entry(5, 1, faults=[])]}

    assert len(problems_of(config)) == 1


def test_an_entry_that_makes_no_sense_over_the_base_is_refused():
    config = {
        "latency": {"ttft": {"p50": 0.2, "p95": 0.6}},
        "timeline": [entry(0, 1, latency={"ttft": {"p50": 5.0}})],
    }

    [(loc, message)] = problems_of(config)

    assert loc == ("timeline", 0, "latency", "ttft", "p50")
    assert "p95 0.6 is below p50 5" in message


def test_problems_of_all_sections_are_told_together():
    config = {"sed": 1, "capacity": {"slots": -1}, "limits": {"rpm": 1}, "timeline": [{"at": 1}]}

    places = [loc for loc, _ in problems_of(config)]

    assert places == [("sed",), ("capacity", "slots"), ("limits", "rpm"), ("timeline", 0, "for")]


@pytest.mark.parametrize(
    ("section", "loc"),
    [
        ([entry(-1, 1)], ("timeline", 0, "at")),
        ([entry(0, 0)], ("timeline", 0, "for")),
        ([{"phase": "dip"}], ("timeline", 0, "at")),
        ([7], ("timeline", 0)),
        ({"at": 1}, ("timeline",)),
        ("soon", ("timeline",)),
    ],
)
def test_a_malformed_timeline_is_refused(section, loc):
    assert problems_of({"timeline": section})[0][0] == loc


ENTRIES = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 10), st.integers(0, 50)).map(
        lambda drawn: entry(drawn[0], drawn[1], capacity={"slots": drawn[2]})
    ),
    max_size=8,
)


@given(entries=ENTRIES, t=st.floats(0, 40))
def test_the_plan_is_what_the_last_active_entry_says(entries, t):
    plan = timeline.parse({"timeline": entries})

    active = [one["capacity"]["slots"] for one in entries if one["at"] <= t < one["at"] + one["for"]]
    assert plan.at(t).capacity.slots == (active[-1] if active else 1000)


@given(entries=ENTRIES, t=st.floats(0, 40))
def test_nothing_changes_between_boundaries(entries, t):
    plan = timeline.parse({"timeline": entries})

    boundary = plan.next(t)

    assert boundary is None or boundary > t
    until = 1e6 if boundary is None else boundary - 1e-6
    assert plan.at(max(t, until)) == plan.at(t)
