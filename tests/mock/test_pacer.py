"""The pacer by itself: who is looked at when, and that nobody's failure or leaving is felt by another."""

import asyncio

from mockclaude.capacity import Capacity, Size
from mockclaude.clock import Clock
from mockclaude.pacer import FORGOTTEN, GRAIN, STEP, Pacer


class Train:
    """Due at each of its times in turn; notes when it was looked at."""

    def __init__(self, *times, breaks=None):
        self.turn = 0
        self.looks = []
        self.error = None
        self._times = list(times)
        self._breaks = breaks

    def look(self, now, work):
        self.looks.append(round(now, 4))
        if len(self.looks) == self._breaks:
            raise ZeroDivisionError
        return self._times.pop(0) if self._times else None

    def fail(self, error):
        self.error = error


async def test_each_is_looked_at_when_it_says():
    pacer, early, late = Pacer(Clock(), Capacity(Size())), Train(1.0, 3.0), Train(2.0, 2.5)

    pacer.go(early)
    pacer.go(late)
    await asyncio.sleep(10)

    assert early.looks == [0.0, 1.0, 3.0]
    assert late.looks == [0.0, 2.0, 2.5]


async def test_what_is_late_makes_nothing_after_it_late():
    pacer, train = Pacer(Clock(), Capacity(Size())), Train(-5.0, 1.0, 1.0, 2.0)

    pacer.go(train)
    await asyncio.sleep(10)

    assert train.looks == [0.0, 0.0, 1.0, 1.0, 2.0]


async def test_who_is_never_done_by_a_rounding_lets_time_go_on():
    """A clock that counts in grains shows a moment up to a grain before it is due."""

    class Rounded:
        turn, looks = 0, 0

        def look(self, now, work):
            self.looks += 1
            return now + 0.9 * GRAIN if now < 1 and self.looks < 1_000_000 else None

    pacer, rounded, other = Pacer(Clock(), Capacity(Size())), Rounded(), Train(0.001)

    pacer.go(rounded)
    pacer.go(other)
    await asyncio.sleep(0.002)

    assert other.looks == [0.0, 0.001]
    assert rounded.looks <= 0.002 / STEP + 1


async def test_nobody_suffers_from_anothers_failure():
    pacer, broken, sound = Pacer(Clock(), Capacity(Size())), Train(1.0, 2.0, breaks=2), Train(1.0, 2.0)

    pacer.go(broken)
    pacer.go(sound)
    await asyncio.sleep(10)

    assert isinstance(broken.error, ZeroDivisionError)
    assert broken.looks == [0.0, 1.0]
    assert sound.looks == [0.0, 1.0, 2.0]


async def test_who_is_forgotten_is_not_looked_at():
    pacer, leaving, staying = Pacer(Clock(), Capacity(Size())), Train(1.0), Train(1.0)
    pacer.go(leaving)
    pacer.go(staying)

    pacer.forget(leaving)
    await asyncio.sleep(10)

    assert (leaving.looks, staying.looks) == ([0.0], [0.0, 1.0])


async def test_who_asks_again_after_it_was_done_is_looked_at_again():
    pacer, train = Pacer(Clock(), Capacity(Size())), Train()
    pacer.go(train)

    await asyncio.sleep(1)
    pacer.go(train)

    assert train.looks == [0.0, 1.0]


async def test_those_who_left_long_before_they_were_due_are_not_kept():
    pacer, stays = Pacer(Clock(), Capacity(Size())), Train(3600.0)
    pacer.go(stays)

    for _ in range(10 * FORGOTTEN):
        leaves = Train(3600.0)
        pacer.go(leaves)
        pacer.forget(leaves)

    assert len(pacer._heap) < 2 * FORGOTTEN
    await asyncio.sleep(4000)
    assert stays.looks == [0.0, 3600.0]


async def test_a_pacer_that_is_stopped_looks_at_nobody():
    pacer, train = Pacer(Clock(), Capacity(Size())), Train(1.0)
    pacer.go(train)

    pacer.stop()
    await asyncio.sleep(10)

    assert train.looks == [0.0]
