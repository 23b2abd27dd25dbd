"""What most people write: Locust's FastHttpUser and its iter_lines, and a look at the clock for every token."""

import json
import os
import random
import time
import uuid
from itertools import pairwise
from pathlib import Path

from locust import FastHttpUser, constant, events, task

QUESTION = [{"role": "user", "content": "Tell me of the harbour."}]
ASKED = {"model": "claude-haiku-4-5", "max_tokens": 150, "stream": True, "messages": QUESTION}
FILES = json.loads(Path(os.environ["LOADTESTS_PLAN"]).read_text())
T0 = 0.0


@events.test_start.add_listener
def start(**_):
    """From now on times count."""
    global T0
    T0 = time.monotonic()
    write("events", {"event": "started", "wall": time.time()})


def write(kind, row):
    """A line in the file that the benchmark reads."""
    with open(FILES[kind], "a") as file:
        file.write(json.dumps(row) + "\n")


class Reader(FastHttpUser):
    """Asks, reads to the end, and asks again."""

    wait_time = constant(0)

    def on_start(self):
        """Locust starts a whole second's users at once."""
        time.sleep(random.random())

    @task
    def ask(self):
        """Remember when each token came."""
        name, sent = uuid.uuid4().hex, time.monotonic() - T0
        headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "x-request-id": name}
        lines = self.client.iter_lines("/v1/messages", method="POST", json=ASKED, headers=headers)
        came = [time.monotonic() - T0 for line in lines if "text_delta" in line]
        times = {"intended": sent, "sent": sent, "ended": time.monotonic() - T0}
        gaps = [after - before for before, after in pairwise(came)]
        first = {"first_delta": came[0], "gaps": gaps} if came else {}
        write("samples", {"request_id": name, "outcome": "complete" if came else "failed", **times, **first})
