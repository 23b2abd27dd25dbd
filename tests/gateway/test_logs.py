"""The log itself: JSON lines that grep finds, the request's line, no secrets, and the loop's lag."""

import asyncio
import contextlib
import io
import json
import logging

import httpx2
import pytest

from gateway_under_test import create_app, logs, redaction, server
from gateway_under_test.settings import Settings

OURS = "upstream-credential-0123456789"
CALLERS = "tenant-a-credential-0123456789"
WRONG = "guessed-credential-0123456789"
PARTS = (OURS, CALLERS, WRONG)


class Said:
    """A log as it is written, and the caller of the gateway that writes it."""

    def __init__(self, file, caller):
        self.file = file
        self.caller = caller

    @property
    def text(self):
        return self.file.getvalue()

    def lines(self, event):
        return [fields for fields in map(json.loads, self.text.splitlines()) if fields["event"] == event]


@contextlib.asynccontextmanager
async def writing(transport, **switches):
    """A gateway with its real log, whose keys look like no key of Claude's."""
    file = io.StringIO()
    log = logs.make(file, secrets=[OURS])
    chosen = Settings(
        anthropic_base_url="http://claude.test", anthropic_api_key=OURS, valid_api_keys=(CALLERS,), **switches
    )
    async with httpx2.AsyncClient(transport=transport) as upstream:
        app = create_app(chosen, http_client=upstream, log=log, seed=1)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=app, raise_app_exceptions=False),
                base_url="http://gateway",
                headers={"x-api-key": CALLERS},
            ) as caller,
        ):
            yield Said(file, caller)


async def requested(headers=None, inner=None, path="/chat"):
    """The lines of one request to an application that is not the gateway, and the line it was told on."""
    seen = []

    class Lines:
        def __init__(self):
            self.all = []

        def info(self, event, **fields):
            self.all.append((event, fields))

        warning = exception = info

    async def app(scope, receive, send):
        seen.append(scope["state"]["line"])
        if inner:
            inner(scope["state"]["line"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    lines = Lines()
    log = logs.RequestLog(app, log=lines, new_id=lambda: "made-1")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=log), base_url="http://gateway") as caller:
        await caller.post(path, headers=headers or {})
    [(_, fields)] = lines.all
    return fields, seen[0]


# Lines


def test_a_line_is_one_json_object():
    file = io.StringIO()

    logs.make(file).info("attempt", request_id="r-1", status_code=None)

    [line] = file.getvalue().splitlines()
    fields = json.loads(line)
    assert (fields["event"], fields["request_id"], fields["status_code"]) == ("attempt", "r-1", None)
    assert fields["timestamp"].endswith("Z")


def test_a_crash_keeps_its_traceback_in_one_line():
    file = io.StringIO()
    log = logs.make(file)

    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        log.exception("crash", request_id="r-1")

    [line] = file.getvalue().splitlines()
    assert "ZeroDivisionError" in json.loads(line)["exception"]


async def test_grep_finds_the_requests_and_the_attempts_that_claude_rejected(claude):
    claude.script = [claude.fails(400), claude.says("hello")]

    async with writing(claude) as said:
        await said.caller.post("/chat", json={"message": "one"})
        await said.caller.post("/chat", json={"message": "two"})

    found = [json.loads(line)["event"] for line in said.text.splitlines() if '"status_code": 400' in line]
    assert sorted(found) == ["attempt", "request"]


# The request's line


async def test_a_request_tells_all_that_is_asked_of_it(gateway, claude):
    async with gateway() as g:
        await g.chat()

    [line] = g.lines.of("request")
    always = {"method", "path", "status_code", "duration_ms", "input_tokens", "output_tokens", "model", "attempts"}
    assert set(line) - {"route", "tenant"} == always | {"event", "outcome", "request_id"}
    assert (line["path"], line["route"]) == ("/chat", "/chat")


@pytest.mark.parametrize(
    ("path", "route"),
    [("/v1/models/m-1", "/v1/models/{model_id}"), ("/livez", "/livez"), ("/nope", None)],
)
async def test_the_route_is_the_template_that_matched(gateway, claude, path, route):
    async with gateway() as g:
        await g.caller.get(path)

    [line] = g.lines.of("request")
    assert (line["path"], line.get("route")) == (path, route)


async def test_what_is_set_is_told_and_what_is_not_is_not():
    def inner(line):
        line.tenant, line.cached, line.version, line.queued = "tenant-a", True, "v2", 0.0125

    some, _ = await requested(inner=inner)
    none, _ = await requested()

    assert {name: some[name] for name in set(some) - set(none)} == {
        "tenant": "tenant-a",
        "cached": True,
        "version": "v2",
        "queued_ms": 12.5,
    }


@pytest.mark.parametrize(
    ("given", "deadline"),
    [
        ("30", 30.0),
        ("0.25", 0.25),
        ("0", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Fri, 20 Nov 2026 10:00:00 GMT", None),
        (None, None),
    ],
)
async def test_the_callers_deadline_is_a_number_of_seconds_or_none(given, deadline):
    _, line = await requested({"x-request-deadline": given} if given else {})

    assert line.deadline == deadline


@pytest.mark.parametrize(
    ("given", "priority"),
    [("low", "low"), ("normal", "normal"), ("high", "high"), ("urgent", "normal"), ("", "normal"), (None, "normal")],
)
async def test_the_callers_priority_is_one_of_three(given, priority):
    _, line = await requested({"x-priority": given} if given is not None else {})

    assert line.priority == priority


# Secrets


@pytest.fixture
def shown():
    """A caller shows a key; forgotten at the end, because all tests run in one context."""
    yield lambda key, header="x-api-key": redaction.remember({header: key})
    redaction.remember({})


async def test_no_line_holds_a_key(gateway, claude):
    claude.script = [claude.fails(401)]

    async with gateway() as g:
        await g.chat()
        await g.caller.post("/chat", json={"message": "hi"}, headers={"x-api-key": "stolen"})

    text = json.dumps(g.lines.all)
    assert not any(secret in text for secret in ("sk-ours", "stolen", '"good"'))


class Blabber(httpx2.AsyncBaseTransport):
    """A network whose errors repeat what it was given."""

    def __init__(self, error):
        self.error = error

    async def handle_async_request(self, request):
        credential = request.headers.get("x-api-key") or request.headers["authorization"]
        raise self.error(f"cannot send {credential!r} ({request.headers!r}, {OURS!r}, {CALLERS!r})")


@pytest.mark.parametrize("error", [RuntimeError, KeyError, httpx2.LocalProtocolError, httpx2.ConnectError])
@pytest.mark.parametrize("path", ["/chat", "/chat/stream", "/v1/messages"])
@pytest.mark.parametrize("shown", ["x-api-key", "authorization"])
async def test_whatever_fails_no_line_holds_a_key(path, error, shown):
    async with writing(Blabber(error), attempts=1) as said:
        value = CALLERS if shown == "x-api-key" else f"Bearer {CALLERS}"
        await said.caller.post(path, json={"message": "hi", "model": "m-1"}, headers={shown: value})

    assert said.lines("request")
    assert [part for part in PARTS if part in said.text] == []


@pytest.mark.parametrize("path", ["/chat", "/v1/messages", "/v1/models"])
@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": WRONG},
        {"x-api-key": "", "authorization": f"Bearer {WRONG}"},
        {"x-api-key": f"{WRONG}\xe9"},
        {"x-api-key": WRONG, "x-request-id": f"{WRONG} with a space"},
        {"x-api-key": WRONG, "x-request-deadline": WRONG, "x-priority": WRONG},
    ],
    ids=["wrong", "bearer", "not ascii", "in the id", "in other headers"],
)
async def test_a_wrong_key_is_in_no_line(claude, path, headers):
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}

    async with writing(claude) as said:
        await said.caller.request("GET" if path.endswith("models") else "POST", path, headers=encoded)

    assert said.lines("request")[0]["status_code"] in (401, 403)
    assert WRONG not in said.text


async def test_a_key_in_the_path_is_in_no_line(claude):
    async with writing(claude) as said:
        await said.caller.get(f"/livez/{CALLERS}")

    assert said.lines("request")[0]["path"] == "/livez/[secret]"


@pytest.mark.parametrize(
    ("header", "value", "repeated"),
    [
        ("x-api-key", CALLERS, CALLERS),
        ("authorization", f"Basic {CALLERS}", CALLERS),
        ("authorization", CALLERS, CALLERS),
        ("proxy-authorization", f"Basic {CALLERS}", CALLERS),
        ("cookie", f"a=1; session={CALLERS}", f"a=1; session={CALLERS}"),
    ],
)
def test_whichever_way_a_caller_shows_a_key_it_is_not_told(shown, header, value, repeated):
    shown(value, header)

    assert redaction.redact({"error": f"cannot use {repeated}"}, ()) == {"error": "cannot use [secret]"}


async def test_a_crash_tells_where_and_not_with_which_key():
    file = io.StringIO()

    async def app(scope, receive, send):
        given = dict(scope["headers"])
        raise ZeroDivisionError(f"{given} {OURS}")

    log = logs.RequestLog(app, log=logs.make(file, secrets=[OURS]), new_id=lambda: "made-1")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=log), base_url="http://gateway") as caller:
        headers = {"x-api-key": WRONG, "authorization": f"Bearer {CALLERS}", "cookie": f"session={CALLERS}"}
        response = await caller.post("/chat", headers=headers)

    crash, _ = map(json.loads, file.getvalue().splitlines())
    assert (response.status_code, crash["event"], crash["level"]) == (500, "crash", "error")
    assert "ZeroDivisionError" in crash["exception"] and "raise ZeroDivisionError" in crash["exception"]
    assert [part for part in PARTS if part in file.getvalue()] == []


def test_what_the_web_server_says_of_a_request_holds_no_key(shown):
    file = io.StringIO()
    handler = server._Lines(logs.make(file, secrets=[OURS]))

    shown(CALLERS)
    try:
        raise RuntimeError(f"{CALLERS} {OURS}")
    except RuntimeError as error:
        exc_info = (type(error), error, error.__traceback__)
        record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, f"failed: {CALLERS}", (), exc_info)
        handler.handle(record)

    [line] = map(json.loads, file.getvalue().splitlines())
    assert line["message"] == "failed: [secret]"
    assert "RuntimeError: [secret] [secret]" in line["error"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("key sk-ant-api03-abc_DEF-123 refused", "key [secret] refused"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer [secret]"),
        ("redis://user:pass@host:6379/0 is down", "redis://[secret]@host:6379/0 is down"),
        ("risk-free ask-me", "risk-free ask-me"),
        ("https://host/a@b", "https://host/a@b"),
    ],
)
def test_what_looks_like_a_key_is_not_told_in_any_field(value, told):
    assert redaction.redact({"model": value, "n": 3}, ()) == {"model": told, "n": 3}


def test_a_key_is_known_in_the_escapes_of_an_error_too():
    known = "two\nlines'-of-key"

    assert redaction.redact({"exception": repr(known.encode())}, [known])["exception"].count("lines") == 0


def test_no_caller_can_blot_out_our_own_words(shown):
    shown("complete")

    line = redaction.redact({"event": "request", "outcome": "complete", "error": "complete"}, ())

    assert line == {"event": "request", "outcome": "complete", "error": "[secret]"}


# The loop


async def test_a_late_loop_is_told(gateway):
    loop = asyncio.get_running_loop()
    lines = []

    class Late:
        def warning(self, event, **fields):
            lines.append((event, fields))

    watcher = loop.create_task(logs.watch_loop(Late()))
    await asyncio.sleep(1.0)
    quiet = list(lines)
    real = loop.time
    loop.time = lambda: real() + (0.5 if not lines and real() > 1.1 else 0.0)
    await asyncio.sleep(1.0)
    watcher.cancel()

    assert quiet == []
    assert lines[0][0] == "loop_lag" and lines[0][1]["seconds"] >= 0.25
