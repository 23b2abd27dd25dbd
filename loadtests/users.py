"""Locust users for a plain `locust -f loadtests/locustfile.py -H URL`: a closed loop against any gateway."""

import random
import time
import uuid

from locust import User, between, task
from locust.env import Environment

from loadtests import caller, client, hooks, load
from loadtests.client import Exchange
from loadtests.errors import CannotRun


class GatewayUser(User):
    """Asks, waits for the answer, thinks for a second, asks again. A subclass names its path."""

    abstract = True
    wait_time = between(0.5, 1.5)
    ask: str
    patience = 60.0

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
        request_id = uuid.uuid4().hex
        path = client.PATHS[self.ask]
        question = load.question(request_id, random.Random(request_id))
        now = time.monotonic()
        sample = caller.send(
            self._http,
            path,
            client.headers_of(request_id, self._options.api_key),
            client.body_of(question, self._options.model, self._options.max_tokens),
            Exchange(request_id, now, now),
            time.monotonic,
            self.patience,
        )
        hooks.show(self.environment, path, sample)


class ChatUser(GatewayUser):
    """POST /chat: the whole answer at once."""

    ask = "chat"


class StreamUser(GatewayUser):
    """POST /chat/stream: the answer as it is made; its TTFT has a row of its own."""

    ask = "stream"
