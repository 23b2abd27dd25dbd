"""Verdicts over exchanges given as values: what a check sees, and how it is told."""

import json

import pytest

from mockclaude import conform
from mockclaude.conformance.exchange import Absent, Exchange, Request, Wrong
from mockclaude.conformance.probes import PROBES, Terms

REQUEST_ID = "req_011CabcdefghijkmnopqrSTU"
ERROR = (
    '{"type":"error","error":{"type":"invalid_request_error","message":"foo: Extra inputs are not permitted"},'
    f'"request_id":"{REQUEST_ID}"}}'
)
REFUSED = Exchange(
    Request(),
    400,
    (("Content-Type", "application/json"), ("Request-Id", REQUEST_ID), ("X-Should-Retry", "false")),
    ERROR.encode(),
)


def look(said):
    return lambda name: said


@pytest.mark.parametrize("name", ["error-envelope", "error-request-id", "error-retry", "refuses-unknown-field"])
def test_claudes_own_error_passes_whatever_the_case_of_its_headers(name):
    assert conform.verdict(name, look(REFUSED)).line == f"PASS {name}"


def test_a_failure_says_what_came_what_was_expected_and_how_well_that_is_known():
    result = conform.verdict("error-request-id", look(REFUSED._replace(headers=(("request-id", "req_1"),))))

    assert result.line == f"FAIL error-request-id: got {REQUEST_ID}, expected req_1 (B)"


def test_a_refusal_with_other_words_is_shown_beside_claudes():
    other = REFUSED._replace(body=ERROR.replace("Extra inputs are not permitted", "unknown").encode())

    assert conform.verdict("refuses-unknown-field", look(other)).line == (
        "FAIL refuses-unknown-field: got 400 invalid_request_error: foo: unknown, "
        "expected 400 invalid_request_error: foo: Extra inputs are not permitted (B)"
    )


def test_a_reply_where_a_refusal_was_due_is_a_failure():
    assert (
        "got 200, the request was answered"
        in conform.verdict("refuses-unknown-field", look(REFUSED._replace(status=200))).line
    )


def test_what_is_not_there_is_skipped_with_the_reason():
    def absent(name):
        raise Absent("there is no such thing")

    assert conform.verdict("models", absent).line == "SKIP models: there is no such thing"


def test_nothing_a_server_says_can_leave_the_line_or_fill_the_screen():
    rude = REFUSED._replace(headers=(("request-id", "\x1b[2J\nPASS everything\u202e" + "x" * 5000),))

    line = conform.verdict("error-request-id", look(rude)).line

    assert line.isprintable()
    assert "\\x1b[2J\\nPASS everything\\u202e" in line
    assert len(line) < 700


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [("PASS", 0), ("PASS SKIP", 0), ("PASS FAIL", 1), ("FAIL", 1), ("SKIP", 2), ("", 2)],
)
def test_the_exit_code_says_how_it_went(verdicts, code):
    results = [conform.Result("x", verdict, "x", "B") for verdict in verdicts.split()]

    assert conform.report(results, False, lambda line: None) == code


def test_verdicts_are_said_as_they_come_and_the_summary_last():
    told = []

    def results():
        yield conform.Result("a", "PASS", "x", "B")
        assert told == ["PASS a"]
        yield conform.Result("b", "SKIP", "x", "B", reason="no")

    conform.report(results(), False, told.append)

    assert told == ["PASS a", "SKIP b: no", "1 passed, 0 failed, 1 skipped"]


def test_json_is_said_once():
    told = []

    conform.report([conform.Result("a", "FAIL", "x", "B", "1", "2")], True, told.append)

    [said] = map(json.loads, told)
    assert (said["failed"], said["checks"][0]["got"], said["checks"][0]["expected"]) == (1, "1", "2")


def test_checks_are_made_in_their_order_and_only_known_ones():
    assert conform.chosen([]) == list(conform.CHECKS)
    assert conform.chosen(["models", "head"]) == ["head", "models"]
    with pytest.raises(conform.Unknown, match="no check is called 'tea'"):
        conform.chosen(["head", "tea"])


def test_each_request_is_sent_once_however_many_checks_look_at_it():
    sent = []

    def send(request):
        sent.append(request)
        return REFUSED

    list(conform.run(["error-envelope", "error-request-id", "refuses-unknown-field"], "claude-haiku-4-5", "k", send))

    assert len(sent) == 1


def test_every_check_has_a_probe_an_evidence_and_words():
    assert all(set(check.looks_at) <= set(conform.ASKED) for check in conform.CHECKS.values())
    assert {check.evidence for check in conform.CHECKS.values()} <= {"A", "B", "C"}
    assert all(check.what for check in conform.CHECKS.values())
    assert set(PROBES) <= {name for check in conform.CHECKS.values() for name in check.looks_at}


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("claude-haiku-4-5", {"type": "enabled", "budget_tokens": 1024}),
        ("claude-opus-5", {"type": "adaptive", "display": "summarized"}),
        ("a-gateways-own-name", {"type": "enabled", "budget_tokens": 1024}),
    ],
)
def test_a_model_is_asked_to_think_as_it_can(model, thinking):
    assert PROBES["thinking"](Terms(model, "k"), look(None)).body["thinking"] == thinking


def test_a_model_of_unknown_name_resolves_to_nothing_known():
    said = Exchange(
        Request(body={"model": "my-model"}),
        200,
        (("content-type", "application/json"),),
        b'{"type":"message","role":"assistant","model":"other"}',
    )

    assert conform.verdict("alias", look(said)).line == "SKIP alias: what my-model resolves to is not known"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_events_are_read_as_leniently_as_clients_do(newline):
    lines = ["event: ping", 'data: {"type": "ping"}', "", ": a comment", "", "event:message_stop", "data:{}", "", ""]
    said = Exchange(Request(), 200, (), newline.join(lines).encode())

    assert said.events == [("ping", b'{"type": "ping"}'), ("message_stop", b"{}")]


def test_wrong_says_both_sides():
    assert str(Wrong(1, 2)) == "got 1, expected 2"
