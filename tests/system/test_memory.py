"""What a mock holds does not grow with what it has answered, whichever way that ended."""

import os
import socket
import urllib.request

import pytest

from mockclaude.bench import contender, process
from mockclaude.bench.load import Load

LOAD = Load(1, "/v1/messages", "")
ASKED = '{"model":"claude-haiku-4-5","max_tokens":40,"stream":%s,"messages":[{"role":"user","content":"x"}]}'
ENDINGS = ["", "cut;after=3", "cut;after=3;how=rst", "truncate", "error_event;after=2", "status;code=529", "leave"]
ATTEMPTS = 1000
LEAK = 200
"""Bytes an attempt: less than the smallest thing that one could leave behind and that is not an accident."""


def ask(port, ending, stream):
    fault = f"x-mockclaude-fault: {ending}\r\n" if ending not in ("", "leave") else ""
    body = ASKED % ("true" if stream else "false")
    head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n{fault}"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
        caller.sendall(f"{head}connection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        if ending == "leave":
            return
        try:
            while caller.recv(65536):
                pass
        except ConnectionResetError:
            assert "rst" in ending


def answered(port):
    """A round of attempts that end in every way."""
    for k in range(ATTEMPTS):
        ask(port, ENDINGS[k % len(ENDINGS)], stream=k % 3 > 0)
    return True


def emptied(server):
    """Bytes that are left when the journal, which keeps 100,000 attempts, is empty."""
    reset = urllib.request.Request(f"http://127.0.0.1:{server.port}/_mock/reset", method="POST")
    urllib.request.urlopen(reset, timeout=10).close()
    return process.usage(server.pid).memory


@pytest.fixture
def server():
    with contender.running(contender.OURS, LOAD, min(os.sched_getaffinity(0))) as running:
        yield running


def test_memory_is_flat_over_every_ending(server):
    sizes = [emptied(server) for _ in range(4) if answered(server.port)]

    assert sizes[-1] - sizes[0] < 3 * ATTEMPTS * LEAK
