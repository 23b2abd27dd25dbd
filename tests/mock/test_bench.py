"""What a benchmark makes of what it measured; and one short measurement of the mock itself."""

import json

import pytest
from typer.testing import CliRunner

from mockclaude.bench import contender, earlier, gateways, goals, report, rounds
from mockclaude.bench.load import Found, Load, Spread
from mockclaude.bench.process import Usage
from mockclaude.bench.reader import Tally
from mockclaude.bench.rounds import Row
from mockclaude.commands import benching

FAST = goals.Goal("CPU a token, of naive's", 300, goals.cpu, 0.5, "naive")
PROMPT = goals.Goal("lateness", 300, goals.late, 0.002)
IDLE = Usage(0.3, 0.0, 0)


def found(cpu=10e-6, late=0.001, wait=0.0, **fields):
    spread = Spread(late / 2, late, late * 2)
    usual = Found(1000, 3.0, 0, 0, 1.0, spread, spread, spread, wait, 0.1, 1.0, cpu, 0.3, 20_000.0)
    return usual._replace(**fields)


def row(name, *rounds, n=300):
    return Row(name, n, rounds)


def verdicts(goal, *rows):
    return [(one.verdict, one.figures) for one in goals.judge([goal], rows)]


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [((10e-6, 20e-6), "met"), ((60e-6, 55e-6), "missed"), ((10e-6, 60e-6), "undecided")],
    ids=["every round keeps it", "no round keeps it", "rounds disagree"],
)
def test_a_ratio_is_judged_round_by_round(ours, verdict):
    naive = row("naive", found(cpu=100e-6), found(cpu=100e-6))

    [(said, figures)] = verdicts(FAST, row(goals.OURS, *(found(cpu=cpu) for cpu in ours)), naive)

    assert said == verdict
    assert figures == pytest.approx(sorted(cpu / 100e-6 for cpu in ours))


def test_a_time_of_a_noisy_round_does_not_count():
    rounds = [found(late=0.001), found(late=0.5, wait=0.1)]

    assert verdicts(PROMPT, row(goals.OURS, *rounds)) == [("met", (0.001,))]


def test_a_ratio_of_times_needs_a_round_that_was_quiet_for_both():
    sooner = goals.Goal("first token, of naive's", 300, goals.first, 0.5, "naive")
    ours = row(goals.OURS, found(late=0.001), found(late=0.9, wait=0.1), found(late=0.9))
    naive = row("naive", found(late=0.004), found(late=0.004), found(late=0.004, wait=0.1))

    assert verdicts(sooner, ours, naive) == [("met", (0.25,))]


def test_a_goal_may_be_of_another_than_the_mock():
    dearer = goals.Goal("CPU, of the one without", 300, goals.cpu, 1.1, "off", "on")

    assert verdicts(dearer, row("on", found(cpu=12e-6)), row("off", found(cpu=10e-6))) == [
        ("missed", (pytest.approx(1.2),))
    ]


def test_a_round_whose_reader_was_too_busy_does_not_count():
    rounds = [found(cpu=10e-6), found(cpu=1e-6, reader=0.9)]
    naive = row("naive", found(cpu=100e-6), found(cpu=100e-6))

    assert verdicts(FAST, row(goals.OURS, *rounds), naive) == [("met", (pytest.approx(0.1),))]
    [judged] = goals.judge([FAST], [row(goals.OURS, *reversed(rounds[1:])), row("naive", naive.rounds[0])])
    assert (judged.verdict, judged.why) == ("undecided", "the reader's core was 90% busy")


def test_a_round_without_a_cpu_does_not_count():
    naive = row("naive", found(cpu=5e-6, wait=0.6), found(cpu=100e-6))

    assert verdicts(FAST, row(goals.OURS, found(), found()), naive) == [("met", (pytest.approx(0.1),))]
    [judged] = goals.judge([FAST], [row(goals.OURS, found()), row("naive", naive.rounds[0])])
    assert (judged.verdict, judged.why) == ("undecided", "one stood without a CPU for 60% of the time")


def test_a_time_without_a_quiet_round_is_not_decided():
    assert verdicts(PROMPT, row(goals.OURS, found(late=0.5, wait=0.1))) == [("undecided", ())]


@pytest.mark.parametrize("bad", [{"failed": 1}, {"short": 1}], ids=["failed", "short"])
def test_a_mock_that_does_not_answer_is_not_fast(bad):
    assert verdicts(PROMPT, row(goals.OURS, found(), found(**bad))) == [("missed", ())]


def test_a_baseline_that_does_not_answer_is_nothing_to_be_faster_than():
    assert verdicts(FAST, row(goals.OURS, found()), row("naive", found(failed=1))) == [("undecided", ())]


def test_a_goal_without_its_baseline_is_not_judged():
    assert verdicts(FAST, row(goals.OURS, found())) == []


def test_a_token_is_as_late_as_it_is_off_its_own_deadline():
    tally = Tally(Load(1, "/", "", "x", ttft=1.0, gap=0.1, tokens=3))
    tally.begins = 0.0

    tally.token(101.002, 100.0, 0, 0.0)
    tally.token(101.103, 100.0, 1, 101.002)
    said = tally.found(IDLE, None, None)

    assert (said.first.p50, said.late.largest) == pytest.approx((0.002, 0.003))
    assert said.uneven.p50 == pytest.approx(0.001)
    assert said.rate == pytest.approx(0.1 / 0.101)


def test_the_rate_counts_as_long_as_the_server_has_a_fifth_of_its_core():
    steady = goals.full(700)

    assert verdicts(steady, row(goals.OURS, found(rate=1.0001, busy=0.79), n=700)) == [("met", (pytest.approx(1e-4),))]
    for busy in (0.3, 0.95):
        [judged] = goals.judge([steady], [row(goals.OURS, found(rate=0.9, busy=busy), n=700)])
        assert judged.verdict == "undecided"
        assert judged.why == f"of its core it used {busy:.0%}, expected 70% to 82% at most"


def test_what_came_before_the_window_does_not_count():
    tally = Tally(Load(1, "/", "", "x", ttft=1.0, gap=0.1, tokens=3))
    tally.begins, tally.ends = 200.0, 300.0

    tally.token(101.0, 100.0, 0, 0.0)

    assert tally.found(IDLE, None, None).counted == 0


def test_what_should_have_come_by_the_windows_end_is_late():
    tally = Tally(Load(1, "/", "", "x", ttft=1.0, gap=0.1, tokens=3))
    tally.begins, tally.ends = 100.5, 101.25

    tally.silent(100.0, got=0, heard=100.0)
    tally.silent(100.0, got=3, heard=101.1)

    said = tally.found(IDLE, None, None)
    assert (said.failed, said.first.largest, said.late.p50) == (0, pytest.approx(0.25), pytest.approx(0.15))


@pytest.mark.parametrize(("sent", "heard", "failed"), [(98, 98, 1), (98, 100.6, 0), (99.8, 99.8, 0)])
def test_who_heard_nothing_all_the_time_though_something_was_due_has_no_answer(sent, heard, failed):
    tally = Tally(Load(1, "/", "", "x", ttft=1.0, gap=0.1, tokens=3))
    tally.begins, tally.ends = 100.5, 101.5

    tally.silent(sent, got=1, heard=heard)

    assert tally.failed == failed


NOISY, QUIET, FAILED = found(wait=0.02), found(wait=0.001), found(wait=0.03, failed=7)


@pytest.mark.parametrize(
    ("tries", "kept"),
    [
        ([NOISY, QUIET, FAILED], QUIET),
        ([found(wait=0.001, reader=0.8), found(wait=0.005)], found(wait=0.005)),
        ([NOISY, FAILED, QUIET], FAILED),
        ([NOISY, found(wait=0.05), found(wait=0.015)], found(wait=0.015)),
    ],
    ids=["quiet", "the reader not busy", "failed", "least noisy"],
)
def test_a_measurement_is_repeated_until_it_is_quiet_or_fails(tries, kept):
    load, left = Load(300, "/", ""), iter(tries)

    [measured] = rounds.measure([([contender.OURS], [load])], 1, lambda said: None, lambda one, load: next(left))

    assert measured.rounds == (kept,)


def test_all_contenders_take_turns_whatever_their_loads():
    told = []
    one, two = contender.OURS, contender.UNHEARD

    rounds.measure([([one], [Load(1, "/", "")]), ([two], [Load(2, "/", "")])], 2, told.append, lambda one, load: QUIET)

    assert [said.partition(": ")[2] for said in told] == [f"{one.name}, 1 callers", f"{two.name}, 2 callers"] * 2


def test_a_fresh_load_never_asks_the_same_twice():
    load = Load(1, "/", '{"content": "Tell me of the harbour."}', fresh="harbour")

    asked = {load.request("host", number).partition(b"\r\n\r\n") for number in range(20)}

    assert len(asked) == 20
    assert len({head for head, _, _ in asked}) == 1
    assert (b'{"content": "Tell me of the 0000007."}') in {body for _, _, body in asked}


def test_the_table_has_the_median_and_the_range_of_each_row():
    _, line = report.table([row("naive", found(cpu=1e-6), found(cpu=3e-6), found(cpu=2e-6))])

    assert "naive" in line
    assert "2 [1-3]" in line
    assert line.endswith("3/3")


def test_figures_of_noisy_rounds_do_not_stand_among_those_of_quiet_ones():
    _, line = report.table([row("naive", found(cpu=1e-6), found(cpu=9e-6, wait=0.1))])

    assert "1 [1-1]" in line


def test_a_run_can_be_read_again_and_compared():
    rows = [row("naive", found(cpu=10e-6))]
    document = json.loads(json.dumps(report.document("mock", rows, [])))

    assert Found.read(json.dumps(document["rows"][0]["rounds"][0])) == rows[0].rounds[0]
    before = earlier.Earlier.model_validate(document)
    assert list(earlier.compared([row("naive", found(cpu=15e-6))], before)) == [
        "naive, 300 callers: 10 -> 15 us, +50 %",
    ]
    assert list(earlier.warning(before, document)) == []


@pytest.mark.parametrize("said", ["URL", "x=http://example.com:80", "x=http://127.0.0.1"])
def test_a_peer_is_a_name_and_a_port_of_this_machine(said):
    with pytest.raises(contender.CouldNotRun, match="expected NAME=http"):
        contender.peer(said)


@pytest.mark.system
def test_the_mock_is_measured(tmp_path):
    saved = tmp_path / "bench.json"
    words = ["mock", "--n", "5", "--rounds", "1", "--seconds", "0.5", "--only", "mockclaude", "--json", str(saved)]

    ended = CliRunner().invoke(benching.app, words)

    assert ended.exit_code == 0, ended.output
    measured = json.loads(saved.read_text())
    [one] = measured["rows"][0]["rounds"]
    assert (one["failed"], one["short"]) == (0, 0)
    assert one["counted"] > 50
    assert 0 < one["cpu"] < 0.01
    assert measured["machine"]["cores"] >= 2


WAYS = (gateways.CHAT, gateways.PASSED_ON)
GATEWAYS = {one.name: (way, one) for way in WAYS for one in (*gateways.contenders(way), *gateways.ablated(way))}


@pytest.mark.system
@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_is_measured_with_a_mock_behind_it(name):
    way, one = GATEWAYS[name]
    fast = gateways.load(way, 3, 1.0)._replace(gap=0.001, ramp=0.1, warm=0.1)

    measured = rounds.of_server(one, fast)

    assert (measured.failed, measured.short) == (0, 0)
    assert measured.counted > 3 * gateways.TOKENS
    assert 0 < measured.cpu < 0.01
    assert 0 < measured.reader < 1


@pytest.mark.system
def test_a_run_of_gateways_ends_in_a_file(tmp_path):
    saved = tmp_path / "bench.json"
    words = ["gateway", "--n", "3", "--rounds", "1", "--seconds", "0.5", "--json", str(saved)]

    ended = CliRunner().invoke(benching.app, [*words, "--only", "passed on: production"])

    assert ended.exit_code == 0, ended.output
    [row] = json.loads(saved.read_text())["rows"]
    assert (row["name"], row["rounds"][0]["failed"]) == ("passed on: production", 0)
