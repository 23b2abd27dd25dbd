import random

import pytest

from mockclaude import faults
from mockclaude.faults import Injected, Status
from mockclaude.reply import Chunk
from mockclaude.settings import ConfigError


def test_a_status_comes_before_the_first_chunk():
    run = Status(529).apply([Chunk(0.1, b"a")])

    with pytest.raises(Injected) as caught:
        next(run)

    assert caught.value.status == 529


def test_nothing_happens_before_the_first_chunk_is_asked_for():
    Status(500).apply([])


def test_no_faults_leave_a_run_as_it_was():
    run = [Chunk(0.1, b"a"), Chunk(0.2, b"b")]

    assert list(faults.worsen((), run)) == run
    faults.refuse(())


def test_a_fault_that_speaks_first_refuses_the_attempt():
    with pytest.raises(Injected):
        faults.refuse((Status(503),))


def test_a_share_strikes_that_part_of_attempts():
    struck = sum(bool(faults.drawn((Status(529, share=0.1),), random.Random(seed))) for seed in range(5000))

    assert struck / 5000 == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize(("share", "strikes"), [(0.0, 0), (1.0, 1000)])
def test_none_and_all_are_exact(share, strikes):
    rng = random.Random(1)

    assert sum(bool(faults.drawn((Status(529, share),), rng)) for _ in range(1000)) == strikes


def test_a_fault_does_not_change_anothers_luck():
    first, second = Status(500, 0.0), Status(529, 0.5)
    alone = [bool(faults.drawn((Status(500, 1.0), second), random.Random(seed))[1:]) for seed in range(100)]

    beside = [bool(faults.drawn((first, second), random.Random(seed))) for seed in range(100)]

    assert alone == beside


def test_a_list_is_read():
    assert faults.parse([{"name": "status", "code": 529, "share": 0.1}, {"name": "status", "code": 500}]) == (
        Status(529, 0.1),
        Status(500, 1.0),
    )


def test_a_list_takes_the_place_of_the_one_in_force():
    assert faults.parse([], (Status(500),)) == ()


def test_what_is_shown_can_be_read_back():
    parsed = (Status(529, 0.25), Status(401))

    assert faults.parse(faults.as_config(parsed)) == parsed


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ([{"name": "status", "code": 200}], "faults.0.code: expected 400, 401"),
        ([{"name": "status", "code": 529, "share": 2}], "faults.0.share: expected less than or equal to 1, got 2"),
        ([{"name": "status", "code": 529}, {"name": "stauts"}], "faults.1.name: no fault is called 'stauts'"),
        ([{"code": 529}], r"faults.0.name: is missing \(known: status\)"),
        ([{"name": "status"}], "faults.0.code: is missing"),
        ([{"name": "status", "code": 529, "shre": 1}], 'faults.0.shre: unknown key; did you mean "share"'),
        ([7], "faults.0: expected a mapping with a name, got 7"),
        ({"name": "status"}, "faults: expected a list of faults"),
        ("status", "faults: expected a list of faults"),
    ],
)
def test_what_makes_no_sense_is_refused(section, reason):
    with pytest.raises(ConfigError, match=reason):
        faults.parse(section)
