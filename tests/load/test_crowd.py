"""Who comes when, and what each asks: first, and having got an answer."""

import itertools
import json
import math
import statistics
from collections import Counter
from typing import Any

import pytest

from loadtests.sample import Sample
from loadtests.schedule import load, rate
from loadtests.schedule.crowd import Crowd
from loadtests.schedule.load import Arrival, Load
from loadtests.schedule.rate import Rate


def schedule(
    asked: Load, seconds: float, seed: int, variant: str, phases: list[tuple[float, float, Rate | None]] | None = None
) -> list[Arrival]:
    return Crowd(asked, rate.stretches(asked.pace, phases or [(0.0, seconds, None)]), seed, variant).arrivals()


def a_load(arrivals: str, rate: float, **more: Any) -> Load:
    return Load.model_validate({"user": "chat", "arrivals": arrivals, "rate": rate, **more})


def test_a_seed_gives_the_same_schedule_and_another_seed_another():
    first, again, other = (schedule(a_load("poisson", 8), 60, seed, "v") for seed in (1, 1, 2))

    assert first == again
    assert [arrival.at for arrival in first] != [arrival.at for arrival in other]


def test_every_variant_meets_the_same_crowd_under_names_of_its_own():
    naive, fixed = (schedule(a_load("poisson", 8), 60, 1, variant) for variant in ("naive", "fixed"))

    assert [(a.at, a.ask) for a in naive] == [(a.at, a.ask) for a in fixed]
    assert not {a.request_id for a in naive} & {a.request_id for a in fixed}


def test_requests_are_named_and_asked_once_each():
    arrivals = schedule(a_load("poisson", 50), 60, 1, "v")

    assert len({arrival.request_id for arrival in arrivals}) == len(arrivals)
    assert len({arrival.ask for arrival in arrivals}) == len(arrivals)


def test_a_schedule_lies_within_its_run_in_order():
    times = [arrival.at for arrival in schedule(a_load("poisson", 8), 60, 1, "v")]

    assert times == sorted(times)
    assert times[0] > 0 and times[-1] < 60


def test_poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process():
    times = [arrival.at for arrival in schedule(a_load("poisson", 20), 5000, 1, "v")]
    gaps = [b - a for a, b in itertools.pairwise(times)]

    # 100,000 gaps: their mean has a standard error of 0.3 %, their coefficient of variation is 1
    assert statistics.mean(gaps) == pytest.approx(1 / 20, rel=0.01)
    assert statistics.stdev(gaps) / statistics.mean(gaps) == pytest.approx(1, rel=0.02)


def test_constant_arrivals_are_evenly_spaced():
    times = [arrival.at for arrival in schedule(a_load("constant", 4), 2, 1, "v")]

    assert times == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]


@pytest.mark.parametrize("rate", [1, 3, 7, 9, 10, 11, 30, 100])
def test_constant_arrivals_do_not_drift_over_a_boundary(rate: int):
    """A sum of a thousand gaps of 0.1 s is not 100 s: one request would fall into the phase before its own."""
    times = [arrival.at for arrival in schedule(a_load("constant", rate), 101, 1, "v")]

    assert sum(time < 100 for time in times) == 100 * rate - 1
    assert 100.0 in times


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_an_intended_start_survives_its_row_on_disk(arrivals: str):
    """Else a request near a boundary would be offered in one phase and started in the other."""
    for arrival in schedule(a_load(arrivals, 7), 60, 1, "v"):
        row = json.loads(Sample(arrival.request_id, arrival.at, arrival.at, arrival.at, "complete").to_json("v"))
        assert row["intended"] == arrival.at


def test_a_stretch_may_have_a_rate_of_its_own():
    arrivals = schedule(a_load("constant", 2), 6, 1, "v", phases=[(0, 2, None), (2, 4, 5), (4, 6, 1)])

    assert [arrival.at for arrival in arrivals] == [0.5, 1, 1.5, 2, 2.2, 2.4, 2.6, 2.8, 3, 3.2, 3.4, 3.6, 3.8, 4, 5]


def test_a_crowd_at_another_rate_is_the_same_crowd_sooner():
    slow = schedule(a_load("poisson", 5), 60, 1, "v")
    fast = schedule(a_load("poisson", 10), 30, 1, "v")

    assert [arrival.ask for arrival in slow] == [arrival.ask for arrival in fast]
    assert [arrival.at for arrival in slow] == pytest.approx([2 * arrival.at for arrival in fast], abs=1e-5)


def test_random_arrivals_keep_the_rate_of_each_stretch():
    arrivals = schedule(a_load("poisson", 10), 300, 1, "v", phases=[(0, 100, None), (100, 200, 50), (200, 300, None)])
    counts = [sum(start <= arrival.at < start + 100 for arrival in arrivals) for start in (0, 100, 200)]

    assert counts == pytest.approx([1000, 5000, 1000], abs=4 * 5000**0.5)
    assert [arrival.at for arrival in arrivals] == sorted(arrival.at for arrival in arrivals)


def asks(seconds: float = 100, seed: int = 1, **more: Any) -> list[load.Ask]:
    return [arrival.ask for arrival in schedule(a_load("constant", 10, **more), seconds, seed, "v")]


def test_a_share_repeats_one_of_ten_questions():
    plain, repeating = asks(), asks(repeat=0.5)

    again = [ask.texts for ask in repeating if ask not in plain]
    assert len(set(again)) == 10
    assert len(again) == pytest.approx(500, abs=60)
    assert all(ask in plain for ask in repeating if ask.texts not in again)


def test_a_share_is_malformed_white_space_and_no_two_are_the_same():
    plain, spoilt = asks(), asks(malformed=0.2)

    blank = [ask.texts[0] for ask in spoilt if ask.texts[0].isspace()]
    assert len(blank) == len(set(blank)) == pytest.approx(200, abs=40)
    assert all(1 <= len(text) < 100 for text in blank)
    assert [ask for ask in spoilt if not ask.texts[0].isspace()] == [
        ask for ask, other in zip(plain, spoilt, strict=True) if not other.texts[0].isspace()
    ]
    assert blank == [ask.texts[0] for ask in asks(malformed=0.2) if ask.texts[0].isspace()]


def test_a_mapping_gives_each_model_and_priority_its_share():
    mixed = {"model": {"claude-a": 0.25, "claude-b": 0.75}, "priority": {"low": 0.5, "high": 0.5}}

    arrivals = schedule(a_load("constant", 10, **mixed), 100, 1, "v")

    models, priorities = (
        Counter(arrival.ask.model for arrival in arrivals),
        Counter(arrival.priority for arrival in arrivals),
    )
    assert models["claude-a"] == pytest.approx(250, abs=45) and set(models) == {"claude-a", "claude-b"}
    assert priorities["low"] == pytest.approx(500, abs=60) and set(priorities) == {"low", "high"}


def test_one_trait_of_the_crowd_changes_no_other():
    plain = schedule(a_load("constant", 10, malformed=0.2, repeat=0.2), 100, 1, "v")
    mixed = schedule(a_load("constant", 10, malformed=0.2, repeat=0.2, priority={"low": 0.5, "high": 0.5}), 100, 1, "v")

    assert [arrival.ask for arrival in plain] == [arrival.ask for arrival in mixed]


def test_a_batch_has_so_many_prompts_and_all_of_them_differ():
    many = asks(user="batch", prompts=5, malformed=0.2)

    texts = [text for ask in many for text in ask.texts]
    assert {len(ask.texts) for ask in many} == {5}
    assert len(texts) == len(set(texts))
    assert all(len({text.isspace() for text in ask.texts}) == 1 for ask in many)


@pytest.mark.parametrize("tokens", [1, 2, 10, 100, 2048])
def test_a_system_prompt_has_about_so_many_tokens_and_is_the_same_for_all(tokens: int):
    (system,) = {ask.system for ask in asks(system_tokens=tokens)}

    assert system is not None
    assert len(system) == pytest.approx(3.5 * tokens, abs=1)
    assert system == system.strip()


def test_without_system_tokens_there_is_no_system_prompt():
    assert {ask.system for ask in asks()} == {None}


def test_a_later_start_asks_what_no_cache_has_heard_under_another_name():
    arrivals = schedule(a_load("constant", 10, repeat=0.5, malformed=0.2), 10, 1, "v")

    again = [arrival.again(2) for arrival in arrivals]

    assert [arrival.again(1) for arrival in arrivals] == arrivals
    assert [arrival.at for arrival in again] == [arrival.at for arrival in arrivals]
    assert again[0].request_id == "v-1-000001.2"
    worded = {arrival.ask.texts for arrival in again if not arrival.ask.texts[0].isspace()}
    assert not worded & {arrival.ask.texts for arrival in arrivals}
    assert [a.ask.texts[0].isspace() for a in again] == [a.ask.texts[0].isspace() for a in arrivals]


def crowd(
    user: str | dict[str, float] = "messages", seconds: float = 100, seed: int = 1, variant: str = "v", **more: Any
) -> Crowd:
    asked = Load.model_validate({"user": user, "arrivals": "constant", **more})
    return Crowd(asked, rate.stretches(asked.pace, [(0.0, seconds, None)]), seed, variant)


def talk(found: Crowd, first: Arrival, took: float = 2.0) -> list[Arrival]:
    """What one visitor asks, each answer having taken so long."""
    asked = [first]
    while (following := found.after(asked[-1], asked[-1].at + took)) is not None:
        asked.append(following)
    return asked


def test_who_comes_on_a_schedule_asks_once():
    found = crowd(rate=10)

    assert {found.after(arrival, arrival.at + 1) for arrival in found.arrivals()} == {None}


def test_a_conversation_is_asked_with_all_that_was_said_before():
    found = crowd(rate=1, turns=3, think=5, max_tokens=40)

    first, second, third = talk(found, found.arrivals()[0])

    assert [arrival.request_id for arrival in (first, second, third)] == ["v-1-000001", "v-1-000001-2", "v-1-000001-3"]
    assert [arrival.at for arrival in (first, second, third)] == [1, 8, 15]
    assert first.ask.history == ()
    assert second.ask.history[0] == first.ask.texts[0]
    assert third.ask.history[:3] == (*second.ask.history, second.ask.texts[0])
    assert [len(third.ask.history[answer]) for answer in (1, 3)] == [140, 140]  # 40 tokens of 3.5 bytes
    assert len({arrival.ask.texts for arrival in (first, second, third)}) == 3


def test_a_conversation_keeps_its_model_and_its_priority():
    shares = {"model": {"claude-a": 0.5, "claude-b": 0.5}, "priority": {"low": 0.5, "high": 0.5}}
    found = crowd(rate=1, turns=5, **shares)

    talks = [talk(found, first) for first in found.arrivals()[:20]]

    kept = [{(arrival.ask.model, arrival.priority) for arrival in asked} for asked in talks]
    assert {len(one) for one in kept} == {1}
    assert len(set.union(*kept)) == 4


def test_no_turn_begins_after_the_run():
    found = crowd(rate=1, turns=50, think=5)

    asked = talk(found, found.arrivals()[-1])

    assert len(found.arrivals()) == 99
    assert [arrival.at for arrival in asked] == [99]


def test_users_of_a_closed_loop_ask_for_as_long_as_the_run_lasts():
    found = crowd(users=5, think=3)

    talks = [talk(found, first) for first in found.arrivals()]

    assert len(talks) == 5
    assert all(0 <= asked[0].at < 3 for asked in talks)
    assert {
        round(after.at - before.at, 6) for asked in talks for after, before in zip(asked[1:], asked, strict=False)
    } == {5}
    assert all(len(asked) in (20, 21) for asked in talks)
    assert len({arrival.request_id for asked in talks for arrival in asked}) == sum(map(len, talks))
    assert not any(arrival.ask.history for asked in talks for arrival in asked)


def test_a_user_who_thinks_until_the_run_is_over_asks_nothing():
    found = crowd(users=50, think=200).arrivals()

    assert 10 < len(found) < 40  # each is at any point of its 200 s, of a run of 100
    assert max(arrival.at for arrival in found) < 100


def test_users_of_a_closed_loop_begin_a_new_conversation_after_so_many_turns():
    found = crowd(users=1, turns=3, think=1)

    lengths = [len(arrival.ask.history) for arrival in talk(found, found.arrivals()[0])]

    assert lengths[:7] == [0, 2, 4, 0, 2, 4, 0]


def test_who_does_not_think_takes_a_breath():
    """Else a gateway that refuses at once would be asked for ever in one moment of virtual time."""
    found = crowd(users=1)

    (first,) = found.arrivals()
    following = found.after(first, 0.0)

    assert following is not None and following.at == 0.001


def test_users_who_share_a_schedule_change_nothing_of_it():
    assert crowd(rate=10, users=3).arrivals() == crowd(rate=10).arrivals()


def test_later_turns_are_the_same_for_every_variant_and_are_known_by_their_names():
    naive, fixed = (crowd(users=3, think={"p50": 1, "p95": 4}, variant=variant) for variant in ("naive", "fixed"))

    told = [[arrival for first in found.arrivals() for arrival in talk(found, first)] for found in (naive, fixed)]

    assert [(a.at, a.ask, a.visitor, a.turn) for a in told[0]] == [(a.at, a.ask, a.visitor, a.turn) for a in told[1]]
    later = [arrival for arrival in told[0] if arrival.turn > 1]
    assert [naive.texts(arrival.request_id) for arrival in later] == [arrival.ask.texts for arrival in later]
    assert naive.texts("fixed-1-000001-2") is naive.texts("naive-1-000001") is naive.texts("probe-7") is None


def test_a_later_start_has_later_turns_of_its_own():
    asked = Load.model_validate({"user": "messages", "users": 1, "think": 1})
    found = Crowd(asked, rate.stretches(asked.pace, [(0.0, 9, None)]), 1, "v", start=2)

    (first,) = found.arrivals()
    following = found.after(first, 3.0)

    assert following is not None
    assert (first.request_id, following.request_id) == ("v-1-000001.2", "v-1-000001-2.2")
    assert first.ask.texts[0].endswith(" (2)") and following.ask.texts[0].endswith(" (2)")


def test_lengths_differ_as_they_are_said_to():
    """2,000 draws; the standard error of a percentile q of n is √(q(1 - q)/n)/f: 2.2 and 5 % of it here."""
    spread = crowd(rate=20, max_tokens={"p50": 100, "p95": 400}, prompt_tokens={"min": 50, "max": 150}).arrivals()

    outputs = sorted(arrival.ask.max_tokens for arrival in spread)
    inputs = sorted(len(arrival.ask.texts[0]) / 3.5 for arrival in spread)
    assert outputs[1000] == pytest.approx(100, rel=0.1)
    assert outputs[1900] == pytest.approx(400, rel=0.15)
    assert (inputs[0], inputs[1000], inputs[-1]) == pytest.approx((50, 100, 150), abs=4)
    assert len({arrival.ask.texts for arrival in spread}) == len(spread)


def test_a_lognormal_length_is_lognormal():
    """Kolmogorov and Smirnov's distance of the logarithms from the normal distribution, times √n: below 1.63."""
    drawn = crowd(rate=20, max_tokens={"p50": 1000, "p95": 2000}).arrivals()

    sigma = math.log(2) / 1.6448536
    shares = sorted(
        (1 + math.erf(math.log(arrival.ask.max_tokens / 1000) / sigma / math.sqrt(2))) / 2 for arrival in drawn
    )
    assert max(abs(share - rank / len(shares)) for rank, share in enumerate(shares)) * math.sqrt(len(shares)) < 1.63


@pytest.mark.parametrize(("given", "expected"), [(1, 1), ({"min": 0, "max": 1}, 1), ({"p50": 8000, "p95": 8096}, 8096)])
def test_no_more_is_asked_for_than_can_be(given: Any, expected: int):
    assert max(arrival.ask.max_tokens for arrival in crowd(rate=20, max_tokens=given).arrivals()) == expected
    assert min(arrival.ask.max_tokens for arrival in crowd(rate=20, max_tokens=given).arrivals()) >= 1


def test_what_is_asked_again_is_the_same_text_however_long():
    found = crowd(user="chat", rate=20, repeat=1.0, prompt_tokens={"min": 50, "max": 500}).arrivals()

    texts = {arrival.ask.texts for arrival in found}
    assert len(texts) == 10
    assert len({len(text[0]) for text in texts}) > 5


def test_a_share_leaves_on_purpose():
    found = crowd("messages_stream", rate=20, leaves={"share": 0.25, "reading": {"min": 1, "max": 2}}).arrivals()
    hasty = crowd("chat", rate=20, leaves={"waiting": 0}).arrivals()

    leaving = [arrival.reading for arrival in found if arrival.reading is not None]
    assert len(leaving) == pytest.approx(500, abs=60)
    assert 1 <= min(leaving) < 1.1 and 1.9 < max(leaving) <= 2
    assert {arrival.waiting for arrival in found} == {None}
    assert {(arrival.waiting, arrival.reading) for arrival in hasty} == {(0.0, None)}


def test_a_mix_of_users_has_its_shares_and_asks_the_same():
    plain = crowd(user="chat", rate=20).arrivals()
    mixed = crowd(user={"chat": 0.5, "stream": 0.3, "batch": 0.2}, rate=20, prompts=3).arrivals()

    shares = Counter(arrival.user for arrival in mixed)
    assert [shares[user] for user in ("chat", "stream", "batch")] == pytest.approx([1000, 600, 400], abs=80)
    assert {arrival.user for arrival in plain} == {"chat"}
    assert all(b.ask.texts[0].startswith(a.ask.texts[0]) for a, b in zip(plain, mixed, strict=True))


def test_a_conversation_is_held_by_one_kind_of_user():
    found = crowd(user={"messages": 0.5, "messages_stream": 0.5}, rate=1, turns=4)

    talks = [{arrival.user for arrival in talk(found, first)} for first in found.arrivals()[:20]]

    assert {len(one) for one in talks} == {1}
    assert len(set.union(*talks)) == 2


def test_lengths_and_leaving_change_nothing_else_of_the_crowd():
    plain = crowd("stream", rate=10, malformed=0.2).arrivals()
    other = crowd("stream", rate=10, malformed=0.2, max_tokens={"min": 1, "max": 9}, leaves={"waiting": 1}).arrivals()

    assert [(a.at, a.ask.texts, a.ask.model) for a in plain] == [(a.at, a.ask.texts, a.ask.model) for a in other]
