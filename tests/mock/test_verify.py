import json
import random

import pytest

from mockclaude import verify
from mockclaude.capacity import Capacity, Linear, Size
from mockclaude.commands import checking


@pytest.mark.parametrize("check", verify.CHECKS, ids=lambda check: check.__name__)
def test_the_core_agrees_with_theory(check):
    results = list(check())

    assert results
    assert [result for result in results if not result.passed] == []


def test_two_runs_measure_the_same():
    checks = (verify.little, verify.slow_down, verify.interactive, verify.conservation)

    assert [list(check()) for check in checks] == [list(check()) for check in checks]


def test_a_core_that_is_slower_than_it_says_is_found_out():
    assert not all(result.passed for result in verify.many_servers(service=1.07))


def test_an_attempt_that_gets_lost_is_found_out():
    run = verify.Run(Size(slots=1, queue=1))
    run.core.arrived += 1

    with pytest.raises(AssertionError, match="an attempt is lost"):
        run.arrive(1.0, 1.0)


def test_batch_means_know_their_own_error():
    rng = random.Random(1)

    mean, error = verify.batch_means([rng.gauss(5.0, 1.0) for _ in range(30_000)])

    assert mean == pytest.approx(5.0, abs=3 * error)
    assert error == pytest.approx(1 / 27_000**0.5, rel=0.4)


def test_the_pace_changes_while_work_is_under_way():
    core = Capacity(Size(slots=10, slowdown=Linear(s0=1.0, a=1.0)))
    first = core.offer(0.0)  # alone: everything takes twice as long

    assert core.worked(first, 2.0) == pytest.approx(1.0)
    core.offer(2.0)  # from here on three times
    assert core.worked(first, 5.0) == pytest.approx(2.0)
    assert core.wait(first.begun + 3.0, 5.0) == pytest.approx(1.0)  # as if the other left now; with it, three


@pytest.mark.parametrize(("passed", "word", "code"), [(True, "pass", 0), (False, "FAIL", 1)])
def test_each_check_is_a_line_and_one_that_fails_is_an_exit_code(capsys, passed, word, code):
    check = verify.Check("V0", "what it is", 1.0, 2.0, 0.1, passed)

    assert checking.print_checks([check], as_json=False) == code
    assert capsys.readouterr().out.split() == ["V0", word, "1", "2", "±", "0.1", "what", "it", "is"]


def test_checks_can_be_read_by_programs(capsys):
    checking.print_checks([verify.Check("V0", "what", 1.0, 2.0, None, True)], as_json=True)

    assert json.loads(capsys.readouterr().out)["measured"] == 2.0
