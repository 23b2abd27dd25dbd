"""What callers send by mistake or malice: each is a 4xx that names what is wrong, and nothing of it reaches Claude."""

import json
import math

import pytest

MESSAGE = {"message": "hi"}
OURS = {
    "/chat": MESSAGE,
    "/chat/stream": MESSAGE,
    "/stream": {"prompt": "hi"},
    "/route": MESSAGE,
    "/batch": {"prompts": ["hi"]},
    "/fanout": {"prompts": {"one": "hi"}},
    "/summarize": {"text": "hi"},
    "/analyze": {"text": "hi"},
}
"""Our own endpoints, each with the least it takes; its first field is the one that is spoilt."""
CLAUDES = {"/v1/messages": "POST", "/v1/messages/count_tokens": "POST", "/v1/models": "GET", "/v1/models/m": "GET"}
PROBES = {"/livez": "GET", "/readyz": "GET", "/health": "GET", "/metrics": "GET"}
METHODS = {**dict.fromkeys(OURS, "POST"), "/analyze/a1": "GET", **CLAUDES, **PROBES}
JSON = {"x-api-key": "good", "content-type": "application/json"}
DEEP = 60_000


def field_of(good):
    return next(iter(good))


def with_field(good, value):
    return json.dumps({**good, field_of(good): value}).encode()


def longest(good):
    """A value of the right kind, one beyond what is taken."""
    too_long = "x" * 100_001
    return {"message": too_long, "prompt": too_long, "text": too_long}.get(
        field_of(good), [too_long] if isinstance(good.get("prompts"), list) else {"one": too_long}
    )


def nothing(good):
    value = good[field_of(good)]
    return type(value)()


def surrogate(good):
    value = good[field_of(good)]
    if isinstance(value, str):
        return "\ud800"
    return ["\ud800"] if isinstance(value, list) else {"one": "\ud800"}


def beside(text):
    """A good body with something else in it, written as it is."""
    return lambda good: json.dumps(good).encode()[:-1] + b", " + text.encode() + b"}"


BODIES = {
    "nothing at all": (lambda good: b"", 422, "body: Field required"),
    "blanks": (lambda good: b" \n", 422, "body.2: JSON decode error (Expecting value)"),
    "half of it": (lambda good: json.dumps(good).encode()[:-1], 422, "JSON decode error (Expecting"),
    "two of them": (lambda good: json.dumps(good).encode() * 2, 422, "JSON decode error (Extra data)"),
    "a list": (lambda good: b"[]", 422, "body: Input should be a valid dictionary"),
    "null": (lambda good: b"null", 422, "body: Input should be a valid dictionary"),
    "a number": (lambda good: b"7", 422, "body: Input should be a valid dictionary"),
    "a word": (lambda good: b'"hi"', 422, "body: Input should be a valid dictionary"),
    "an empty object": (lambda good: b"{}", 422, "body.{field}: Field required"),
    "another name": (lambda good: b'{"mesage": "hi"}', 422, "body.{field}: Field required"),
    "null in it": (lambda good: with_field(good, None), 422, "body.{field}: Input should be a valid"),
    "a number in it": (lambda good: with_field(good, 7), 422, "body.{field}: Input should be a valid"),
    "NaN in it": (lambda good: with_field(good, math.nan), 422, "body.{field}: Input should be a valid"),
    "an empty value": (lambda good: with_field(good, nothing(good)), 422, "at least 1"),
    "too long a value": (lambda good: with_field(good, longest(good)), 422, "at most 10"),
    "half a character": (lambda good: with_field(good, surrogate(good)), 422, "unable to parse raw data as a unicode"),
    "deep nesting": (lambda good: b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400, "nested too deep"),
    "deep nesting, open": (lambda good: b"[" * DEEP, 400, "nested too deep"),
    "deep nesting where nobody looks": (beside('"x": ' + "[" * DEEP + "]" * DEEP), 400, "nested too deep"),
    "an endless number": (beside('"max_tokens": ' + "9" * 5000), 400, "body: "),
    "not UTF-8": (lambda good: b'{"message": "\xff"}', 400, "body.13: got a byte that is not UTF-8"),
    "compressed": (lambda good: b"\x1f\x8b\x08\x00", 400, "not UTF-8"),
}


@pytest.mark.parametrize(("body", "status", "words"), BODIES.values(), ids=BODIES)
async def test_a_body_that_is_not_what_it_should_be(gateway, claude, body, status, words):
    async with gateway() as g:
        told = {path: await g.caller.post(path, content=body(good), headers=JSON) for path, good in OURS.items()}

    for path, good in OURS.items():
        refused(told[path], status, words.format(field=field_of(good)))
    nothing_else(g, claude)


TOKENS = {
    "zero": 0,
    "negative": -1,
    "too many": 8097,
    "text": "5",
    "a fraction": 1.5,
    "a truth": True,
    "null": None,
    "NaN": math.nan,
    "infinite": math.inf,
    "a list": [5],
}


@pytest.mark.parametrize("value", TOKENS.values(), ids=TOKENS)
async def test_tokens_that_are_no_number_of_tokens(gateway, claude, value):
    async with gateway() as g:
        told = [
            await g.caller.post(path, content=json.dumps({**good, "max_tokens": value}), headers=JSON)
            for path, good in OURS.items()
            if path != "/stream"
        ]

    for response in told:
        refused(response, 422, "body.max_tokens: Input should be ")
    nothing_else(g, claude)


@pytest.mark.parametrize("value", ["", 7, ["a"], "\ud800"], ids=["empty", "a number", "a list", "half a character"])
async def test_a_system_prompt_that_is_no_text(gateway, claude, value):
    takers = ("/chat", "/chat/stream", "/route", "/batch", "/fanout")

    async with gateway() as g:
        told = [
            await g.caller.post(path, content=json.dumps({**OURS[path], "system_prompt": value}), headers=JSON)
            for path in takers
        ]

    for response in told:
        refused(response, 422, "body.system_prompt: ")
    nothing_else(g, claude)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/batch", {"prompts": ["hi"] * 101}, "body.prompts: List should have at most 100 items"),
        ("/batch", {"prompts": ["hi", ""]}, "body.prompts.1: String should have at least 1"),
        ("/batch", {"prompts": ["hi", 7]}, "body.prompts.1: Input should be a valid string"),
        ("/batch", {"prompts": "hi"}, "body.prompts: Input should be a valid list"),
        ("/fanout", {"prompts": {str(n): "hi" for n in range(21)}}, "at most 20 items"),
        ("/fanout", {"prompts": {"": "hi"}}, "body.prompts..[key]: String should have at least 1"),
        ("/fanout", {"prompts": {"n" * 50_000: "hi"}}, "String should have at most 100"),
        ("/fanout", {"prompts": {"\ud800": "hi"}}, "unable to parse raw data as a unicode"),
        ("/fanout", {"prompts": ["hi"]}, "body.prompts: Input should be a valid dictionary"),
        ("/summarize", {"text": "hi", "version": ""}, "body.version: String should have at least 1"),
        ("/summarize", {"text": "hi", "version": 1}, "body.version: Input should be a valid string"),
        ("/analyze", {"text": "hi", "subject": "s" * 129}, "body.subject: String should have at most 128"),
        ("/analyze", {"text": "hi", "model": "m" * 101}, "body.model: String should have at most 100"),
        ("/chat", {"message": "hi", "model": "m" * 101}, "body.model: String should have at most 100"),
        ("/chat", {"message": "hi", "model": 7}, "body.model: Input should be a valid string"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_an_endpoint_takes_alone(gateway, claude, path, body, words):
    async with gateway() as g:
        response = await g.caller.post(path, content=json.dumps(body), headers=JSON)

    refused(response, 422, words)
    assert len(response.content) < 1000
    nothing_else(g, claude)


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "counted"])
async def test_a_body_that_is_too_large(gateway, claude, declared):
    """Below /v1/ Claude's own limit holds."""
    async with gateway(body_limit=1000) as g:
        sizes = dict.fromkeys(OURS, 1001) | dict.fromkeys(("/v1/messages", "/v1/messages/count_tokens"), 2**25 + 1)
        told = {}
        for path, size in sizes.items():
            headers = {**JSON, "content-length": str(size)} if declared else JSON
            told[path] = await g.asgi(path, b" " if declared else b" " * size, headers=headers)

    for path, sent in told.items():
        assert sent[0]["status"] == 413, path
        error = json.loads(sent[1]["body"])["error"]
        claudes = ("request_too_large", "Request exceeds the maximum size")
        ours = ("rejected", "the body is larger than 1000 bytes")
        assert (error["type"], error["message"]) == (claudes if path in CLAUDES else ours)
    nothing_else(g, claude)


@pytest.mark.parametrize("path", ["/summarize", "/analyze"])
async def test_a_version_that_is_not_there(gateway, claude, path):
    async with gateway() as g:
        response = await g.caller.post(path, json={"text": "hi", "version": "v99"})

    refused(response, 404, "v99")
    nothing_else(g, claude)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "content-type: is missing, expected application/json"),
        ({"content-type": "text/plain"}, "content-type: got text/plain, expected application/json"),
        ({"content-type": "application/x-www-form-urlencoded"}, "content-type: got application/x-www-form-urlencoded"),
        ({"content-type": "multipart/form-data; boundary=x"}, "content-type: got multipart/form-data; boundary=x"),
        ({"content-type": "image/png" + "x" * 5000}, "content-type: got image/png"),
        ({"content-type": b"?\xe9"}, "content-type: got ?"),
    ],
    ids=["none", "text", "form", "multipart", "endless", "nonsense"],
)
async def test_a_body_that_is_not_said_to_be_json(gateway, claude, given, words):
    async with gateway() as g:
        told = [await g.caller.post(path, content=json.dumps(good), headers=given) for path, good in OURS.items()]

    for response in told:
        refused(response, 415, words)
        assert len(response.content) < 1000
    nothing_else(g, claude)


@pytest.mark.parametrize("said", ["application/json; charset=latin-1", "application/problem+json"])
async def test_a_body_that_is_said_to_be_some_json_is_read(gateway, said):
    async with gateway() as g:
        response = await g.caller.post("/chat", content=b'{"message":"\xc3\xa9"}', headers={"content-type": said})

    assert response.status_code == 200


# Keys


KEYS = {
    "none": ({}, (401, "X-API-Key is missing"), (401, "x-api-key header is required")),
    "empty": ({"x-api-key": ""}, (401, "X-API-Key is missing"), (401, "x-api-key header is required")),
    "wrong": ({"x-api-key": "bad"}, (403, "not one of the valid keys"), (401, "invalid x-api-key")),
    "nearly": ({"x-api-key": "goo"}, (403, "not one of the valid keys"), (401, "invalid x-api-key")),
    "ours at Claude": ({"x-api-key": "sk-ours"}, (403, "not one of the valid keys"), (401, "invalid x-api-key")),
    "of other letters": ({"x-api-key": b"g\xf6d"}, (403, "not one of the valid keys"), (401, "invalid x-api-key")),
    "endless": ({"x-api-key": "g" * 50_000}, (403, "not one of the valid keys"), (401, "invalid x-api-key")),
    "a bearer": ({"authorization": "Bearer bad"}, (401, "X-API-Key is missing"), (401, "Invalid bearer token")),
    "half a bearer": (
        {"authorization": "Bearer"},
        (401, "X-API-Key is missing"),
        (401, "x-api-key header is required"),
    ),
}


@pytest.mark.parametrize(("shown", "ours", "claudes"), KEYS.values(), ids=KEYS)
async def test_a_key_that_opens_nothing(gateway, claude, shown, ours, claudes):
    """It is looked at before the body, so that who has none learns nothing."""
    async with gateway() as g:
        del g.caller.headers["x-api-key"]
        told = {
            (path, body): await g.caller.request(method, path, content=body, headers=shown)
            for path, method in METHODS.items()
            if path not in PROBES
            for body in ((b"", b"{") if method == "POST" else (None,))
        }

    for (path, _), response in told.items():
        refused(response, *(claudes if path in CLAUDES else ours))
    nothing_else(g, claude)


# Paths and methods


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "TRACE", "BREW"])
async def test_a_method_that_is_not_for_this_path(gateway, claude, method):
    async with gateway() as g:
        told = {
            path: await g.caller.request(method, path, content=b"{}")
            for path, right in METHODS.items()
            if right != method
        }

    for path, response in told.items():
        refused(response, 405, "Method Not Allowed")
        assert response.headers["allow"] == METHODS[path]
    nothing_else(g, claude)


PATHS = [
    *("/", "/nope", "/chat/", "//chat", "/CHAT", "/chat/stream/x", "/analyze/", "/analyze/a/b", "/%00", "/%ff"),
    *("/v1/", "/v1/nope", "/v1/messages/", "/v1//messages", "/v1/models/", "/v1/models/a/b", "/v1/messages/batches"),
    "/" + "x" * 10_000,
]


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
async def test_a_path_that_is_not_there(gateway, claude, method):
    async with gateway() as g:
        told = [await g.caller.request(method, f"http://gateway{path}") for path in PATHS]

    for response in told:
        refused(response, 404, "Not found")
    nothing_else(g, claude)


async def test_a_task_that_is_not_there(gateway, claude):
    async with gateway() as g:
        told = [await g.caller.get(f"/analyze/{task}") for task in ("a1", "x" * 5000, "%00", "%ff", "..%5c", "é")]

    for response in told:
        refused(response, 404, "there is no such task")
    nothing_else(g, claude)


# Headers that mean something


@pytest.mark.parametrize(
    "headers",
    [
        {"x-request-id": "\x7f"},
        {"x-request-id": "x" * 5000},
        {"x-request-deadline": "soon"},
        {"x-request-deadline": "nan"},
        {"x-request-deadline": "-1"},
        {"x-request-deadline": "1e999"},
        {"x-priority": "p" * 5000},
        {"traceparent": "00-nonsense"},
        {"accept": "nothing/known"},
        {"content-length": "7", "transfer-encoding": "x"},
    ],
    ids=lambda headers: f"{next(iter(headers))}={next(iter(headers.values()))[:5]!a}",
)
async def test_a_header_that_means_nothing_changes_nothing(gateway, headers):
    async with gateway(preset="naive") as g:
        told = [
            (await g.asgi(path, json.dumps(good).encode(), headers={**JSON, **headers}))[0]
            for path, good in OURS.items()
        ]

    assert {start["status"] for start in told} == {200, 202}
    assert g.lines.of("crash") == []


async def test_who_has_a_good_key_and_a_good_body_gets_an_answer_everywhere(gateway):
    """So that the refusals above are for what they say."""
    async with gateway(preset="naive") as g:
        told = {path: await g.caller.post(path, json=good) for path, good in OURS.items()}

    assert {path: response.status_code for path, response in told.items()} == {
        **dict.fromkeys(OURS, 200),
        "/analyze": 202,
    }


def refused(response, status, words):
    """The status, and our envelope or below /v1/ Claude's, in which the message holds `words`."""
    assert response.status_code == status, response.text
    if response.request.method == "HEAD":
        return
    body = response.json()
    error = body["error"]
    assert words in error["message"]
    if response.request.url.path.startswith("/v1/"):
        assert (body["type"], set(body)) == ("error", {"type", "error", "request_id"})
        assert set(error) == {"type", "message"}
        assert body["request_id"] == response.headers["request-id"] == response.headers["x-request-id"]
        assert response.headers["x-should-retry"] == "false"
    else:
        assert (set(body), set(error)) == ({"error"}, {"type", "message", "request_id"})
        assert error["type"] == "rejected"
        assert error["request_id"] == response.headers["x-request-id"]


def nothing_else(g, claude):
    """Claude was not asked, and the log knows of rejected requests alone."""
    assert claude.received == []
    assert {(line["event"], line["outcome"]) for line in g.lines.all} == {("request", "rejected")}
