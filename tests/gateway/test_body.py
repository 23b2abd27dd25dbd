"""A request's body: how large it may be, how long it may take, and what is said of one that cannot be read."""

import asyncio
import json

import pytest

from gateway_under_test.body import CLAUDES_LIMIT, Bounds

ASK = b'{"message": "hi"}'
JSON = {"content-type": "application/json"}


def error_of(sent):
    return json.loads(sent[1]["body"])["error"]


@pytest.mark.parametrize(
    ("size", "limit", "status"), [(10, 10, None), (11, 10, 413), (11, None, None)], ids=["at", "over", "no limit"]
)
def test_a_size_is_refused_beyond_the_limit(size, limit, status):
    refusal = Bounds(limit, timeout=None).refusal(size)

    assert (refusal and refusal.status) == status


@pytest.mark.parametrize(
    ("timeout", "deadline", "size", "until"),
    [
        (10.0, None, 0, 110.0),
        (10.0, None, 2_000_000, 130.0),
        (10.0, 60.0, 2_000_000, 130.0),
        (10.0, 60.0, 32_000_000, 160.0),
        (None, 60.0, 0, 160.0),
        (None, None, 0, None),
    ],
    ids=["nothing yet", "what has come earns time", "within the deadline", "deadline", "only the deadline", "none"],
)
def test_a_body_has_time_and_more_while_it_comes(timeout, deadline, size, until):
    assert Bounds(None, timeout, deadline).until(100.0, size) == until


@pytest.mark.parametrize("declared", [True, False])
async def test_a_large_body_is_refused_before_the_rest_of_it_is_read(gateway, claude, declared):
    headers = {"content-length": "1001"} if declared else {}
    parts = [] if declared else [b"x" * 501] * 2

    async with gateway(body_limit=1000) as g:
        sent = await g.asgi("/chat", *parts, 99.0, b"x", headers=headers, whole=False)

    assert (sent[0]["status"], sent[0]["at"]) == (413, 0.0)
    assert error_of(sent)["type"] == "rejected"
    assert error_of(sent)["message"] == "the body is larger than 1000 bytes"
    assert error_of(sent)["request_id"] == "asgi-1"
    assert [(line["outcome"], line["status_code"]) for line in g.lines.of("request")] == [("rejected", 413)]


async def test_a_body_of_just_the_limit_is_read(gateway, claude):
    async with gateway(body_limit=len(ASK)) as g:
        response = await g.caller.post("/chat", content=ASK, headers=JSON)

    assert response.status_code == 200


@pytest.mark.parametrize(("switches", "status"), [({}, 413), ({"body_limit": None}, 422), ({"preset": "naive"}, 422)])
async def test_without_the_switch_a_body_has_any_size(gateway, claude, switches, status):
    body = json.dumps({"message": "x" * 2_000_000})

    async with gateway(**switches) as g:
        response = await g.caller.post("/chat", content=body, headers=JSON)

    assert response.status_code == status


@pytest.mark.parametrize("preset", ["naive", "production"])
async def test_below_v1_the_limit_is_claudes(gateway, claude, preset):
    async with gateway(preset=preset, body_limit=10) as g:
        taken = await g.post(b" " * 1_500_000)
        refused = await g.asgi("/v1/messages", headers={"content-length": str(CLAUDES_LIMIT + 1)})

    assert taken.status_code == 200
    assert (refused[0]["status"], error_of(refused)["type"]) == (413, "request_too_large")


@pytest.mark.parametrize(("path", "kind"), [("/chat", "rejected"), ("/v1/messages", "timeout_error")])
async def test_a_body_that_trickles_is_refused_in_time_and_its_connection_closed(gateway, claude, path, kind):
    trickle = [part for byte in ASK * 9 for part in (bytes([byte]), 1.0)]

    async with gateway(body_timeout=10.0) as g:
        sent = await g.asgi(path, *trickle)

    assert (sent[0]["status"], sent[0]["at"]) == (408, pytest.approx(10.0, abs=0.1))
    assert (b"connection", b"close") in sent[0]["headers"]
    assert error_of(sent)["type"] == kind
    assert claude.received == []
    assert [line["outcome"] for line in g.lines.of("request")] == ["rejected"]


async def test_without_the_switch_a_body_may_take_for_ever(gateway, claude):
    async with gateway(preset="naive") as g:
        sent = await g.asgi("/chat", ASK[:5], 200.0, ASK[5:])

    assert sent[0]["status"] == 200


async def test_a_large_body_over_a_slow_line_arrives(gateway, claude):
    parts = [part for _ in range(20) for part in (b" " * 200_000, 1.5)]

    async with gateway(body_timeout=10.0) as g:
        sent = await g.asgi("/v1/messages", *parts)

    assert sent[0]["status"] == 200


async def test_a_trickling_body_holds_no_place(gateway, claude):
    async with gateway(concurrency={"limit": 1, "max_wait": 0.0}) as g:
        slow = [asyncio.ensure_future(g.asgi("/chat", b"{", 99.0, b"}")) for _ in range(100)]
        await asyncio.sleep(1.0)
        meanwhile = await g.caller.post("/chat", json={"message": "hi"})
        sent = await asyncio.gather(*slow)

    assert meanwhile.status_code == 200
    assert {each[0]["status"] for each in sent} == {408}


async def test_a_caller_who_leaves_in_the_middle_of_its_body_is_told_nothing(gateway, claude):
    async with gateway() as g:
        sent = await g.asgi("/chat", b"{", whole=False, leave_after=1.0)

    assert (sent, claude.received) == ([], [])
    assert [(line["outcome"], line["status_code"]) for line in g.lines.all] == [("left", None)]


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/v1/messages", 401)])
async def test_a_body_that_nobody_reads_is_not_waited_for(gateway, claude, path, status):
    async with gateway() as g:
        sent = await g.asgi(path, b"{", 99.0, b"}", headers={"x-api-key": "bad"})

    assert (sent[0]["status"], sent[0]["at"]) == (status, 0.0)


# What cannot be read


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b"null", 422),
        (b"\x00", 422),
        (ASK + b"\x00", 422),
        (b"\xff\xfe", 422),
        (b'{"message": "\xff"}', 400),
        (b'{"message": "\\ud800"}', 422),
        (b'{"message": "hi", "model": "\\ud800"}', 422),
        (b'{"message": "hi", "system_prompt": "\\ud800"}', 422),
        (b"[" * 500_000, 400),
        (b'{"message": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b'{"message": 5}', 422),
        (b'{"message": ["hi"]}', 422),
        (b'{"message": ""}', 422),
        (b'{"message": NaN}', 422),
        (b'{"message": "hi", "max_tokens": NaN}', 422),
        (b'{"message": "hi", "max_tokens": -Infinity}', 422),
        (b'{"message": "hi", "max_tokens": 1e999}', 422),
        (b'{"message": "hi", "max_tokens": 1.5}', 422),
        (b'{"message": "hi", "max_tokens": ' + b"9" * 4000 + b"}", 422),
        (b'{"message": "hi", "max_tokens": ' + b"9" * 5000 + b"}", 400),
        (b'{"message": "hi", "system_prompt": {}}', 422),
    ],
    ids=lambda value: repr(value[:44]) if isinstance(value, bytes) else "",
)
@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
async def test_a_body_that_makes_no_sense_is_a_clear_4xx(gateway, claude, path, body, status):
    async with gateway() as g:
        response = await g.caller.post(path, content=body, headers=JSON)

    assert response.status_code == status
    assert response.json()["error"]["type"] == "rejected"
    assert response.json()["error"]["message"].startswith("body")
    assert claude.received == [] and g.lines.of("crash") == []


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "garbage", ";;;", ""])
async def test_a_body_of_another_kind_is_a_clear_4xx(gateway, claude, kind):
    async with gateway() as g:
        response = await g.caller.post("/chat", content=ASK, headers={"content-type": kind})

    assert (response.status_code, response.json()["error"]["type"]) == (415, "rejected")
