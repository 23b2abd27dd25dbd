"""The least there is to do: bytes rendered once for all, one heap of deadlines, and writes to the connection itself.

Nothing is planned, counted or kept, so this is what the mock would cost if it knew nothing of capacity, faults, limits
and a journal, and said the same to everybody.
"""

import asyncio
import heapq
import math
from itertools import count

from question import asked
from rendered import CLOSING, DELTAS, HEADERS, OPENING
from speech import GAP, TTFT

CHUNKS = [b"%x\r\n%b\r\n" % (len(data), data) for data in DELTAS]
TICK = 0.001
"""Seconds. uvloop's timers know whole milliseconds: one set to go off within the next goes off before it."""


class Pacer:
    """All streams, each due at a time of its own."""

    def __init__(self):
        self._heap = []
        self._turns = count()
        self._timer = None
        self._set_to = math.inf

    def add(self, transport, over):
        """Say it on this connection; `over` is a future that is done then."""
        begun = asyncio.get_running_loop().time()
        heapq.heappush(self._heap, (begun + TTFT, next(self._turns), begun, 0, transport, over))
        self._arm()

    def _look(self):
        heap, now = self._heap, asyncio.get_running_loop().time()
        while heap and heap[0][0] <= now:
            _, turn, begun, k, transport, over = heap[0]
            if k == len(CHUNKS) or transport.is_closing():
                heapq.heappop(heap)
                over.set_result(None)
                continue
            transport.write(CHUNKS[k])
            k += 1
            due = begun + TTFT + min(k, len(CHUNKS) - 1) * GAP
            heapq.heapreplace(heap, (due, turn, begun, k, transport, over))
        self._set_to = math.inf
        if heap:
            self._arm()

    def _arm(self):
        loop = asyncio.get_running_loop()
        when = max(self._heap[0][0], loop.time() + TICK)
        if when < self._set_to:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(when, self._look)
            self._set_to = when


pacer = Pacer()


async def app(scope, receive, send):
    """Any request is the one question."""
    if scope["type"] != "http":
        return
    await asked(receive)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": OPENING, "more_body": True})
    over = asyncio.get_running_loop().create_future()
    pacer.add(send.__self__.transport, over)
    await over
    await send({"type": "http.response.body", "body": CLOSING, "more_body": False})
