"""Toxiproxy's control plane: the hops of one server, and which toxics each has. The only module that speaks to it.

It goes through toxiproxy-python and adds what that lacks: a timeout on every call, several servers in one process (the
library keeps the address in a class), an update of a toxic, errors that say what was asked and what came, and undoing
whatever happens. `Toxiproxy.put` says what a hop should have, and finds out itself what to add, update or remove.

Undoing prefers the sure way. Removing a toxic makes the server stop and drain every connection, which can hang for as
long as its traffic lasts (Shopify/toxiproxy#558; it answers 503 after 25 s). So a hop whose toxics do not go within the
timeout is deleted and made anew on the same port, which drops its connections. If that hangs too, nothing helps but a
new process; the error says so. Each variant of a run has a fresh one anyway.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from toxiproxy import api, exceptions

from loadtests.errors import InvalidRun
from loadtests.experiment.toxics import Directed, Down, Step, Toxic
from loadtests.sample import Row

TIMEOUT = 5.0
DIRECT = {"http": None, "all": None}
"""No proxy of the caller's shell: what is spoken to is on this machine or was named by its address."""


class ToxiproxyError(InvalidRun):
    """What was asked of Toxiproxy did not happen, so the network is not what the scenario says."""


@dataclass(frozen=True)
class Hop:
    """A place between two programs: who connects to `listen` (host:port) reaches `upstream` (host:port)."""

    name: str
    listen: str
    upstream: str
    enabled: bool = True

    @property
    def url(self) -> str:
        return f"http://{self.listen}"


class Change(NamedTuple):
    """What was done, for the notes of a run: `at` is when it was due, in seconds since T0."""

    at: float
    hop: str
    action: str


def command(program: str, port: int) -> list[str]:
    """The command line of a server whose control plane listens on `port`. Of `-seed` it makes no use (PR 610)."""
    return [program, "-host", "127.0.0.1", "-port", str(port)]


class Toxiproxy:
    """One server, by the URL of its control plane. Every method raises ToxiproxyError, at the latest after `timeout`
    seconds of silence."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ToxiproxyError(f'toxiproxy: got "{url}", expected a URL such as http://127.0.0.1:8474')
        self.url = f"http://{parts.hostname}:{parts.port or 8474}"
        self._timeout = timeout
        # The library's own way to another server is for all of a process; a class of our own is for this one.
        self._api: Any = type("Api", (api.APIConsumer,), {"host": parts.hostname, "port": parts.port or 8474})
        self._hops: dict[str, Hop] = {}
        self._toxics: dict[str, tuple[Toxic, ...]] = {}

    def version(self) -> str:
        return str(self._call("get", "/version", "tell its version")["version"])

    def open(self, name: str, upstream: str, listen: str = "127.0.0.1:0") -> Hop:
        """A new hop; port 0 is a free one, and the hop that is given back has it."""
        if urlsplit(f"//{upstream}").port is None:  # Toxiproxy would take it, and close every connection
            raise ToxiproxyError(f'hop "{name}": got upstream "{upstream}", expected host:port')
        body = {"name": name, "upstream": upstream, "listen": listen, "enabled": True}
        made = self._call("post", "/proxies", f'open hop "{name}" on {listen}', body)
        self._hops[name] = Hop(name, made["listen"], made["upstream"], made["enabled"])
        self._toxics[name] = ()
        return self._hops[name]

    def adopt(self, names: Iterable[str]) -> None:
        """These hops are somebody else's, who goes on with them: they are there, and as they should be."""
        there = self.hops()
        for name in sorted(names):
            if name not in there:
                raise ToxiproxyError(f'no hop "{name}" at {self.url}; there are: {", ".join(sorted(there)) or "none"}')
            if found := [str(toxic["name"]) for toxic in self.toxics(name)]:
                raise ToxiproxyError(f'hop "{name}" at {self.url} has {", ".join(found)} already; remove it first')
            self._hops[name], self._toxics[name] = there[name], ()

    def share(self) -> None:
        """All its hops are somebody else's too: what is on them by now is the other's."""
        self._hops = self.hops()
        self._toxics = dict.fromkeys(self._hops, ())

    def close(self, name: str) -> None:
        """The hop is gone, with its toxics and its connections."""
        self._call("delete", f"/proxies/{name}", f'close hop "{name}"')
        self._hops.pop(name, None)
        self._toxics.pop(name, None)

    def hops(self) -> dict[str, Hop]:
        """As the server sees them, whoever opened them."""
        found = self._call("get", "/proxies", "list its hops")
        return {name: Hop(name, each["listen"], each["upstream"], each["enabled"]) for name, each in found.items()}

    def toxics(self, name: str) -> list[Row]:
        """As the server sees them; `down` is not among them, but `hops()[name].enabled`."""
        found: list[Row] = self._call("get", f"/proxies/{name}/toxics", f'list the toxics of "{name}"')
        return found

    def in_force(self, name: str) -> tuple[Toxic, ...]:
        """What was put on the hop."""
        if name not in self._toxics:
            raise ToxiproxyError(
                f'no hop "{name}" was opened at {self.url}; open are: {", ".join(self._hops) or "none"}'
            )
        return self._toxics[name]

    def put(self, name: str, toxics: Sequence[Toxic]) -> list[str]:
        """The hop has these toxics from now on, and no others; what was done, in words. Others stay as they are.

        A toxic that does not go in time goes with its hop: see above.
        """
        present = {toxic.name: toxic for toxic in self.in_force(name)}
        wanted = {toxic.name: toxic for toxic in toxics}
        self._toxics[name] = tuple(toxics)
        try:
            removed = [self._remove(name, toxic) for key, toxic in present.items() if key not in wanted]
        except ToxiproxyError as error:
            self._replace(name, error)
            removed, present = [f"replaced the hop, which dropped its connections ({error})"], {}
        put = [self._lay(name, toxic, present) for key, toxic in wanted.items() if present.get(key) != toxic]
        return [*removed, *put]

    def _lay(self, hop: str, toxic: Toxic, present: dict[str, Toxic]) -> str:
        said = f"{toxic.name} on {hop}"
        if not isinstance(toxic, Directed):
            self._enable(hop, False)
            return f"added {said}"
        body = {"stream": toxic.stream, "toxicity": toxic.toxicity, "attributes": toxic.attributes()}
        if toxic.name in present:  # by POST, which is the old word for PATCH: the library has no other
            self._call("post", f"/proxies/{hop}/toxics/{toxic.name}", f"update {said}", body)
            return f"updated {said}"
        kind = toxic.name.removesuffix(f"_{toxic.stream}")
        self._call("post", f"/proxies/{hop}/toxics", f"add {said}", {"name": toxic.name, "type": kind, **body})
        return f"added {said}"

    def _remove(self, hop: str, toxic: Toxic) -> str:
        said = f"{toxic.name} from {hop}"
        if isinstance(toxic, Down):
            self._enable(hop, True)
        else:
            self._call("delete", f"/proxies/{hop}/toxics/{toxic.name}", f"remove {said}")
        return f"removed {said}"

    def _enable(self, hop: str, on: bool) -> None:
        self._call("post", f"/proxies/{hop}", f'{"open" if on else "shut"} the port of "{hop}"', {"enabled": on})

    def _replace(self, name: str, why: ToxiproxyError) -> None:
        hop, wanted = self._hops[name], self._toxics[name]
        try:
            self.close(name)
            self.open(name, hop.upstream, hop.listen)
        except ToxiproxyError as error:
            raise ToxiproxyError(f"{why}; nor could the hop be replaced: {error}; start a new process") from None
        self._toxics[name] = wanted

    def _call(self, method: str, path: str, what: str, body: object = None) -> Any:
        """The answer's JSON, or None when there is none. `what` is the end of "it did not ..."."""
        options: Row = {"timeout": self._timeout, "proxies": DIRECT}
        if body is not None:
            options["json"] = body
        try:
            answer = getattr(self._api, method)(path, **options)
        except (exceptions.ProxyExists, exceptions.NotFound, exceptions.InvalidToxic) as error:
            said = error.args[0] if error.args else b""
            raise self._error(what, f"{type(error).__name__}: {_text(said)}") from None
        except requests.Timeout:
            raise self._error(what, f"no answer within {self._timeout:g} s") from None
        except requests.ConnectionError:
            raise self._error(what, "it takes no connection, or broke it off") from None
        except requests.RequestException as error:
            raise self._error(what, str(error)) from None
        if not answer.ok:  # of these the library says nothing
            raise self._error(what, f"status {answer.status_code}: {_text(answer.content)}")
        return answer.json() if answer.content else None

    def _error(self, what: str, why: str) -> ToxiproxyError:
        return ToxiproxyError(f"toxiproxy at {self.url} did not {what}: {why.strip()}")


@contextlib.contextmanager
def hop(server: Toxiproxy, name: str, upstream: str, listen: str = "127.0.0.1:0") -> Iterator[Hop]:
    """A hop that is gone afterwards, with all that was put on it."""
    opened = server.open(name, upstream, listen)
    with undone(lambda: server.close(name)):
        yield opened


@contextlib.contextmanager
def harmed(server: Toxiproxy, name: str, *toxics: Toxic) -> Iterator[None]:
    """The hop has these toxics meanwhile, and those that it had before afterwards."""
    before = server.in_force(name)
    with undone(lambda: server.put(name, before)):
        server.put(name, toxics)
        yield


@contextlib.contextmanager
def undone(undo: Callable[[], object]) -> Iterator[None]:
    """`undo` in any case. What went wrong first is what is told; a failure to undo only when nothing else failed."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ToxiproxyError):
            undo()
        raise
    undo()


@dataclass
class Driver:
    """Carries the steps of a timeline out on a server. `advance` does all that is due and says what it did."""

    server: Toxiproxy
    steps: Sequence[Step]
    _done: int = field(default=0, init=False)

    @property
    def next(self) -> float | None:
        """When there is something to do again."""
        return self.steps[self._done].at if self._done < len(self.steps) else None

    def advance(self, now: float) -> list[Change]:
        """Of several steps of one hop that are due, the last counts."""
        due = [step for step in self.steps[self._done :] if step.at <= now]
        self._done += len(due)
        last = {step.hop: step for step in due}
        return [
            Change(step.at, name, action)
            for name, step in last.items()
            for action in self.server.put(name, step.toxics)
        ]

    def restart(self) -> None:
        """All of the timeline lies ahead again, and nothing of it is in force."""
        self.undo()
        self._done = 0

    def undo(self) -> None:
        """No hop has a toxic any more; every hop is tried, and the first failure raised."""
        self._done = len(self.steps)
        failures: list[ToxiproxyError] = []
        for name in sorted({step.hop for step in self.steps}):
            try:
                self.server.put(name, ())
            except ToxiproxyError as error:
                failures.append(error)
        if failures:
            raise failures[0]


def _text(said: object) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
