"""How the benchmark climbs to the most streams that a server carries, and what it makes of it."""

import pytest
from typer.testing import CliRunner

from mockclaude.bench import goals, ladder
from mockclaude.bench.ladder import Height
from mockclaude.bench.load import Found, Spread
from mockclaude.commands import benching


def found(late, wait=0.0, reader=0.1, **fields):
    spread = Spread(late, late, late)
    return Found(1000, 3.0, 0, 0, 1.0, spread, spread, spread, wait, reader, 1.0, 1e-5, 0.3, 0.0)._replace(**fields)


def carries(most, asked=None, **above):
    """A server that is late with more than `most` streams."""

    def measure(n):
        if asked is not None:
            asked.append(n)
        return found(0.001) if n <= most else found(0.02, **above)

    return measure


@pytest.mark.parametrize("most", [60, 300, 1000, 5000], ids=str)
@pytest.mark.parametrize("start", [0, 12, 30], ids=str)
def test_the_top_is_the_last_rung_in_time_wherever_it_began(most, start):
    asked = []

    top = ladder.climb(carries(most, asked), start)

    assert top.n <= most < top.n * ladder.STEP * 1.02
    assert not top.at_least
    assert len(set(asked)) == len(asked) < 14


def test_a_server_that_carries_nothing_has_no_height():
    assert ladder.climb(carries(10), 12) == Height(0)


def test_one_whom_the_highest_rung_does_not_stop_carries_at_least_that():
    assert ladder.climb(carries(10**6), 12) == Height(ladder.streams(ladder.HIGHEST), at_least=True)


def test_where_the_reader_is_the_limit_nobody_knows_how_much_more_it_were():
    top = ladder.climb(carries(500, reader=0.9), 12)

    assert top.at_least
    assert 400 < top.n <= 500


def test_a_noisy_machine_has_two_more_tries_and_then_no_round():
    asked = []

    assert ladder.climb(carries(100, asked, wait=0.1), 12) is None
    assert asked == [ladder.streams(12)] * 3


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (found(0.004), "kept"),
        (found(0.006), "late"),
        (found(0.004, wait=0.1), "kept"),
        (found(0.004, reader=0.9), "kept"),
        (found(0.006, wait=0.1), "noisy"),
        (found(0.006, wait=0.1, reader=0.9), "reader"),
        (found(0.001, short=1), "late"),
        (found(0.001)._replace(late=None), "late"),
    ],
    ids=["in time", "late", "in time all the same", "busy, in time", "noisy", "reader", "short", "nothing came"],
)
def test_what_was_in_time_was_so_on_a_busy_machine_too(measured, said):
    assert ladder.foothold(measured) == said


def test_a_round_begins_where_the_last_one_ended():
    top = ladder.climb(carries(1000), 12)

    assert ladder.streams(ladder.start([Height(60), top, None])) == top.n
    assert ladder.start([None, Height(0)]) == ladder.start([])


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict", "why"),
    [
        ([Height(1000), Height(1150)], [Height(500), Height(500)], "met", ""),
        ([Height(1000), Height(1000)], [Height(700), Height(700)], "missed", ""),
        ([Height(1000), Height(1150)], [Height(490), Height(700)], "undecided", "the rounds disagree"),
        ([Height(1000, True), None], [Height(450), Height(450)], "met", ""),
        ([Height(800, True)], [Height(450)], "undecided", "the reader is the limit"),
        ([Height(1000)], [Height(450, True)], "undecided", "no quiet round"),
        ([None], [Height(450)], "undecided", "no quiet round"),
    ],
    ids=["twice", "less", "either", "at least", "at least too little", "theirs unknown", "noisy"],
)
def test_twice_the_streams_of_another(ours, theirs, verdict, why):
    judged = ladder.judge({goals.OURS: ours, ladder.BESIDE: theirs})[1]

    assert (judged.verdict, judged.why) == (verdict, why)


def test_the_table_says_where_the_reader_was_the_limit():
    lines = list(ladder.table({"mockclaude": [Height(1000, True), None, Height(1150)]}))

    assert lines == ["mockclaude   1,075  of at least 1,000 (the reader is the limit), noisy, 1,150"]


def test_a_verdict_says_at_least_how_much():
    [one, *_] = ladder.judge({goals.OURS: [Height(800), Height(920)]})

    assert next(ladder.verdicts([one])) == (
        "missed                860 [800-920]  at least 1000     streams with p99 under 5 ms"
    )


def test_nobody_is_measured_where_only_names_nobody():
    ended = CliRunner().invoke(benching.app, ["ladder", "--rounds", "1", "--only", "nobody"])

    assert ended.exit_code == 2
    assert "got nobody" in ended.output
