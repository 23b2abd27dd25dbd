"""The patience with Redis: when a command is tried, and who finds out whether it is back."""

from gateway_under_test.store import Patience


def test_commands_are_tried_as_long_as_they_are_answered():
    patience = Patience(seconds=0.1, pause=5)

    assert [patience.admits(now) for now in (0, 0, 1)] == [True] * 3


def test_after_a_failure_none_is_tried_until_the_pause_is_over():
    patience = Patience(seconds=0.1, pause=5)
    patience.fail(10)

    assert [patience.admits(now) for now in (10, 14.9, 15)] == [False, False, True]


def test_one_command_finds_out_while_the_others_do_without():
    patience = Patience(seconds=0.1, pause=5)
    patience.fail(10)

    assert [patience.admits(15) for _ in range(3)] == [True, False, False]
    assert patience.admits(20)


def test_a_pause_counts_from_the_last_failure():
    patience = Patience(seconds=0.1, pause=5)
    patience.fail(10)
    patience.admits(15)
    patience.fail(15.1)

    assert [patience.admits(now) for now in (20, 20.1)] == [False, True]


def test_one_answer_ends_it():
    patience = Patience(seconds=0.1, pause=5)
    patience.fail(10)
    patience.admits(15)
    patience.succeed()

    assert not patience.failing
    assert [patience.admits(15) for _ in range(3)] == [True] * 3
