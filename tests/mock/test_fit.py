import asyncio
import json
import math
import random
import statistics

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as some
from typer.testing import CliRunner

from mockclaude import cli, distribution, latency, settings
from mockclaude.recordings import fit, measured, recording


@pytest.fixture
def run():
    return lambda *words, stdin="": CliRunner().invoke(cli.app, list(words), input=stdin)


def table(rows, header="ttft,tokens_per_second"):
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def lognormal(n, p50=0.4, p95=1.2, pace=90.0, seed=1):
    profile, rng = latency.Profile.of(p50, p95, pace), random.Random(seed)
    return [(profile.ttft.draw(rng), pace * rng.uniform(0.9, 1.1)) for _ in range(n)]


@hypothesis.settings(max_examples=25)
@given(some.floats(0.01, 10), some.floats(1, 6), some.floats(5, 500), some.integers(0, 99))
def test_samples_drawn_from_a_profile_give_the_profile_back(p50, spread, pace, seed):
    drawn = lognormal(2000, p50, p50 * spread, pace, seed)

    [found] = fit.report(table(drawn)).fits.values()

    sigma = math.log(spread) / distribution.Z95  # 4 standard errors of a median and of a 95th percentile of 2,000
    assert found.p50 == pytest.approx(p50, rel=4 * 1.25 * sigma / 2000**0.5 + 1e-3)
    assert found.p95 == pytest.approx(p50 * spread, rel=math.expm1(4 * 2.11 * sigma / 2000**0.5) + 1e-3)
    assert found.pace == pytest.approx(pace, rel=0.02)
    assert found.distance < 0.05
    assert not found.poor


def test_percentiles_are_those_that_were_measured():
    found = fit.fit([measured.Measured(k / 100, 50.0) for k in range(1, 102)])

    assert (found.p50, found.p95) == (0.51, 0.96)


@pytest.mark.parametrize(
    ("times", "poor"),
    [
        ([0.2] * 100, False),
        ([time for time, _ in lognormal(100)], False),
        ([0.1] * 50 + [5.0] * 50, True),
        ([0.2] * 99 + [0.9], False),
        ([0.1] * 10 + [5.0] * 10, False),
    ],
    ids=["constant", "lognormal", "two humps", "one straggler", "too few to tell"],
)
def test_a_poor_fit_says_so(times, poor):
    found = fit.fit([measured.Measured(time, 50.0) for time in times])

    assert found.poor is poor
    assert ("poor: " in fit.as_yaml(fit.Report({"all": found}, 0))) is poor


def test_the_distance_is_that_of_kolmogorov():
    times = sorted(time for time, _ in lognormal(30))
    normal = statistics.NormalDist(0.0, 1.0)
    sigma = math.log(3) / distribution.Z95
    gaps = []
    for k in range(2000):  # by brute force: the share of the sample and of the lognormal at each of many times
        time = 0.02 + k * 0.002
        share = sum(one <= time for one in times) / 30
        gaps.append(abs(share - normal.cdf(math.log(time / 0.4) / sigma)))

    assert fit.kolmogorov(times, 0.4, 1.2) == pytest.approx(max(gaps), abs=0.01)


def test_a_model_has_a_section_of_its_own_and_fable_is_as_fast_as_opus():
    rows = [(0.2, 150, "claude-haiku-4-5"), (0.3, 150, "claude-haiku-4-5"), (1, 40, "claude-fable-5"), (1, 40, "opus")]
    rows[3] = (1, 40, "claude-opus-5")

    section = fit.report(table(rows, "ttft,tokens_per_second,model")).section()

    assert list(section) == ["haiku", "opus"]
    assert section["opus"] == {"ttft": {"p50": 1.0, "p95": 1.0}, "tokens_per_second": 40.0, "prefill": False}


def test_without_models_one_section_is_for_all():
    assert "ttft" in fit.report(table([(0.2, 150), (0.3, 150)])).section()


def test_a_family_with_one_reply_is_left_out_and_counted():
    rows = [(0.2, 150, "claude-haiku-4-5"), (0.3, 150, "claude-haiku-4-5"), (1, 40, "claude-opus-5")]

    report = fit.report(table(rows, "ttft,tokens_per_second,model"))

    assert (list(report.fits), report.left_out) == (["haiku"], 1)
    assert "left out: 1" in fit.as_yaml(report)


@pytest.mark.parametrize(("tokens", "length"), [([100, 101, 99, 100], 100), ([10, 100, 500, 900], None)])
def test_a_length_that_varies_is_a_comment(tokens, length):
    rows = [(0.2, 150, count) for count in tokens]

    report = fit.report(table(rows, "ttft,tokens_per_second,output_tokens"))

    assert report.section().get("output_tokens") == length
    assert ("output_tokens varies: median" in fit.as_yaml(report)) is (length is None)


def test_columns_may_be_milliseconds_come_in_any_order_and_with_others():
    report = fit.report("when, tokens_per_second , ttft_ms\n1,50,200\n\n2,,400\n")

    assert report.section() == {"ttft": {"p50": 0.3, "p95": 0.39}, "tokens_per_second": 50.0, "prefill": False}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", 'line 1: expected a header with ttft (or ttft_ms) and tokens_per_second, got ""'),
        ("0.2,150\n0.3,150\n", 'line 1: expected a header with ttft (or ttft_ms) and tokens_per_second, got "0.2,150"'),
        (table([(0.2, 150), ("soon", 150)]), 'line 3: ttft: expected a number above 0, got "soon"'),
        (table([(0.2, 150), ("", 150)]), 'line 3: ttft: expected a number above 0, got ""'),
        (table([(0.2, -1)]), 'line 2: tokens_per_second: expected a number above 0, got "-1"'),
        (table([(0.2, "inf")]), 'line 2: tokens_per_second: expected a number above 0, got "inf"'),
        (table([(0.2, "x" * 200_000)]), "line 1: not CSV: field larger than field limit (131072)"),
        (table([(0.2, 150)]), "at least 2 replies with a TTFT and a pace are needed, got 1"),
        (table([(0.2, ""), (0.3, "")]), "at least 2 replies with a TTFT and a pace are needed, got 0"),
        ('{"a": 1}\n', "line 1: expected a line of a recording or of samples.jsonl"),
        ('{"outcome": "complete", "sent": 0}\n[]\n', "line 2: expected a JSON object"),
        (
            '{"outcome": "complete", "sent": "x", "first_delta": 1}',
            'line 1: "sent", "first_delta" and "gaps" must be seconds',
        ),
    ],
)
def test_what_is_wrong_names_its_line(text, said):
    with pytest.raises(settings.ConfigError) as caught:
        fit.report(text)

    assert str(caught.value) == said


def sample(ttft, **changes):
    row = {"request_id": "r", "intended": 1.0, "sent": 2.0, "ended": 9.0, "outcome": "complete", "status": 200}
    row |= {"first_delta": 2.0 + ttft, "gaps": [0.5, 0.5], "output_tokens": 51, "input_tokens": 3}
    return json.dumps(row | changes) + "\n"


def test_samples_of_a_load_test_count_from_their_sending_and_only_when_complete():
    text = sample(0.2) + sample(0.4) + sample(9, outcome="timeout") + sample(9, first_delta=None) + sample(9, gaps=[])

    report = fit.report(text)

    assert report.left_out == 2
    assert report.fits["all"].n == 3
    assert (report.fits["all"].p50, report.fits["all"].pace) == (0.4, 50.0)


def exchange(ttft=0.3, pace=100.0, tokens=50, model="claude-haiku-4-5", thinking=None, **changes):
    """A recorded stream: a word at once, ten pieces more, each with its share of the tokens."""
    usage = {"output_tokens": tokens} | ({} if thinking is None else {"output_tokens_details": thinking})
    pieces = ["a" * (350 // tokens)] + ["b" * 35] * 9 + ["c" * (35 - 350 // tokens)]
    at, made, events = ttft, 0, []
    for piece in pieces:
        made += len(piece) / 350 * tokens
        at = ttft + (made - 1) / pace
        events.append([round(at, 6), "content_block_delta", {"delta": {"type": "text_delta", "text": piece}}])
    events.append([at + 1 / pace, "message_delta", {"usage": usage}])
    row = {
        "recorded_at": "2026-11-12T10:00:00+00:00",
        "request": {"model": model, "stream": True},
        "status": 200,
        "headers": {},
        "ttfb": 0.1,
        "events": events,
        "ended": "complete",
    }
    return json.dumps(row | changes) + "\n"


def test_a_recording_gives_ttft_pace_and_length():
    [found] = fit.report(exchange(0.2) + exchange(0.4)).fits.values()

    assert (found.p50, found.tokens, found.length) == (0.3, (50, 50, 50), 50)
    assert found.pace == pytest.approx(100, rel=0.01)


async def test_a_mock_that_is_listened_to_gives_its_own_latency_back(mocked):
    profile = {"ttft": {"p50": 0.4, "p95": 1.2}, "tokens_per_second": 80, "output_tokens": 60, "prefill": False}
    lines = []
    async with mocked(latency=profile) as claude:
        for k in range(200):
            began = asyncio.get_running_loop().time()
            reply = await claude.asked(f"question {k}", stream=True, max_tokens=100)
            tape = recording.Tape()
            for at, part in reply.parts:
                tape.hear(at - began, part)
            asked = recording.Asked("claude-haiku-4-5", True)
            lines.append(recording.Exchange("", asked, 200, {}, 0.0, "complete", tuple(tape.events)))

    [found] = fit.report(b"".join(map(recording.line, lines)).decode()).fits.values()

    assert found.p50 == pytest.approx(0.4, rel=0.1)
    assert found.p95 == pytest.approx(1.2, rel=0.1)
    assert found.pace == pytest.approx(80, rel=0.05)
    assert found.length == 60
    assert not found.poor


def test_thinking_that_was_not_shown_is_no_part_of_the_pace():
    hidden = fit.report(exchange(tokens=50, thinking={"thinking_tokens": 25}) * 2)

    assert hidden.fits["haiku"].pace == pytest.approx(50, rel=0.03)


def test_replies_without_a_first_token_are_left_out():
    refused = exchange(status=529, events=None, ended="error", body={"type": "error"}, at=0.1)

    report = fit.report(exchange() * 2 + refused)

    assert report.left_out == 1


def test_a_reply_that_was_cut_has_a_ttft_but_no_length():
    [found] = fit.report(exchange() * 2 + exchange(9.0, ended="left")).fits.values()

    assert (found.n, found.tokens) == (3, (50, 50, 50))


@pytest.mark.parametrize(
    "text",
    [
        table(lognormal(5)),
        table([(3e-5, 1e6), (4e-5, 1e6)]),
        exchange() * 2 + exchange(model="claude-opus-5") * 60 + exchange(5.0, model="claude-opus-5") * 60,
    ],
    ids=["flat", "tiny and huge figures", "per family and poor"],
)
def test_what_it_prints_is_a_configuration_that_gives_the_same_profile(run, tmp_path, text):
    file = tmp_path / "measured"
    file.write_text(text)
    printed = run("fit", str(file))
    config = tmp_path / "mock.yaml"
    config.write_text(printed.stdout)

    checked = run("check", str(config))

    assert (printed.exit_code, checked.stdout) == (0, f"{config}: ok\n")
    assert settings.load(printed.stdout) == {"latency": json.loads(run("fit", str(file), "--json").stdout)["latency"]}


def test_few_samples_are_said(run):
    assert "few samples" in run("fit", "-", stdin=table(lognormal(19))).stdout
    assert "few samples" not in run("fit", "-", stdin=table(lognormal(20))).stdout


def test_json_has_how_good_it_is(run):
    said = json.loads(run("fit", "-", "--json", stdin=table(lognormal(60))).stdout)

    assert said["fits"]["all"] | {"distance": 0} == {
        "n": 60,
        "distance": 0,
        "poor": False,
        "few": False,
        "output_tokens": None,
    }


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (["-"], "ttft\n", "-: line 1: expected a header"),
        (["/nowhere/samples.csv"], "", "/nowhere/samples.csv: cannot read"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_exit_2(run, words, stdin, said):
    result = run("fit", *words, stdin=stdin)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(said)
    assert len(result.stderr.splitlines()) == 1
