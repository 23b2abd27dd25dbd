"""What came before is judged as it was then, and only where everything that matters is the same."""

import json

import pytest

from mockclaude import roster
from mockclaude.request import ask
from mockclaude.request.ask import ANYONE, Door
from mockclaude.request.intake import Intake
from mockclaude.request.memory import BESIDE, CALLERS, Memory
from mockclaude.wire import ApiError

HI = {"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}


def sent(body, *, encoding=""):
    whole = Intake(encoding)
    whole.take(body if isinstance(body, bytes) else json.dumps(body).encode())
    return whole


def test_the_same_bytes_are_read_and_judged_once():
    memory = Memory()

    first, again = memory.received(sent(HI)), memory.received(sent(HI))

    assert again is first
    assert memory.parse(again, HEADERS, ANYONE) is memory.parse(first, HEADERS, ANYONE)
    assert memory.parse(first, HEADERS, ANYONE) == ask.parse(ask.open_letter(json.dumps(HI).encode()), HEADERS)


def test_a_body_that_only_means_the_same_is_read_anew():
    memory = Memory()
    turned = dict(reversed(HI.items()))

    first, other = memory.received(sent(HI)), memory.received(sent(turned))

    assert other is not first
    assert other.digest == first.digest
    assert list(memory.parse(other, HEADERS, ANYONE).body) == list(turned)


@pytest.mark.parametrize(
    ("headers", "door"),
    [
        (HEADERS | {"x-api-key": "other"}, ANYONE),
        ({"authorization": "Bearer other", "anthropic-version": "2023-06-01"}, ANYONE),
        (HEADERS | {"anthropic-version": "2026-10-21"}, ANYONE),
        (HEADERS | {"anthropic-beta": "context-1m-2025-08-07"}, ANYONE),
        (HEADERS, Door(models=roster.Roster(also={"claude-haiku-4-5": "claude-opus-4-5"}))),
    ],
    ids=["another key", "a bearer token", "another version", "a beta", "another door"],
)
def test_whoever_asks_otherwise_is_judged_for_himself(headers, door):
    memory = Memory()
    letter = memory.received(sent(HI))
    memory.parse(letter, HEADERS, ANYONE)

    assert memory.parse(letter, headers, door) == ask.parse(letter, headers, door)
    assert memory.parse(letter, headers, door) != memory.parse(letter, HEADERS, ANYONE)


def test_a_door_that_has_been_shut_refuses_what_it_let_in():
    memory = Memory()
    letter = memory.received(sent(HI))
    memory.parse(letter, HEADERS, ANYONE)

    with pytest.raises(ApiError) as refused:
        memory.parse(letter, HEADERS, Door(keys=frozenset({"another"})))

    assert refused.value.status == 401


def test_a_caller_with_an_id_of_his_own_is_called_by_it():
    memory = Memory()
    letter = memory.received(sent(HI | {"metadata": {"user_id": "someone"}}))

    ids = [memory.labels(letter, headers).request_id for headers in ({}, {"x-request-id": "r1"}, {})]

    assert ids == ["someone", "r1", "someone"]


def test_a_count_is_no_message():
    memory = Memory()
    letter = memory.received(sent({name: HI[name] for name in ("model", "messages")}))

    assert memory.counted(letter, HEADERS, ANYONE) == memory.counted(letter, HEADERS, ANYONE) == 1
    for _ in range(2):
        with pytest.raises(ApiError):
            memory.parse(letter, HEADERS, ANYONE)


@pytest.mark.parametrize("body", [b"no json", b"", b"[" * 500 + b"]" * 500], ids=["no json", "nothing", "too deep"])
def test_what_is_no_json_is_refused_each_time(body):
    memory = Memory()

    letters = [memory.received(sent(body)) for _ in range(2)]

    assert [letter.error.status for letter in letters] == [400, 400]
    assert len(memory) == 0


def test_a_body_that_could_not_be_decoded_is_refused_each_time():
    memory = Memory()

    assert [memory.received(sent(b"x", encoding="gzip")).error.status for _ in range(2)] == [400, 400]
    assert len(memory) == 0


def test_no_more_is_remembered_than_there_is_room_for():
    size = len(json.dumps(HI))
    memory = Memory(room=3 * (size + BESIDE))
    bodies = [json.dumps(HI | {"max_tokens": number}).encode() for number in range(10, 15)]

    first = [memory.received(sent(body)) for body in bodies[:3]]
    renewed = memory.received(sent(bodies[0]))
    memory.received(sent(bodies[3]))

    assert renewed is first[0]
    assert len(memory) == 3
    assert memory.received(sent(bodies[0])) is first[0]
    assert memory.received(sent(bodies[1])) is not first[1]


def test_a_long_body_is_not_remembered():
    memory = Memory(longest=10)

    assert memory.received(sent(HI)).judged is None
    assert len(memory) == 0


def test_of_many_callers_with_one_question_the_last_are_remembered():
    memory = Memory()
    letter = memory.received(sent(HI))

    for number in range(3 * CALLERS):
        assert memory.parse(letter, HEADERS | {"x-api-key": str(number)}, ANYONE).key == str(number)

    assert len(letter.judged) <= CALLERS


TOOL = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"days": {"default": [{"day": 1}]}, "city": {"enum": [{"a": "b"}]}},
    },
    "cache_control": {"type": "ephemeral"},
}
DOCUMENT = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "Rain. Sun."},
    "citations": {"enabled": True},
}


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [TOOL], "messages": [{"role": "user", "content": "get_weather, please"}]},
        {"messages": [{"role": "user", "content": [DOCUMENT, {"type": "text", "text": "why?"}]}]},
        {"output_config": {"format": {"type": "json_schema", "schema": TOOL["input_schema"]}}},
        {"system": [{"type": "text", "text": "x" * 20_000, "cache_control": {"type": "ephemeral"}}]},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
        {"stop_sequences": ["a"], "metadata": {"user_id": "someone"}},
    ],
    ids=["tools", "citations", "a schema", "caching", "thinking", "stops"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_answer_changes_nothing_of_a_body_that_is_remembered(mocked, steady, more, stream):
    raw = json.dumps(HI | more | {"stream": stream}).encode()
    async with mocked(latency=steady) as claude:
        answers = [await claude.send("POST", "/v1/messages", raw, HEADERS).ended() for _ in range(3)]

        assert [answer.status for answer in answers] == [200, 200, 200]
        assert claude.app.state.server.memory.received(sent(raw)).data == json.loads(raw)


async def test_a_model_that_is_withdrawn_is_refused_to_whoever_asks_the_same_again(mocked, steady):
    async with mocked(latency=steady) as claude:
        before = await claude.send("POST", "/v1/messages", json.dumps(HI).encode(), HEADERS).ended()
        await claude.call("PUT", "/_mock/config", {"models": {"only": ["claude-opus-*"]}})
        after = await claude.send("POST", "/v1/messages", json.dumps(HI).encode(), HEADERS).ended()

        assert (before.status, after.status) == (200, 404)
