"""The error table: what Claude does, what the caller is told, and whether it was tried again."""

import httpx2
import pytest

from gateway_under_test import errors


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
@pytest.mark.parametrize(
    ("status", "told", "type_", "attempts"),
    [
        (400, 400, "rejected", 1),
        (401, 500, "configuration", 1),
        (403, 500, "configuration", 1),
        (404, 400, "rejected", 1),
        (413, 413, "rejected", 1),
        (429, 429, "throttled", 2),
        (500, 502, "upstream_error", 2),
        (503, 502, "upstream_error", 2),
        (504, 502, "upstream_error", 2),
        (529, 503, "overloaded", 2),
    ],
)
async def test_a_status_of_claude(gateway, claude, path, status, told, type_, attempts):
    claude.script = [claude.fails(status)]

    async with gateway(attempts=2) as g:
        response = await g.caller.post(path, json={"message": "hi"})

    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (told, type_)
    assert error["request_id"] == response.headers["x-request-id"] == claude.ids[0]
    assert "RAW" not in response.text
    assert len(claude.received) == attempts
    assert {line["status_code"] for line in g.lines.attempts} == {status}
    assert {line["outcome"] for line in g.lines.attempts} == {type_}


@pytest.mark.parametrize(
    ("raised", "told", "type_", "sent"),
    [
        (httpx2.ConnectError("refused"), 503, "unreachable", False),
        (httpx2.ConnectTimeout("slow"), 503, "unreachable", False),
        (httpx2.ReadError("reset"), 502, "upstream_error", True),
        (httpx2.RemoteProtocolError("cut"), 502, "upstream_error", True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_a_connection_that_fails(gateway, claude, raised, told, type_, sent):
    claude.script = [claude.raises(raised)]

    async with gateway(attempts=2) as g:
        response = await g.chat()

    assert (response.status_code, response.json()["error"]["type"]) == (told, type_)
    assert [(line["status_code"], line["sent"]) for line in g.lines.attempts] == [(None, sent)] * 2


@pytest.mark.parametrize(
    "body",
    [
        "<html>bad gateway</html>",
        {"type": "error", "error": {"type": "overloaded_error", "message": "in a 200"}},
        {"type": "message", "content": None, "usage": None},
        {"type": "message", "content": [], "usage": {"input_tokens": 1, "output_tokens": 0}},
        [],
    ],
    ids=["html", "error as a 200", "no content", "no text", "a list"],
)
async def test_a_200_that_is_no_answer_is_an_upstream_error(gateway, claude, body):
    claude.script = [claude.answers(body)]

    async with gateway(attempts=1) as g:
        response = await g.chat()

    assert (response.status_code, response.json()["error"]["type"]) == (502, "upstream_error")
    assert [line["status_code"] for line in g.lines.attempts] == [200]


@pytest.mark.parametrize(
    ("retry_after", "told"),
    [("7", "7"), ("0.2", "1"), ("2.5", "3"), ("Fri, 20 Nov 2026 10:00:00 GMT", "1"), ("nan", "1"), ("-3", "1")],
)
async def test_retry_after_is_passed_on_in_whole_seconds(gateway, claude, retry_after, told):
    claude.script = [claude.fails(429, retry_after=retry_after)]

    async with gateway(attempts=1) as g:
        response = await g.chat()

    assert response.headers["retry-after"] == told


@pytest.mark.parametrize(("status", "present"), [(529, True), (429, True), (500, False), (400, False)])
async def test_retry_after_is_on_every_429_and_503_and_nowhere_else(gateway, claude, status, present):
    claude.script = [claude.fails(status)]

    async with gateway(attempts=1) as g:
        response = await g.chat()

    assert ("retry-after" in response.headers) is present


def test_every_type_of_the_envelope_has_its_class():
    classes = {kind.type for kind in errors.GatewayError.__subclasses__()}

    assert classes == {
        *("shed", "throttled", "overloaded", "unreachable", "timeout"),
        *("rejected", "upstream_error", "configuration"),
    }
