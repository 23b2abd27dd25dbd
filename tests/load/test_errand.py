"""A request as its caller pursues it: polls, retries and refusals, on times that are handed in."""

import dataclasses
import json

import pytest

from loadtests.protocol.client import Call
from loadtests.protocol.errand import Errand, Pause
from loadtests.protocol.rotation import Rotation
from loadtests.schedule.load import Arrival, Ask, Load, Probe

ARRIVAL = Arrival(1.0, "r1", Ask(("why?",), "claude-haiku-4-5", 50), priority="low")
GOOD = {"text": "hi", "input_tokens": 7, "output_tokens": 3}
BUSY = {"error": {"type": "overloaded"}}


def errand(**load: object) -> Errand:
    return Errand(ARRIVAL, Load.model_validate({"user": "chat", "rate": 1, "patience": 10, **load}), "k", 1.0)


def answer(pursued: Errand, status: int, body: object, now: float) -> None:
    pursued.head(status, "application/json")
    pursued.feed(json.dumps(body).encode(), now)
    pursued.end(now)


def test_a_caller_without_attempts_of_its_own_asks_once():
    pursued = errand()

    assert isinstance(pursued.next(1.0), Call)
    answer(pursued, 503, BUSY, 2.0)

    assert pursued.next(2.0) is None
    assert (pursued.sample().outcome, pursued.sample().tries) == ("overloaded", 1)


def test_a_failed_request_is_tried_again_under_its_name_and_is_one_sample():
    pursued = errand(attempts=3, backoff=0.5)

    first = pursued.next(1.25)
    answer(pursued, 503, BUSY, 2.0)
    pause = pursued.next(2.0)
    second = pursued.next(2.5)
    pursued.fail("reset", 3.0, "cut")
    longer = pursued.next(3.0)
    pursued.next(4.0)
    answer(pursued, 200, GOOD, 5.0)

    assert pursued.next(5.0) is None
    assert isinstance(first, Call) and isinstance(second, Call)
    assert first.headers["x-request-id"] == second.headers["x-request-id"] == "r1"
    assert (pause, longer) == (Pause(0.5), Pause(1.0))
    sample = pursued.sample()
    assert (sample.outcome, sample.tries, sample.error, sample.output_tokens) == ("complete", 3, None, 3)
    assert (sample.intended, sample.sent, sample.ended) == (1.0, 1.0, 5.0)


@pytest.mark.parametrize(
    ("status", "body", "tries"),
    [
        pytest.param(200, GOOD, 1, id="complete"),
        pytest.param(400, {"error": {"type": "rejected"}}, 1, id="rejected"),
        pytest.param(429, {"error": {"type": "throttled"}}, 4, id="throttled"),
        pytest.param(503, {"error": {"type": "shed"}}, 4, id="shed"),
        pytest.param(502, {"error": {"type": "upstream_error"}}, 4, id="failed"),
    ],
)
def test_what_cannot_get_better_is_not_tried_again(status: int, body: object, tries: int):
    pursued = errand(attempts=4, backoff=0)

    while pursued.next(2.0) is not None:
        answer(pursued, status, body, 2.0)

    assert pursued.sample().tries == tries


def test_nobody_tries_again_who_would_have_no_patience_left():
    pursued = errand(attempts=9, backoff=4)

    pursued.next(1.0)
    answer(pursued, 503, BUSY, 2.0)
    pursued.next(6.0)
    answer(pursued, 503, BUSY, 7.0)

    assert pursued.next(7.0) is None
    assert (pursued.sample().outcome, pursued.sample().tries, pursued.sample().ended) == ("overloaded", 2, 7.0)


@pytest.mark.parametrize("outcome", ["timeout", "aborted"])
def test_a_caller_who_stops_has_an_outcome_also_in_a_pause(outcome: str):
    pursued = errand(attempts=2)

    pursued.next(1.0)
    answer(pursued, 503, BUSY, 2.0)
    pursued.stop(outcome, 2.25)

    assert pursued.next(2.25) is None
    assert (pursued.sample().outcome, pursued.sample().ended) == (outcome, 2.25)


def test_work_in_the_background_is_asked_for_every_half_second_until_it_is_done():
    pursued = errand(user="analyze")

    posted = pursued.next(1.0)
    answer(pursued, 202, {"task_id": "t9", "status": "processing"}, 1.1)
    pause = pursued.next(1.1)
    asked = pursued.next(1.6)
    answer(pursued, 200, {"task_id": "t9", "status": "processing"}, 1.7)
    pursued.next(2.2)
    answer(pursued, 200, {"task_id": "t9", "status": "complete", "result": GOOD}, 2.3)

    assert pursued.next(2.3) is None
    assert isinstance(posted, Call) and isinstance(asked, Call)
    assert (posted.method, posted.path) == ("POST", "/analyze")
    assert (asked.method, asked.path, asked.body) == ("GET", "/analyze/t9", b"")
    assert asked.headers["x-request-id"] == "r1"
    assert pause == Pause(0.5)
    sample = pursued.sample()
    assert (sample.outcome, sample.tries, sample.output_tokens, sample.e2e) == ("complete", 1, 3, pytest.approx(1.3))


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        pytest.param(200, {"status": "failed", "error": {"type": "overloaded"}}, "overloaded", id="failed, and why"),
        pytest.param(200, {"status": "failed"}, "failed", id="failed"),
        pytest.param(404, {"error": {"type": "rejected"}}, "rejected", id="lost"),
        pytest.param(200, {"status": "stuck"}, "failed", id="a status that nobody knows"),
        pytest.param(200, {"status": "processing"}, "failed", id="processing, but what?"),
    ],
)
def test_a_task_that_ends_badly_says_how(status: int, body: object, outcome: str):
    pursued = errand(user="analyze")

    pursued.next(1.0)
    answer(pursued, 202, {"task_id": "t9", "status": "processing"}, 1.1)
    pursued.next(1.6)
    answer(pursued, status, body, 1.7)

    assert pursued.sample().outcome == outcome


def test_a_task_that_failed_is_begun_again_from_the_start():
    pursued = errand(user="analyze", attempts=2, backoff=0)

    pursued.next(1.0)
    answer(pursued, 202, {"task_id": "t9", "status": "processing"}, 1.1)
    pursued.next(1.6)
    answer(pursued, 200, {"status": "failed"}, 1.7)
    again = pursued.next(1.7)

    assert isinstance(again, Call) and again.method == "POST"


def test_the_gateway_is_told_of_priority_and_of_the_patience_that_is_left():
    pursued = errand(deadline=True, attempts=2, backoff=0)

    first = pursued.next(1.5)
    answer(pursued, 503, BUSY, 4.0)
    second = pursued.next(4.0)
    silent = errand().next(1.5)

    assert isinstance(first, Call) and isinstance(second, Call) and isinstance(silent, Call)
    assert (first.headers["x-request-deadline"], second.headers["x-request-deadline"]) == ("9.500", "7.000")
    assert first.headers["x-priority"] == "low"
    assert "x-request-deadline" not in silent.headers


def test_out_of_rotation_nobody_is_sent_to_the_gateway():
    rotation = Rotation(Probe(path="/health", unhealthy_after=1))
    load = Load(user="chat", rate=1, attempts=2, backoff=0.5)
    pursued = Errand(ARRIVAL, load, "k", 1.0, rotation)

    rotation.seen(False)
    refused = pursued.next(1.0)
    rotation.seen(True)
    sent = pursued.next(1.5)
    rotation.seen(False)
    answer(pursued, 200, GOOD, 2.0)

    assert refused == Pause(0.5)
    assert isinstance(sent, Call)
    assert (pursued.sample().outcome, pursued.sample().tries) == ("complete", 2)


def test_a_request_that_never_left_is_refused_and_says_why():
    rotation = Rotation(Probe(path="/health", unhealthy_after=1))
    rotation.seen(False)
    pursued = Errand(ARRIVAL, Load(user="chat", rate=1), "k", 1.0, rotation)

    assert pursued.next(1.0) is None
    sample = pursued.sample()
    assert (sample.outcome, sample.status, sample.error) == ("refused", None, "out of rotation")
    assert (sample.sent, sample.ended) == (1.0, 1.0)


def test_a_caller_who_does_not_want_to_wait_leaves_on_purpose():
    hasty = dataclasses.replace(ARRIVAL, waiting=3.0)
    pursued = Errand(hasty, Load(user="chat", rate=1, patience=10), "k", 1.5)

    pursued.next(1.5)
    ends_at = pursued.ends_at
    pursued.give_up(4.5)

    assert ends_at == 4.5
    assert (pursued.sample().outcome, pursued.sample().ended) == ("left", 4.5)


def test_patience_may_end_before_a_caller_would_have_left():
    slow = dataclasses.replace(ARRIVAL, waiting=30.0)
    pursued = Errand(slow, Load(user="chat", rate=1, patience=10), "k", 1.5)

    pursued.next(1.5)
    pursued.give_up(pursued.ends_at)

    assert (pursued.sample().outcome, pursued.sample().ended) == ("timeout", 11.0)


def test_a_reader_leaves_so_long_after_the_first_words():
    reader = dataclasses.replace(ARRIVAL, reading=2.0)
    pursued = Errand(reader, Load(user="stream", rate=1, patience=10), "k", 1.0)

    pursued.next(1.0)
    pursued.head(200, "text/event-stream")
    before = pursued.ends_at
    pursued.feed(b'data: {"text": "a"}\n\n', 4.0)
    pursued.give_up(pursued.ends_at)

    assert before == 11.0
    assert (pursued.sample().outcome, pursued.sample().ended, pursued.sample().first_delta) == ("left", 6.0, 4.0)


def test_who_has_no_patience_left_when_it_is_his_turn_does_not_ask():
    pursued = Errand(ARRIVAL, Load(user="chat", rate=1, patience=10), "k", 11.5)

    assert pursued.next(11.5) is None
    sample = pursued.sample()
    assert (sample.outcome, sample.tries, sample.status, sample.sent) == ("timeout", 0, None, 11.5)
