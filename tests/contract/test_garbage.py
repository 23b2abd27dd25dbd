"""No answer leaves a cycle of objects behind, so that nobody ever has to go and look for them."""

import contextlib
import gc
import socket
from collections import Counter

import pytest

from mockclaude.testing import MockClaude

AT_ONCE = {"ttft": {"p50": 0.0, "p95": 0.0}, "tokens_per_second": 1e9, "prefill": False}
ASKED = '{"model":"%s","max_tokens":40,"stream":%s,"messages":[{"role":"user","content":"x"}]}'
ENDINGS = {
    "complete": "",
    "cut": "x-mockclaude-fault: cut;after=3\r\n",
    "reset": "x-mockclaude-fault: cut;after=3;how=rst\r\n",
    "truncate": "x-mockclaude-fault: truncate\r\n",
    "error event": "x-mockclaude-fault: error_event;after=2\r\n",
    "status": "x-mockclaude-fault: status;code=529\r\n",
    "bad fault": "x-mockclaude-fault: nonsense\r\n",
    "left": "",
    "bad encoding": "content-encoding: gzip\r\n",
}
TIMES = 20


def ask(port, fields="", stream="true", model="claude-haiku-4-5", path="/v1/messages", reads=True):
    body = ASKED % (model, stream)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n{fields}"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller, contextlib.suppress(ConnectionResetError):
        caller.sendall(f"{head}connection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        while reads and caller.recv(65536):
            pass


@pytest.fixture
def left_behind(wait_for):
    """What the heap had to be searched for after something was done often."""

    def found(do):
        with MockClaude(latency=AT_ONCE) as mock:
            port = int(mock.url.rpartition(":")[2])
            do(port)
            wait_for(lambda: not mock._server.server_state.tasks)
            mock.reset()
            gc.collect()
            gc.disable()
            for _ in range(TIMES):
                do(port)
            wait_for(lambda: not mock._server.server_state.tasks)
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                gc.collect()
                return {name: n for name, n in Counter(map(_kind, gc.garbage)).items() if n >= TIMES}
            finally:
                gc.set_debug(0)
                gc.garbage.clear()

    yield found
    gc.enable()


def _kind(one):
    return f"{type(one).__module__}.{type(one).__name__}"


@pytest.mark.parametrize("stream", ["true", "false"], ids=["stream", "whole"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_an_attempt_leaves_nothing_behind(left_behind, ending, stream):
    assert left_behind(lambda port: ask(port, ENDINGS[ending], stream, reads=ending != "left")) == {}


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "nobody"},
        {"stream": '"x"'},
        {"stream": "{"},
        {"stream": "{", "path": "/v1/messages/count_tokens"},
        {"path": "/v1/messages/count_tokens"},
        {"path": "/v1/nowhere"},
    ],
    ids=["404", "400", "no JSON", "no JSON to count", "count_tokens", "no such path"],
)
def test_neither_does_what_is_refused_or_asked_beside(left_behind, asked):
    assert left_behind(lambda port: ask(port, **asked)) == {}
