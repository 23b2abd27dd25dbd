"""A moment, and nobody rung before it."""

import contextlib
import time

import gevent
import pytest
from gevent.event import Event

from loadtests.sending.alarm import Alarm

pytestmark = pytest.mark.system
SOON = 0.0105


@pytest.fixture(params=[True, False], ids=["timerfd", "the loop's timers"])
def ring(request):
    rung = []
    with contextlib.closing(Alarm(lambda: rung.append(time.monotonic()), fine=request.param)) as alarm:
        yield alarm, rung


def test_it_goes_off_once_and_at_its_moment(ring):
    alarm, rung = ring
    moment = time.monotonic() + SOON

    alarm.set(moment)
    gevent.sleep(5 * SOON)

    assert len(rung) == 1
    assert 0 <= rung[0] - moment < SOON


def test_another_moment_takes_the_place_of_the_one_before(ring):
    alarm, rung = ring
    later = time.monotonic() + 3 * SOON

    alarm.set(later - 2 * SOON)
    alarm.set(later)
    gevent.sleep(6 * SOON)

    assert len(rung) == 1
    assert rung[0] >= later


def test_a_moment_that_has_passed_is_now(ring):
    alarm, rung = ring

    for moment in (0.0, time.monotonic() - 1):
        alarm.set(moment)
        gevent.sleep(SOON)

    assert len(rung) == 2


def test_of_a_closed_one_nothing_is_heard():
    heard = Event()
    alarm = Alarm(heard.set)
    alarm.set(time.monotonic() + SOON)

    alarm.close()

    assert not heard.wait(3 * SOON)
