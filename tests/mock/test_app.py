"""What all endpoints beside POST /v1/messages have in common, and what becomes of every other path."""

import asyncio
import json
import os
import re
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mockclaude.app import BESIDES

KEY = {"x-api-key": "k", "anthropic-version": "2026-10-21"}
PATHS = [path for _, path in BESIDES]
FILLED = [(method, re.sub(r"\{\w+\}", "some_id", path)) for method, path in BESIDES]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))


@pytest.mark.parametrize(("method", "path"), FILLED)
@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"anthropic-version": "2023-06-01"}, 401, "x-api-key header is required"),
        ({"x-api-key": "k"}, 400, "anthropic-version: header is required"),
    ],
    ids=["no key", "no version"],
)
async def test_every_endpoint_admits_only_those_who_may_ask(mocked, method, path, headers, status, said):
    async with mocked() as claude:
        refused = await claude.send(method, path, b"{}", headers).ended()

        assert refused.status == status
        assert refused.error["message"] == said
        assert refused.json["request_id"] == refused.headers["request-id"]


async def test_answers_carry_claudes_headers_and_are_no_attempts(mocked):
    async with mocked(limits={"requests_per_minute": 1, "burst": 1}) as claude:
        answers = [await claude.send("GET", "/v1/models", headers=KEY).ended() for _ in range(3)]

        assert [answer.status for answer in answers] == [200] * 3
        ids = {answer.headers["request-id"] for answer in answers}
        assert len(ids) == 3
        assert all(re.fullmatch(r"req_011C\w{20}", request_id) for request_id in ids)
        assert answers[0].headers["anthropic-organization-id"]
        assert answers[0].headers["content-type"] == "application/json"
        assert await claude.journal() == []
        assert (await claude.call("GET", "/_mock/stats"))["arrived"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nothing"),
        ("POST", "/v1/complete"),
        ("GET", "/v1/messages/"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/files/a/b"),
        ("GET", "/v2/messages"),
        ("HEAD", "/api/hello"),
    ],
)
async def test_everything_else_is_claudes_404(mocked, method, path):
    async with mocked() as claude:
        refused = await claude.send(method, path, headers={"x-api-key": "k", "host": "["}).ended()

        assert refused.status == 404
        assert refused.error == {"type": "not_found_error", "message": "Not found"}
        assert refused.json["request_id"] == refused.headers["request-id"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/v1/models"), ("GET", "/v1/messages"), ("DELETE", "/v1/files"), ("PATCH", "/v1/messages/batches/x")],
)
async def test_a_wrong_method_on_a_known_path_is_a_405(mocked, method, path):
    async with mocked() as claude:
        refused = await claude.send(method, path, headers=KEY).ended()

        assert refused.status == 405
        assert refused.error == {"type": "invalid_request_error", "message": "Method Not Allowed"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_root_answers_whoever_asks_first(mocked, method):
    async with mocked() as claude:
        assert (await claude.send(method, "/").ended()).status == 200


async def test_a_mistake_of_the_mocks_own_is_claudes_500_and_leaves_a_trace(mocked, caplog):
    def broken(request):
        raise ZeroDivisionError

    async with mocked() as claude:
        claude.app.router.add_route("/broken", broken)
        reply = claude.send("GET", "/broken")
        with pytest.raises(ZeroDivisionError):  # for the web server to see
            await reply.ended()

        assert (reply.status, reply.error["type"]) == (500, "api_error")
        assert "GET /broken: the mock itself failed" in caplog.text


class Begins:
    """A response that fails after its head, or before it."""

    def __init__(self, begins):
        self._begins = begins

    async def __call__(self, scope, receive, send):
        if self._begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError


@pytest.mark.parametrize(("begins", "status"), [(False, 500), (True, 200)], ids=["before its head", "after it"])
async def test_an_answer_that_fails_on_the_short_way_is_a_500_unless_it_has_begun(mocked, caplog, begins, status):
    async def broken(request):
        return Begins(begins)

    async with mocked() as claude:
        claude.app._direct["GET", "/broken"] = broken
        reply = claude.send("GET", "/broken")
        with pytest.raises(ZeroDivisionError):  # for the web server to see
            await reply.ended()

        assert reply.status == status
        assert reply.whole != begins
        assert ("GET /broken: the mock itself failed" in caplog.text) != begins


async def test_a_client_that_leaves_while_it_uploads_is_no_failure(mocked):
    async with mocked() as claude:
        exchange = claude.send("POST", "/v1/messages/batches", b"", KEY)
        exchange._asked = True
        await asyncio.sleep(0)
        await exchange.leave()

        assert exchange.status is None


words = st.sampled_from(["limit", "after_id", "before_id", "page", "ids[]", "ids", "lifecycle[]", "beta"]) | st.text()
values = st.sampled_from(["1", "0", "-1", "1001", "page_", "msgbatch_01", "NaN", "9" * 5000]) | st.text()
queries = st.lists(st.tuples(words, values), max_size=3)
nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
requests = st.fixed_dictionaries({}, optional={"custom_id": nested | st.just("a"), "params": nested})
bodies = (
    st.binary(max_size=50)
    | nested.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({"requests": st.lists(requests, max_size=3) | nested}).map(lambda v: json.dumps(v).encode())
    | st.binary(max_size=60).map(
        lambda inner: b'--B\r\nContent-Disposition: form-data; name="file"\r\n' + inner + b"--B--"
    )
)
methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
parts = st.sampled_from(["x", "msgbatch_01", "claude-haiku-4-5", "%00", "é"]) | st.text(max_size=6)
paths = st.sampled_from(PATHS) | st.lists(parts, max_size=3).map(lambda steps: "/v1/" + "/".join(steps))
kinds = st.sampled_from(["application/json", "multipart/form-data; boundary=B", "multipart/form-data", ""])


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(method=methods, path=paths, part=parts, query=queries, body=bodies, kind=kinds)
def test_whatever_comes_the_answer_is_claudes_and_no_failure(mocked, method, path, part, query, body, kind):
    async def answered():
        async with mocked() as claude:
            whole = re.sub(r"\{\w+\}", lambda _: part, path).replace("?", "")
            headers = KEY | {"content-type": kind}
            return await claude.send(method, f"{whole}?{urlencode(query)}", body, headers).ended()

    answer = asyncio.run(answered())

    assert answer.status < 500
    if answer.status >= 400:
        assert {"type", "message"} <= set(answer.error)
        assert answer.status == 413 or answer.json["request_id"] == answer.headers["request-id"]
