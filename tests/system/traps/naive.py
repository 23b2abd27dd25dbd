"""Load tests of streams as they are often written: each user falls into one of the traps that test_traps.py names."""

import time
from collections.abc import Iterator
from typing import Any

from locust import FastHttpUser, constant, constant_throughput, task


class Naive(FastHttpUser):
    abstract = True
    wait_time = constant(0.1)

    def post(self, behaviour: str, **more: Any) -> Any:
        return self.client.post("/chat/stream", headers={"x-request-id": f"{behaviour}-1"}, name=behaviour, **more)

    def lines(self, behaviour: str) -> Iterator[str]:
        headers = {"x-request-id": f"{behaviour}-1"}
        return self.client.iter_lines("/chat/stream", "POST", headers=headers, name=behaviour)

    def fire(self, kind: str, name: str, ms: float, error: str | None = None) -> None:
        row = {"request_type": kind, "name": name, "response_time": ms, "response_length": 0, "exception": error}
        self.environment.events.request.fire(**row, context={})


class TimesTheHeaders(Naive):
    """With stream=True Locust's row is done when the headers are there."""

    @task
    def ask(self) -> None:
        for _ in self.lines("well"):
            pass


class ItersLines(Naive):
    """Locust's own `iter_lines` gives nothing before 1,024 bytes are there. And TTFT and ITL are fired as requests."""

    @task
    def ask(self) -> None:
        before = time.monotonic()
        kind = "TTFT"
        for line in self.lines("lines"):
            if "text" in line:
                self.fire(kind, "lines", (time.monotonic() - before) * 1000)
                before, kind = time.monotonic(), "ITL"


class StartsTheTimerAfterTheHeaders(Naive):
    """What a request waits in the server's queue is not in its TTFT."""

    @task
    def ask(self) -> None:
        response = self.post("queued", stream=True)
        before = time.monotonic()
        response.stream.readline(b"\n")
        self.fire("TTFT", "queued", (time.monotonic() - before) * 1000)


class ReadsToTheEnd(Naive):
    """A stream that ends is a stream that is whole."""

    @task
    def ask(self) -> None:
        for _ in self.lines("clean"):
            pass


class IsCut(Naive):
    """What breaks off while it is read fails no request: it is an exception of the user."""

    @task
    def ask(self) -> None:
        for _ in self.lines("cut"):
            pass


class Measures(Naive):
    """`events.request.measure()` has a success for whom the end of the test kills."""

    @task
    def ask(self) -> None:
        with self.environment.events.request.measure("POST", "stops"):
            for _ in self.lines("stops"):
                pass


class CountsRefusals(Naive):
    """A refusal has a time, and a good one: all that is refused makes the rest look fast."""

    @task
    def ask(self) -> None:
        self.post("mixed")


class WaitsForEachByte(Naive):
    """`network_timeout` is of each read: a trickle never times out."""

    network_timeout = 1.0

    @task
    def ask(self) -> None:
        self.post("trickle")


class KeepsAPace(Naive):
    """Five a second, unless the server is slow: then it is what the server can."""

    wait_time = constant_throughput(5)

    @task
    def ask(self) -> None:
        self.post("slow")
