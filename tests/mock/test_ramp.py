import asyncio

import pytest

from mockclaude import ramp, timeline
from mockclaude.settings import ConfigError


def entry(**sections):
    return {"at": 10, "for": 20, "ramp": 10, **sections}


def at(config, *moments):
    plan = timeline.parse(config)
    return [plan.at(moment) for moment in moments]


def test_a_ramp_moves_a_number_from_what_is_in_force_to_what_is_asked():
    config = {"capacity": {"slots": 100}, "timeline": [entry(capacity={"slots": 0})]}

    seen = [one.capacity.slots for one in at(config, 0, 10, 15, 19.9, 20, 29.9, 30)]

    assert seen == [100, 98, 48, 2, 0, 0, 100]


def test_a_ramps_average_is_the_straight_lines():
    config = {"latency": {"tokens_per_second": 100}, "timeline": [entry(latency={"tokens_per_second": 50})]}

    speeds = [one.latency["opus"].pace.mean for one in at(config, *(10 + k / 2 for k in range(20)))]

    assert sum(speeds) / 20 == pytest.approx(75)
    assert speeds == sorted(speeds, reverse=True)


def test_a_flat_section_ramps_each_family_from_its_own_value():
    [half] = at({"timeline": [entry(latency={"ttft": {"p50": 10, "p95": 11}})]}, 15)

    assert half.latency["haiku"].ttft.p50 == pytest.approx(0.2 + 9.8 * 0.525)
    assert half.latency["opus"].ttft.p50 == pytest.approx(0.8 + 9.2 * 0.525)


def test_the_share_of_a_fault_grows_from_none():
    [half, full] = at({"timeline": [entry(faults=[{"name": "status", "code": 529, "share": 0.4}])]}, 15, 20)

    assert half.faults[0].share == pytest.approx(0.21)
    assert full.faults[0].share == 0.4


def test_what_is_no_number_changes_at_once():
    [now] = at({"timeline": [entry(capacity={"order": "lifo", "on_full": 429, "slots": 10})]}, 10)

    assert (now.capacity.order, now.capacity.on_full) == ("lifo", 429)


@pytest.mark.parametrize(
    ("length", "reason"), [(30, "does not fit into 20 s"), (0, "greater than 0"), ("x", "valid number")]
)
def test_a_ramp_that_makes_no_sense_is_refused(length, reason):
    with pytest.raises(ConfigError, match=reason):
        timeline.parse({"timeline": [{**entry(capacity={"slots": 1}), "ramp": length}]})


def test_a_wrong_section_in_a_ramp_is_said_once():
    with pytest.raises(ConfigError) as caught:
        timeline.parse({"timeline": [entry(capacity={"slots": "x"})]})

    assert [problem.loc for problem in caught.value.problems] == [("timeline", 0, "capacity", "slots")]


@pytest.mark.parametrize(
    ("under", "target", "moved"),
    [
        (0, 10, 5),
        (0.0, 10, 5.0),
        (None, 10, 10),
        (True, 10, 10),
        (4, "x", "x"),
        ({"a": 2}, {"a": 4, "b": 1}, {"a": 3, "b": 1}),
    ],
)
def test_between_moves_what_can_be_moved(under, target, moved):
    assert ramp.between(under, target, 0.5) == moved


def test_a_ramp_does_not_go_beyond_its_end_where_another_entry_begins_a_rounding_error_before_it():
    dip = {"at": 0.1, "for": 0.5, "ramp": 0.2, "capacity": {"slots": 0}}
    other = {"at": 0.3, "for": 0.2, "capacity": {"order": "lifo"}}

    [there] = at({"capacity": {"slots": 20}, "timeline": [dip, other]}, 0.3)

    assert 0.3 < 0.1 + 0.2
    assert there.capacity.slots == 0


async def test_the_mock_follows_a_ramp_and_says_what_is_in_force(mocked):
    async with mocked(capacity={"slots": 100}, timeline=[entry(capacity={"slots": 0})]) as claude:
        await claude.call("POST", "/_mock/reset")
        await asyncio.sleep(15.1)

        assert (await claude.call("GET", "/_mock/config"))["capacity"]["slots"] == 48
        assert (await claude.call("GET", "/_mock/stats"))["slots"] == 48
