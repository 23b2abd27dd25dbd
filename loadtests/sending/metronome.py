"""A server that is as punctual as the machine: it sends known streams, and remembers when it sent each text.

It runs in a thread of the system, with sockets and a sleep that gevent has not touched, so that it goes on while the
reader it is to judge is busy. Its clock is the reader's.
"""

import contextlib
import time
from typing import Any

import gevent
from gevent import monkey

from loadtests.sending import known

PATIENCE = 5.0


class Metronome:
    """Sends one round of streams, once all of them have been asked for. Raises OSError when that takes too long."""

    def __init__(self) -> None:
        sockets = monkey.get_original("socket", "socket")
        self._sleep = monkey.get_original("time", "sleep")
        self._listener: Any = sockets()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(known.STREAMS)
        self._listener.settimeout(PATIENCE)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent: dict[str, list[float]] = {}
        self._round = gevent.get_hub().threadpool.spawn(self._play)

    def wait(self) -> None:
        self._round.get()

    def _play(self) -> None:
        with contextlib.ExitStack() as held:
            held.callback(self._listener.close)
            streams = [self._asked(held) for _ in range(known.STREAMS)]
            for _, stream in streams:
                stream.sendall(known.HEAD)
            start = time.monotonic() + known.TTFT
            for number in range(known.TEXTS):
                self._sleep(max(0.0, start + number * known.GAP - time.monotonic()))
                for name, stream in streams:
                    self.sent[name].append(time.monotonic())
                    stream.sendall(known.text(number))
            for _, stream in streams:
                stream.sendall(known.end())

    def _asked(self, held: contextlib.ExitStack) -> tuple[str, Any]:
        """The next stream that is asked for, and its request id."""
        stream, _ = self._listener.accept()
        held.callback(stream.close)
        stream.settimeout(PATIENCE)
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += stream.recv(65_536)
        head = asked.partition(b"\r\n\r\n")[0].decode().lower()
        name = next(line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("x-request-id: "))
        self.sent[name] = []
        return name, stream
