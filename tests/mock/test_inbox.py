"""What is remembered of the attempts of a test, without a server: an application that opens them and reads."""

import gzip
import json

import pytest

from mockclaude.inbox import Inbox, told
from mockclaude.journal import Journal

SCOPE = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": [(b"x-tenant", b"acme")]}


class Mock:
    """Opens an attempt and reads it to its end, as the mock does."""

    def __init__(self, **bounds):
        self.journal = Journal("test")
        self.opened = []
        self.inbox = Inbox(self._app, self.journal, **bounds)

    async def _app(self, scope, receive, send):
        self.opened.append(self.journal.open({"x-stainless-retry-count": "1"}, 2.0, 0.0))
        while (await receive())["more_body"]:
            pass

    async def take(self, *parts, **scope):
        """An attempt comes in, in these parts."""
        left = list(parts)

        async def receive():
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        await self.inbox({**SCOPE, **scope}, receive, None)
        return self.opened[-1]


@pytest.fixture
def mock():
    """A mock that reads."""
    return Mock()


async def test_an_attempt_is_what_its_parts_make_together(mock):
    await mock.take(b'{"model": ', b'"claude-haiku-4-5"}')

    [received] = mock.inbox.received(0.5, {})
    assert received.json == {"model": "claude-haiku-4-5"}
    assert (received.n, received.t, received.retry_count) == (1, 1.5, 1)
    assert received.headers["X-Tenant"] == "acme"


async def test_an_attempt_that_still_runs_has_no_outcome_yet(mock):
    await mock.take(b"{}")
    await mock.take(b"{}")

    assert [received.outcome for received in mock.inbox.received(0.0, {2: "complete"})] == [None, "complete"]


async def test_a_compressed_body_is_shown_as_json_all_the_same(mock):
    packed = gzip.compress(json.dumps({"max_tokens": 7}).encode())

    await mock.take(packed, headers=[(b"content-encoding", b"gzip")])

    [received] = mock.inbox.received(0.0, {})
    assert received.body == packed
    assert received.json == {"max_tokens": 7}


async def test_a_body_that_is_no_json_says_so_only_when_json_is_asked_for(mock):
    await mock.take(b"{")

    [received] = mock.inbox.received(0.0, {})
    assert received.body == b"{"
    with pytest.raises(ValueError, match="property name"):
        _ = received.json


async def test_what_came_before_a_reset_is_forgotten(mock):
    await mock.take(b"{}")

    mock.journal.restart(2.0)

    assert mock.inbox.received(2.0, {}) == []


async def test_only_the_newest_are_kept_and_they_know_their_number():
    mock = Mock(kept=2)

    for _ in range(5):
        await mock.take(b"{}")

    assert [received.n for received in mock.inbox.received(0.0, {})] == [4, 5]


async def test_large_bodies_leave_room_for_fewer():
    mock = Mock(room=100)

    for body in (b"a" * 60, b"b" * 60, b"c"):
        await mock.take(body)

    assert [received.body[:1] for received in mock.inbox.received(0.0, {})] == [b"b", b"c"]


@pytest.mark.parametrize("scope", [{"method": "GET"}, {"path": "/v1/messages/count_tokens"}])
async def test_what_is_no_attempt_is_passed_on_unseen(mock, scope):
    await mock.take(b"{}", **scope)

    assert len(mock.opened) == 1
    assert mock.inbox.received(0.0, {}) == []


async def test_a_list_of_attempts_has_a_line_for_each_of_the_last_twenty(mock):
    for _ in range(22):
        await mock.take(b"{}")

    lines = told(mock.inbox.received(0.0, {22: "complete"})).splitlines()

    assert lines[0].strip() == "... 2 before"
    assert len(lines) == 21
    assert lines[-2].split() == ["21", "2.000", "s", "-", "whole", "retry", "1", "-", "still", "running"]
    assert lines[-1].endswith("complete")


def test_a_list_of_no_attempts_says_so():
    assert told([]).strip() == "no attempt"
