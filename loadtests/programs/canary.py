"""The spend guard's last word: before any load, one request proves that the Claude behind a gateway is the mock.

It is proved by the request's id in the mock's journal; or, since not every gateway hands an id on, by what the mock
alone could have said: for this one request it answers everything with a word that nobody else knows.
"""

import uuid
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import requests

from loadtests.errors import CannotRun
from loadtests.experiment.target import WarmUp
from loadtests.programs import stack
from loadtests.programs.stack import Answer, Mock
from loadtests.protocol import client
from loadtests.protocol.client import Call, Kinds
from loadtests.protocol.reading import Exchange
from loadtests.sample import Row
from loadtests.schedule.load import Ask, Load

SPOKEN = 64
"""Tokens that are asked for: the word is shorter."""
OVERLOADED: Row = {"name": "status", "code": 529}


class Way(NamedTuple):
    """How a target is asked: where, in which words, with which key."""

    entrance: str
    kinds: Kinds
    load: Load
    key: str

    def call(self, text: str, request_id: str) -> Call:
        return self.kinds[self.load.mix[0]].call(Ask((text,), self.load.models[0], SPOKEN), request_id, self.key)


def prove(variant: str, entrance: str, witness: Mock, load: Load) -> None:
    """Of our own gateway, which hands the id on and has then answered once, and refused once: the first error of a
    program is slow too. Raises CannotRun."""
    name = f"canary-{uuid.uuid4().hex}"  # a new one: a mock that runs already may remember another run's
    answer = _asked(variant, lambda: stack.ask_gateway(entrance, client.canary(load, name, client.KEY)), witness)
    if not _seen(variant, name, witness):
        raise _unproven(variant, answer)
    _asked(variant, lambda: stack.ask_gateway(entrance, client.refused(load, f"warm-up-{name}", client.KEY)), witness)


def prove_target(variant: str, way: Way, witness: Mock, warm_up: WarmUp) -> bool:
    """Of any target, which is warm afterwards; whether it hands the request's id on. Leaves a mock that answers with
    one word. Raises CannotRun: it is another Claude, or its answer does not read as the target's file says."""
    name, word = f"canary-{uuid.uuid4().hex}", uuid.uuid4().hex[:12]
    try:
        witness.configure({**dict.fromkeys(stack.MOCK_SECTIONS), "responders": [{"fixed": word}]})
    except requests.RequestException as error:
        raise CannotRun(f"--mock {witness.url}: {error}") from None
    answer = _asked(variant, lambda: stack.ask_gateway(way.entrance, way.call(f"canary {name}", name)), witness)
    by_id = _seen(variant, name, witness)
    if not by_id and word.encode() not in answer.body:
        raise _unproven(variant, answer)
    _demand_sense(variant, way, answer)
    try:
        for number in range(warm_up.requests + warm_up.errors):
            if number == warm_up.requests:
                witness.begin_fault(OVERLOADED)
            stack.ask_gateway(way.entrance, way.call(f"warm-up {number} {name}", f"warm-up-{number}-{name}"))
        deque(witness.drain(), maxlen=0)  # what the warm-up left in the journal is none of the load's
    except requests.RequestException as error:
        raise CannotRun(f"{variant}: a warm-up request failed: {error}") from None
    return by_id


def _asked(variant: str, ask: Callable[[], Answer], witness: Mock) -> Answer:
    try:
        witness.reset()  # programs start slowly, and the gateway would remember what the timeline has for later
        return ask()
    except requests.RequestException as error:
        raise CannotRun(f"{variant}: the canary request failed: {error}") from None


def _seen(variant: str, name: str, witness: Mock) -> bool:
    try:
        return any(record["request_id"] == name for records in witness.drain() for record in records)
    except requests.RequestException as error:
        raise CannotRun(f"{variant}: the canary request failed: {error}") from None


def _unproven(variant: str, answer: Answer) -> CannotRun:
    return CannotRun(
        f"{variant}: the canary request is not in the mock's journal (the gateway answered {answer.status}): "
        "what it speaks to is not the mock, so no load is sent"
    )


def _demand_sense(variant: str, way: Way, answer: Answer) -> None:
    """What cannot be read now could not be counted later."""
    exchange = Exchange(way.kinds[way.load.mix[0]].dialect)
    exchange.head(answer.status, answer.content_type)
    exchange.feed(answer.body, 0.0)
    outcome = exchange.outcome()
    if outcome != "complete":
        why = f" ({exchange.error})" if exchange.error else ""
        raise CannotRun(
            f"{variant}: the canary was answered with status {answer.status}, which reads as {outcome}{why}; it says: "
            f"{answer.body[:300].decode('utf-8', 'replace')!r}"
        )
