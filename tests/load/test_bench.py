"""What a benchmark makes of what the generator measured beside the truth; and one short measurement of it."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from loadtests import cli
from loadtests.bench import heard, measuring, verdict
from loadtests.bench.heard import Window
from loadtests.errors import CannotRun
from loadtests.sample import Sample
from mockclaude.bench import goals, report
from mockclaude.bench.contender import BASELINES
from mockclaude.bench.load import Spread
from mockclaude.bench.process import Usage
from mockclaude.bench.rounds import Row

WINDOW = Window(1.0, 2.0)
MEASURED = heard.told([], [], WINDOW, 0)


def sample(intended=1.0, first_delta=1.31, gaps=(0.011, 0.013), **fields):
    times = {"sent": intended, "ended": 1.5, "first_delta": first_delta, "gaps": gaps}
    return Sample(**{"request_id": "a", "outcome": "complete", "intended": intended, **times, **fields})


def row(name, n, **fields):
    return Row(name, n, (MEASURED._replace(**fields),))


def spread(seconds):
    return Spread(seconds, seconds, seconds)


def test_the_generators_times_stand_beside_the_mocks():
    record = {"t": 1.001, "sent": [[0.3, 5], [0.311, 5], [0.323, 5]]}

    found = heard.told([sample()], [record], WINDOW, 3)

    assert (found.counted, found.failed, found.short) == (3, 0, 0)
    assert (found.ttft.p50, found.itl.largest) == pytest.approx((0.31, 0.013))
    assert (found.truth.ttft.p50, found.truth.itl.largest) == pytest.approx((0.3, 0.012))
    assert found.truth.cpu is None


@pytest.mark.parametrize(
    ("first_delta", "tokens"),
    [(0.5, 0), (0.98, 2), (2.1, 0)],
    ids=["a stream before the window", "one that reaches into it", "one after it"],
)
def test_only_what_came_in_the_window_counts(first_delta, tokens):
    found = heard.told([sample(intended=0.4, first_delta=first_delta, gaps=(0.03, 0.01))], [], WINDOW, 3)

    assert found.counted == tokens
    assert found.ttft is None


def test_an_answer_that_lacks_tokens_is_short_and_one_that_broke_off_has_failed():
    found = heard.told([sample(), sample(outcome="truncated", gaps=())], [], WINDOW, 4)

    assert (found.short, found.failed) == (1, 1)


def test_of_answers_in_json_the_lag_is_told():
    answers = [sample(first_delta=None, gaps=(), sent=1.0 + lag) for lag in (0.001, 0.004)]

    found = heard.told(answers, [], WINDOW, 0)

    assert found.counted == 2
    assert found.lag.largest == pytest.approx(0.004)


def test_what_it_costs_is_told_of_each_token():
    found = heard.priced(MEASURED._replace(counted=1000), Usage(0.02, 0.001, 0), Usage(0.3, 0.004, 0))

    assert (found.cpu, found.busy, found.reader, found.wait) == pytest.approx((20e-6, 0.02, 0.3, 0.004))


@pytest.mark.parametrize(("itl", "said"), [(0.0112, "met"), (0.0, "missed")], ids=["true", "off"])
def test_a_reader_of_streams_is_held_to_the_truth(itl, said):
    times = {"ttft": spread(0.3002), "true_ttft": spread(0.3), "itl": spread(itl), "true_itl": spread(0.0111)}

    judged = goals.judge(verdict.GOALS, [row("loadtests", 300, **times)], verdict.TIMES)

    assert [one.verdict for one in judged] == ["met", said, said]


def test_the_truth_stands_below_each_reader():
    times = {"ttft": spread(0.35), "true_ttft": spread(0.3), "wait": 0.0}

    lines = list(report.table(list(verdict.with_truth([row("iter_lines", 300, **times)])), verdict.OF_STREAMS))

    assert ["350 [350-350]" in lines[1], "300 [300-300]" in lines[2]] == [True, True]
    assert lines[2].startswith("  the truth")


@pytest.mark.parametrize(
    ("lags", "said"),
    [
        ({250: 0.002, 500: 0.01, 1000: 0.5}, ": 500 requests/s"),
        ({250: 0.002, 500: 0.5, 1000: 0.01}, ": 250 requests/s"),
        ({250: 0.5}, ": none of these rates"),
    ],
    ids=["the last below", "one above the first that failed does not count", "none"],
)
def test_the_ladder_ends_where_requests_leave_late(lags, said):
    rows = [row("arrivals", rate, lag=spread(lag)) for rate, lag in lags.items()]

    assert verdict.most(rows).endswith(said)


def test_a_ladder_says_where_no_round_was_quiet():
    rows = [row("arrivals", 250, lag=spread(0.002)), row("arrivals", 500, lag=spread(0.002), wait=0.5)]

    assert verdict.most(rows).endswith(": 250 requests/s; 500 requests/s: no quiet round")


def test_so_many_streams_at_a_time_are_a_rate_of_them():
    asked = measuring.scenario(measuring.streams(300, 3.0))["load"]

    assert asked["rate"] * (0.3 + 149 / 90) == pytest.approx(300)


def test_the_ladder_is_that_of_the_whole_generator():
    rows = [row("arrivals", 500, lag=spread(0.002)), row("arrivals without timer", 500, lag=spread(0.5))]

    assert verdict.most(rows).endswith(": 500 requests/s")


@pytest.mark.parametrize("part", sorted({*measuring.READING, *measuring.SENDING}))
def test_the_generator_can_be_measured_without_each_thing_that_makes_it_fast(part):
    without = measuring.without("loadtests", part)

    assert (without.name, dict(without.environment)) == (f"loadtests without {part}", {"BENCH_WITHOUT": part})
    assert f'WHAT == "{part}"' in (BASELINES / "generator_without.py").read_text()


@pytest.mark.system
@pytest.mark.parametrize("part", sorted({*measuring.READING, *measuring.SENDING}))
def test_what_the_generator_is_measured_without_is_there_to_be_left_out(part):
    words = [sys.executable, "-c", "import generator_without"]

    subprocess.run(words, cwd=BASELINES, env=os.environ | {"BENCH_WITHOUT": part}, check=True)


def test_what_was_written_down_is_a_table_for_a_readme():
    times = {"ttft": spread(0.302), "true_ttft": spread(0.3), "itl": spread(0.011), "true_itl": spread(0.0111)}
    rows = [row("loadtests", 300, cpu=15e-6, **times), row("arrivals", 500, cpu=250e-6, lag=spread(0.001))]
    document = report.document("client", rows, goals.judge(verdict.GOALS, rows, verdict.TIMES))

    lines = list(verdict.lines(json.loads(json.dumps(document))))

    assert lines[0].startswith("`loadtests bench client`, on ")
    assert "| loadtests | 300 | 15 | 302 | 302 | 11 | 11 | 1/1 |" in lines
    assert "|   the truth | 300 | - | 300 | 300 | 11.1 | 11.1 | 1/1 |" in lines
    assert "| arrivals | 500 | 250 | 1 | 1 | 1 | 1/1 |" in lines
    assert any("p99 of dispatch lag" in line and "| met |" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "typo"], "--only typo: got typo, expected some of loadtests, iter_lines, arrivals"),
        (["--n", "some"], "--n some: got 'some', expected numbers from 1 on"),
        (["--rate", "0"], "--rate 0: got '0'"),
        (["--n", "1000000000"], "open files"),
        (["--json", "none/bench.json"], "expected a folder none, there is none"),
        (["--compare", __file__], "expected a file that --json of the benchmark 'client' wrote"),
    ],
    ids=lambda words: words[0],
)
def test_what_cannot_be_measured_is_found_out_before(words, said):
    ended = CliRunner().invoke(cli.app, ["bench", "client", *words])

    assert isinstance(ended.exception, CannotRun)
    assert said in str(ended.exception)


@pytest.mark.system
@pytest.mark.timeout(300)  # what was noisy is measured again
def test_the_generator_is_measured_beside_the_truth(tmp_path):
    saved = tmp_path / "bench.json"
    words = ["bench", "client", "--n", "2", "--rate", "20", "--rounds", "1", "--seconds", "0.5", "--json", str(saved)]

    ended = CliRunner().invoke(cli.app, words)

    assert ended.exit_code == 0, ended.output
    measured = json.loads(saved.read_text())
    assert [(one["name"], one["n"]) for one in measured["rows"]] == [
        ("loadtests", 2),
        ("iter_lines", 2),
        ("arrivals", 20),
    ]
    for one in (each["rounds"][0] for each in measured["rows"]):
        assert (one["failed"], one["short"]) == (0, 0)
        assert one["counted"] > 0 and 0 < one["cpu"] < 0.1
    reader, iter_lines = (each["rounds"][0] for each in measured["rows"][:2])
    assert reader["true_itl"][0] == pytest.approx(1 / 90, abs=0.005)
    assert reader["itl"][0] == pytest.approx(1 / 90, abs=0.005)
    assert iter_lines["itl"][0] < 0.002
    assert measured["versions"]["gevent"]
    assert "no goal is for 2 streams; there are goals for 300" in ended.output
    assert "no goal is for 20 requests/s; there are goals for 500" in ended.output
    assert "  the truth" in ended.output and "the most with a p99 of dispatch lag" in ended.output
