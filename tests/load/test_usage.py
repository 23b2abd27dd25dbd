"""What the programs took of the machine, phase by phase."""

import os

import pytest

from loadtests.record import usage
from loadtests.record.usage import MIB, Use


def seconds_of(program: str, start: int, *cpu: float, mib: int = 10) -> list[Use]:
    return [Use(start + second, program, mib * MIB, total) for second, total in enumerate(cpu)]


def test_of_a_phase_it_is_the_most_memory_and_the_processors_kept_busy_on_average():
    uses = [*seconds_of("mock", 0, 0.0, 0.5, 1.0, 1.2, mib=10), *seconds_of("mock", 4, 1.3, 1.4, mib=30)]

    assert usage.figures(uses, [(1, 4)]) == {"rss": {"mock": 10.0}, "cpu": {"mock": 0.35}}
    assert usage.figures(uses, [(0, 6)])["rss"] == {"mock": 30.0}


def test_two_phases_count_only_the_time_inside_them():
    uses = seconds_of("mock", 0, 0.0, 1.0, 2.0, 12.0, 12.0, 12.0)

    assert usage.figures(uses, [(0, 2), (3, 6)])["cpu"] == {"mock": pytest.approx(1 / 3, abs=1e-3)}


def test_programs_with_one_name_are_summed():
    uses = [*seconds_of("nginx", 0, 0.0, 0.25), *seconds_of("nginx-2", 0, 0.0, 0.5)]

    assert usage.figures(uses, [(0, 9)]) == {"rss": {"nginx": 20.0}, "cpu": {"nginx": 0.75}}


def test_one_look_tells_of_memory_and_not_yet_of_time():
    assert usage.figures(seconds_of("mock", 0, 1.0), [(0, 9)]) == {"rss": {"mock": 10.0}, "cpu": {}}
    assert usage.figures([], [(0, 9)]) == {"rss": {}, "cpu": {}}


def test_a_process_is_looked_at_and_one_that_is_gone_is_left_out():
    (row,) = usage.look({"load": os.getpid(), "mock": 2**22 + 1}, wall=7.0)

    assert (row["wall"], row["program"]) == (7.0, "load")
    assert row["rss"] > 10 * MIB
    assert row["cpu"] > 0
