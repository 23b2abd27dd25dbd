import json
import random

import pytest

from mockclaude import catalog, faults, wire
from mockclaude.aim import Facts, Match
from mockclaude.faults import ErrorEvent, Injected, Status
from mockclaude.reply import Broken, Chunk
from mockclaude.request.ask import Ask
from mockclaude.settings import ConfigError

BODY = {"messages": [{"role": "user", "content": "What is the weather?"}], "stream": True, "max_tokens": 9}
ASKED = Ask("sk-acme-1", "2026-10-21", frozenset(), catalog.find("claude-haiku-4-5"), BODY, 6)
ANYBODY = Facts(1, ASKED, {"x-tenant": "acme"})


def test_a_status_comes_before_the_first_chunk():
    run = Status(529).apply([Chunk(0.1, b"a")])

    with pytest.raises(Injected) as caught:
        next(run)

    assert caught.value.status == 529


def test_nothing_happens_before_the_first_chunk_is_asked_for():
    Status(500).apply([])


def test_no_faults_leave_a_run_as_it_was():
    run = [Chunk(0.1, b"a"), Chunk(0.2, b"b")]

    assert list(faults.worsen((), run)) == run
    faults.refuse(())


def test_a_fault_that_speaks_first_refuses_the_attempt():
    with pytest.raises(Injected):
        faults.refuse((Status(503),))


DELTA, START = b"event: content_block_delta\n", b"event: message_start\n"


@pytest.mark.parametrize(("after", "kept"), [(0, 0), (1, 2), (2, 3)])
def test_an_error_event_takes_the_place_of_a_delta(after, kept):
    run = ErrorEvent(after=after).apply([Chunk(0.0, START), Chunk(0.1, DELTA), Chunk(0.2, DELTA), Chunk(0.3, DELTA)])

    seen = []
    with pytest.raises(Injected) as caught:
        for chunk in run:
            seen.append(chunk)

    assert (len(seen), caught.value.status) == (kept, 529)
    assert caught.value.at == pytest.approx(kept / 10)


def test_an_error_event_leaves_a_json_reply_alone():
    assert list(ErrorEvent().apply([Chunk(1.0, b"{}")])) == [Chunk(1.0, b"{}")]


def test_a_fault_can_strike_only_some_attempts_by_number():
    rng = random.Random(1)

    struck = [n for n in range(1, 6) if faults.drawn((Status(529, nth=(2, 3)),), ANYBODY._replace(n=n), rng)]

    assert struck == [2, 3]


def test_a_request_can_ask_for_a_fault_on_itself():
    asked = {"x-mockclaude-fault": "error_event; after=3; type=api_error"}

    assert faults.asked(asked) == (ErrorEvent(after=3, type="api_error"),)
    assert faults.asked({"x-mockclaude-fault": "status;code=429;retry_after=2"}) == (Status(429, retry_after=2),)
    assert faults.asked({}) == ()


@pytest.mark.parametrize("value", ["nope", "status;code=200", "status;code", "status;code=[", "status;code=529;x=1"])
def test_a_fault_nobody_knows_is_refused(value):
    with pytest.raises(ConfigError, match="x-mockclaude-fault"):
        faults.asked({"x-mockclaude-fault": value})


def stream():
    """A stream of three deltas, as the planner cuts it."""
    start = b"event: message_start\ndata: {}\n\nevent: content_block_start\ndata: {}\n\n"
    said = [b'event: content_block_delta\ndata: {"delta":{"type":"text_delta","text":"%d"}}\n\n' % k for k in (1, 2, 3)]
    end = b"event: content_block_stop\ndata: {}\n\nevent: message_stop\ndata: {}\n\n"
    return [Chunk(at / 10, data) for at, data in enumerate([start, *said, end])]


def seen(fault, run=None):
    """What comes out of a fault, and how it ends."""
    chunks = []
    try:
        for chunk in fault.apply(stream() if run is None else run):
            chunks.append(chunk)
    except Broken as broken:
        return chunks, (broken.how, broken.at)
    return chunks, None


def said(chunks):
    return [int(k) for k in b"".join(chunk.data for chunk in chunks).split(b'"text":"')[1:] for k in [k[:1]]]


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (faults.SlowFirstByte(2.0), [2.0, 2.1, 2.2, 2.3, 2.4]),
        (faults.Drip(10.0), [0.0, 1.0, 2.0, 3.0, 4.0]),
        (faults.Stall(after=1, seconds=5.0), [0.0, 0.1, 5.2, 5.3, 5.4]),
        (faults.Stall(after=1, seconds=12.0, pings=True), [0.0, 0.1, 5.2, 10.2, 12.2, 12.3, 12.4]),
    ],
    ids=["slow_first_byte", "drip", "stall", "stall with pings"],
)
def test_a_fault_of_time_changes_only_when_bytes_are_due(fault, times):
    chunks, _ = seen(fault)

    assert [chunk.at for chunk in chunks] == pytest.approx(times)
    assert [chunk.data for chunk in chunks if chunk.data != wire.PING] == [chunk.data for chunk in stream()]


@pytest.mark.parametrize(
    ("fault", "deltas", "end"),
    [
        (faults.Truncate(after=2), [1, 2], ("end", 0.3)),
        (faults.Truncate(after=0), [], ("end", 0.0)),
        (faults.Cut(after=1, how="rst"), [1], ("rst", 0.2)),
        (faults.Cut(after=1), [1], ("fin", 0.2)),
        (faults.Hang(seconds=9.0), [], ("fin", 9.0)),
        (faults.Truncate(after=9), [1, 2, 3], None),
        (faults.DuplicateEvent(after=2), [1, 2, 2, 3], None),
        (faults.MissingEvent(after=2), [1, 3], None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, faults.Aim) else None,
)
def test_a_fault_of_events_ends_or_repeats_them(fault, deltas, end):
    chunks, how = seen(fault)

    assert said(chunks) == deltas
    assert how == end


@pytest.mark.parametrize("fault", [faults.Truncate(after=1), faults.Cut(after=1)])
def test_a_json_reply_breaks_in_the_middle(fault):
    chunks, how = seen(fault, [Chunk(1.0, b'{"a": "bc"}')])

    assert chunks == [Chunk(1.0, b'{"a":')]
    assert how == ("end" if isinstance(fault, faults.Truncate) else "fin", 1.0)


def test_a_missing_event_can_be_one_by_name():
    chunks, _ = seen(faults.MissingEvent(event="message_stop"))

    whole = b"".join(chunk.data for chunk in chunks)
    assert b"message_stop" not in whole
    assert whole.endswith(b"event: content_block_stop\ndata: {}\n\n")


@pytest.mark.parametrize("fault", [faults.MalformedEvent(after=2), faults.TruncatedJson(after=2)])
def test_spoilt_json_spoils_one_event_only(fault):
    chunks, _ = seen(fault)

    payloads = [chunk.data.split(b"data: ", 1)[1].split(b"\n\n")[0] for chunk in chunks[1:4]]
    readable = []
    for payload in payloads:
        try:
            json.loads(payload)
            readable.append(True)
        except ValueError:
            readable.append(False)
    assert readable == [True, False, True]
    assert all(chunk.data.endswith(b"\n\n") for chunk in chunks)


def test_a_packet_is_split_inside_a_character():
    chunks, _ = seen(faults.SplitPackets(seconds=0.5), [Chunk(1.0, "né".encode())])

    assert chunks == [Chunk(1.0, b"n\xc3"), Chunk(1.5, b"\xa9")]


def test_comments_stand_before_events_and_not_in_json():
    chunks, _ = seen(faults.Comments(text="still\nhere"))

    assert all(chunk.data.startswith(b": still here\n\nevent: ") for chunk in chunks)
    assert seen(faults.Comments(), [Chunk(0.0, b"{}")]) == ([Chunk(0.0, b"{}")], None)


@pytest.mark.parametrize("hiding", [faults.Comments(), faults.SplitPackets(seconds=0.0)])
@pytest.mark.parametrize("fault", [faults.Truncate(after=2), ErrorEvent(after=2)])
def test_faults_that_count_events_do_so_before_others_hide_them(hiding, fault):
    there, back = (b"".join(chunk.data for chunk in told(both)) for both in ((hiding, fault), (fault, hiding)))

    assert there == back
    assert there.count(faults.DELTA) == 2


def told(struck):
    """What gets through until it breaks."""
    try:
        yield from faults.worsen(struck, stream())
    except (Injected, Broken):
        return


def test_a_giant_event_is_as_large_as_asked():
    chunks, _ = seen(faults.GiantEvent(after=2, size=5000))

    assert len(chunks[2].data) == len(stream()[2].data) + 5000
    json.loads(chunks[2].data.split(b"data: ", 1)[1])


def test_another_content_type_is_a_header():
    struck = (faults.ContentType("text/plain"), Status(500))

    assert faults.headers(struck) == {"content-type": "text/plain"}
    assert faults.headers(()) == {}
    assert seen(struck[0])[0] == stream()


@pytest.mark.parametrize(
    ("status", "headers", "later"),
    [
        (Status(429, retry_after=2), {"retry-after": "2"}, None),
        (Status(429, retry_after=0.5, retry_after_as="ms"), {"retry-after-ms": "500"}, None),
        (Status(429, retry_after=1234567), {"retry-after": "1234567"}, None),
        (Status(429, retry_after=3000, retry_after_as="ms"), {"retry-after-ms": "3000000"}, None),
        (Status(429, retry_after=3, retry_after_as="date"), {}, 3.0),
        (Status(429, retry_after_as="absurd"), {"retry-after": "9999999999"}, None),
        (Status(529), {}, None),
    ],
)
def test_retry_after_can_be_written_in_every_way(status, headers, later):
    with pytest.raises(Injected) as caught:
        next(status.apply([]))

    assert (caught.value.headers, caught.value.later) == (headers, later)


def test_a_status_can_say_what_a_proxy_or_a_document_says():
    with pytest.raises(Injected) as caught:
        next(Status(502, body="html", message="No", error_code="ramp_limit_exceeded").apply([]))

    assert caught.value.html
    assert b"<h1>502 Bad Gateway</h1>" in caught.value.page()
    assert (caught.value.message, caught.value.details) == ("No", {"error_code": "ramp_limit_exceeded"})


def test_even_529_has_a_page():
    with pytest.raises(Injected) as caught:
        next(Status(529, body="html").apply([]))

    assert b"529 Overloaded" in caught.value.page()


@pytest.mark.parametrize(
    ("match", "holds"),
    [
        (Match(), True),
        (Match(model="claude-haiku-*"), True),
        (Match(model="claude-opus-*"), False),
        (Match(key="sk-acme-*", stream=True, text="weather"), True),
        (Match(stream=False), False),
        (Match(text="Weather"), False),
        (Match(header={"x-tenant": "ac*"}), True),
        (Match(header={"x-tenant": "other"}), False),
        (Match(header={"x-missing": "?*"}), False),
    ],
)
def test_a_fault_strikes_only_what_it_is_aimed_at(match, holds):
    assert bool(faults.drawn((Status(529, match=match),), ANYBODY, random.Random(1))) is holds


def test_what_struck_has_a_name():
    assert faults.names((Status(500), faults.Cut())) == "status,cut"
    assert faults.names(()) is None


@pytest.mark.parametrize("name", faults.FAULTS)
def test_every_fault_can_be_configured_shown_and_read_back(name):
    least = {"status": {"code": 529}, "slow_first_byte": {"seconds": 1}, "drip": {"factor": 2}}
    least["stall"] = {"after": 1, "seconds": 2}
    section = [{"name": name, "share": 0.5, "match": {"stream": True}, **least.get(name, {})}]

    parsed = faults.parse(section)

    assert faults.parse(faults.as_config(parsed)) == parsed
    assert faults.names(parsed) == name


def test_a_share_strikes_that_part_of_attempts():
    struck = sum(bool(faults.drawn((Status(529, share=0.1),), ANYBODY, random.Random(seed))) for seed in range(5000))

    assert struck / 5000 == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize(("share", "strikes"), [(0.0, 0), (1.0, 1000)])
def test_none_and_all_are_exact(share, strikes):
    rng = random.Random(1)

    assert sum(bool(faults.drawn((Status(529, share=share),), ANYBODY, rng)) for _ in range(1000)) == strikes


def test_a_fault_does_not_change_anothers_luck():
    first, second = Status(500, share=0.0), Status(529, share=0.5)
    alone = [bool(faults.drawn((Status(500), second), ANYBODY, random.Random(seed))[1:]) for seed in range(100)]

    beside = [bool(faults.drawn((first, second), ANYBODY, random.Random(seed))) for seed in range(100)]

    assert alone == beside


def test_a_list_is_read():
    assert faults.parse([{"name": "status", "code": 529, "share": 0.1}, {"name": "status", "code": 500}]) == (
        Status(529, share=0.1),
        Status(500),
    )


def test_a_list_takes_the_place_of_the_one_in_force():
    assert faults.parse([], (Status(500),)) == ()


def test_what_is_shown_can_be_read_back():
    parsed = (Status(529, share=0.25), Status(401))

    assert faults.parse(faults.as_config(parsed)) == parsed


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ([{"name": "status", "code": 200}], "faults.0.code: expected 400, 401"),
        ([{"name": "status", "code": 529, "share": 2}], "faults.0.share: expected less than or equal to 1, got 2"),
        ([{"name": "status", "code": 529}, {"name": "stauts"}], "faults.1.name: no fault is called 'stauts'"),
        ([{"code": 529}], r"faults.0.name: is missing \(known: status, "),
        ([{"name": "status"}], "faults.0.code: is missing"),
        ([{"name": "status", "code": 529, "shre": 1}], 'faults.0.shre: unknown key; did you mean "share"'),
        ([{"name": "status", "code": 529, "retry_after": 1e300}], "faults.0.retry_after: expected less than"),
        ([{"name": "status", "code": 529, "nth": 1}], "faults.0.nth: expected a list, got 1"),
        ([{"name": "content_type", "type": "\u2603"}], "faults.0.type: "),
        ([{"name": "content_type", "type": "text/html\r\nx-more: 1"}], "faults.0.type: "),
        ([7], "faults.0: expected a mapping with a name, got 7"),
        ({"name": "status"}, "faults: expected a list of faults"),
        ("status", "faults: expected a list of faults"),
    ],
)
def test_what_makes_no_sense_is_refused(section, reason):
    with pytest.raises(ConfigError, match=reason):
        faults.parse(section)
