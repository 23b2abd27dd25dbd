"""A team's own endpoint: what is sent to it, and how its answers are read."""

import json
from typing import Any

import pydantic
import pytest

from loadtests.experiment.target import Target
from loadtests.protocol.endpoint import Endpoint, at
from loadtests.protocol.reading import Exchange
from loadtests.schedule.load import Ask

ASK = Ask(("why {model}?",), "small", 50, system=None)
USUAL = {
    "path": "/api/ask",
    "body": {"q": "{text}"},
    "text": "delta.text",
    "done": {"event": "end"},
    "usage": {"input": "usage.in", "output": "usage.out"},
    "error": {"event": "failed", "type": "reason", "outcomes": {"busy": "overloaded"}},
}


def endpoint(**changes: object) -> Endpoint:
    return Endpoint.model_validate({**USUAL, **changes})


def event(name: str | None, data: object) -> bytes:
    said = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {said}\n\n".encode()


def stream(of: Endpoint, *events: bytes, status: int = 200) -> Exchange:
    exchange = Exchange(of.dialect)
    exchange.head(status, "text/event-stream")
    for number, one in enumerate(events):
        exchange.feed(one, float(number))
    return exchange


def whole(of: Endpoint, body: object, status: int = 200) -> Exchange:
    exchange = Exchange(of.dialect)
    exchange.head(status, "application/json")
    exchange.feed(json.dumps(body).encode(), 1.0)
    return exchange


def test_a_template_is_filled_and_what_stands_alone_keeps_its_type():
    template = {"q": "{text} [id:{id}]", "most": "{max_tokens}", "m": ["{model}", 3, {"s": "{system}"}], "x": "{y}"}

    asked = endpoint(body=template).asked(ASK, "r1")

    assert asked == {"q": "why {model}? [id:r1]", "most": 50, "m": ["small", 3, {"s": ""}], "x": "{y}"}


def test_what_is_asked_by_get_is_asked_in_the_query():
    target = Target(
        url="http://127.0.0.1:1", endpoint=endpoint(method="GET", body={"q": "{text}", "n": "{max_tokens}"})
    )

    call = target.kinds({})["chat"].call(ASK, "r1", "k")

    assert (call.method, call.path, call.body) == ("GET", "/api/ask?q=why+%7Bmodel%7D%3F&n=50", b"")


@pytest.mark.parametrize(
    ("path", "found"),
    [("a.b", 1), ("list.1.c", 2), (".", ...), ("a.x", None), ("list.9", None), ("a.b.c", None), ("list.x", None)],
)
def test_a_path_leads_through_names_and_indexes(path: str, found: Any):
    body = {"a": {"b": 1}, "list": [0, {"c": 2}]}

    assert at(body, path) == (body if found is ... else found)


def test_a_stream_is_read_by_its_paths():
    told = [event("token", {"delta": {"text": "né"}}), event("token", {"delta": {"text": "b"}})]

    exchange = stream(endpoint(), *told, event("end", {"usage": {"in": 7, "out": 3}}))

    assert exchange.outcome() == "complete"
    assert (exchange.text_bytes, exchange.first_delta, exchange.gaps) == ([3, 1], 0.0, [1.0])
    assert (exchange.input_tokens, exchange.output_tokens) == (7, 3)


def test_a_stream_without_its_mark_is_truncated():
    assert stream(endpoint(), event("token", {"delta": {"text": "a"}})).outcome() == "truncated"


@pytest.mark.parametrize(
    ("done", "last"),
    [
        ({"event": "end"}, event("end", "{}")),
        ({"data": "[DONE]"}, event(None, "[DONE]")),
        ({"path": "state.over"}, event(None, {"state": {"over": True}})),
        ({"path": "type", "is": "finished"}, event(None, {"type": "finished"})),
        ({"event": "end", "path": "ok"}, event("end", {"ok": 1})),
    ],
)
def test_the_end_is_marked_by_name_by_data_or_at_a_path(done: dict[str, Any], last: bytes):
    text = event("token", {"delta": {"text": "a"}, "type": "more", "state": {"over": False}})
    own = endpoint(done=done)

    assert stream(own, text).outcome() == "truncated"
    assert stream(own, text, last).outcome() == "complete"


def test_the_data_itself_may_be_the_text():
    own = endpoint(text=".", done={"data": "[DONE]"}, usage={})

    exchange = stream(own, event(None, "Hello"), event(None, "you"), event(None, "[DONE]"))

    assert (exchange.outcome(), exchange.text_bytes) == ("complete", [5, 3])


def test_only_events_of_its_name_have_text():
    own = endpoint(event="token")

    exchange = stream(own, event("debug", {"delta": {"text": "no"}}), event("token", {"delta": {"text": "yes"}}))

    assert exchange.text_bytes == [3]


@pytest.mark.parametrize(
    ("told", "before", "after"),
    [
        ({"reason": "busy"}, "overloaded", "error_event"),
        ({"reason": "strange"}, "failed", "error_event"),
        ({}, "failed", "error_event"),
    ],
)
def test_an_event_that_says_it_failed_is_named_as_the_file_says(told: dict[str, Any], before: str, after: str):
    failed = event("failed", told)

    assert stream(endpoint(), failed).outcome() == before
    assert stream(endpoint(), event("token", {"delta": {"text": "a"}}), failed).outcome() == after


@pytest.mark.parametrize(
    ("body", "status", "outcome"),
    [
        ({"delta": {"text": "hi"}, "usage": {"out": 3}}, 200, "complete"),
        ({"delta": {}}, 200, "failed"),
        ({}, 503, "overloaded"),
        ({}, 429, "throttled"),
        ({"error": {"type": "overloaded_error"}}, 500, "overloaded"),
        ({}, 404, "rejected"),
    ],
)
def test_a_whole_answer_is_read_by_the_same_paths(body: object, status: int, outcome: str):
    assert whole(endpoint(), body, status).outcome() == outcome


def test_a_whole_answer_may_say_in_itself_that_it_failed():
    own = endpoint(error={"path": "error", "type": "error", "outcomes": {"limit": "throttled"}})

    assert whole(own, {"error": "limit", "delta": {"text": ""}}).outcome() == "throttled"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"done": {}}, 'at least one of "event", "data", "path"'),
        ({"done": {"event": "x", "is": 1}}, '"is" needs "path"'),
        ({"path": "api"}, "pattern"),
        ({"error": {"event": "x", "outcomes": {"busy": "sad"}}}, "'overloaded'"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], said: str):
    with pytest.raises(pydantic.ValidationError, match=said):
        endpoint(**changes)
