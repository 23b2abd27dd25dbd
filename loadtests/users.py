"""Locust users for a plain `locust -f loadtests/locustfile.py -H URL`: a closed loop against any gateway."""

import random
import time
import uuid

from locust import User, between, task
from locust.env import Environment

from loadtests import caller, hooks, load
from loadtests.errand import Errand
from loadtests.errors import CannotRun
from loadtests.load import Arrival, Ask, Load
from loadtests.load import User as Kind


class GatewayUser(User):
    """Asks, waits for the answer, thinks for a second, asks again. A subclass names its path."""

    abstract = True
    wait_time = between(0.5, 1.5)
    ask: Kind

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if not self.host:
            raise CannotRun("no target: give its URL with -H, such as -H http://127.0.0.1:8200")
        options = environment.parsed_options
        assert options is not None
        self._http = caller.connect(hooks.allow(environment, self.host))
        self._options = options

    @task
    def request(self) -> None:
        name = uuid.uuid4().hex
        text = load.question(name, random.Random(name))
        now = time.monotonic()
        arrival = Arrival(now, name, Ask((text,), self._options.model, self._options.max_tokens))
        errand = Errand(arrival, Load(user=self.ask, rate=1), self._options.api_key, now)
        caller.pursue(self._http, errand, time.monotonic)
        hooks.show(self.environment, errand.kind.path, errand.sample())


class ChatUser(GatewayUser):
    """POST /chat: the whole answer at once."""

    ask = "chat"


class StreamUser(GatewayUser):
    """POST /chat/stream: the answer as it is made; its TTFT has a row of its own."""

    ask = "stream"
