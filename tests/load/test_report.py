"""The report says what the figures say, shows every check, and is safe and whole as a single file."""

import copy
import json
import random
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from loadtests.judging.evidence import Evidence, Excerpt
from loadtests.judging.excerpt import Line
from loadtests.judging.slowest import Slow, Step
from loadtests.telling import report, story

LINES = ("offered", "goodput", "attempts", "inflight", "running", "queued", "slots")
LATENCIES = ("ttft_p50", "ttft_p95", "e2e_p50", "e2e_p95")
SPANS = {
    "warmup": (0, 5),
    "baseline": (5, 15),
    "dip": (15, 23),
    "recovery": (23, 35),
    "after": (35, 55),
    "tail": (55, 60),
}
JUDGED = ("baseline", "dip", "after")
COMMAND = "loadtests run retry_storm --seed 1"


def a_distribution(p50: float | None, n: int) -> dict[str, Any]:
    spread = {"p50": 1.0, "p90": 1.3, "p95": 1.4, "p99": 1.7, "p999": 1.8, "max": 1.9}
    return {name: None if p50 is None else p50 * by for name, by in spread.items()} | {"n": n if p50 else 0}


def a_phase(seconds: float, good: float | None, amplification: float | None, e2e: float | None) -> dict[str, Any]:
    offered = int(8 * seconds)
    completed = int(offered * (good or 0))
    return {
        "seconds": seconds, "offered": offered, "started": offered, "not_sent": 0, "completed": completed,
        "goodput": completed, "goodput_ratio": good, "error_ratio": None if good is None else round(1 - good, 4),
        "outcomes": {"complete": completed, "timeout": offered - completed, "shed": 0},
        "ttft": a_distribution(None, 0), "ttft_sent": a_distribution(None, 0), "e2e": a_distribution(e2e, completed),
        "service_time": a_distribution(e2e, completed), "itl": a_distribution(None, 0), "tpot": a_distribution(None, 0),
        "dispatch_lag": a_distribution(0.0021, offered),
        "attempts": int(offered * (amplification or 0)), "amplification": amplification,
        "output_tokens": 120 * completed, "wasted_output_tokens": int(offered * ((amplification or 1) - 1) * 120),
    }  # fmt: skip


def lines_of(recovers_at: float | None, storm: float, *, seed: int = 1) -> dict[str, Any]:
    """One variant: healthy, a dip from 15 to 23 s, then either a storm that stays or health again."""
    rng = random.Random(seed)
    rows: dict[str, list[Any]] = {name: [] for name in ("t", *LINES, *LATENCIES)}
    queue = 0.0
    for t in range(60):
        sick = t >= 15 and (recovers_at is None or t < recovers_at)
        offered = sum(rng.random() < 0.16 for _ in range(50))
        attempts = round(offered * (storm if sick else 1) * rng.uniform(0.9, 1.1))
        queue = min(200.0, max(0.0, queue + attempts - (1 if 15 <= t < 23 else 15)))
        slots = 1 if 15 <= t < 23 else 16
        e2e = None if sick and t % 5 else rng.uniform(3.4, 3.9) if sick else rng.uniform(0.9, 1.2)
        rows["t"].append(t)
        for name, value in zip(
            LINES,
            (offered, 0 if e2e is None else 1 if sick else offered, attempts,
             min(120, queue + 8) if sick else rng.uniform(6, 11), min(slots, 8 + queue), queue, slots),
            strict=True,
        ):  # fmt: skip
            rows[name].append(value)
        for name, by in zip(LATENCIES, (None, None, 1, 1.35), strict=True):
            rows[name].append(None if e2e is None or by is None else e2e * by)
    phases = [{"name": n, "start": a, "end": b, "judge": n in JUDGED} for n, (a, b) in SPANS.items()]
    return {"phases": phases, "faults": [{"start": 15, "end": 23, "label": "capacity: slots 1"}], "marks": [], **rows}


def an_expectation(variant: str, metric: str, predicted: float, status: str, **more: Any) -> dict[str, Any]:
    return {
        "variant": variant, "phase": "after", "metric": metric, "predicted": predicted, "measured": predicted,
        "status": status, "because": f"so says the theory of {metric}", "reason": None, **more,
    }  # fmt: skip


def a_variant(recovery: float | None, verdict: str, *phases: tuple[float, float, float | None]) -> dict[str, Any]:
    cells = {
        name: a_phase(SPANS[name][1] - SPANS[name][0], *figures) for name, figures in zip(JUDGED, phases, strict=True)
    }
    return {"verdict": verdict, "recovery_s": recovery, "phases": cells}


def a_summary() -> dict[str, Any]:
    return {
        "schema": 1, "scenario": "retry_storm", "verdict": "pass", "reasons": [], "seed": 1,
        "slo": {"e2e": 4.0, "ttft": None},
        "variants": {
            "naive": a_variant(None, "pass", (0.9875, 1.01, 1.07), (0.12, 3.74, 3.6), (0.02, 4.0, 3.7)),
            "budget": a_variant(3.0, "pass", (1.0, 1.0, 1.06), (0.14, 1.42, 2.9), (0.9938, 1.01, 1.08)),
            "fixed": a_variant(0.0, "pass", (1.0, 1.0, 1.05), (0.17, 1.13, 2.4), (1.0, 1.0, 1.05)),
        },
        "expectations": [
            an_expectation("naive", "goodput_ratio", 0.0, "pass", at_most=0.5, measured=0.0213,
                because="queue wait K·S/c = 13 s > τ - S = 1.95 s and A·λ = 32 > c/S = 15.2"),
            an_expectation("naive", "amplification", 4.0, "pass", at_least=2.0, because="every attempt times out"),
            an_expectation("budget", "goodput_ratio", 1.0, "pass", at_least=0.9, because="r = 0.1 < 1/ρ - 1 = 0.90"),
            an_expectation("fixed", "goodput_ratio", 1.0, "pass", at_least=0.95,
                because="in flight at most 24 < c·τ/S = 46"),
            an_expectation("fixed", "e2e.p95", 1.47, "skipped", tolerance=0.1, measured=None,
                reason="needs Toxiproxy, which is not installed", because="no queue"),
        ],
        "gates": [
            {"gate": "fixed.after.e2e.p95 < 2", "variant": "fixed", "phase": "after", "metric": "e2e.p95",
             "measured": 1.4, "status": "pass"}
        ],
        "steered": [],
        "findings": ["naive: the gateway's event loop lagged by 0.31 s at 41 s"],
        "machine": {"cpu": "AMD EPYC 9B14", "cores": 4, "memory": "16 GB", "system": "Linux 6.1, Debian 12"},
        "versions": {"mockclaude": "0.1.0", "python": "3.11.9", "locust": "2.47.0", "anthropic": "2.10.0"},
    }  # fmt: skip


def a_storm() -> tuple[dict[str, Any], dict[str, Any]]:
    """A run as the retry_storm scenario leaves it: naive collapses, budget and fixed recover."""
    return a_summary(), {
        "naive": lines_of(None, 4.0),
        "budget": lines_of(26, 1.4, seed=2),
        "fixed": lines_of(24, 1.1, seed=3),
    }


def a_steady_run() -> tuple[dict[str, Any], dict[str, Any]]:
    summary = a_summary() | {"scenario": "smoke", "expectations": [], "findings": []}
    summary["variants"] = {
        "default": {"verdict": "pass", "recovery_s": None, "phases": {"steady": a_phase(10, 1.0, 1.0, 1.1)}}
    }
    lines = lines_of(15, 1.0) | {"phases": [{"name": "steady", "start": 0, "end": 60, "judge": True}], "faults": []}
    return summary, {"default": lines}


def a_page(summary: dict[str, Any], series: dict[str, Any], about: str = "Does it come back?") -> str:
    return report.render(summary, series, about=about, command=COMMAND)


class Page(HTMLParser):
    """What a browser would make of it: its text (scripts and styles apart), its tags, what it would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags, self.fetched, self.scripts, self._raw = "", list[str](), list[str](), list[str](), False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._raw = tag in ("script", "style")
        if tag == "script":
            self.scripts.append("")
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_endtag(self, tag: str) -> None:
        self._raw = False

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.text = " ".join(f"{self.text} {data}".replace("\u202f", " ").split())
        elif self.scripts:
            self.scripts[-1] += data


def told(variant: str, summary: dict[str, Any], series: dict[str, Any]) -> str:
    return story.tell(variant, summary, series).replace("\u202f", " ")


# -- safe and whole


def test_hostile_text_stays_text():
    evil = "</script><img src=x onerror=alert(1)><!--"
    summary, series = a_storm()
    summary |= {"reasons": [evil], "findings": [evil], "scenario": evil, "machine": {evil: evil}}
    summary["expectations"][0] |= {"because": evil, "reason": evil}
    summary["variants"][evil] = summary["variants"].pop("naive")
    series[evil] = series.pop("naive")
    series[evil]["faults"][0]["label"] = evil

    page = Page(a_page(summary, series, about=evil))

    assert "img" not in page.tags
    assert page.text.count(evil) > 8
    assert json.loads(page.scripts[0])["variants"][evil]["faults"][0]["label"] == evil


def test_the_page_fetches_nothing():
    html = a_page(*a_storm())

    assert Page(html).fetched == ["data:,"]
    assert not re.search(r"@import|url\(", html)
    assert "default-src 'none'" in html


def test_the_vendored_library_comes_with_its_licence():
    assert "Permission is hereby granted" in a_page(*a_storm())


def test_what_json_cannot_say_is_null():
    summary, series = a_storm()
    series["naive"]["e2e_p95"] = [float("nan"), float("inf"), None, 1.0]

    lines = json.loads(Page(a_page(summary, series)).scripts[0])["variants"]["naive"]

    assert lines["e2e_p95"] == [None, None, None, 1.0]


def test_a_run_of_nulls_is_still_a_page():
    summary, series = a_storm()
    for variant in summary["variants"].values():
        variant["recovery_s"] = None
        for name, cell in variant["phases"].items():
            variant["phases"][name] = dict.fromkeys(cell) | {"e2e": {"p50": None, "p95": None, "n": 0}}
    for lines in series.values():
        lines |= {name: [None] * 60 for name in (*LINES, *LATENCIES)}
    for check in summary["expectations"] + summary["gates"]:
        check["measured"] = None

    page = Page(a_page(summary, series))

    assert "nan" not in page.text.lower() and "None" not in page.text
    assert "No request of a judged phase was measured. Whether it recovered was not measured." in page.text


def test_a_run_that_was_steered_by_hand_says_so_in_its_verdict():
    summary, series = a_storm()
    summary["steered"] = ["naive: at 4.9 s: 529 <overloaded>"]

    text = Page(a_page(summary, series)).text

    assert "Steered by hand" in text and "naive: at 4.9 s: 529 <overloaded>" in text


@pytest.mark.parametrize(
    "missing", ["slo", "expectations", "gates", "findings", "steered", "machine", "versions", "reasons"]
)
def test_an_absent_part_is_left_out(missing: str):
    summary, series = a_storm()
    summary[missing] = None

    assert "retry_storm" in Page(a_page(summary, series)).text


def test_variants_without_phases_or_series_are_still_named():
    summary = a_summary()
    summary["variants"] = {"naive": {"verdict": "invalid", "recovery_s": None, "phases": {}}}

    assert "naive ! invalid No request of a judged phase was measured." in Page(a_page(summary, {})).text


# -- verdict and checks


@pytest.mark.parametrize(("verdict", "words"), [("pass", "✓ Pass"), ("fail", "✗ Fail"), ("invalid", "! Invalid")])
def test_the_verdict_stands_in_words_with_its_reasons(verdict: str, words: str):
    summary, series = a_storm()
    summary |= {"verdict": verdict, "reasons": ["dispatch lag of 1.4 s in dip"]}

    text = Page(a_page(summary, series)).text

    assert f"{words} " in text
    assert "4 of 4 expectations held, 1 skipped; 1 of 1 gate held. dispatch lag of 1.4 s in dip" in text
    assert ("cannot be trusted" in text) == (verdict == "invalid")


def test_every_expectation_and_gate_is_shown():
    summary, series = a_storm()

    text = Page(a_page(summary, series)).text

    for check in summary["expectations"]:
        assert check["because"] in text
    assert "naive after goodput_ratio 0 ≤ 0.5 0.0213 ✓ pass queue wait" in text
    assert "e2e.p95 1.47 s ± 10 % – ○ skipped no queue skipped: needs Toxiproxy" in text
    assert "fixed.after.e2e.p95 < 2 fixed after 1.40 s ✓ pass" in text
    assert "event loop lagged by 0.31 s" in text


def test_the_rest_of_the_page_says_how_to_run_it_again():
    text = Page(a_page(*a_storm())).text

    assert COMMAND in text and "Seed 1" in text and "E2E ≤ 4 s" in text
    assert "locust 2.47.0" in text and "cores 4" in text


# -- what happened


def test_the_story_of_a_storm():
    summary, series = a_storm()

    assert told("naive", summary, series) == (
        "99 % of offered load met the SLO before the trigger, 12 % during it and 2 % after it. "
        "Afterwards each request cost 4.0 attempts. It did not recover."
    )
    assert told("budget", summary, series).endswith("It was back within the SLO 3 s after the trigger ended.")
    assert told("fixed", summary, series).endswith("It was back within the SLO as soon as the trigger ended.")


def test_the_story_without_a_trigger():
    assert told("default", *a_steady_run()) == (
        "100 % of offered load met the SLO. Each request cost 1.0 attempts and 0 % ended in an error. "
        "The E2E p95 was 1.54 s."
    )


def test_the_story_of_several_steady_phases_weighs_them_by_load():
    summary, _ = a_steady_run()
    summary["variants"]["default"]["phases"] = {
        "short": a_phase(10, 0.0, 1.0, None),
        "long": a_phase(30, 1.0, 2.0, 1.0),
    }

    assert told("default", summary, {}) == (
        "75 % of offered load met the SLO. Each request cost 1.8 attempts and 25 % ended in an error. "
        "The E2E p95 was 1.40 s."
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {"rate": 11.916, "low": 10.6, "high": 11.93},
            "up to a rate of 11.9 per second: beyond doubt from 10.6 on, and ",
        ),
        ({"rate": 11.916, "low": None, "high": 11.93}, "up to a rate of 11.9 per second: no longer at 11.9."),
        ({"rate": 11.916, "low": None, "high": None}, "It held up to a rate of 11.9 per second."),
        ({"rate": None, "low": 20.0, "high": None}, "The E2E p95 was 1.54 s."),
    ],
)
def test_the_story_of_a_ramp_says_where_it_broke(found: dict[str, float | None], said: str):
    summary, series = a_steady_run()
    summary["variants"]["default"]["judged"] = {"breakpoint": found}

    assert said in told("default", summary, series)


def test_without_an_slo_the_story_does_not_speak_of_one():
    summary, series = a_steady_run()

    assert told("default", summary | {"slo": {}}, series).startswith("100 % of offered load was answered.")


def test_nothing_judged_after_the_trigger_means_recovery_was_not_measured():
    summary, series = a_storm()
    del summary["variants"]["naive"]["phases"]["after"]

    assert told("naive", summary, series).endswith(
        "During it each request cost 3.7 attempts. Whether it recovered was not measured."
    )


def test_to_come_back_and_fall_again_is_not_recovery():
    summary, series = a_storm()
    summary["variants"]["budget"]["recovery_s"] = None

    assert told("budget", summary, series).endswith("It came back, but did not hold to the end.")


# -- comparison and tables


def marks(html: str, phase: str) -> dict[str, list[str]]:
    group = html.split(f"<span>{phase} <small>")[1].split("</tbody>")[0]
    rows = re.findall(r'<th scope="row">(\w+)</th>(.*?)</tr>', group, re.DOTALL)
    return {name: re.findall(r'<td class="n (\w*)">', cells) for name, cells in rows}


def test_best_and_worst_are_marked_in_words_too():
    html = a_page(*a_storm())

    after = marks(html, "after")
    assert [row[0] for row in after.values()] == ["worst", "best", "best"]
    assert [row[-1] for row in after.values()] == ["worst", "", "best"]
    assert '<span class="unseen"> worst</span>' in html


def test_a_difference_within_noise_has_no_mark():
    baseline = marks(a_page(*a_storm()), "baseline")

    assert [row[2] for row in baseline.values()] == ["", "", ""]


def test_latency_of_the_few_survivors_is_never_the_best():
    summary, series = a_storm()
    summary["variants"]["naive"]["phases"]["after"]["e2e"] = a_distribution(0.2, 3)

    after = marks(a_page(summary, series), "after")

    assert [row[4] for row in after.values()] == ["", "", ""]


def test_a_single_variant_is_not_compared():
    html = a_page(*a_steady_run())

    assert "TTFT" not in Page(html.split("Gates")[0]).text
    assert "Key figures" in html and "Before and after" not in html
    assert not {mark for row in marks(html, "steady").values() for mark in row} - {""}
    assert "recovery</th>" not in html


def test_unjudged_phases_are_not_in_the_comparison_but_their_outcomes_are_counted():
    summary, series = a_storm()
    summary["variants"]["naive"]["phases"]["tail"] = a_phase(5, 0.1, 4.0, 3.0) | {"outcomes": {"novel": 3, "reset": 37}}

    html = a_page(summary, series)

    assert "<span>tail" not in html
    assert re.findall(r'<th scope="col" class="n">(complete|reset|timeout|shed|novel)</th>', html) == [
        "complete", "reset", "timeout", "novel",
    ]  # fmt: skip


def test_rendering_leaves_its_arguments_alone():
    summary, series = a_storm()
    before = copy.deepcopy((summary, series))

    a_page(summary, series)

    assert (summary, series) == before


# -- numbers


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (0.0, "0 s"), (0.0067, "6.7 ms"), (0.25, "0.25 s"), (4.0, "4 s"), (13.42, "13.4 s"),
     (120.3, "120 s"), (float("inf"), "∞"), (float("nan"), "–")],
)  # fmt: skip
def test_durations(seconds: float | None, shown: str):
    assert story.duration(seconds).replace("\u202f", " ") == shown


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [(None, "–"), (0.0, "0 %"), (0.0003, "< 0.1 %"), (0.02, "2 %"), (0.256, "26 %"), (0.98, "98 %"),
     (0.9999, "99.9 %"), (1.0, "100 %")],
)  # fmt: skip
def test_only_all_of_it_is_100_percent(ratio: float | None, shown: str):
    assert story.percent(ratio).replace("\u202f", " ") == shown


@pytest.mark.parametrize(
    ("metric", "value", "shown"),
    [("goodput_ratio", 0.98213, "0.9821"), ("e2e.p95", 1.5, "1.50 s"), ("e2e.n", 1234, "1 234"),
     ("recovery_s", 3.0, "3 s"), ("amplification", 4.0, "4"), ("outcomes.timeout", None, "–")],
)  # fmt: skip
def test_a_measure_has_the_unit_of_its_metric(metric: str, value: float | None, shown: str):
    assert story.measure(metric, value).replace("\u202f", " ") == shown


# -- what stands behind the figures


def some_evidence(evil: str = "") -> dict[str, Evidence]:
    """Of a variant whose one request needed three attempts, and of one that sent nothing."""
    steps = (Step(0.0, 0.0, 0.1, "529", 0), Step(0.6, 1.8, 3.6, "left", 120), Step(4.0, 4.0, 6.0, "complete", 120))
    slow = Slow(f"naive-1-000159{evil}", "dip", 16.79, 0.25, 6.0, "complete", evil or None, steps)
    lines = [
        Line(14.9, "info", "attempt", "naive-1-000001", "outcome=complete"),
        Line(15.1, "warning", "breaker_opened", "naive-1-000159", f"why=timeout{evil}"),
    ]
    drawn = {name: [1.0, 1.2, None] for name in ("e2e", "e2e_adjusted", "service_time", "service_time_adjusted")}
    whole = Evidence({"nines": [0.0, 0.5, 1.0], "lines": drawn}, [slow], [Excerpt("the trigger begins", 15.0, lines)])
    return {"naive": whole, "fixed": Evidence({"nines": [], "lines": {}}, [], [])}


def a_page_with_evidence(evil: str = "", **options: str) -> Page:
    summary, series = a_storm()
    return Page(report.render(summary, series, some_evidence(evil), about="", command=COMMAND, **options))


def test_the_slowest_requests_are_shown_with_their_attempts():
    text = a_page_with_evidence().text

    assert "naive-1-000159 dip 16.79 s 0.25 s 6 s complete" in text
    assert "at 0.00 s, 529 at 0.10 s" in text
    assert "at 0.60 s, queued 1.20 s, left at 3.60 s, 120 tokens" in text


def test_a_bar_is_as_long_as_its_attempt_on_a_common_scale():
    [[refused, left, complete]] = report.waterfall(some_evidence()["naive"].slowest)

    assert refused == [("failed", 0.0, 1.67)]
    assert left == [("queue", 10.0, 20.0), ("left", 30.0, 30.0)]
    assert complete == [("complete", 66.67, 33.33)]


def test_the_log_says_where_the_moment_was():
    page = a_page_with_evidence()

    assert (
        "the trigger begins, at 15.00 s 14.90 s attempt naive-1-000001 outcome=complete 15.10 s breaker_op" in page.text
    )


def test_what_a_run_cost_is_told_by_phase_and_as_a_whole():
    summary, series = a_storm()
    cost = {"tokens": 36055, "usd": 0.157495, "wasted_usd": 0.156249, "usd_per_good": 0.0787475}
    summary["phases"] = [{"name": name, "seconds": 8, "judge": name in JUDGED} for name in SPANS]
    for variant in summary["variants"].values():
        for cell in (*variant["phases"].values(), variant.setdefault("judged", a_phase(38, 0.5, 2.0, 1.0))):
            cell["cost"] = cost | {"tokens_per_good": None}

    text = Page(a_page(summary, series)).text

    assert "naive all judged 304 608 2 – 36 055 – $0.16 $0.16 $78.75" in text


def test_the_configuration_and_what_is_hostile_in_the_evidence_is_text():
    evil = "</script><img src=x onerror=alert(1)>"

    page = a_page_with_evidence(evil, config=f"about: {evil}")

    assert "img" not in page.tags
    assert page.text.count(evil) == 4


def test_without_evidence_its_sections_are_left_out():
    text = Page(a_page(*a_storm())).text

    for title in ("The slowest requests", "What the gateway logged", "percentile by percentile", "all its defaults"):
        assert title not in text
