"""The spread of a scenario that was run several times."""

from pathlib import Path
from typing import Any

import pytest

from loadtests.judging import repeat
from loadtests.telling import junit, markdown
from tests.load.written import Written


def seeded(run: dict[str, Any], seed: int, ratio: float | None, **fields: Any) -> dict[str, Any]:
    """The run again, as it might have been with another seed."""
    expectations = [{**row, "measured": ratio} for row in run["expectations"]]
    return {**run, "seed": seed, "expectations": expectations, **fields}


def test_every_judged_figure_has_its_spread_first(both: Written):
    run = both.judge()

    found = repeat.build([seeded(run, 1, 0.1), seeded(run, 2, 0.2), seeded(run, 3, 0.3)])

    assert list(found["spread"])[:2] == ["naive.after.goodput_ratio", "fixed.judged.error_ratio"]
    assert repeat.judged(run) == list(found["spread"])[:2]
    error = found["spread"]["fixed.judged.error_ratio"]
    assert (error["mean"], error["low"], error["high"], error["deviation"]) == (0, 0, 0, 0)
    assert found["seeds"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [(["pass", "pass"], "pass"), (["pass", "fail"], "fail"), (["fail", "invalid"], "invalid")],
)
def test_a_series_is_as_good_as_its_worst_run_and_says_which_that_was(both: Written, verdicts: list[str], whole: str):
    run = both.judge()
    reasons = {"pass": [], "fail": ["a gate"], "invalid": ["a death"]}
    runs = [seeded(run, n, 0.1, verdict=each, reasons=reasons[each]) for n, each in enumerate(verdicts)]

    found = repeat.build(runs)

    assert found["verdict"] == whole
    assert found["reasons"] == [f"seed {n}: {why}" for n, each in enumerate(verdicts) for why in reasons[each]]


def test_what_a_run_did_not_measure_is_no_zero(both: Written):
    run = both.judge()
    run["gates"][0]["measured"] = None

    found = repeat.build([run, {**run, "gates": [{**run["gates"][0], "measured": "inf"}]}])

    spread = found["spread"]["fixed.judged.error_ratio"]
    assert spread["values"] == [None, "inf"]
    assert (spread["mean"], spread["deviation"]) == ("inf", None)


def test_junit_tells_the_repeats_apart_by_their_seed(both: Written):
    run = both.judge()

    text = junit.render({**run, "seed": 1}, {**run, "seed": 2})

    assert 'name="small.naive (seed 1)"' in text
    assert 'name="small.naive (seed 2)"' in text


def test_markdown_tells_the_spread(both: Written, tmp_path: Path):
    run = both.judge()
    found = repeat.build([run, run])

    page = markdown.render_repeats(found, repeat.judged(run), command="loadtests run small --repeat 2")

    assert page.startswith("## ✅ pass: small, 2 times\n")
    assert "| `fixed.judged.error_ratio` | 0 | 0 | 0 | 0 |" in page
