"""The gateway's protocol as a caller speaks it: what each kind of user sends, and how it reads what comes back."""

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlencode

import orjson

from loadtests.protocol import reading
from loadtests.protocol.reading import Dialect, Json
from loadtests.schedule.load import Ask, Load

KEY = "loadtest"  # of the tenant that we are to a gateway of our own
ANTHROPIC_VERSION = "2023-06-01"
CLAUDES = "/v1/"  # the paths below which Claude's own protocol is spoken


class Call(NamedTuple):
    """One HTTP request, ready to be sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Kind(NamedTuple):
    """What a user of this kind does: with a `body` it is a POST (or what `method` says; of a GET it is the query),
    without one a GET.

    `body` makes what is sent of what is asked and of the request's id; `headers` go beside the usual ones.
    """

    path: str
    body: Callable[[Ask, str], Json] | None
    dialect: Dialect = reading.TEXT
    method: str = "POST"
    headers: Mapping[str, str] = MappingProxyType({})

    def call(self, ask: Ask, request_id: str, key: str) -> Call:
        headers = self._headers(request_id, key)
        if self.body is None:
            return Call("GET", self.path, headers, b"")
        said = self.body(ask, request_id)
        if self.method == "GET":
            return Call("GET", f"{self.path}?{urlencode(said)}", headers, b"")
        return Call(self.method, self.path, headers, orjson.dumps(said, option=orjson.OPT_NON_STR_KEYS))

    def poll(self, task: str, request_id: str, key: str) -> Call:
        """The question how far a task is."""
        return Call("GET", f"{self.path}/{task}", self._headers(request_id, key), b"")

    def _headers(self, request_id: str, key: str) -> dict[str, str]:
        claudes = {"anthropic-version": ANTHROPIC_VERSION} if self.path.startswith(CLAUDES) else {}
        return {**headers_of(request_id, key), **claudes, **self.headers}


Kinds = Mapping[str, Kind]
"""By the word for a user in a scenario's load."""


def canary(load: Load, name: str, key: str) -> Call:
    """A small request that must reach Claude, in the protocol that the load is going to speak."""
    kind = KINDS["messages" if KINDS[load.mix[0]].path.startswith(CLAUDES) else "chat"]
    return kind.call(Ask((f"canary {name}",), load.models[0], 1), name, key)


def refused(load: Load, name: str, key: str) -> Call:
    """A request that our gateway refuses by itself: it says nothing."""
    return KINDS["chat"].call(Ask(("",), load.models[0], 1), name, key)


def probe(path: str, name: str, key: str) -> Call:
    return Call("GET", path, headers_of(name, key), b"")


def headers_of(request_id: str, key: str) -> dict[str, str]:
    """Those of every request; a target may have a credential of its own, and no `key`."""
    credential = {"x-api-key": key} if key else {}
    return {
        "content-type": "application/json",
        "accept-encoding": "gzip",
        **credential,
        "x-request-id": request_id,
    }


def _chat(ask: Ask, request_id: str) -> Json:
    return {"message": ask.texts[0], **_terms(ask), **_system(ask)}


def _quick(ask: Ask, request_id: str) -> Json:
    return {"prompt": ask.texts[0]}


def _batch(ask: Ask, request_id: str) -> Json:
    return {"prompts": list(ask.texts), **_terms(ask), **_system(ask)}


def _fanout(ask: Ask, request_id: str) -> Json:
    named = {f"part-{number}": text for number, text in enumerate(ask.texts, start=1)}
    return {"prompts": named, **_terms(ask), **_system(ask)}


def _summarize(ask: Ask, request_id: str) -> Json:
    return {"text": ask.texts[0], **_terms(ask)}


def _route(ask: Ask, request_id: str) -> Json:
    return {"message": ask.texts[0], "max_tokens": ask.max_tokens, **_system(ask)}


def _messages(ask: Ask, request_id: str) -> Json:
    system = {} if ask.system is None else {"system": ask.system}
    said = zip(itertools.cycle(("user", "assistant")), (*ask.history, ask.texts[0]), strict=False)
    messages = [{"role": role, "content": text} for role, text in said]
    return {**_terms(ask), **system, "messages": messages, "metadata": {"user_id": request_id}}


def _messages_stream(ask: Ask, request_id: str) -> Json:
    return {**_messages(ask, request_id), "stream": True}


def _terms(ask: Ask) -> Json:
    return {"model": ask.model, "max_tokens": ask.max_tokens}


def _system(ask: Ask) -> Json:
    return {} if ask.system is None else {"system_prompt": ask.system}


KINDS = {
    "chat": Kind("/chat", _chat),
    "stream": Kind("/chat/stream", _chat),
    "quick": Kind("/stream", _quick),
    "batch": Kind("/batch", _batch, reading.RESULTS),
    "fanout": Kind("/fanout", _fanout, reading.RESULTS),
    "summarize": Kind("/summarize", _summarize, reading.SUMMARY),
    "analyze": Kind("/analyze", _summarize, reading.TASK),
    "route": Kind("/route", _route),
    "messages": Kind("/v1/messages", _messages, reading.CLAUDES),
    "messages_stream": Kind("/v1/messages", _messages_stream, reading.CLAUDES),
    "health": Kind("/health", None, reading.ANYTHING),
}
