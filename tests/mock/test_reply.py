import itertools
import json
import re

import pytest

from mockclaude import catalog, reply, wire
from mockclaude.draw import Draw
from mockclaude.latency import Prefill, Profile
from mockclaude.request.ask import Ask
from mockclaude.speech.script import Given, Script, Text, Thinking, ToolUse

HAIKU = catalog.find("claude-haiku-4-5")
BODY = {"model": "claude-haiku-4-5", "max_tokens": 4, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
WHOLE = BODY | {"stream": False}
STEADY = Profile.of(1.0, 1.0, 10.0, tokens_per_delta=1)
FOUR = Script((Text("one two three.", 4),))
PROMPT = wire.Usage(12)


def planned(body=BODY, said=FOUR, profile=STEADY, usage=PROMPT, seed=1, ordinal=0):
    ask = Ask("key", "2023-06-01", frozenset(), HAIKU, body, usage.prompt)
    return reply.plan(ask, said, usage, profile, Draw(seed, b"digest", ordinal))


def streamed(*args, **changes):
    return b"".join(chunk.data for chunk in planned(*args, **changes).run)


def document(said=FOUR, **changes):
    [chunk] = planned(WHOLE, said, **changes).run
    return json.loads(chunk.data)


def events(data):
    return [(name.decode(), json.loads(payload)) for name, payload in re.findall(rb"event: (.*)\ndata: (.*)\n\n", data)]


def timed(plan):
    """Each event with the time it is due: its name, or the kind of a delta."""
    return [
        (round(chunk.at, 9), fields.get("delta", {}).get("type") or name)
        for chunk in plan.run
        for name, fields in events(chunk.data)
    ]


def deltas(data):
    return [fields["delta"] for name, fields in events(data) if name == "content_block_delta"]


def test_token_k_is_due_at_ttft_plus_k_over_the_pace():
    chunks = list(planned().run)

    assert [chunk.at for chunk in chunks] == pytest.approx([0.0, 1.0, 1.1, 1.2, 1.3, 1.4])


def test_the_slot_is_held_for_ttft_and_all_tokens():
    assert planned().seconds == pytest.approx(1.4)


def test_the_scenarios_mean_service_time_is_as_predicted():
    said = Script((Text("x" * 420, 120),))
    profile = Profile.of(0.25, 0.25, 150.0, prefill=Prefill())

    seconds = planned(said=said, profile=profile, usage=wire.Usage(20)).seconds

    assert seconds == pytest.approx(0.25 + 120 / 150, rel=0.005)


@pytest.mark.parametrize(
    ("usage", "ttft"),
    [
        (wire.Usage(10_000), 2.0),
        (wire.Usage(0, written_5m=4_000, written_1h=6_000), 2.0),
        (wire.Usage(0, read=10_000), 0.5),
        (wire.Usage(5_000, read=5_000), 1.25),
    ],
    ids=["no cache", "written", "read", "half of it read"],
)
def test_reading_the_prompt_comes_on_top_of_the_ttft(usage, ttft):
    plan = planned(profile=Profile.of(0.4, 0.4, 10.0, tokens_per_delta=1, prefill=Prefill()), usage=usage)

    assert plan.ttft == pytest.approx(ttft)
    assert next(at for at, name in timed(plan) if name == "text_delta") == pytest.approx(ttft)


def test_a_json_reply_is_one_chunk_at_the_end():
    [chunk] = planned(WHOLE).run

    message = json.loads(chunk.data)
    assert chunk.at == pytest.approx(1.4)
    assert message["usage"]["output_tokens"] == 4
    assert message["stop_reason"] == "end_turn"
    assert message["content"] == [{"type": "text", "text": "one two three."}]


def test_stream_and_json_say_the_same_in_the_same_words():
    text = "".join(delta["text"] for delta in deltas(streamed()))

    assert text == document()["content"][0]["text"]


def test_a_stream_has_claudes_events_in_claudes_order():
    names = [name for name, _ in events(streamed())]

    assert names == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 4,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_each_event_says_its_name_again_as_its_type():
    assert all(name == fields["type"] for name, fields in events(streamed()))


MANY = Script(
    (
        Thinking("first I think", 4, "c2lnbmF0dXJl"),
        Text("let me see", 3),
        ToolUse("toolu_01a", "weather", {"city": "Rome"}, 5),
        ToolUse("toolu_01b", "time", {}, 2),
    ),
    stop_reason="tool_use",
)


def test_every_block_of_many_is_said_in_its_turn_and_at_its_time():
    plan = planned(said=MANY)

    assert timed(plan) == [
        (0.0, "message_start"),
        (0.0, "content_block_start"),
        (0.0, "ping"),
        *[(at, "thinking_delta") for at in (1.0, 1.1, 1.2, 1.3)],
        (1.3, "signature_delta"),
        (1.3, "content_block_stop"),
        (1.3, "content_block_start"),
        *[(at, "text_delta") for at in (1.4, 1.5, 1.6)],
        (1.6, "content_block_stop"),
        (1.6, "content_block_start"),
        (1.7, "input_json_delta"),
        *[(at, "input_json_delta") for at in (1.7, 1.8, 1.9, 2.0, 2.1)],
        (2.1, "content_block_stop"),
        (2.1, "content_block_start"),
        (2.2, "input_json_delta"),
        (2.4, "content_block_stop"),
        (2.4, "message_delta"),
        (2.4, "message_stop"),
    ]
    assert plan.seconds == pytest.approx(2.4)


def test_blocks_are_numbered_and_only_the_first_is_followed_by_a_ping():
    told = events(streamed(said=MANY))

    indices = [fields["index"] for name, fields in told if name.startswith("content_block")]
    assert [name for name, _ in told].count("ping") == 1
    assert [index for index, _ in itertools.groupby(indices)] == [0, 1, 2, 3]


def test_the_pieces_of_a_tools_arguments_are_its_json():
    said = deltas(streamed(said=MANY))

    pieces = [delta["partial_json"] for delta in said if delta["type"] == "input_json_delta"]
    assert pieces[0] == ""
    assert "".join(pieces) == '{"city":"Rome"}'


def test_hidden_thinking_takes_its_time_and_shows_only_a_signature():
    said = Script((Thinking("never shown", 10, "c2ln", shown=False), Text("so yes", 2)))

    plan = planned(said=said)

    assert plan.seconds == pytest.approx(2.2)
    assert timed(plan)[2:-3] == [
        (0.0, "ping"),
        (1.9, "signature_delta"),
        (1.9, "content_block_stop"),
        (1.9, "content_block_start"),
        (2.0, "text_delta"),
        (2.1, "text_delta"),
    ]


def test_a_block_without_deltas_takes_the_time_of_its_tokens():
    said = Script((Given({"type": "redacted_thinking", "data": "eA=="}, 10), Text("so", 1)))

    assert timed(planned(said=said))[3:6] == [
        (1.9, "content_block_stop"),
        (1.9, "content_block_start"),
        (2.0, "text_delta"),
    ]


def test_no_delta_is_due_before_its_tokens_are_made():
    plan = planned(said=MANY, profile=Profile.of(1.0, 1.0, 10.0))

    times = [at for at, _ in timed(plan)]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(plan.seconds)


def test_usage_is_cumulative():
    usage = wire.Usage(12, written_5m=30, written_1h=40, read=50)

    told = dict(events(streamed(usage=usage)))

    begun = told["message_start"]["message"]["usage"]
    assert begun["cache_creation"] == {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 40}
    assert 1 <= begun["output_tokens"] <= 4
    assert told["message_delta"]["usage"] == {
        "input_tokens": 12,
        "cache_creation_input_tokens": 70,
        "cache_read_input_tokens": 50,
        "output_tokens": 4,
    }


def test_a_message_starts_with_one_to_eight_tokens_told():
    said = Script((Text("x" * 350, 100),))

    told = {
        dict(events(streamed(said=said, seed=seed)))["message_start"]["message"]["usage"]["output_tokens"]
        for seed in range(100)
    }

    assert told == set(range(1, 9))


def test_thinking_is_told_apart_in_usage():
    told = dict(events(streamed(said=MANY)))

    assert told["message_delta"]["usage"]["output_tokens_details"] == {"thinking_tokens": 4}
    assert document(MANY)["usage"]["output_tokens_details"] == {"thinking_tokens": 4}
    assert "output_tokens_details" not in told["message_start"]["message"]["usage"]


def test_the_use_of_claudes_own_tools_is_counted():
    said = FOUR._replace(server_tools={"web_search_requests": 2})

    assert dict(events(streamed(said=said)))["message_delta"]["usage"]["server_tool_use"] == {"web_search_requests": 2}
    assert document(said)["usage"]["server_tool_use"] == {"web_search_requests": 2}


def test_why_it_stops_is_said_at_the_end_alone():
    said = FOUR._replace(stop_reason="stop_sequence", stop_sequence="END")

    told = dict(events(streamed(said=said)))

    nothing = {"stop_reason": None, "stop_sequence": None, "stop_details": None}
    assert {name: told["message_start"]["message"][name] for name in nothing} == nothing
    assert told["message_delta"]["delta"] == nothing | {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_further_fields_of_a_message_come_before_its_usage():
    said = FOUR._replace(extras={"container": {"id": "c"}})

    assert list(document(said))[-2:] == ["container", "usage"]
    assert dict(events(streamed(said=said)))["message_delta"]["container"] == {"id": "c"}


def test_nothing_said_is_an_empty_content_and_no_ping():
    told = [name for name, _ in events(streamed(said=Script((), "max_tokens")))]

    assert told == ["message_start", "message_delta", "message_stop"]
    assert document(Script((), "max_tokens"))["content"] == []


def test_nothing_said_still_takes_the_reading():
    plan = planned(WHOLE, Script(()), Profile.of(0.4, 0.4, 10.0, prefill=Prefill()), wire.Usage(10_000))

    assert (plan.seconds, plan.tokens) == (pytest.approx(2.0), 0)
    assert [chunk.at for chunk in plan.run] == pytest.approx([2.0])


@pytest.mark.parametrize(
    ("elapsed", "produced"), [(0.0, 0), (0.99, 0), (1.0, 1), (1.05, 1), (1.1, 2), (1.3, 4), (99.0, 4)]
)
def test_tokens_are_produced_when_they_are_due(elapsed, produced):
    assert planned().produced(elapsed) == produced


@pytest.mark.parametrize(
    ("elapsed", "produced"), [(0.9, 0), (1.0, 1), (1.35, 4), (1.4, 5), (1.65, 7), (2.15, 12), (2.4, 14)]
)
def test_tokens_of_all_blocks_are_produced_in_turn(elapsed, produced):
    assert planned(said=MANY).produced(elapsed) == produced


def test_hidden_thinking_is_produced_though_nobody_sees_it():
    said = Script((Thinking("never shown", 10, "c2ln", shown=False),))

    assert planned(said=said).produced(1.5) == 6


def test_nothing_is_produced_where_nothing_is_said():
    assert planned(said=Script(())).produced(99.0) == 0


def test_fast_halves_ttft_and_the_time_of_a_token():
    fast = planned(BODY | {"speed": "fast"})

    assert (fast.ttft, fast.pace, fast.seconds) == pytest.approx((0.5, 0.05, 0.7))
    assert fast.produced(0.61) == 3
    assert [at for at, name in timed(fast) if name == "text_delta"] == pytest.approx([0.5, 0.55, 0.6, 0.65])


def test_fast_is_told_in_usage():
    [chunk] = planned(WHOLE | {"speed": "fast"}).run

    assert json.loads(chunk.data)["usage"]["speed"] == "fast"
    assert "speed" not in document()["usage"]


def test_one_draw_gives_one_reply_to_the_byte():
    spread = Profile.of(0.2, 0.6, 150.0)

    assert list(planned(profile=spread).run) == list(planned(profile=spread).run)


@pytest.mark.parametrize("other", [{"seed": 2}, {"ordinal": 1}], ids=["seed", "ordinal"])
def test_another_seed_or_ordinal_gives_another_reply(other):
    spread = Profile.of(0.2, 0.6, 150.0)

    assert planned(profile=spread).ttft != planned(profile=spread, **other).ttft
    assert list(planned().run) != list(planned(**other).run)


def test_ids_have_claudes_alphabet_and_length():
    base58 = "[1-9A-HJ-NP-Za-km-z]"

    assert re.fullmatch(f"req_011C{base58}{{20}}", Draw(1, b"digest", 0).request_id)
    assert re.fullmatch(f"msg_01{base58}{{22}}", document()["id"])


def test_one_purpose_does_not_use_up_anothers_numbers():
    draw = Draw(1, b"digest", 0)
    before = draw.rng("text").random()

    draw.rng("faults").random()

    assert draw.rng("text").random() == before
