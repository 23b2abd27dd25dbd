"""A mock in a thread, for tests of one's own: `with MockClaude(capacity={"slots": 2}) as mock: ... mock.url`."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import uvicorn

from mockclaude import faults, inbox, listener, timeline
from mockclaude.app import EDGE, create_app
from mockclaude.endpoints.shelf import Shelf
from mockclaude.server import Server
from mockclaude.settings import ConfigError, Settings, with_recordings

STARTS_WITHIN = 10.0
SETTLES_WITHIN = 0.25
GLANCE = 0.002
Json = dict[str, Any]


class MockClaude:
    """A whole mock on a free loopback port while the `with` block runs.

    Keyword arguments are the sections of a configuration: `seed`, `latency`, `capacity`, `limits`, `models`, `faults`,
    `responders`, `timeline`. A wrong one raises `mockclaude.settings.ConfigError` at once. With `keys` any other is
    refused, with `strict_betas` a name in `anthropic-beta` that nobody knows.
    """

    def __init__(self, *, keys: Iterable[str] = (), strict_betas: bool = False, **config: object) -> None:
        app = create_app(Settings(config, keys=frozenset(keys), strict_betas=strict_betas))
        self._mock: Server = app.state.server
        self._inbox = inbox.Inbox(app, self._mock.journal)
        settings = uvicorn.Config(
            self._inbox,
            log_level="critical",
            access_log=False,
            headers=EDGE,
            http=listener.Protocol,
            proxy_headers=False,
            timeout_keep_alive=listener.KEEP_ALIVE,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(settings)
        self._direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._faults = _listed(config)
        self.url = ""

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        self._call("GET", "/_mock/health")  # the socket listens already, so this waits until the app answers
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STARTS_WITHIN)
        if self._socket is not None:
            self._socket.close()

    @property
    def requests(self) -> list[inbox.Received]:
        """The attempts at /v1/messages since the last reset in the order of arrival, the newest 1,000 of them.

        Those that still run are given a moment to end: the mock learns of a client that left later than the client.
        """
        settled = time.monotonic() + SETTLES_WITHIN
        seen = self._received()
        while any(one.outcome is None for one in seen) and time.monotonic() < settled:
            time.sleep(GLANCE)
            seen = self._received()
        return seen

    def assert_attempts(self, expected: int) -> None:
        """Raise an `AssertionError` that lists the attempts, unless so many have come since the last reset."""
        __tracebackhide__ = True
        seen = self._received()
        count = seen[-1].n if seen else 0
        if count != expected:
            raise AssertionError(f"expected {expected} attempts, got {count}\n{inbox.told(self.requests)}")

    def fault(self, name: str, **fields: object) -> ExitStack:
        """Begin a fault, beside those in force: `fault("status", code=529, nth=[1])`. `nth` counts from the reset on.

        As `with mock.fault(...):` it ends with the block, else when what this returns is closed. Raises `ConfigError`
        when there is no such fault, or it has no such fields.
        """
        __tracebackhide__ = True
        begun = {"name": name, **fields}
        try:
            faults.parse([begun])
        except ConfigError as error:
            said = [problem._replace(loc=(f'fault "{name}"', *problem.loc[2:])) for problem in error.problems]
            raise ConfigError(said) from None
        self.configure(faults=[*self._faults, begun])
        ending = ExitStack()
        ending.callback(self._end, begun)
        return ending

    def begin(self, **sections: object) -> None:
        """Be as new, with this configuration: what runs is ended, what was seen or uploaded forgotten, T0 is now.

        Raises `ValueError` when a section is wrong.
        """
        __tracebackhide__ = True
        self.close()
        self.configure(**dict.fromkeys(("seed", *timeline.PARSERS, "timeline")) | sections)
        self._mock.files = Shelf()
        self.reset()

    def reset(self) -> Json:
        """Set T0 and empty the journal."""
        return self._call("POST", "/_mock/reset")

    def journal(self, after: int = 0) -> list[Json]:
        """Records of the attempts that have ended, in the order of ending."""
        records: list[Json] = self._call("GET", f"/_mock/journal?after={after}")["records"]
        return records

    def stats(self) -> Json:
        """Counts and levels."""
        return self._call("GET", "/_mock/stats")

    def close(self) -> int:
        """End whatever still runs; how many attempts that were."""
        return int(self._call("POST", "/_mock/close")["closed"])

    def configure(self, **sections: object) -> Json:
        """Replace sections; raises `ValueError` with the mock's reason when one is wrong."""
        __tracebackhide__ = True
        now_in_force = self._call("PUT", "/_mock/config", with_recordings(sections, Path()))
        if "faults" in sections:
            self._faults = _listed(sections)
        return now_in_force

    def _end(self, fault: Mapping[str, object]) -> None:
        self.configure(faults=[one for one in self._faults if one is not fault])

    def _received(self) -> list[inbox.Received]:
        outcomes = {record["n"]: record["outcome"] for record in self._ended()}
        return self._inbox.received(self._mock.clock.zero, outcomes)

    def _ended(self) -> list[Json]:
        """Every record since the last reset."""
        page = self._call("GET", "/_mock/journal")
        records: list[Json] = page["records"]
        while page["records"]:
            page = self._call("GET", f"/_mock/journal?after={page['cursor']}")
            records += page["records"]
        return records

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Json:
        __tracebackhide__ = True
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        try:
            with self._direct.open(request, timeout=STARTS_WITHIN) as response:
                answer: Json = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["error"]["message"]) from None


def _listed(config: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    """The faults of a configuration that was found good."""
    listed: Any = config.get("faults")
    return tuple(listed or ())
