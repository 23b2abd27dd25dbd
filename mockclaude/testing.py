"""A mock in a thread, for tests of one's own: `with MockClaude(capacity={"slots": 2}) as mock: ... mock.url`."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any, Self

import uvicorn

from mockclaude.app import EDGE, create_app
from mockclaude.commands import serving
from mockclaude.settings import Settings

STARTS_WITHIN = 10.0
Json = dict[str, Any]


class MockClaude:
    """A whole mock on a free loopback port while the `with` block runs.

    Keyword arguments are the sections of a configuration: `seed`, `latency`, `capacity`, `limits`, `models`, `faults`,
    `responders`, `timeline`. A wrong one raises `mockclaude.settings.ConfigError` at once. With `keys` any other is
    refused, with `strict_betas` a name in `anthropic-beta` that nobody knows.
    """

    def __init__(self, *, keys: Iterable[str] = (), strict_betas: bool = False, **config: object) -> None:
        app = create_app(Settings(config, keys=frozenset(keys), strict_betas=strict_betas))
        settings = uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            headers=EDGE,
            timeout_keep_alive=serving.KEEP_ALIVE,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(settings)
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
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
        return self._call("PUT", "/_mock/config", sections)

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Json:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=STARTS_WITHIN) as response:
                answer: Json = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["error"]["message"]) from None
