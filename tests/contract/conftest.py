"""The official SDK against a mock on a real socket: the SDK is the judge of the wire."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import pytest

from mockclaude.testing import MockClaude

FAST = {"ttft": {"p50": 0.02, "p95": 0.02}, "tokens_per_second": 1000}
STEADY = {"ttft": {"p50": 0.1, "p95": 0.1}, "tokens_per_second": 50}


@pytest.fixture
def mock() -> Iterator[MockClaude]:
    """A quick mock without limits."""
    with MockClaude(seed=1, latency=FAST) as running:
        yield running


@pytest.fixture
def steady() -> Iterator[MockClaude]:
    """A mock with one slot whose twenty tokens take half a second."""
    with MockClaude(seed=1, latency=STEADY, capacity={"slots": 1, "queue": 0}) as running:
        yield running


@pytest.fixture
def client(mock: MockClaude) -> Iterator[anthropic.Anthropic]:
    """The sync SDK as it comes, but without retries."""
    with anthropic.Anthropic(base_url=mock.url, api_key="sk-test", max_retries=0) as made:
        yield made


@pytest.fixture
def steady_client(steady: MockClaude) -> Iterator[anthropic.Anthropic]:
    """The sync SDK against the one slot."""
    with anthropic.Anthropic(base_url=steady.url, api_key="sk-test", max_retries=0) as made:
        yield made


@pytest.fixture
async def async_client(mock: MockClaude) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """The async SDK as it comes, but without retries."""
    async with anthropic.AsyncAnthropic(base_url=mock.url, api_key="sk-test", max_retries=0) as made:
        yield made


@pytest.fixture
def ask() -> Callable[..., dict[str, Any]]:
    """The least a request must say, with changes."""
    return lambda text="hi", **fields: (
        {
            "model": "claude-haiku-4-5",
            "max_tokens": 20,
            "messages": [{"role": "user", "content": text}],
        }
        | fields
    )
