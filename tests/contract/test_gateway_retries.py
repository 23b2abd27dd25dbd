"""What the gateway's own patterns do to a caller of the official SDK: retries cost time and nothing else, and what the
gateway itself refuses, it refuses as Claude would."""

import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor

import anthropic
import httpx2
import pytest

ASK = {"model": "claude-haiku-4-5", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
OURS, THEIRS = "sk-ours", "sk-theirs"
PRESETS = ["naive", "production"]
QUICKLY = {"backoff__base": 0.01}
FORGETFUL = {"breaker": "none", "pace": "none", "retry_budget": "none"}  # one test's failures are not the next one's


@pytest.fixture(scope="module")
def patient(behind, run_gateway):
    """A gateway of each preset with its three attempts, in front of the mock."""
    with contextlib.ExitStack() as held:
        yield {
            preset: held.enter_context(run_gateway(behind.url, preset=preset, **QUICKLY, **FORGETFUL))
            for preset in PRESETS
        }


@pytest.fixture
def claude(behind):
    behind.configure(faults=[], seed=1)
    behind.reset()
    yield behind
    behind.configure(faults=[])


def sdk(gateway, retries=0):
    return anthropic.Anthropic(base_url=gateway.url, api_key=THEIRS, max_retries=retries, timeout=20)


def answered(client, stream, **more):
    """The tokens of a whole answer."""
    if not stream:
        return client.messages.create(**ASK | more).usage.output_tokens
    with client.messages.stream(**ASK | more) as events:
        final = events.get_final_message()
    assert final.stop_reason == "max_tokens"
    return final.usage.output_tokens


def attempts(claude):
    return [(each["status"], each["retry_count"]) for each in claude.journal()]


FAILURES = {
    "429": {"name": "status", "code": 429, "retry_after": 0.05},
    **{str(code): {"name": "status", "code": code} for code in (409, 500, 503, 504, 529)},
    "a proxy's page": {"name": "status", "code": 502, "body": "html"},
}
ACCIDENTS = {"closed": {"name": "cut", "after": 0}, "reset": {"name": "cut", "after": 0, "how": "rst"}}


@pytest.mark.parametrize("failure", ACCIDENTS.values(), ids=ACCIDENTS)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_caller_who_tries_once_sees_nothing_of_a_connection_that_broke_before_the_answer(
    patient, claude, preset, failure
):
    claude.configure(faults=[failure | {"nth": [1, 2]}])

    with sdk(patient[preset]) as client:
        assert answered(client, stream=True) == 20

    assert attempts(claude) == [(None, 0), (None, 1), (200, 2)]


def test_nor_of_an_overload_inside_a_200_if_the_gateway_looks_before_it_speaks(patient, claude):
    """The switch `peek`: naive passes the event on, and the SDK never tries again what failed so."""
    claude.configure(faults=[{"name": "error_event", "after": 0, "nth": [1, 2, 4]}])

    with sdk(patient["production"]) as client:
        assert answered(client, stream=True) == 20
    with (
        sdk(patient["naive"], retries=2) as client,
        pytest.raises(anthropic.APIStatusError, match="Overloaded") as caught,
    ):
        answered(client, stream=True)

    assert caught.value.status_code == 200
    assert attempts(claude) == [(200, 0), (200, 1), (200, 2), (200, 0)]


@pytest.mark.parametrize("stream", [False, True], ids=["answer", "stream"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_caller_who_tries_once_sees_nothing_of_the_gateways_retries(patient, claude, preset, failure, stream):
    claude.configure(faults=[failure | {"nth": [1, 2]}])

    with sdk(patient[preset]) as client:
        assert answered(client, stream) == 20

    assert attempts(claude) == [(failure["code"], 0), (failure["code"], 1), (200, 2)]
    assert {each["key"] for each in claude.journal()} == {OURS}


def test_nor_do_presets_as_they_come_show_any(claude, run_gateway):
    claude.configure(faults=[{"name": "status", "code": 529, "nth": [1, 2]}])

    with run_gateway(claude.url) as gateway, sdk(gateway) as client:
        assert answered(client, stream=True) == 20

    assert attempts(claude) == [(529, 0), (529, 1), (200, 2)]


NOT_AGAIN = [400, 401, 402, 403, 404, 413]


@pytest.mark.parametrize("code", NOT_AGAIN)
@pytest.mark.parametrize(("preset", "tries"), [("naive", 3), ("production", 1)])
def test_what_cannot_succeed_is_tried_again_by_the_naive_alone(patient, claude, preset, tries, code):
    claude.configure(faults=[{"name": "status", "code": code}])

    with sdk(patient[preset]) as client, pytest.raises(anthropic.APIStatusError) as caught:
        answered(client, stream=False)

    assert caught.value.status_code == code
    assert attempts(claude) == [(code, n) for n in range(tries)]
    assert caught.value.request_id == caught.value.body.get("request_id", caught.value.request_id)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_last_failure_is_the_one_that_is_told(patient, claude, preset):
    claude.configure(
        faults=[{"name": "status", "code": code, "nth": [n]} for n, code in ((1, 500), (2, 503), (3, 529))]
    )

    with sdk(patient[preset]) as client, pytest.raises(anthropic.OverloadedError, match="Overloaded"):
        answered(client, stream=True)

    assert [status for status, _ in attempts(claude)] == [500, 503, 529]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("what", ["error_event", "cut", "truncate"])
def test_after_the_first_byte_nothing_is_tried_again(patient, claude, preset, what):
    claude.configure(faults=[{"name": what, "after": 2}])
    seen = []

    with (
        sdk(patient[preset]) as client,
        contextlib.suppress(anthropic.APIError, httpx2.TransportError),
        client.messages.stream(**ASK) as events,
    ):
        seen.extend(events.text_stream)

    assert (len(seen), len(claude.journal())) == (2, 1)


def test_the_sdks_retries_stand_on_top_of_the_naive_gateways(patient, claude):
    claude.configure(faults=[{"name": "status", "code": 529, "retry_after": 0.001, "retry_after_as": "ms"}])

    with sdk(patient["naive"], retries=2) as client, pytest.raises(anthropic.OverloadedError):
        answered(client, stream=False)

    assert attempts(claude) == [(529, n) for n in (0, 1, 2, 1, 2, 3, 2, 3, 4)]


@pytest.mark.parametrize(("preset", "waits"), [("naive", False), ("production", True)])
def test_claude_says_when_it_may_be_asked_again_and_production_waits(patient, claude, preset, waits):
    claude.configure(faults=[{"name": "status", "code": 529, "retry_after": 0.5, "nth": [1]}])

    with sdk(patient[preset]) as client:
        assert answered(client, stream=False) == 20

    first, second = (each["t"] for each in claude.journal())
    assert (second - first > 0.4) is waits


# A Claude made of bytes says what the mock never says


@pytest.fixture(scope="module", params=PRESETS)
def before_bytes(request, raw_claude, run_gateway):
    switches = {"attempt_timeout": 0.5, **QUICKLY, **FORGETFUL}
    with run_gateway(raw_claude.url, preset=request.param, **switches) as gateway:
        yield request.param, gateway


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}


def says(status, more=b"", body=b'{"type":"error","error":{"type":"api_error","message":"no"},"request_id":"req_1"}'):
    lines = b"content-type: application/json\r\nrequest-id: req_1\r\nconnection: close\r\n" + more
    return b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n%b" % (status, lines, len(body), body)


@pytest.mark.parametrize(
    ("status", "should", "sdks", "gateways"),
    [
        (529, None, 3, 3),
        (529, b"true", 3, 3),
        (529, b"false", 1, 1),
        (429, b"false", 1, 1),
        (500, b"false", 1, 1),
        (400, None, 1, 1),
        (400, b"true", 3, 1),
        (401, b"true", 3, 1),
    ],
)
def test_whether_to_try_again_is_as_claude_says(before_bytes, raw_claude, status, should, sdks, gateways):
    """`x-should-retry` reaches the SDK, which obeys; production obeys a "false" too, naive never."""
    preset, gateway = before_bytes
    again = b"retry-after-ms: 1\r\n" + (b"x-should-retry: %b\r\n" % should if should else b"")
    raw_claude.says(says(status, again))
    requests = []

    client = sdk(gateway, retries=2)
    client = client.with_options(http_client=anthropic.DefaultHttpxClient(event_hooks={"request": [requests.append]}))
    with client, pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(**ASK)

    assert (caught.value.status_code, caught.value.request_id) == (status, "req_1")
    assert len(requests) == sdks
    assert len(raw_claude.received) == sdks * (3 if preset == "naive" else gateways)


def test_a_silent_claude_is_given_up_and_asked_again(before_bytes, raw_claude):
    whole = says(200, body=json.dumps(MESSAGE).encode())
    raw_claude.says(3.0, whole, then=(whole,))
    began = time.monotonic()

    with sdk(before_bytes[1]) as client:
        assert client.messages.create(**ASK).id == "msg_1"

    assert len(raw_claude.received) == 2
    assert 0.5 < time.monotonic() - began < 2.5


# What production itself refuses, in words that the SDK understands


@pytest.fixture(scope="module")
def guarded(behind, run_gateway):
    """Breakers and paces are kept for each model, so that each test has its own."""
    switches = {"attempts": 1, "breaker__window": 2, "breaker__cooldown": 1.0}
    with run_gateway(behind.url, **switches, concurrency__limit=1, concurrency__max_wait=0.1) as gateway:
        yield gateway


def test_an_open_breaker_is_an_overload_that_the_sdk_waits_out(guarded, claude):
    claude.configure(faults=[{"name": "status", "code": 529, "nth": [1, 2]}])

    with sdk(guarded) as client:
        for _ in range(2):
            with pytest.raises(anthropic.OverloadedError, match="Overloaded"):
                answered(client, stream=False, model="claude-sonnet-4-6")
        with pytest.raises(anthropic.OverloadedError) as caught:
            answered(client, stream=True, model="claude-sonnet-4-6")
    with sdk(guarded, retries=2) as patient:
        assert answered(patient, stream=True, model="claude-sonnet-4-6") == 20

    error = caught.value
    assert error.body["error"]["message"].startswith("Claude fails too often")
    assert error.request_id == error.body["request_id"] == error.response.headers["x-request-id"]
    assert (error.response.headers["retry-after"], error.response.headers["x-should-retry"]) == ("1", "true")
    assert len(claude.journal()) == 3


def test_a_rate_limit_is_kept_for_claude_and_told_as_one(guarded, claude):
    claude.configure(faults=[{"name": "status", "code": 429, "retry_after": 30, "nth": [1]}])

    with sdk(guarded) as client:
        with pytest.raises(anthropic.RateLimitError) as theirs:
            answered(client, stream=False, model="claude-opus-4-8")
        with pytest.raises(anthropic.RateLimitError) as ours:
            answered(client, stream=False, model="claude-opus-4-8")

    assert theirs.value.response.headers["retry-after"] == "30"
    assert int(ours.value.response.headers["retry-after"]) >= 5
    assert ours.value.response.headers["x-should-retry"] == "true"
    assert len(claude.journal()) == 1


def test_a_full_gateway_is_an_overload_too(guarded, claude, wait_for):
    claude.configure(faults=[{"name": "slow_first_byte", "seconds": 1.5}])

    with sdk(guarded) as client, ThreadPoolExecutor(1) as beside:
        first = beside.submit(answered, client, stream=False)
        wait_for(lambda: claude.stats()["running"] == 1)
        with pytest.raises(anthropic.OverloadedError) as caught:
            answered(client, stream=True)
        assert first.result() == 20

    assert caught.value.response.headers["x-should-retry"] == "true"
    assert caught.value.request_id == caught.value.body["request_id"]
    assert len(claude.journal()) == 1
