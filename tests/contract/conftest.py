"""The official SDK against a mock on a real socket: the SDK is the judge of the wire. A gateway may stand between."""

import contextlib
import re
import socketserver
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import anthropic
import pytest

from mockclaude.testing import MockClaude

FAST = {"ttft": {"p50": 0.02, "p95": 0.02}, "tokens_per_second": 1000}
OURS, THEIRS = "sk-ours", "sk-theirs"  # the gateway's key at Claude, and its callers' at the gateway
QUICK = {"ttft": {"p50": 0.01, "p95": 0.01}, "tokens_per_second": 20_000, "prefill": False}
STEADY = {"ttft": {"p50": 0.1, "p95": 0.1}, "tokens_per_second": 50}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.system)


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


class RawClaude:
    """A Claude made of bytes: notes each request as it came, answers with the script's next bytes, the last for ever.

    A number in an answer is a pause. What keeps its connection would be asked again on it, so no answer does.
    """

    def __init__(self) -> None:
        self.url = ""
        self.says()

    def says(self, *answer: bytes | float, then: tuple[bytes | float, ...] | None = None) -> None:
        """Begin anew with this answer to the first request, and to the others, unless something else comes `then`."""
        self.script = [answer or (OK,), *([then] if then else [])]
        self.received: list[bytes] = []

    def answer(self, stream: Any, send: Callable[[bytes], object]) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return
            request += line
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", request)
        self.received.append(request + stream.read(int(length[1]) if length else 0))
        for part in self.script.pop(0) if len(self.script) > 1 else self.script[0]:
            if isinstance(part, bytes):
                send(part)
            else:
                time.sleep(part)


@pytest.fixture(scope="session")
def behind() -> Iterator[MockClaude]:
    """The mock behind `gateways`."""
    with MockClaude(seed=1, latency=QUICK, keys=[OURS, THEIRS]) as running:
        yield running


@pytest.fixture(scope="session")
def twin() -> Iterator[MockClaude]:
    """What the mock behind a gateway would say to a caller of its own."""
    with MockClaude(seed=1, latency=QUICK, keys=[OURS, THEIRS]) as running:
        yield running


@pytest.fixture(scope="session")
def gateways(behind: MockClaude, run_gateway: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """A gateway of each preset, that lets every failure of Claude's be seen and learns nothing from it for later.

    Nor do they speak of CORS, which adds `vary: Origin` to every answer.
    """
    open_book = {"attempts": 1, "breaker": "none", "pace": "none", "cors_origins": "[]"}
    with contextlib.ExitStack() as held:
        yield {
            preset: held.enter_context(run_gateway(behind.url, preset=preset, **open_book))
            for preset in ("naive", "production")
        }


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"


@pytest.fixture(scope="module")
def raw_claude() -> Iterator[RawClaude]:
    """A Claude made of bytes, listening."""
    claude = RawClaude()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                claude.answer(self.rfile, self.wfile.write)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        claude.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield claude
        server.shutdown()
        thread.join()
