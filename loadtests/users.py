"""Locust users for a plain `locust -f`, as they are or to be subclassed: a closed loop against any gateway."""

import random
import time
import uuid
from collections.abc import Sequence
from typing import Any

import gevent
from geventhttpclient import HTTPClient
from locust import User, between, task
from locust.env import Environment

from loadtests import hooks
from loadtests.errors import CannotRun
from loadtests.protocol.errand import Errand
from loadtests.sample import Sample
from loadtests.schedule import words
from loadtests.schedule.load import Arrival, Ask, Load
from loadtests.schedule.load import User as Kind
from loadtests.sending import caller


class GatewayUser(User):
    """Asks, waits for the answer, thinks for a second, asks again. A subclass says what `kind` of request it sends.

    A subclass with tasks of its own has no others; they call `ask`. `patience`: seconds until the caller gives up.
    `called`: what its rows in Locust's statistics are called, else the path it asks.
    """

    abstract = True
    wait_time = between(0.5, 1.5)
    kind: Kind
    patience = 60.0
    called: str | None = None

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
        if not hasattr(options, "api_key"):
            raise CannotRun("the locustfile lacks a line: loadtests.hooks.register(locust.events)")
        self._options: Any = options
        self._http = self._connect(hooks.allow(environment, self.host))

    def ask(
        self,
        *texts: str,
        name: str | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
        system: str | None = None,
        history: Sequence[str] = (),
    ) -> Sample:
        """One request, from here to its end: what came of it, which Locust's statistics have by then, under `name`.

        A BatchUser may ask many texts; users of /v1/messages have a `history`, what was asked and answered before, by
        turns. Model and length are those of the command line, unless given."""
        now = time.monotonic()
        terms = (model or self._options.model, max_tokens or self._options.max_tokens, system, tuple(history))
        arrival = self._arrival(now, Ask(texts, *terms))
        errand = Errand(arrival, Load(user=self.kind, rate=1, patience=self.patience), self._options.api_key, now)
        try:
            self._pursue(errand)
        except (gevent.GreenletExit, caller.Starved):
            errand.stop("aborted", time.monotonic())
            raise
        finally:
            sample = errand.sample()
            hooks.show(self.environment, name or self.called or errand.kind.path, sample)
        return sample

    def question(self) -> str:
        """A text that nobody has asked before."""
        unheard = uuid.uuid4().hex
        return words.question(unheard, random.Random(unheard))

    def _connect(self, url: str) -> HTTPClient:
        return caller.connect(url)

    def _arrival(self, now: float, ask: Ask) -> Arrival:
        return Arrival(now, uuid.uuid4().hex, ask)

    def _pursue(self, errand: Errand) -> None:
        caller.pursue(self._http, errand, time.monotonic)


class ChatUser(GatewayUser):
    """POST /chat: the whole answer at once."""

    kind = "chat"
    weight = 3

    @task
    def chat(self) -> None:
        self.ask(self.question())


class StreamUser(GatewayUser):
    """POST /chat/stream: the answer as it is made."""

    kind = "stream"
    weight = 3

    @task
    def stream(self) -> None:
        self.ask(self.question())


class MessagesUser(GatewayUser):
    """POST /v1/messages as a stream, as Claude's own clients ask: any gateway that speaks the Messages API."""

    kind = "messages_stream"

    @task
    def message(self) -> None:
        self.ask(self.question())


class BatchUser(GatewayUser):
    """POST /batch: many questions in one request."""

    kind = "batch"
    prompts = 5

    @task
    def batch(self) -> None:
        self.ask(*(self.question() for _ in range(self.prompts)))


class AnalyzeUser(GatewayUser):
    """POST /analyze, then asks every half second whether it is done."""

    kind = "analyze"

    @task
    def analyze(self) -> None:
        self.ask(self.question())


class ConversationUser(GatewayUser):
    """Asks on /v1/messages with all that was said before, thinks, and after so many `turns` begins anew."""

    kind = "messages_stream"
    called = "/v1/messages conversation"
    wait_time = between(2, 10)
    turns = 5
    weight = 2

    def on_start(self) -> None:
        self._said: tuple[str, ...] = ()

    @task
    def turn(self) -> None:
        text = self.question()
        sample = self.ask(text, history=self._said)
        if sample.outcome == "complete":
            answer = words.filled("Well:", sample.output_tokens, random.Random(text))
            self._said = (*self._said, text, answer)
        if len(self._said) >= 2 * self.turns:
            self._said = ()


class ImpatientUser(GatewayUser):
    """Goes away on purpose after so many seconds of `reading` a stream, whose outcome then is `left`."""

    kind = "stream"
    called = "/chat/stream impatient"
    reading = 1.0

    @task
    def stream(self) -> None:
        self.ask(self.question())

    def _arrival(self, now: float, ask: Ask) -> Arrival:
        return Arrival(now, uuid.uuid4().hex, ask, reading=self.reading)


class SlowReaderUser(GatewayUser):
    """Takes only so many `bytes_per_second` of a stream; what is not taken waits in the gateway."""

    kind = "stream"
    called = "/chat/stream slow reader"
    bytes_per_second = 2_000.0

    @task
    def stream(self) -> None:
        self.ask(self.question())

    def _connect(self, url: str) -> HTTPClient:
        return caller.connect_slowly(url)

    def _pursue(self, errand: Errand) -> None:
        caller.pursue(self._http, errand, time.monotonic, reads=self.bytes_per_second)
