"""POST /chat: what goes to Claude, what comes back; and what /docs says of every endpoint."""

import pytest


async def test_an_answer_comes_back_with_its_tokens(gateway, claude):
    claude.script = [claude.says("good morning", tokens=(11, 4))]

    async with gateway() as g:
        response = await g.chat()

    assert response.status_code == 200
    answer = {"text": "good morning", "input_tokens": 11, "output_tokens": 4, "model": "claude-haiku-4-5"}
    assert response.json() == {**answer, "cached": False}


async def test_an_answer_says_that_it_had_been_given_before(gateway, claude):
    async with gateway() as g:
        first, again = await g.chat(), await g.chat()

    assert [response.json()["cached"] for response in (first, again)] == [False, True]
    assert len(claude.received) == 1


async def test_the_holder_of_the_key_is_in_the_log(gateway):
    async with gateway() as g:
        await g.chat()

    assert g.lines.of("request")[0]["tenant"].startswith("key-")


async def test_claude_is_asked_what_the_caller_asked(gateway, claude):
    async with gateway(prompt_cache=False) as g:
        await g.chat("why?", system_prompt="be brief", model="claude-opus-4-6", max_tokens=9)

    [body] = claude.bodies()
    assert body["messages"] == [{"role": "user", "content": "why?"}]
    assert (body["system"], body["model"], body["max_tokens"]) == ("be brief", "claude-opus-4-6", 9)


async def test_what_the_caller_leaves_out_has_defaults(gateway, claude):
    async with gateway(model="claude-sonnet-4-6") as g:
        await g.chat("why?")

    [body] = claude.bodies()
    assert "system" not in body
    assert (body["model"], body["max_tokens"]) == ("claude-sonnet-4-6", 1024)


async def test_the_callers_request_id_goes_all_the_way_and_back(gateway, claude):
    async with gateway() as g:
        response = await g.caller.post("/chat", json={"message": "hi"}, headers={"x-request-id": "abc-1"})

    assert claude.ids == ["abc-1"]
    assert claude.bodies()[0]["metadata"] == {"user_id": "abc-1"}
    assert response.headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize("given", ["", "two words", "x" * 129], ids=["empty", "with a space", "too long"])
async def test_an_unusable_request_id_is_replaced(gateway, claude, given):
    async with gateway() as g:
        response = await g.caller.post("/chat", json={"message": "hi"}, headers={"x-request-id": given})

    assert response.headers["x-request-id"] == claude.ids[0] != given
    assert len(claude.ids[0]) == 32


async def test_one_seed_gives_the_same_new_ids(gateway, claude):
    async with gateway() as g:
        await g.chat()
    async with gateway() as g:
        await g.chat()

    assert claude.ids[0] == claude.ids[1]


async def test_claude_is_told_which_attempt_it_sees(gateway, claude):
    claude.script = [claude.fails(529), claude.says("at last")]

    async with gateway() as g:
        await g.chat()

    assert [request.headers["x-stainless-retry-count"] for request in claude.received] == ["0", "1"]


@pytest.mark.parametrize(
    ("settings", "chat", "stream"),
    [
        pytest.param({"preset": "naive"}, None, None, id="nobody gives up"),
        pytest.param({"preset": "naive", "attempt_timeout": 3.0}, "3.000", None, id="a stream may go on"),
        pytest.param({"preset": "naive", "deadline": 7.0}, "7.000", None, id="the deadline"),
        pytest.param({"preset": "naive", "attempt_timeout": 3.0, "deadline": 7.0}, "3.000", None, id="the earlier"),
        pytest.param({"deadline": 7.0, "stream_timeout": 20.0}, "7.000", "20.000", id="a stream's own"),
    ],
)
async def test_claude_is_told_how_long_an_attempt_is_waited_for(gateway, claude, settings, chat, stream):
    claude.script = [claude.says("hi"), claude.tells("hi")]

    async with gateway(**settings) as g:
        await g.chat()
        await g.stream()

    assert [request.headers.get("x-request-deadline") for request in claude.received] == [chat, stream]


async def test_the_next_attempt_has_only_what_is_left_of_the_deadline(gateway, claude):
    claude.script = [claude.fails(529, after=2.0), claude.says("at last")]

    async with gateway(preset="naive", deadline=7.0) as g:
        await g.chat()

    assert [request.headers["x-request-deadline"] for request in claude.received] == ["7.000", "4.500"]


async def test_our_key_and_never_the_callers_goes_to_claude(gateway, claude):
    async with gateway() as g:
        await g.chat()

    [request] = claude.received
    assert "sk-ours" in {request.headers.get("x-api-key"), request.headers.get("authorization", "")[7:]}
    assert "good" not in request.headers.values()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "message"),
        ({"message": ""}, "message"),
        ({"message": "x" * 10_001}, "message"),
        ({"message": 5}, "message"),
        ({"message": ["hi"]}, "message"),
        ({"message": "hi", "model": "m" * 101}, "model"),
        ({"message": "hi", "max_tokens": "many"}, "max_tokens"),
        ({"message": "hi", "max_tokens": 0}, "max_tokens"),
        ({"message": "hi", "max_tokens": 8097}, "max_tokens"),
    ],
    ids=["missing", "empty", "long", "not text", "a list", "model", "tokens in words", "no tokens", "too many tokens"],
)
async def test_a_bad_request_is_rejected_before_claude_sees_it(gateway, claude, body, field):
    async with gateway() as g:
        response = await g.caller.post("/chat", json=body)

    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (422, "rejected")
    assert field in error["message"]
    assert error["request_id"] == response.headers["x-request-id"]
    assert claude.received == []


@pytest.mark.parametrize(
    "body", [{"message": "x" * 10_000}, {"message": "x", "max_tokens": 8096}], ids=["message", "tokens"]
)
async def test_the_largest_request_passes(gateway, body):
    async with gateway() as g:
        response = await g.caller.post("/chat", json=body)

    assert response.status_code == 200


async def test_bad_json_is_rejected(gateway):
    async with gateway() as g:
        response = await g.caller.post("/chat", content=b"{", headers={"content-type": "application/json"})

    assert (response.status_code, response.json()["error"]["type"]) == (422, "rejected")


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
@pytest.mark.parametrize(("key", "status"), [(None, 401), ("", 401), ("bad", 403)], ids=["missing", "empty", "wrong"])
async def test_a_caller_without_a_good_key_is_rejected(gateway, claude, path, key, status):
    async with gateway() as g:
        del g.caller.headers["x-api-key"]
        response = await g.caller.post(path, json={"message": "hi"}, headers={} if key is None else {"x-api-key": key})

    assert (response.status_code, response.json()["error"]["type"]) == (status, "rejected")
    assert claude.received == []


async def test_an_unknown_path_has_the_envelope_too(gateway):
    async with gateway() as g:
        response = await g.caller.get("/nowhere")

    assert (response.status_code, response.json()["error"]["type"]) == (404, "rejected")


async def test_a_fault_of_ours_is_a_500_in_the_envelope_and_a_crash_in_the_log(gateway):
    async def buggy():
        raise RuntimeError("a bug")

    async with gateway() as g:
        g.app.add_api_route("/buggy", buggy)
        response = await g.caller.get("/buggy")

    assert (response.status_code, response.json()["error"]["type"]) == (500, "configuration")
    assert "a bug" not in response.text
    assert len(g.lines.of("crash")) == 1


OURS = ["/chat", "/chat/stream", "/stream", "/batch", "/fanout", "/route"]


@pytest.mark.parametrize("path", OURS)
async def test_text_that_is_none_is_rejected(gateway, claude, path):
    async with gateway() as g:
        sent = await g.asgi(path, b'{"message": "\\ud800", "prompt": "\\ud800", "prompts": {"\\ud800": "\\ud800"}}')

    assert (sent[0]["status"], claude.received) == (422, [])


@pytest.mark.parametrize("path", OURS)
async def test_the_docs_say_what_an_endpoint_takes_gives_and_refuses(gateway, claude, path):
    claude.script = [claude.tells("hi") if "stream" in path else claude.says("hi")]

    async with gateway() as g:
        schema = (await g.caller.get("/openapi.json")).json()
        described = schema["paths"][path]["post"]
        taken, given = (_schema(schema, described[part]) for part in ("requestBody", "responses") if part in described)
        response = await g.caller.post(path, json=taken["example"])

    assert described["summary"] and described["description"]
    assert response.status_code == 200
    if given is not None:
        assert set(response.json()) == set(given["example"])
    assert {"401", "403", "408", "413", "422", "429", "500", "502", "503", "504"} < set(described["responses"])
    refusal = described["responses"]["503"]
    assert refusal["content"]["application/json"]["example"]["error"]["type"] == "overloaded"
    assert "Retry-After" in refusal["headers"]
    assert {each["name"] for each in described["parameters"]} >= {"X-Request-ID", "X-Request-Deadline", "X-Priority"}


def _schema(schema, part):
    """The model of a request's body, or of the JSON of a 200."""
    content = (part if "content" in part else part["200"])["content"]
    if "application/json" not in content:
        return None
    return schema["components"]["schemas"][content["application/json"]["schema"]["$ref"].rpartition("/")[2]]
