"""The schedule: when requests are meant to start."""

import itertools
import json
import statistics
from collections import Counter
from typing import Any

import pytest

from loadtests import load, rate
from loadtests.load import Arrival, Load
from loadtests.rate import Rate
from loadtests.sample import Sample


def schedule(
    asked: Load, seconds: float, seed: int, variant: str, phases: list[tuple[float, float, Rate | None]] | None = None
) -> list[Arrival]:
    return load.schedule(asked, rate.stretches(asked.pace, phases or [(0.0, seconds, None)]), seed, variant)


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
