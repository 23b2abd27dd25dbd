"""The pacer against a bucket like Claude's, in numbers."""

import math
import random

import pytest

from gateway_under_test.resilience.pacer import Pacer, Unpaced


def test_before_anything_is_learnt_every_turn_is_now():
    pacer = Pacer(max_wait=5.0)

    assert [pacer.turn(0.0) for _ in range(1000)] == [0.0] * 1000
    assert pacer.remaining(0.0) is None


def test_of_n_at_once_the_last_waits_for_n_less_what_was_left_at_the_rate():
    pacer = Pacer(max_wait=60.0)
    pacer.learn(limit=120, remaining=10, now=0.0)

    waits = [pacer.turn(0.0) for _ in range(30)]

    assert waits[:10] == [0.0] * 10
    assert waits[10:] == pytest.approx([(n - 10) / 2.0 for n in range(11, 31)])


def test_a_turn_too_far_away_is_not_reserved():
    pacer = Pacer(max_wait=2.0)
    pacer.learn(limit=60, remaining=0, now=0.0)

    waits = [pacer.turn(0.0) for _ in range(5)]

    assert waits == [1.0, 2.0, None, None, None]
    assert pacer.turn(1.0) == 2.0


def test_the_bucket_refills_evenly_and_no_further_than_the_limit():
    pacer = Pacer(max_wait=60.0)
    pacer.learn(limit=60, remaining=0, now=0.0)

    readings = [pacer.remaining(now) for now in (0.0, 10.0, 60.0, 1000.0)]

    assert readings == pytest.approx([0.0, 10.0, 60.0, 60.0])


def test_a_turn_that_was_not_used_is_the_next_ones():
    pacer = Pacer(max_wait=60.0)
    pacer.learn(limit=60, remaining=1, now=0.0)
    first, second = pacer.turn(0.0), pacer.turn(0.0)

    pacer.give_back()

    assert (first, second, pacer.turn(0.0)) == (0.0, 1.0, 1.0)


def test_after_a_429_nobody_goes_before_it_says_and_then_one_by_one():
    pacer = Pacer(max_wait=60.0)
    pacer.learn(limit=60, remaining=40, now=0.0)

    pacer.refused(retry_after=7.0, now=1.0)

    assert (pacer.remaining(7.9), pacer.remaining(8.0)) == (0.0, 1.0)
    assert [pacer.turn(2.0) for _ in range(3)] == pytest.approx([6.0, 7.0, 8.0])


def test_a_429_without_ratelimit_headers_keeps_everybody_back_too():
    pacer = Pacer(max_wait=60.0)

    pacer.refused(retry_after=7.0, now=1.0)

    assert [pacer.turn(2.0), pacer.turn(2.0), pacer.turn(8.0)] == [6.0, 6.0, 0.0]


def test_an_earlier_429_does_not_shorten_a_later_one():
    pacer = Pacer(max_wait=60.0)

    pacer.refused(retry_after=7.0, now=1.0)
    pacer.refused(retry_after=1.0, now=2.0)

    assert pacer.turn(2.0) == 6.0


def test_a_refusal_longer_than_anybody_waits_is_told_at_once():
    pacer = Pacer(max_wait=5.0)

    pacer.refused(retry_after=3600.0, now=0.0)

    assert (pacer.turn(0.0), pacer.turn(3594.0), pacer.turn(3596.0)) == (None, None, 4.0)


def test_what_was_sent_after_a_header_was_counted_is_subtracted_from_it():
    pacer = Pacer(max_wait=60.0)
    pacer.turn(0.0)  # the attempt whose answer comes at 2.0, and nine more since
    for _ in range(9):
        pacer.turn(1.0)

    pacer.learn(limit=60, remaining=49, now=0.0)

    assert pacer.remaining(2.0) == pytest.approx(49 + 2 - 9)


def test_a_header_may_be_half_a_minute_old():
    pacer = Pacer(max_wait=60.0)
    for now in [0.0] + [1.0] * 10 + [20.0]:
        pacer.turn(now)

    pacer.learn(limit=60, remaining=5, now=0.0)

    assert pacer.remaining(20.0) == pytest.approx(5 + 20 - 11)


def test_a_turn_that_is_still_to_come_counts_as_sent_later():
    pacer = Pacer(max_wait=60.0)
    pacer.learn(limit=60, remaining=0, now=0.0)
    pacer.turn(0.0)  # at 1.0

    pacer.learn(limit=60, remaining=0, now=0.5)

    assert pacer.turn(0.5) == pytest.approx(2.0)


def test_a_turn_that_was_not_used_is_not_sent_later():
    pacer = Pacer(max_wait=60.0)
    pacer.turn(1.0)

    pacer.give_back()
    pacer.learn(limit=60, remaining=5, now=0.0)

    assert pacer.remaining(1.0) == pytest.approx(6.0)


def test_the_first_header_of_a_burst_hands_out_nothing_twice():
    pacer = Pacer(max_wait=60.0)
    pacer.learn(limit=60, remaining=20, now=0.0)
    for _ in range(20):
        pacer.turn(0.0)

    pacer.learn(limit=60, remaining=19, now=0.0)

    assert pacer.remaining(0.0) == 0.0
    assert pacer.turn(0.0) == pytest.approx(1.0)


def test_the_headers_of_a_burst_may_come_in_any_order():
    left, rng = set(), random.Random(3)

    for _ in range(20):
        pacer = Pacer(max_wait=60.0)
        for _ in range(10):
            pacer.turn(0.0)
        for remaining in rng.sample(range(50, 60), 10):
            pacer.learn(limit=60, remaining=remaining, now=0.0)
        left.add(pacer.remaining(0.0))

    assert left == {50.0}


def test_an_old_header_of_an_empty_bucket_does_not_stop_a_full_one():
    pacer = Pacer(max_wait=60.0)
    pacer.learn(limit=60, remaining=0, now=0.0)

    pacer.learn(limit=60, remaining=0, now=0.0)  # of an answer that took half a minute

    assert pacer.turn(30.0) == 0.0
    assert pacer.remaining(30.0) == pytest.approx(29.0)


def test_what_others_take_with_the_same_key_lowers_the_count_at_once():
    pacer = Pacer(max_wait=60.0)
    pacer.learn(limit=60, remaining=50, now=0.0)

    pacer.learn(limit=60, remaining=0, now=1.0)

    assert pacer.turn(1.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("limit", "remaining"), [(0, 0), (-1, 5)])
def test_a_limit_that_is_none_teaches_nothing(limit, remaining):
    pacer = Pacer(max_wait=5.0)

    pacer.learn(limit, remaining, 0.0)

    assert (pacer.turn(0.0), pacer.remaining(0.0)) == (0.0, None)


def test_more_left_than_the_limit_counts_as_the_limit():
    pacer = Pacer(max_wait=5.0)

    pacer.learn(limit=60, remaining=1000, now=0.0)

    assert pacer.remaining(0.0) == 60.0


def test_without_a_pacer_every_turn_is_now():
    unpaced = Unpaced()

    unpaced.refused(60.0, 0.0)
    unpaced.learn(60, 0, 0.0)
    unpaced.give_back()

    assert (unpaced.turn(0.0), unpaced.remaining(0.0)) == (0.0, None)


@pytest.mark.parametrize("seconds", [0.05, 5.0], ids=["quick answers", "slow answers"])
@pytest.mark.parametrize("paced", [True, False], ids=["paced", "not paced"])
def test_against_a_real_bucket_pacing_leaves_next_to_no_429(paced, seconds):
    sent, refused = asked_for(Pacer(max_wait=5.0) if paced else Unpaced(), seconds)

    assert sent > 0.9 * (60 + 2.0 * 60)  # neither wastes what Claude would give
    assert (refused < 0.02 * sent) if paced else (refused > 0.4 * sent)


def asked_for(pacer, seconds, rate=5.0, limit=120, bucket=60.0, lasting=60.0):
    """Poisson callers at `rate` for a bucket of `limit` a minute; how many were answered 200, and how many 429."""
    rng, now, left, at, ok, refused = random.Random(1), 0.0, bucket, 0.0, 0, 0
    events = []  # (moment, kind, what the headers say, when it was sent)
    while now < lasting:
        now += rng.expovariate(rate)
        for answer in sorted(answer for answer in events if answer[0] <= now):
            events.remove(answer)
            moment, remaining, sent, retry_after = answer
            pacer.learn(limit, remaining, sent)
            if retry_after:
                pacer.refused(retry_after, moment)
        wait = pacer.turn(now)
        if wait is None:
            continue
        sent = now + wait
        left, at = min(bucket, left + (max(sent, at) - at) * limit / 60), max(sent, at)
        if left >= 1 - 1e-9:
            left, ok = left - 1, ok + 1
            events.append((sent + seconds, math.floor(left + 1e-9), sent, None))
        else:
            refused += 1
            events.append((sent + 0.02, 0, sent, math.ceil((1 - left) * 60 / limit)))
    return ok, refused
