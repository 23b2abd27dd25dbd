import json
import re

import pytest

from mockclaude import reply, wire
from mockclaude.latency import Profile

ASK = wire.Ask("key", "claude-haiku-4-5-20251001", "haiku", 4, True, False, 12)
STEADY = Profile(1.0, 1.0, 10.0)


def planned(ask=ASK, profile=STEADY, seed=1, ordinal=0):
    return reply.plan(ask, profile, reply.Draw(seed, b"digest", ordinal))


def events(data):
    return [(name.decode(), json.loads(payload)) for name, payload in re.findall(rb"event: (.*)\ndata: (.*)\n\n", data)]


def test_token_k_is_due_at_ttft_plus_k_over_the_pace():
    chunks = list(planned().run)

    assert [chunk.at for chunk in chunks] == pytest.approx([0.0, 1.0, 1.1, 1.2, 1.3, 1.4])


def test_the_slot_is_held_for_ttft_and_all_tokens():
    assert planned().seconds == pytest.approx(1.4)


def test_the_scenarios_mean_service_time_is_as_predicted():
    ask = ASK._replace(max_tokens=120)

    assert planned(ask, Profile(0.25, 0.25, 150.0)).seconds == pytest.approx(0.25 + 120 / 150)


def test_a_json_reply_is_one_chunk_at_the_end():
    [chunk] = planned(ASK._replace(stream=False)).run

    message = json.loads(chunk.data)
    assert chunk.at == pytest.approx(1.4)
    assert message["usage"]["output_tokens"] == 4
    assert message["stop_reason"] == "max_tokens"
    assert len(message["content"][0]["text"].split()) == 4


def test_stream_and_json_say_the_same_in_the_same_words():
    streamed = b"".join(chunk.data for chunk in planned().run)
    [whole] = planned(ASK._replace(stream=False)).run

    deltas = [fields["delta"]["text"] for name, fields in events(streamed) if name == "content_block_delta"]
    assert "".join(deltas) == json.loads(whole.data)["content"][0]["text"]


def test_a_stream_has_claudes_events_in_claudes_order():
    streamed = b"".join(chunk.data for chunk in planned().run)

    names = [name for name, _ in events(streamed)]
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
    streamed = b"".join(chunk.data for chunk in planned().run)

    assert all(name == fields["type"] for name, fields in events(streamed))


def test_usage_is_cumulative():
    streamed = b"".join(chunk.data for chunk in planned().run)

    told = dict(events(streamed))
    assert told["message_start"]["message"]["usage"]["output_tokens"] == 1
    assert told["message_delta"]["usage"] == {
        "input_tokens": 12,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 4,
    }


def test_a_reply_shorter_than_allowed_ends_its_turn():
    streamed = b"".join(chunk.data for chunk in planned(profile=Profile(1.0, 1.0, 10.0, output_tokens=2)).run)

    assert dict(events(streamed))["message_delta"]["delta"]["stop_reason"] == "end_turn"


@pytest.mark.parametrize("stream", [True, False])
def test_no_tokens_asked_for_is_an_empty_content(stream):
    data = b"".join(chunk.data for chunk in planned(ASK._replace(max_tokens=0, stream=stream)).run)

    if stream:
        assert [name for name, _ in events(data)] == ["message_start", "message_delta", "message_stop"]
    else:
        assert json.loads(data)["content"] == []


@pytest.mark.parametrize(
    ("elapsed", "produced"), [(0.0, 0), (0.99, 0), (1.0, 1), (1.05, 1), (1.1, 2), (1.3, 4), (99.0, 4)]
)
def test_tokens_are_produced_when_they_are_due(elapsed, produced):
    assert planned().produced(elapsed) == produced


def test_fast_halves_ttft_and_the_time_of_a_token():
    fast = planned(ASK._replace(fast=True))

    assert (fast.ttft, fast.pace, fast.seconds) == pytest.approx((0.5, 0.05, 0.7))


def test_one_draw_gives_one_reply_to_the_byte():
    spread = Profile(0.2, 0.6, 150.0)

    assert list(planned(profile=spread).run) == list(planned(profile=spread).run)


@pytest.mark.parametrize("other", [{"seed": 2}, {"ordinal": 1}], ids=["seed", "ordinal"])
def test_another_seed_or_ordinal_gives_another_reply(other):
    spread = Profile(0.2, 0.6, 150.0)

    assert planned(profile=spread).ttft != planned(profile=spread, **other).ttft
    assert list(planned().run) != list(planned(**other).run)


def test_ids_have_claudes_alphabet_and_length():
    draw = reply.Draw(1, b"digest", 0)
    [chunk] = planned(ASK._replace(stream=False)).run

    base58 = "[1-9A-HJ-NP-Za-km-z]"
    assert re.fullmatch(f"req_011C{base58}{{20}}", draw.request_id)
    assert re.fullmatch(f"msg_01{base58}{{22}}", json.loads(chunk.data)["id"])


def test_one_purpose_does_not_use_up_anothers_numbers():
    draw = reply.Draw(1, b"digest", 0)
    before = draw.rng("text").random()

    draw.rng("faults").random()

    assert draw.rng("text").random() == before
