"""Three hundred streams whose readers are well beside three hundred whose readers are not."""

import json
import os
import random
import socket
import struct
import threading
import time
import urllib.request

import pytest

from mockclaude.bench import contender, rounds
from mockclaude.bench.load import Load

HEALTHY = HOSTILE = 300
ASKED = (
    '{"model":"claude-haiku-4-5","max_tokens":%d,"stream":true,'
    '"messages":[{"role":"user","content":"Tell me of the harbour."}]}'
)
LOAD = Load(HEALTHY, "/v1/messages", ASKED % 40, '"text_delta"', 0.3, 1 / 30, 40, ramp=1.6, warm=0.5, window=2.0)
RESET = struct.pack("ii", 1, 0)
NOISE = 0.002
"""Seconds by which lateness changes from run to run by itself."""


def healthy(server):
    """What the well readers saw."""
    return rounds.read(LOAD, server, max(os.sched_getaffinity(0)))


class Crowd:
    """Readers who never read, leave in mid-write or reset the connection; who goes is replaced."""

    def __init__(self, port):
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._trouble, args=(port,))
        self.done = dict.fromkeys(("never reads", "leaves", "resets"), 0)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._ended.set()
        self._thread.join()

    def _trouble(self, port):
        kinds, rng = list(self.done), random.Random(1)
        open_now = [(kinds[k % 3], self._come(port)) for k in range(HOSTILE)]
        while not self._ended.wait(0.02):
            for place in rng.sample(range(HOSTILE), 10):
                kind, one = open_now[place]
                if kind == "never reads":
                    continue
                if kind == "resets":
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                one.close()
                self.done[kind] += 1
                open_now[place] = (kind, self._come(port))
        for _, one in open_now:
            one.close()

    def _come(self, port):
        self.done["never reads"] += 1
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", port))
        one.sendall(LOAD._replace(body=ASKED % 4000).request("x"))
        return one


@pytest.fixture
def server():
    with contender.running(contender.OURS, LOAD, min(os.sched_getaffinity(0))) as running:
        yield running


def test_the_well_are_not_later_for_the_others(server):
    for _ in range(3):  # a machine that does something else meanwhile makes late too
        quiet = healthy(server)
        with Crowd(server.port) as crowd:
            time.sleep(0.5)
            disturbed = healthy(server)
        assert (disturbed.failed, disturbed.short) == (0, 0)
        assert min(crowd.done.values()) > 50
        if disturbed.late.p99 <= 2 * quiet.late.p99 + NOISE:
            break

    assert disturbed.late.p99 <= 2 * quiet.late.p99 + NOISE
    page = json.load(urllib.request.urlopen(f"http://127.0.0.1:{server.port}/_mock/journal", timeout=10))
    assert {record["outcome"] for record in page["records"]} == {"complete", "left"}
