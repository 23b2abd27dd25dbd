"""What the OpenAPI document promises holds whatever is sent: schemathesis asks at and beyond every limit, and judges.

`FUZZ_EXAMPLES` says how many random requests are tried beside those at the limits, shared out among the endpoints.
"""

import collections
import os
import random
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.python import asgi

from gateway_under_test import create_app
from gateway_under_test.settings import Settings

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "600")) // 40  # of one endpoint
OFF = {"enabled": False}
REFUSED = {"expected-statuses": ["400", "404", "405", "413", "415", "422"]}


@dataclass
class Judgement:
    """What came of all the requests."""

    problems: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    statuses: collections.Counter[tuple[str, int]] = field(default_factory=collections.Counter)
    answers: list[tuple[str, bytes]] = field(default_factory=list)


class Log:
    """A log that keeps what should never be in it."""

    def __init__(self) -> None:
        self.crashes: list[dict[str, Any]] = []

    def info(self, event: str, **fields: Any) -> None:
        """What is as usual."""

    warning = info

    def exception(self, event: str, **fields: Any) -> None:
        self.crashes.append({"event": event, **fields})


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def judge(claude, log):
    """`judge(preset="naive")`: a gateway in front of `claude` is asked everything; schemathesis keeps it running."""

    def judged(ignoring=(), ignoring_of_claude=(), **switches: Any) -> Judgement:
        chosen = Settings(
            anthropic_base_url="http://claude.test",
            anthropic_api_key="sk-ours",
            valid_api_keys=("good",),
            rate_limit=None,
            **switches,
        )
        app = create_app(chosen, http_client=httpx2.AsyncClient(transport=claude), log=log, seed=1)
        config = SchemathesisConfig.from_dict(
            {
                "seed": 1,
                "headers": {"x-api-key": "good"},
                "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
                "checks": {"negative_data_rejection": REFUSED, **dict.fromkeys(ignoring, OFF)},
                "operations": [{"include-path-regex": "^/v1/", "checks": dict.fromkeys(ignoring_of_claude, OFF)}],
            }
        )
        return outcome(schemathesis.openapi.from_asgi("/openapi.json", app, config=config))

    yield judged
    asgi.shutdown_lifespans()


def outcome(schema) -> Judgement:
    """Every request that schemathesis thinks of, and the first example of each kind of problem."""
    judgement = Judgement()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            judgement.problems[repr(event)] = "schemathesis itself failed"
        if not isinstance(event, events.ScenarioFinished):
            continue
        judgement.asked += len(event.recorder.cases)
        for case, interaction in event.recorder.interactions.items():
            if interaction.response is not None:
                operation = event.recorder.cases[case].value.operation.label
                judgement.statuses[operation, interaction.response.status_code] += 1
                judgement.answers.append((operation, interaction.response.content))
        for checks in event.recorder.checks.values():
            for check in checks:
                if check.status is not Status.SUCCESS:
                    told = check.failure_info
                    judgement.problems.setdefault(f"{event.recorder.label}: {check.name}", f"{told}")
    return judgement


def test_every_promise_is_kept_while_claude_is_well(claude, log, judge):
    async def well(request):
        streamed = b'"stream":true' in request.content.replace(b" ", b"")
        return await (claude.tells("good morning", every=0.0) if streamed else claude.says("hello"))(request)

    claude.script = [well]

    judgement = judge(ignoring_of_claude=["negative_data_rejection"])  # for it is Claude who judges a body

    assert judgement.problems == {}
    assert log.crashes == []
    assert judgement.asked > 700
    assert {status for _, status in judgement.statuses} >= {200, 202, 400, 404, 405, 415, 422}
    assert max(status for _, status in judgement.statuses) < 500
    assert judgement.statuses["GET /analyze/{task_id}", 200] > 0


@pytest.mark.parametrize("preset", ["naive", "production"])
def test_every_promise_is_kept_while_claude_is_ill(claude, log, judge, preset):
    """Its failures are drawn, one for each attempt: they are documented, and never told in its own words."""
    rng = random.Random(1)

    async def ill(request):
        return await rng.choice(failures)(request)

    failures = [
        *(claude.fails(status) for status in (400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 529, 599)),
        *(claude.fails(429, retry_after=value) for value in ("0", "1e999", "soon", "Fri, 20 Nov 2026 12:00:00 GMT")),
        *(claude.answers(body) for body in ("", "RAW", "[]", "null", "{}", '{"content": 7, "usage": []}', "[" * 5000)),
        *(claude.raises(error("RAW")) for error in (httpx2.ConnectError, httpx2.ReadError, httpx2.ReadTimeout)),
        *(claude.streams(*parts) for parts in broken_streams()),
        claude.says(""),
        claude.says("hello"),
    ]
    claude.script = [ill]
    judgement = judge(
        ["not_a_server_error", "positive_data_acceptance"],
        ["content_type_conformance", "negative_data_rejection"],
        preset=preset,
        backoff={"base": 0.0, "cap": 0.0},
        breaker=None,
        pace=None,
    )

    assert judgement.problems == {}
    assert log.crashes == []
    assert {status for _, status in judgement.statuses} >= {200, 400, 429, 500, 502, 503}
    assert [answer for answer in judgement.answers if b"RAW" in answer[1] and "/v1/" not in answer[0]] == []


def broken_streams():
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}, "content": []}}
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "RAW"}}
    yield ()
    yield (start,)
    yield (start, "one")
    yield (start, "one", overloaded)
    yield (overloaded,)
    yield (start, "one", {"type": "message_stop"})
    yield (start, "one", httpx2.ReadError("RAW"))
    yield ({"type": "content_block_delta", "index": "x", "delta": None},)
    yield ({"type": "unheard_of"},)
