"""The runner's hold on a real mock: configuration, journal, close."""

import pytest
import requests

from loadtests.errors import CannotRun
from loadtests.programs.stack import Mock
from mockclaude.testing import MockClaude

ASK = {"model": "claude-haiku-4-5", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
FAST = {"ttft": {"p50": 0.001, "p95": 0.001}, "tokens_per_second": 1000}


def ask(mock: MockClaude, name: str) -> int:
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "x-request-id": name}
    return requests.post(f"{mock.url}/v1/messages", json=ASK, headers=headers, timeout=10).status_code


def names(witness: Mock) -> list[str]:
    return [record["request_id"] for page in witness.drain() for record in page]


def test_a_drain_gives_each_record_once_also_over_a_reset():
    with MockClaude(latency=FAST) as mock:
        witness = Mock(mock.url)

        ask(mock, "a")
        first = names(witness)
        mock.reset()
        ask(mock, "b")

        assert (first, names(witness), names(witness)) == (["a"], ["b"], [])


def test_many_records_come_page_by_page():
    with MockClaude(latency=FAST) as mock:
        for number in range(5):
            ask(mock, str(number))

        pages = list(Mock(mock.url, page=2).drain())

    assert [len(page) for page in pages] == [2, 2, 1]


def test_a_configuration_is_put_in_force_or_refused_with_the_mocks_words():
    with MockClaude(latency=FAST) as mock:
        witness = Mock(mock.url)

        witness.configure({"capacity": {"slots": 0, "queue": 0}})
        with pytest.raises(CannotRun, match="slotz"):
            witness.configure({"capacity": {"slotz": 1}})

        assert ask(mock, "a") == 529


def test_closing_ends_the_journal():
    with MockClaude(latency={"ttft": {"p50": 30, "p95": 30}}, capacity={"on_disconnect": "finish"}) as mock:
        witness = Mock(mock.url)
        session = requests.Session()
        with pytest.raises(requests.ReadTimeout):
            headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "x-request-id": "open"}
            session.post(f"{mock.url}/v1/messages", json=ASK, headers=headers, timeout=0.3)

        before = witness.stats()["open"]
        witness.close()

        assert (before, names(witness)) == (1, ["open"])
        assert witness.stats()["open"] == 0
