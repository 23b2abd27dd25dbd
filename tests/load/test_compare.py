"""What got worse between two runs, beyond noise."""

import json
import math
import random
import statistics
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from loadtests import cli
from loadtests.errors import CannotRun, InvalidRun
from loadtests.judging import compare, metrics, repeat
from loadtests.judging.compare import Difference
from tests.load.written import Written


def a_run(seed: int = 1, *, n: int = 200, slow: float = 1.0, failing: float = 0.0, **fields: Any) -> dict[str, Any]:
    """A summary of one phase of `n` requests, lognormal around one second, of which a share fails."""
    rng = random.Random(seed)
    bad = sum(rng.random() < failing for _ in range(n))
    times = metrics.distribution(slow * rng.lognormvariate(0, 0.3) for _ in range(n - bad))
    cell = {
        "offered": n, "started": n, "goodput": n - bad, "goodput_ratio": (n - bad) / n, "error_ratio": bad / n,
        "e2e": times, "amplification": 1 + bad / n, "cost": {"usd_per_good": 0.001 * n / (n - bad)},
    }  # fmt: skip
    found = {
        "schema": 1, "scenario": "small", "seed": seed, "verdict": "pass", "reasons": [], "expectations": [],
        "gates": [], "phases": [{"name": "after", "seconds": 8, "judge": True}],
        "variants": {"fixed": {"recovery_s": 3.0, "phases": {"after": cell}, "judged": cell}},
    }  # fmt: skip
    return {**found, **fields}


def repeats(first: int, count: int, **how: Any) -> dict[str, Any]:
    return repeat.build([a_run(seed, **how) for seed in range(first, first + count)])


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    found = compare.compare(compare.side(before, "A"), compare.side(after, "B"))
    return {each.name: each.verdict for each in found if each.verdict != "same"}


@pytest.mark.parametrize("seed", range(2, 12))
def test_chance_alone_makes_nothing_worse(seed: int):
    assert changed(a_run(1, failing=0.1), a_run(seed, failing=0.1)) == {}
    assert changed(a_run(1, n=30), a_run(seed, n=30)) == {}
    assert changed(repeats(1, 3, failing=0.1), repeats(10 * seed, 3, failing=0.1)) == {}


def test_what_is_half_as_slow_again_is_worse_and_the_other_way_round_it_is_better():
    names = {f"fixed.after.e2e.{q}" for q in ("p50", "p95", "p99")}

    assert changed(a_run(1), a_run(2, slow=1.6)) == dict.fromkeys(names, "worse")
    assert changed(a_run(1, slow=1.6), a_run(2)) == dict.fromkeys(names, "better")


def test_more_errors_are_less_goodput_more_attempts_and_a_higher_price():
    found = changed(a_run(1), a_run(2, failing=0.3))

    assert found == {
        "fixed.after.goodput_ratio": "worse",
        "fixed.after.error_ratio": "worse",
        "fixed.after.amplification": "worse",
        "fixed.after.cost.usd_per_good": "worse",
    }


def test_repeats_see_what_a_single_run_cannot():
    assert changed(a_run(1), a_run(12, slow=1.08)) == {}
    assert changed(repeats(1, 5), repeats(11, 5, slow=1.08)) == {"fixed.after.e2e.p50": "worse"}


def test_repeats_that_are_all_the_same_differ_by_what_anybody_would_act_on():
    before, after, next_to = ([a_run(1) for _ in range(3)] for _ in range(3))
    for run in after:
        run["variants"]["fixed"]["phases"]["after"]["amplification"] = 1.05
    for run in next_to:
        run["variants"]["fixed"]["phases"]["after"]["amplification"] = 1.01

    assert changed(repeat.build(before), repeat.build(after)) == {"fixed.after.amplification": "worse"}
    assert changed(repeat.build(before), repeat.build(next_to)) == {}


def test_the_fewer_answers_the_more_they_may_differ():
    few, many = (
        statistics.fmean(compare.error("e2e.p95", a_run(s, n=n)["variants"]["fixed"]["judged"]) for s in range(20))
        for n in (50, 5000)
    )

    assert few / many == pytest.approx(10, rel=0.3)


def test_a_percentile_of_a_handful_is_not_compared():
    names = {each.name for each in compare.compared(a_run(n=19))}

    assert "fixed.after.goodput_ratio" in names
    assert not any("e2e" in name for name in names)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(3.0, None, "worse"), (None, 3.0, "better"), (3.0, 4.0, "same"), (3.0, 12.0, "worse"), (None, None, None)],
)
def test_not_to_recover_any_more_is_worse_than_any_delay(before: float | None, after: float | None, verdict: str):
    first, second = a_run(), a_run()
    first["variants"]["fixed"]["recovery_s"], second["variants"]["fixed"]["recovery_s"] = before, after

    found = compare.compare(compare.side(first, "A"), compare.side(second, "B"))

    assert [each.verdict for each in found if each.metric == "recovery_s"] == ([verdict] if verdict else [])


def test_welchs_noise_is_that_of_the_table():
    assert compare._by_spread([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == pytest.approx(7.17 * math.sqrt(2 / 3))


def test_an_invalid_run_and_another_scenario_are_not_compared():
    with pytest.raises(InvalidRun, match="B: an invalid run cannot be compared: the mock died"):
        compare.side(a_run(verdict="invalid", reasons=["the mock died"]), "B")
    with pytest.raises(CannotRun, match="small and other are different scenarios"):
        changed(a_run(), a_run(scenario="other"))


def test_the_change_is_in_the_direction_that_is_worse():
    goodput = Difference("fixed.after.goodput_ratio", "goodput_ratio", 1.0, 0.8, 0.05)

    assert (goodput.verdict, goodput.change) == ("worse", pytest.approx(0.2))


@pytest.fixture
def kept(tmp_path: Path, both: Written) -> tuple[Path, Path]:
    """The folder of a run, and a baseline that was kept of it, somewhat better than it was."""
    CliRunner().invoke(cli.app, ["report", str(both.run.path)])
    summary = json.loads(both.run.summary.read_text())
    summary["variants"]["fixed"]["phases"]["after"]["e2e"]["p95"] = 0.5
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps(summary))
    return both.run.path, baseline


def test_the_command_says_what_got_worse_and_exits_1(kept: tuple[Path, Path], tmp_path: Path):
    folder, baseline = kept
    page = tmp_path / "page.md"
    on_github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(page)}

    ended = CliRunner().invoke(cli.app, ["compare", str(baseline), str(folder)], env=on_github)

    assert ended.exit_code == 1
    assert "fixed.after.e2e.p95  0.50 s" in ended.output
    assert "::error title=small%3A worse::fixed.after.e2e.p95 went from 0.50 s to 1 s" in ended.output
    assert "| `fixed.after.e2e.p95` |" in page.read_text()


def test_the_command_exits_0_when_nothing_got_worse(kept: tuple[Path, Path]):
    folder, baseline = kept

    better = CliRunner().invoke(cli.app, ["compare", str(folder), str(baseline), "--json"])
    same = CliRunner().invoke(cli.app, ["compare", str(folder), str(folder)])

    assert (better.exit_code, same.exit_code) == (0, 0)
    verdicts = [row["verdict"] for row in json.loads(better.stdout)]
    assert (verdicts.count("better"), verdicts.count("worse")) == (1, 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no summary.json or repeat.json there"), ("{", "not JSON"), ("[]", "got no summary of a run")],
)
def test_what_is_no_run_is_said(tmp_path: Path, content: str | None, said: str):
    path = tmp_path / "summary.json"
    if content is not None:
        path.write_text(content)

    ended = CliRunner().invoke(cli.app, ["compare", str(path), str(path)])

    assert isinstance(ended.exception, CannotRun)
    assert said in str(ended.exception)


@pytest.mark.virtual
def test_repeats_of_a_real_scenario_tell_a_slower_claude_from_chance(tmp_path: Path):
    sides = {
        "before": ["--seed", "1"],
        "again": ["--seed", "11"],
        "slower": ["--seed", "21", "--set", "mock.latency.haiku.tokens_per_second=90"],
    }
    for name, options in sides.items():
        ended = CliRunner().invoke(
            cli.app,
            ["run", "smoke", "--clock", "virtual", "--repeat", "3", "--out", str(tmp_path / name), *options],
        )
        assert ended.exit_code == 0, ended.output
        assert "smoke x 3: pass (3 pass)" in ended.output

    again = CliRunner().invoke(cli.app, ["compare", str(tmp_path / "before"), str(tmp_path / "again")])
    slower = CliRunner().invoke(cli.app, ["compare", str(tmp_path / "before"), str(tmp_path / "slower")])

    assert again.exit_code == 0, again.output
    assert slower.exit_code == 1
    assert "default.steady.itl.p95" in slower.output
