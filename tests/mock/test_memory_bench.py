"""How the benchmark tells whether memory stays where it is; and a short look at every way an attempt may end."""

import json

import pytest
from typer.testing import CliRunner

from mockclaude.bench import endings, flat
from mockclaude.bench.flat import Reading
from mockclaude.commands import benching


def readings(leak, full=0, steps=()):
    """A million attempts, of which the first `full` fill what is bounded, and tables that grow at some `steps`."""
    return [
        Reading(
            k * 100_000,
            round(80e6 + 1000 * min(k * 100_000, full) + leak * k * 100_000 + 5e6 * sum(k >= at for at in steps)),
        )
        for k in range(1, 11)
    ]


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (readings(0), "met"),
        (readings(0, full=200_000), "met"),
        (readings(0, full=200_000, steps=(5, 10)), "met"),
        (readings(0, full=200_000, steps=(3, 5, 7, 9)), "missed"),
        (readings(20, full=200_000), "missed"),
        (readings(-20), "met"),
        (readings(0)[:5], "undecided"),
    ],
    ids=["flat", "flat once it is full", "tables made anew", "steps and no end", "a leak", "shrinking", "not warm"],
)
def test_memory_is_flat_when_what_is_bounded_is_full(measured, verdict):
    assert flat.judge(measured).verdict == verdict


def test_the_slope_is_bytes_an_attempt():
    judged = flat.judge(readings(20, steps=(5, 9)))

    assert judged.slope == pytest.approx(20)
    told = "missed: +20.00 bytes an attempt after the first 200,000, at most 4 (+32.50 with its 2 largest steps)"
    assert flat.told(judged) == told


def test_a_reading_is_told_in_megabytes():
    assert list(flat.table([Reading(100_000, 65_432_100)])) == ["   100,000 attempts      65.4 MB"]


def test_of_a_hundred_attempts_each_ending_has_its_share():
    mixed = endings.order(endings.ENDINGS)

    assert len(mixed) == 100
    assert {name: mixed.count(one) for name, one in endings.ENDINGS.items()} == {
        name: one.share for name, one in endings.ENDINGS.items()
    }
    longest = max(next(k for k in range(1, 101) if mixed[(at + k) % 100] != mixed[at]) for at in range(100))
    assert longest <= 3


def test_no_two_attempts_ask_the_same():
    assert endings.asked(endings.ENDINGS["cut"], 1) != endings.asked(endings.ENDINGS["cut"], 2)
    assert b"x-mockclaude-fault: cut;after=2\r\n" in endings.asked(endings.ENDINGS["cut"], 1)


def test_who_leaves_while_he_asks_has_not_said_all():
    head, _, body = endings.asked(endings.ENDINGS["left while it asks"], 1).partition(b"\r\n\r\n")

    assert 0 < len(body) < int(head.partition(b"content-length: ")[2])


@pytest.mark.system
def test_every_ending_is_come_to(tmp_path):
    saved = tmp_path / "memory.json"

    ended = CliRunner().invoke(benching.app, ["memory", "--attempts", "400", "--json", str(saved)])

    assert (ended.exit_code, "undecided" in ended.output) == (3, True), ended.output
    measured = json.loads(saved.read_text())["readings"]
    assert [one["attempts"] for one in measured] == list(range(40, 401, 40))
    assert all(30e6 < one["memory"] < 300e6 for one in measured)
