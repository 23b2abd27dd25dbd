"""What a cohort costs at Claude's prices."""

import dataclasses
from typing import Any

import pytest

from loadtests.judging import cost
from loadtests.sample import Sample

HAIKU_IN, HAIKU_OUT = 1e-6, 5e-6  # US dollars a token: https://claude.com/pricing


def attempt(**fields: Any) -> dict[str, Any]:
    known = {"model": "claude-haiku-4-5", "status": 200, "read": True, "wasted_tokens": 0}
    return known | {"input_tokens": 1000, "output_tokens": 100} | fields


def asked(outcome: str = "complete", got: int = 100) -> Sample:
    return Sample("r1", 0.0, 0.0, 1.0, outcome, output_tokens=got)


ONE = 1000 * HAIKU_IN + 100 * HAIKU_OUT


def test_a_useful_answer_costs_its_prompt_and_its_text():
    found = cost.of([asked()], {"r1": [attempt()]}, good=1)

    assert found == {"tokens": 1100, "tokens_per_good": 1100, "usd": ONE, "wasted_usd": 0, "usd_per_good": ONE}


def test_what_is_tried_four_times_and_got_once_costs_four_times():
    found = cost.of([asked()], {"r1": [attempt() for _ in range(4)]}, good=1)

    assert found["usd_per_good"] == pytest.approx(4 * ONE)
    assert found["wasted_usd"] == pytest.approx(3 * ONE)


@pytest.mark.parametrize("outcome", ["timeout", "truncated", "failed"])
def test_what_nobody_got_is_paid_and_wholly_wasted(outcome: str):
    found = cost.of([asked(outcome, got=0)], {"r1": [attempt()]}, good=0)

    assert found["usd"] == found["wasted_usd"] == pytest.approx(ONE)
    assert (found["usd_per_good"], found["tokens_per_good"]) == (None, None)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"status": 529, "output_tokens": 0}, id="turned away"),
        pytest.param({"status": 400, "output_tokens": 0}, id="rejected"),
        pytest.param({"status": None, "read": False, "output_tokens": 0}, id="left in the queue"),
    ],
)
def test_a_prompt_that_was_not_read_is_not_billed(fields: dict[str, Any]):
    assert cost.of([asked("failed", got=0)], {"r1": [attempt(**fields)]}, good=0)["usd"] == 0


def test_a_prompt_that_was_read_is_billed_though_its_caller_left_before_the_first_word():
    found = cost.of([asked("left", got=0)], {"r1": [attempt(status=None, output_tokens=0)]}, good=0)

    assert found["usd"] == found["wasted_usd"] == pytest.approx(1000 * HAIKU_IN)


@pytest.mark.parametrize(
    ("fields", "usd"),
    [
        pytest.param({"cached_input_tokens": 900}, 100 * HAIKU_IN + 900 * HAIKU_IN / 10, id="a tenth to read"),
        pytest.param({"written_input_tokens": 900}, 100 * HAIKU_IN + 900 * HAIKU_IN * 1.25, id="a quarter to write"),
    ],
)
def test_the_prompt_cache_has_its_own_prices(fields: dict[str, Any], usd: float):
    assert cost.price(attempt(output_tokens=0, **fields)) == pytest.approx(usd)


def test_an_answer_that_tells_of_no_tokens_is_wasted_as_far_as_claude_knows():
    attempts = [attempt(), attempt(wasted_tokens=100)]

    assert cost.of([asked(got=0)], {"r1": attempts}, good=1)["wasted_usd"] == pytest.approx(ONE)


def test_a_model_without_a_price_is_named_and_makes_no_cheap_run():
    attempts = [attempt(), attempt(model="fast")]

    found = cost.of([asked()], {"r1": attempts}, good=1)

    assert (found["usd"], found["usd_per_good"], found["tokens"]) == (None, None, 2200)
    assert cost.without_price([*attempts, attempt(model="odd", status=404)]) == ["fast"]


def test_the_attempts_of_others_are_not_of_this_cohort():
    assert cost.of([dataclasses.replace(asked(), request_id="r2")], {"r1": [attempt()]}, good=1)["usd"] == 0
