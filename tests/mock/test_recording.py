import asyncio
import itertools
import json
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mockclaude import settings
from mockclaude.recordings import recording, redaction, replay, transcript
from mockclaude.recordings.recording import Event, Exchange
from mockclaude.speech import signature

HAIKU = "claude-haiku-4-5-20251001"
SECRET = "Ångström keys: 42 for Zoë 字字 😀 \\o/"
USAGE = {"input_tokens": 9, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3, "output_tokens": 30}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "object"}}}
TOOLS = [{"name": "forecast", "input_schema": SCHEMA}]


def started(**changes):
    usage = USAGE | {"output_tokens": 1, "service_tier": "standard"}
    message = {"model": HAIKU, "id": "msg_01ABC", "type": "message", "role": "assistant", "content": []}
    return message | {"stop_reason": None, "stop_sequence": None, "stop_details": None, "usage": usage} | changes


def block(index, start, *deltas):
    yield "content_block_start", {"index": index, "content_block": start}
    for delta in deltas:
        yield "content_block_delta", {"index": index, "delta": delta}
    yield "content_block_stop", {"index": index}


def said(*texts):
    return [{"type": "text_delta", "text": text} for text in texts]


def fragments(*parts):
    return [{"type": "input_json_delta", "partial_json": part} for part in parts]


def events(*blocks, ends=True):
    """A stream of these blocks: one event each half second."""
    named = [("message_start", {"message": started()}), *(event for one in blocks for event in one)]
    if ends:
        stop = {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None}
        named += [("message_delta", {"delta": stop, "usage": USAGE}), ("message_stop", {})]
    return tuple(Event(0.5 * k, name, {"type": name, **data}) for k, (name, data) in enumerate(named))


def hello():
    return block(0, {"type": "text", "text": ""}, *said("Hello, ", "world."))


TALK = events(hello())
TOOL = {"type": "tool_use", "id": "toolu_01XYZ", "name": "forecast", "input": {}}


def exchange(played=TALK, status=200, ended="complete", model="claude-haiku-4-5", stream=True, body=None, **fields):
    """What the recorder would write down."""
    asked = recording.Asked(model, stream, 64, fields.pop("digest", None), fields.pop("text", ""))
    said = {"events": None, "body": body, "at": 2.0} if body is not None else {"events": played}
    return Exchange("2026-11-12T10:00:00+00:00", asked, status, fields.pop("headers", {}), 0.1, ended, **said, **fields)


def written(*exchanges):
    return b"".join(map(recording.line, exchanges)).decode()


def overloaded(message="Overloaded", **error):
    return {"type": "error", "error": {"type": "overloaded_error", "message": message, **error}, "request_id": "req_1"}


# the file


def test_a_line_is_read_back_as_it_was():
    exchanges = (exchange(), exchange(status=529, ended="error", body=overloaded(), stream=False))

    assert recording.load(written(*exchanges)) == exchanges


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "line 1.recorded_at: is missing"),
        (written(exchange()) + "[]", "line 2: expected a JSON object"),
        ("\n" + written(exchange())[:-9], "line 2: expected a JSON object"),
        ("[" * 100_000, "line 1: expected a JSON object"),
        (written(exchange(status=99)), "line 1.status: expected greater than or equal to 200, got 99"),
        (written(exchange(played=TALK[::-1])), "line 1.events: expected times in ascending order"),
        (written(exchange()).replace("0.5,", "1e999,"), "line 1.events.1.0: expected a finite number, got inf"),
        (written(exchange(played=None)), 'line 1: expected "events" or "body", got neither'),
        (written(exchange()).replace('"ended"', '"endet"'), 'line 1.endet: unknown key; did you mean "ended"?'),
    ],
    ids=["empty", "no object", "cut", "deep", "status", "times", "infinite", "nothing", "typo"],
)
def test_a_bad_line_is_named(text, said):
    with pytest.raises(settings.ConfigError) as caught:
        recording.load(text)

    assert any(str(problem).startswith(said) for problem in caught.value.problems)


@given(some.integers(1, 40), some.sampled_from(["\n", "\r\n"]))
def test_events_are_heard_however_the_bytes_are_cut(size, newline):
    raw = (
        ": hi\nevent: ping\ndata: {}\n\nevent: a\ndata: {\ndata: "
        + '"é": 1}\n\nevent: b\ndata: [DONE]\n\ndata: {"type":"c"}'
    )
    raw = (raw + "\n\nevent: never\ndata: {}\n").replace("\n", newline).encode()
    tape = recording.Tape()

    for at in range(0, len(raw), size):
        tape.hear(at, raw[at : at + size])

    assert [(event.name, event.data) for event in tape.events] == [("ping", {}), ("a", {"é": 1}), ("c", {"type": "c"})]


def test_an_event_is_as_late_as_its_last_byte():
    tape = recording.Tape()

    tape.hear(1.0, b"event: a\ndata: {}\n")
    tape.hear(2.0, b"\nevent: b\n")
    tape.hear(3.0, b"data: {}\n\n")

    assert [event.at for event in tape.events] == [2.0, 3.0]


def test_only_harmless_headers_are_kept():
    headers = {"Request-Id": "req_1", "retry-after": "3", "set-cookie": "s=1", "anthropic-organization-id": "o"}

    kept = recording.kept(headers | {"anthropic-ratelimit-requests-limit": "50", "x-api-key": "k"})

    assert kept == {"request-id": "req_1", "retry-after": "3", "anthropic-ratelimit-requests-limit": "50"}


def test_a_credential_is_blotted_out_wherever_it_stands():
    line = recording.line(
        exchange(text="my key is sk-ant-123456", headers={"request-id": "sk-ant-123456"}), ("sk-ant-123456",)
    )

    assert b"sk-ant" not in line
    assert recording.load(line.decode())[0].request.text == "my key is xxxxxxxxxxxxx"


@pytest.mark.parametrize(
    ("status", "names", "body", "left", "ended"),
    [
        (200, ["message_start", "message_stop"], None, False, "complete"),
        (200, ["message_start", "message_stop"], None, True, "complete"),
        (200, ["message_start", "error"], None, False, "error"),
        (200, ["message_start"], None, False, "cut"),
        (200, ["message_start"], None, True, "left"),
        (200, None, {}, False, "complete"),
        (200, None, None, False, "cut"),
        (529, None, {}, False, "error"),
    ],
)
def test_how_an_exchange_ended(status, names, body, left, ended):
    heard = None if names is None else [Event(0.0, name, {}) for name in names]

    assert recording.outcome(status, heard, body, left) == ended


def test_equal_requests_have_equal_digests_whoever_asks_and_however():
    body = {"model": "m", "messages": [], "max_tokens": 3}

    assert recording.digest(body) == recording.digest(body | {"stream": True, "metadata": {"user_id": "u"}})
    assert recording.digest(body) != recording.digest(body | {"max_tokens": 4})


# redaction


@given(some.text())
def test_filler_has_as_many_characters_and_bytes_and_says_nothing(text):
    blank = redaction.filler(text)

    assert len(blank) == len(text)
    assert len(blank.encode()) == len(text.encode("utf-8", "surrogatepass"))
    assert blank == redaction.filler("".join(random.Random(1).sample(text, len(text))))


json_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=1),
)


def shape(value):
    if isinstance(value, dict):
        return {len(json.dumps(name)): shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return type(value) if not isinstance(value, int | float) or isinstance(value, bool) else "number"


@given(json_values, some.integers(0, 500))
def test_masked_json_keeps_its_shape_and_length_also_when_it_was_cut(value, cut):
    text = json.dumps(value)

    whole, part = redaction.masked(text), redaction.masked(text[:cut])

    assert len(whole) == len(text)
    assert shape(json.loads(whole)) == shape(value)
    assert len(part) == len(text[:cut])


def test_masked_json_keeps_the_names_it_may_and_nothing_else():
    text = '{"city": "Paris", "alice@x.org": [true, null, -12.5e3], "days": "city"}'

    assert redaction.masked(text, frozenset(("city", "days"))) == (
        '{"city": "the w", "the words t": [true, null, -11.1e1], "days": "the "}'
    )


def leaky():
    """A reply that says the secret everywhere it can."""
    cited = {"type": "char_location", "cited_text": SECRET, "document_title": SECRET, "start_char_index": 3}
    arguments = json.dumps({"city": SECRET, SECRET: 421_421})
    found = {"type": "web_search_result", "title": SECRET, "url": SECRET, "encrypted_content": SECRET}
    server_tool = TOOL | {"type": "server_tool_use", "id": "srvtoolu_01A", "name": "web_search"}
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01A", "content": [found]}
    return (
        block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": SECRET},
            {"type": "signature_delta", "signature": SECRET},
        ),
        block(
            1,
            {"type": "text", "text": ""},
            *said(SECRET[:5], SECRET[5:]),
            {"type": "citations_delta", "citation": cited},
        ),
        block(2, TOOL, *fragments("", arguments[:11], arguments[11:])),
        block(3, server_tool, *fragments(json.dumps({"query": SECRET}))),
        block(4, result),
        block(5, {"type": "redacted_thinking", "data": SECRET}),
    )


WORDS = [SECRET, *re.findall(r"\w{4,}", SECRET), "Zoë", "421", "01A", "01XYZ", "01ABC", "字字"]


def test_nothing_of_what_was_said_is_left():
    whole = transcript.assembled(events(*leaky()))
    talk = exchange(events(*leaky()), text=SECRET, digest="d")
    document = exchange(body=whole | {"stop_sequence": SECRET, "container": {"id": "container_01A"}})

    for one in (talk, document):
        left = recording.line(redaction.redacted(one, {"tools": TOOLS})).decode()
        assert [word for word in WORDS if word in left or word in json.loads(json.dumps(left))] == []
        assert '"digest":null' in left


def test_what_is_not_text_stays_so_that_it_can_be_replayed():
    bare = redaction.redacted(exchange(events(*leaky())), {"tools": TOOLS})
    message, before = transcript.assembled(bare.events), transcript.assembled(events(*leaky()))

    assert [block["type"] for block in message["content"]] == [block["type"] for block in before["content"]]
    assert message["usage"] == before["usage"]
    assert message["stop_reason"] == "end_turn"
    assert len(message["content"][1]["text"].encode()) == len(SECRET.encode())
    assert message["content"][2]["name"] == "forecast"
    assert next(iter(message["content"][2]["input"])) == "city"
    assert message["content"][4]["tool_use_id"] == message["content"][3]["id"]
    assert [event.at for event in bare.events] == [event.at for event in events(*leaky())]


def test_pieces_are_as_long_as_they_were():
    bare = redaction.redacted(exchange(), {})

    texts = [event.data["delta"]["text"] for event in bare.events if "delta" in event.data and "index" in event.data]
    assert [len(text) for text in texts] == [7, 6]


def test_text_that_was_asked_for_as_json_is_json_still():
    played = events(block(0, {"type": "text", "text": ""}, *said('{"city": "Par', 'is"}')))
    body = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}

    bare = redaction.redacted(exchange(played), body)

    assert json.loads(transcript.assembled(bare.events)["content"][0]["text"]) == {"city": "the w"}


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("Overloaded", True),
        ("prompt is too long: 213462 tokens > 200000 maximum", True),
        ("prompt is too long: 213462 tokens > 200000 maximum, said Zoë", False),
        ("This request would exceed the rate limit of your organization (org: 1234)", False),
    ],
)
def test_an_error_keeps_its_words_only_when_they_are_known(message, kept):
    body = overloaded(message, details={"error_code": "enforced_spend_limit_reached"})

    bare = redaction.redacted(exchange(status=529, ended="error", body=body), None)

    assert (bare.body["error"]["message"] == message) is kept
    assert bare.body["error"]["type"] == "overloaded_error"
    assert bare.body["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}


# from events to a message, and back


def test_the_events_of_a_stream_make_its_message():
    message = transcript.assembled(events(hello(), block(1, TOOL, *fragments("", '{"city":', '"Rome"}'))))

    assert message == started(
        content=[{"type": "text", "text": "Hello, world."}, TOOL | {"input": {"city": "Rome"}}],
        stop_reason="end_turn",
        usage=USAGE | {"service_tier": "standard"},
    )


def test_arguments_that_were_cut_off_are_empty():
    message = transcript.assembled(events(block(0, TOOL, *fragments('{"city":'))))

    assert message["content"][0]["input"] == {}


def test_a_stream_without_an_end_makes_no_message():
    assert transcript.assembled(events(hello(), ends=False)) is None


BODY = started(
    content=[
        {"type": "thinking", "thinking": "Let me see. " * 5, "signature": "x"},
        {"citations": [{"type": "char_location", "cited_text": "x"}], "type": "text", "text": "Hello there. " * 6},
        TOOL | {"input": {"city": "Rome", "days": [1, 2, 3]}, "caller": {"type": "direct"}},
        {"type": "redacted_thinking", "data": "x"},
    ],
    stop_reason="tool_use",
    usage=USAGE | {"output_tokens_details": {"thinking_tokens": 7}, "service_tier": "standard"},
)


def test_a_message_spread_into_events_is_the_same_message():
    assert transcript.assembled(transcript.spread(BODY, 3.0)) == BODY


def test_a_spread_message_takes_as_long_as_it_took():
    times = [event.at for event in transcript.spread(BODY, 3.0)]
    deltas = [event.at for event in transcript.spread(BODY, 3.0) if event.name == "content_block_delta"]

    assert times == sorted(times)
    assert (times[0], times[-1]) == (0.0, 3.0)
    assert 0 < deltas[0] < 0.3
    assert max(after - before for before, after in itertools.pairwise(deltas)) < 1.5


# replay


def replaying(*exchanges):
    return {"responders": [{"recorded": {"text": written(*exchanges)}}]}


def heard(reply):
    """Events with the times they came at, counted from the first."""
    tape = recording.Tape()
    for at, part in reply.parts:
        tape.hear(at - reply.parts[0][0], part)
    return tape.events


async def test_a_stream_comes_again_at_the_times_it_came_at(mocked):
    async with mocked(**replaying(exchange())) as claude:
        reply = await claude.asked(stream=True)
        [record] = await claude.journal()

    again = heard(reply)
    assert [event.name for event in again] == [event.name for event in TALK]
    assert [event.at for event in again] == pytest.approx([event.at for event in TALK])
    assert [event.data["usage"] for event in again if event.name == "message_delta"] == [USAGE]
    assert (record["outcome"], record["output_tokens"]) == ("complete", 30)


async def test_a_reply_is_told_anew_under_its_own_name(mocked):
    played = events(block(0, TOOL, *fragments("{}")))
    async with mocked(**replaying(exchange(played))) as claude:
        replies = [await claude.asked(model="claude-opus-5", stream=True) for _ in range(2)]

    starts = [heard(reply)[0].data["message"] for reply in replies]
    tools = [heard(reply)[1].data["content_block"]["id"] for reply in replies]
    assert {start["model"] for start in starts} == {"claude-opus-5"}
    assert len({start["id"] for start in starts} | {"msg_01ABC"}) == 3
    assert len({*tools, "toolu_01XYZ"}) == 3
    assert all(re.fullmatch(r"toolu_01\w{22}", tool) for tool in tools)


async def test_thinking_is_signed_so_that_it_is_taken_back(mocked):
    thought = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "So "},
        {"type": "thinking_delta", "thinking": "be it."},
        {"type": "signature_delta", "signature": "gone"},
    )
    async with mocked(**replaying(exchange(events(thought)))) as claude:
        reply = await claude.asked()

    [told] = reply.json["content"]
    assert signature.valid("So be it.", told["signature"])
    assert told["thinking"] == "So be it."


async def test_a_stream_asked_for_as_json_is_the_message_it_makes(mocked):
    async with mocked(**replaying(exchange())) as claude:
        began = asyncio.get_running_loop().time()
        reply = await claude.asked()

    assert reply.json["content"] == [{"type": "text", "text": "Hello, world."}]
    assert list(reply.json) == list(started())
    assert reply.parts[0][0] - began == pytest.approx(TALK[-1].at, abs=0.01)


async def test_json_asked_for_as_a_stream_takes_the_time_it_took(mocked):
    async with mocked(**replaying(exchange(body=BODY, stream=False))) as claude:
        reply = await claude.asked(stream=True)

    again = heard(reply)
    assert again[-1].at == pytest.approx(2.0, abs=0.01)
    assert [block["type"] for block in transcript.assembled(again)["content"]] == [
        one["type"] for one in BODY["content"]
    ]


async def test_a_status_comes_again(mocked):
    refused = exchange(
        status=429, ended="error", body=overloaded("Wait, Zoë"), headers={"retry-after": "7", "x-should-retry": "false"}
    )
    async with mocked(**replaying(refused)) as claude:
        reply = await claude.asked()

    assert (reply.status, reply.error["type"], reply.error["message"]) == (429, "overloaded_error", "Wait, Zoë")
    assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == ("7", "false")
    assert reply.json["request_id"] == reply.headers["request-id"]


@pytest.mark.parametrize(("status", "kind"), [(520, "api_error"), (418, "invalid_request_error"), (503, "api_error")])
async def test_a_status_without_claudes_envelope_gets_one(mocked, status, kind):
    async with mocked(**replaying(exchange(played=None, status=status, ended="error"))) as claude:
        reply = await claude.asked()

    assert (reply.status, reply.error["type"]) == (status, kind)


BROKEN = (
    *events(hello(), ends=False),
    Event(
        9.0,
        "error",
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"},
    ),
)


@pytest.mark.parametrize(("played", "ended"), [(events(hello(), ends=False), "cut"), (BROKEN, "error")])
async def test_a_stream_that_broke_breaks_again_and_counts_as_a_fault(mocked, played, ended):
    async with mocked(**replaying(exchange(played, ended=ended))) as claude:
        reply = await claude.asked(stream=True)
        [record] = await claude.journal()

    again = heard(reply)
    assert [event.name for event in again] == [event.name for event in played]
    assert record["outcome"] == "fault"
    if ended == "error":
        assert again[-1].data["request_id"] == reply.headers["request-id"]


@pytest.mark.parametrize(("played", "status"), [(events(hello(), ends=False), 500), (BROKEN, 529)])
async def test_a_broken_stream_asked_for_as_json_is_a_status(mocked, played, status):
    async with mocked(**replaying(exchange(played, ended="cut"))) as claude:
        assert (await claude.asked()).status == status


def numbered(k, **fields):
    return exchange(events(block(0, {"type": "text", "text": ""}, *said(f"number {k}"))), **fields)


async def texts(claude, *asks):
    return [(await claude.asked(**ask)).json["content"][0]["text"] for ask in asks]


async def test_equal_requests_go_through_what_was_recorded_one_by_one(mocked):
    async with mocked(**replaying(*(numbered(k) for k in range(3)))) as claude:
        said = await texts(claude, *[{}] * 6)

    assert said[:3] == said[3:]
    assert sorted(said[:3]) == ["number 0", "number 1", "number 2"]


async def test_different_requests_begin_at_different_places(mocked):
    async with mocked(**replaying(*(numbered(k) for k in range(3)))) as claude:
        said = await texts(claude, *({"text": f"question {k}"} for k in range(20)))

    assert set(said) == {"number 0", "number 1", "number 2"}


async def test_the_same_request_gets_its_own_replies_in_their_order(mocked):
    body = {"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "mine"}]}
    mine = recording.digest(body)
    recorded = [numbered(0), numbered(1, digest=mine), numbered(2), numbered(3, digest=mine)]
    async with mocked(**replaying(*recorded)) as claude:
        assert await texts(claude, *[{"text": "mine"}] * 3) == ["number 1", "number 3", "number 1"]


async def test_the_model_matters_more_than_the_mode(mocked):
    recorded = [numbered(0, model="claude-opus-5", stream=True), numbered(1, model="claude-haiku-4-5", stream=True)]
    recorded.append(
        exchange(body=started(content=[{"type": "text", "text": "number 2"}]), model="claude-opus-5", stream=False)
    )
    async with mocked(**replaying(*recorded)) as claude:
        opus, haiku = {"model": "claude-opus-5"}, {"model": "claude-haiku-4-5"}

        assert await texts(claude, opus, haiku) == ["number 2", "number 1"]


async def test_who_left_is_not_replayed(mocked):
    async with mocked(**replaying(numbered(0, ended="left"), numbered(1))) as claude:
        assert await texts(claude, {}, {}) == ["number 1"] * 2


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, 'responders.0.recorded: expected "file" or "text"'),
        ({"text": ""}, "responders.0.recorded.text: no exchange in it can be replayed"),
        ({"text": written(exchange(ended="left"))}, "responders.0.recorded.text: no exchange in it can be replayed"),
        ({"text": "{"}, "responders.0.recorded.text.line 1: expected a JSON object"),
        (
            {"text": written(exchange(TALK[1:]))},
            "responders.0.recorded.text.line 1: its events make no message: KeyError",
        ),
        (
            {"text": written(exchange(body={"content": 3}))},
            "responders.0.recorded.text.line 1: its events make no message",
        ),
        ({"file": "nowhere.jsonl"}, "responders.0.recorded.file: cannot read nowhere.jsonl"),
        ({"fiel": "a"}, 'responders.0.recorded.fiel: unknown key; did you mean "file"?'),
    ],
)
async def test_what_cannot_be_replayed_is_said_before_it_is_needed(mocked, section, said):
    with pytest.raises(settings.ConfigError) as caught:
        async with mocked(responders=[{"recorded": section}]):
            pass

    assert str(caught.value).startswith(said)


def test_a_file_is_looked_for_beside_the_configuration(tmp_path):
    (tmp_path / "talk.jsonl").write_text(written(exchange()))
    (tmp_path / "mock.yaml").write_text("responders: [{recorded: {file: talk.jsonl}}]")

    [rule] = settings.load_file(tmp_path / "mock.yaml")["responders"]

    assert rule["recorded"] == {"file": str(tmp_path / "talk.jsonl"), "text": written(exchange())}


async def test_a_running_mock_takes_a_recording_from_below_its_folder_only(mocked, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for file in ("talk.jsonl", "here/talk.jsonl"):
        (tmp_path / file).write_text(written(exchange()))
    async with mocked() as claude:
        outside = await claude.call("PUT", "/_mock/config", {"responders": [{"recorded": {"file": "../talk.jsonl"}}]})
        inside = await claude.call("PUT", "/_mock/config", {"responders": [{"recorded": {"file": "talk.jsonl"}}]})
        reply = await claude.asked()

    assert outside["error"]["message"].startswith(
        "responders.0.recorded.file: expected a file below the working directory"
    )
    assert inside["responders"] == [{"recorded": {"file": "talk.jsonl"}}]
    assert reply.json["content"][0]["text"] == "Hello, world."


@given(some.lists(some.tuples(some.sampled_from([event.name for event in TALK]), json_values), max_size=6))
def test_no_recording_however_odd_breaks_more_than_its_own_line(odd):
    played = tuple(
        Event(0.0, name, {"type": name, "index": 0, "delta": value, "message": value}) for name, value in odd
    )

    try:
        kept = replay.playable(written(exchange(played)))
    except settings.ConfigError:
        return

    assert all(one.take is None or one.take.seconds == 0.0 for one in kept)
