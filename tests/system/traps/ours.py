"""The same as naive.py asks, by the users that come along."""

import uuid

from locust import constant, events, task

from loadtests import hooks, users
from loadtests.schedule.load import Arrival, Ask

hooks.register(events)


class Ours(users.StreamUser):
    abstract = True
    wait_time = constant(0.1)
    behaviour = ""

    @task
    def stream(self) -> None:
        self.ask("?", name=self.behaviour)

    def _arrival(self, now: float, ask: Ask) -> Arrival:
        return Arrival(now, f"{self.behaviour}-{uuid.uuid4().hex}", ask)


class Well(Ours):
    behaviour = "well"


class Lines(Ours):
    behaviour = "lines"


class Queued(Ours):
    behaviour = "queued"


class Clean(Ours):
    behaviour = "clean"


class Cut(Ours):
    behaviour = "cut"


class Stops(Ours):
    behaviour = "stops"


class Mixed(Ours):
    behaviour = "mixed"


class Trickle(Ours):
    behaviour = "trickle"
    patience = 1.5
