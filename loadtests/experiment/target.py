"""A target: any gateway, as a file says how it is reached, spoken to, started and stopped.

    url: http://127.0.0.1:8080
    speaks: messages                                # or gateway: as gateway_under_test; or an `endpoint` of its own
    headers: {authorization: "Bearer $TEAM_KEY"}    # $NAME is from the environment
    models: {claude-haiku-4-5: small}               # what it calls a model
    ready: /healthz                                 # answers 200 when it may be loaded
    start: python app.py --port {port}              # with ANTHROPIC_BASE_URL: the mock

What a load asks is the scenario's to say; the target says in which words.
"""

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import pydantic
from pydantic import Field

from loadtests import guard
from loadtests.documents import document, problems
from loadtests.documents.document import Document
from loadtests.documents.field import Section
from loadtests.errors import CannotRun, ScenarioError
from loadtests.experiment.scenario import OF_ALL, Scenario
from loadtests.protocol import client
from loadtests.protocol.client import KINDS, Kind, Kinds
from loadtests.protocol.endpoint import Endpoint
from loadtests.protocol.reading import Json
from loadtests.schedule.load import Ask

VARIANT = "target"
"""What a run against a target calls it, unless it is asked to be one of the scenario's variants."""
NAME = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
PORT = "{port}"
CREDENTIALS = ("authorization", "x-api-key")
IN_MESSAGES = {
    "chat": "messages",
    "messages": "messages",
    "stream": "messages_stream",
    "quick": "messages_stream",
    "messages_stream": "messages_stream",
}
"""What a user does at a target that speaks Claude's protocol alone. One who asks a question can ask it there."""


class WarmUp(Section):
    """Before the load: so many `requests`, then so many for which Claude is overloaded."""

    requests: int = Field(2, ge=0, le=1000, strict=True)
    errors: int = Field(1, ge=0, le=100, strict=True)


class Target(Section):
    """`{port}` in `url` and `start` is a free port. `start` and `stop` are run in the folder of the file."""

    about: str = ""
    url: str
    mock: str | None = None
    speaks: Literal["gateway", "messages"] | None = None
    endpoint: Endpoint | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    models: dict[str, str] = Field(default_factory=dict)
    ready: str | None = Field(None, pattern="^/")
    warm_up: WarmUp = WarmUp()
    start: str | None = None
    stop: str | None = None

    @pydantic.model_validator(mode="after")
    def _says_how(self) -> "Target":
        if (self.speaks is None) == (self.endpoint is None):
            raise ValueError('expected "speaks" (gateway or messages), or an "endpoint" of its own')
        if PORT in self.url and self.start is None:
            raise ValueError('"url" has {port}, but nothing is started there; expected "start"')
        return self

    @property
    def variables(self) -> set[str]:
        """The names in the environment that its headers need."""
        return set().union(*map(_names, self.headers.values()))

    def kinds(self, environment: Mapping[str, str]) -> Kinds:
        """What each user does here. Raises CannotRun when the environment lacks a name."""
        headers = {name.lower(): substituted(value, environment) for name, value in self.headers.items()}
        return {user: self._kind(kind, headers) for user, kind in self.spoken.items()}

    def key(self, usual: str) -> str:
        """The key to send along: none, where the headers have a credential of their own."""
        return "" if any(name.lower() in CREDENTIALS for name in self.headers) else usual

    @property
    def spoken(self) -> Kinds:
        """What each user does here, in its own words, without what every request has."""
        if self.endpoint is not None:
            own = Kind(self.endpoint.path, self.endpoint.asked, self.endpoint.dialect, self.endpoint.method)
            return dict.fromkeys(IN_MESSAGES, own)
        if self.speaks == "messages":
            return {user: KINDS[kind] for user, kind in IN_MESSAGES.items()}
        return KINDS

    def _kind(self, kind: Kind, headers: Mapping[str, str]) -> Kind:
        body = kind.body

        def asked(ask: Ask, request_id: str) -> Json:
            assert body is not None
            return body(dataclasses.replace(ask, model=self.models.get(ask.model, ask.model)), request_id)

        return kind._replace(body=None if body is None else asked, headers=MappingProxyType(dict(headers)))


@dataclasses.dataclass(frozen=True)
class Aim:
    """A target, and what the command line says beside it. `folder`: where its commands are run. `permissions`: the
    spend guard's options that were given. `toxiproxy`: the control plane of one that runs already and has the hops of
    the scenario's network."""

    target: Target
    mock: str | None = None
    key: str = client.KEY
    folder: Path = Path()
    permissions: tuple[str, ...] = ()
    toxiproxy: str | None = None

    @property
    def starts(self) -> bool:
        return self.target.start is not None


def aim(
    given: str,
    mock: str | None = None,
    key: str = client.KEY,
    *,
    toxiproxy: str | None = None,
    allow_remote: bool = False,
    i_will_pay: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Aim:
    """At a URL (of a gateway that speaks as ours does), a target's file, or one that comes along. Raises CannotRun."""
    if "://" in given or not given:
        target, folder = Target(url=given, speaks="gateway", warm_up=WarmUp(requests=0, errors=0)), Path()
    else:
        path = find(given)
        target, folder = load(path, environment), path.parent
    mock = mock or target.mock
    if mock is None and target.start is None:
        raise CannotRun("--target needs --mock URL: the mock it speaks to is the witness of the run")
    permitted = {"--allow-remote": allow_remote, "--i-will-pay": i_will_pay}

    def allowed(url: str) -> str:
        guard.check(url.replace(PORT, "0"), allow_remote=allow_remote, i_will_pay=i_will_pay)
        return url.rstrip("/")

    return Aim(
        target.model_copy(update={"url": allowed(target.url)}),
        mock and allowed(mock),
        target.key(key),
        folder.resolve(),
        tuple(name for name, on in permitted.items() if on),
        toxiproxy and allowed(toxiproxy),
    )


def names() -> list[str]:
    """The targets that come along, as examples."""
    folder = resources.files("loadtests") / "targets"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def find(name_or_file: str) -> Path:
    """The file of a target, by its path or the name of one that comes along. Raises CannotRun."""
    if name_or_file.endswith((".yaml", ".yml")) or "/" in name_or_file:
        return Path(name_or_file)
    if name_or_file not in names():
        hint = document.did_you_mean(name_or_file, names())
        raise CannotRun(f"--target {name_or_file}: expected a URL, a file, or the name of an example; {hint}")
    return Path(str(resources.files("loadtests") / "targets" / f"{name_or_file}.yaml"))


def load(path: Path, environment: Mapping[str, str]) -> Target:
    """The target that the file says. Raises CannotRun; ScenarioError names file, line and what was expected."""
    source = document.read(path)
    for place, text in _texts(source):
        for name in _names(text):
            if name not in environment:
                where = problems.dotted(place, source)
                raise ScenarioError(source.place(place), f"{where}: the environment has no {name}; set it")
    for name in ("url", "mock"):
        if isinstance(source.data.get(name), str):
            source.data[name] = substituted(source.data[name], environment)
    try:
        return Target.model_validate(source.data)
    except pydantic.ValidationError as error:
        raise problems.first(error, Target, source) from None


def substituted(text: str, environment: Mapping[str, str]) -> str:
    """`text` with what the environment has for each $NAME in it. Raises CannotRun."""
    for name in _names(text):
        if name not in environment:
            raise CannotRun(f"target: the environment has no {name}; set it")
    return NAME.sub(lambda found: environment[found[1] or found[2]], text)


def experiment_at(target: Target, experiment: Scenario, chosen: list[str]) -> tuple[Scenario, list[str]]:
    """The scenario as a target meets it, and the variant that it is: `target`, with load, mock and network of
    the first one, whose predictions it keeps only if they are of no switch of ours. One that is asked to be a variant
    (`chosen`) is judged as that. Raises CannotRun: there are several, or it cannot be asked what the load asks."""
    if len(chosen) > 1:
        raise CannotRun(f"--target is one gateway, expected one --variant; got {', '.join(chosen)}")
    of = (chosen or list(experiment.variants))[0]
    unspoken = [user for user in experiment.of(of).load.mix if user not in target.spoken]
    if unspoken:
        raise CannotRun(
            f"--target: it cannot be asked what user {unspoken[0]} asks; expected {', '.join(target.spoken)}"
        )
    if chosen:
        return experiment, chosen
    own = {name: section for name, section in experiment.variants[of].items() if name in OF_ALL}
    expect = experiment.expect
    if not experiment.gateway_settings(of):
        expect = [each.model_copy(update={"variant": VARIANT}) if each.variant == of else each for each in expect]
    changed = {"variants": {VARIANT: own, **experiment.variants}, "expect": expect}
    return experiment.model_copy(update=changed), [VARIANT]


def _names(text: str) -> set[str]:
    return {found[1] or found[2] for found in NAME.finditer(text)}


def _texts(source: Document) -> Iterator[tuple[tuple[str, ...], str]]:
    """The texts in which the environment is looked up, and their places."""
    headers = source.data.get("headers")
    places = [("url",), ("mock",), *(("headers", name) for name in (headers if isinstance(headers, dict) else {}))]
    for place in places:
        value = source.data.get(place[0]) if len(place) == 1 else source.data["headers"][place[1]]
        if isinstance(value, str):
            yield place, value
