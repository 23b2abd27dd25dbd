"""Locust users for a plain `locust -f`, as they are or to be subclassed: a closed loop against any gateway."""

import random
import time
import uuid
from typing import Any

import gevent
from locust import User, between, tag, task
from locust.env import Environment

from loadtests import caller, hooks, words
from loadtests.errand import Errand
from loadtests.errors import CannotRun
from loadtests.load import Arrival, Ask, Load
from loadtests.load import User as Kind
from loadtests.sample import Sample


class GatewayUser(User):
    """Asks, waits for the answer, thinks for a second, asks again. A subclass says what `kind` of request it sends.

    A subclass with tasks of its own has no others; they call `ask`. `patience`: seconds until the caller gives up.
    """

    abstract = True
    wait_time = between(0.5, 1.5)
    kind: Kind
    patience = 60.0

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        own = [each for each in vars(cls).values() if hasattr(each, "locust_task_weight")]
        if own:
            cls.tasks = [each for each in own for _ in range(each.locust_task_weight)]

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if not self.host:
            raise CannotRun("no target: give its URL with -H, such as -H http://127.0.0.1:8200")
        options = environment.parsed_options
        assert options is not None
        self._http = caller.connect(hooks.allow(environment, self.host))
        self._options = options

    def ask(
        self,
        *texts: str,
        name: str | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
        system: str | None = None,
    ) -> Sample:
        """One request, from here to its end: what came of it, which Locust's statistics have by then, under `name` or
        its path. A BatchUser may ask many texts. Model and length are those of the command line, unless given."""
        terms = (model or self._options.model, max_tokens or self._options.max_tokens, system)
        return self._pursue(Ask(texts, *terms), name)

    def question(self) -> str:
        """A text that nobody has asked before."""
        unheard = uuid.uuid4().hex
        return words.question(unheard, random.Random(unheard))

    def _pursue(self, ask: Ask, name: str | None) -> Sample:
        now = time.monotonic()
        arrival = Arrival(now, uuid.uuid4().hex, ask)
        terms = Load(user=self.kind, rate=1, patience=self.patience)
        errand = Errand(arrival, terms, self._options.api_key, now)
        try:
            caller.pursue(self._http, errand, time.monotonic)
        except (gevent.GreenletExit, caller.Starved):
            errand.stop("aborted", time.monotonic())
            raise
        finally:
            sample = errand.sample()
            hooks.show(self.environment, name or errand.kind.path, sample)
        return sample


class ChatUser(GatewayUser):
    """POST /chat: the whole answer at once."""

    kind = "chat"
    weight = 3

    @tag("whole")
    @task
    def chat(self) -> None:
        self.ask(self.question())


class StreamUser(GatewayUser):
    """POST /chat/stream: the answer as it is made."""

    kind = "stream"
    weight = 3

    @tag("streams")
    @task
    def stream(self) -> None:
        self.ask(self.question())
