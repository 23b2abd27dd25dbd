"""Locust as the runner starts it, against a server that misbehaves on purpose: every ending has its true outcome."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtests.experiment.plan import VARIABLE, Plan
from loadtests.sample import Sample
from tests.system.misbehaving import ENDINGS, GAP, Behaviour, Misbehaving, locust, never_answers, well

SCENARIO = """\
about: x
load: {user: chat, arrivals: constant, rate: 10, patience: 1.5}
phases: [{name: all, seconds: %s}]
"""


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., list[Sample]]]:
    def driven(behaviour: Behaviour, seconds: float) -> list[Sample]:
        (tmp_path / "scenario.yaml").write_text(SCENARIO % seconds)
        samples, events = tmp_path / "samples.jsonl", tmp_path / "events.jsonl"
        with Misbehaving(behaviour) as server:
            scenario = str(tmp_path / "scenario.yaml")
            plan = Plan(scenario, "default", 1, server.url, server.url, "k", str(samples), str(events))
            plan.write(tmp_path / "plan.json")
            finished = locust("-u", "1", "-r", "1", env={VARIABLE: str(tmp_path / "plan.json")})
        assert finished.returncode == 0, finished.stderr
        assert "Traceback" not in finished.stderr
        return sorted(
            (Sample.from_row(json.loads(line)) for line in samples.read_text().splitlines()),
            key=lambda sample: sample.intended,
        )

    yield driven


def test_every_ending_has_its_true_outcome(drive):
    names = list(ENDINGS)

    samples = drive(lambda name: ENDINGS[names[int(name.rsplit("-", 1)[1]) - 1]][0], seconds=len(names) / 10 + 0.05)

    found = {name: sample.outcome for name, sample in zip(names, samples, strict=True)}
    assert found == {name: outcome for name, (_, outcome) in ENDINGS.items()}


def test_a_stream_is_timed_event_by_event_not_kilobyte_by_kilobyte(drive):
    """Locust's own `iter_lines` waits for 1,024 bytes: it would see all three deltas at the end."""
    samples = drive(lambda name: well, seconds=2.05)

    assert len(samples) == 20
    assert all(sample.outcome == "complete" and sample.output_tokens == 3 for sample in samples)
    assert all(sample.ttft_sent is not None and sample.ttft_sent >= 2 * GAP - 0.005 for sample in samples)
    ttfts = sorted(sample.ttft_sent or 0 for sample in samples)
    gaps = sorted(gap for sample in samples for gap in sample.gaps)
    assert ttfts[len(ttfts) // 2] == pytest.approx(2 * GAP, abs=0.05)
    assert gaps[len(gaps) // 2] == pytest.approx(GAP, abs=0.03)
    assert len(gaps) == 40


def test_requests_start_when_the_schedule_says_though_none_is_answered(drive):
    """An open loop: a closed one with these twenty slow answers would have started fewer."""
    samples = drive(lambda name: never_answers, seconds=2.05)

    assert [round(sample.intended, 6) for sample in samples] == [round(0.1 * n, 6) for n in range(1, 21)]
    lags = sorted(sample.dispatch_lag for sample in samples)
    assert lags[0] >= 0
    assert lags[len(lags) // 2] < 0.5
    assert {sample.outcome for sample in samples} == {"timeout"}
    assert all(1.4 < sample.e2e < 3 for sample in samples)


@pytest.mark.parametrize(
    ("host", "more", "said"),
    [
        ("http://example.com", [], "--allow-remote"),
        ("https://api.anthropic.com", [], "--i-will-pay"),
        ("https://api.anthropic.com", ["--allow-remote"], "--i-will-pay"),
        ("nonsense", [], "expected a URL"),
    ],
)
def test_plain_locust_refuses_a_target_that_is_not_this_machine(host: str, more: list[str], said: str):
    finished = locust("-H", host, "-u", "1", "-t", "1s", *more)

    assert finished.returncode == 2
    assert said in finished.stdout


def test_plain_locust_is_a_closed_loop_whose_metrics_stay_out_of_aggregated(tmp_path: Path):
    closed_loop = ["-u", "4", "-r", "4", "-t", "4s", "--stop-timeout", "2", "--csv", str(tmp_path / "out")]

    with Misbehaving(lambda name: well) as server:
        finished = locust("-H", server.url, *closed_loop, "StreamUser")

    rows = [line.split(",") for line in (tmp_path / "out_stats.csv").read_text().splitlines()[1:]]
    counts = {(row[0], row[1]): int(row[2]) for row in rows}
    assert finished.returncode == 0, finished.stderr
    assert counts["POST", "/chat/stream"] >= 4
    assert counts["TTFT", "/chat/stream"] == counts["POST", "/chat/stream"]
    assert counts["", "Aggregated"] == counts["POST", "/chat/stream"]


def test_plain_locust_ends_in_time_though_its_users_still_wait_for_an_answer():
    with Misbehaving(lambda name: never_answers) as server:
        started = time.monotonic()
        finished = locust("-H", server.url, "-u", "4", "-r", "4", "-t", "2s")

    assert finished.returncode == 0, finished.stderr
    assert time.monotonic() - started < 20
