"""The programs of a run: each a child process on a free port of this machine, with its log, gone when the run is."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import requests

from loadtests.errors import CannotRun
from loadtests.protocol.client import Call
from loadtests.sample import Row

START_TIMEOUT = 30.0
STOP_TIMEOUT = 3.0
DRAIN = 1.0
"""Seconds that the gateway's open requests get when it is stopped, unless the scenario says otherwise."""
CONTROL_TIMEOUT = 2.0
JOURNAL_PAGE = 5000
MOCK_SECTIONS = ("latency", "capacity", "limits", "models", "faults", "responders", "timeline")
"""Of the mock's configuration: null is the default again."""
PR_SET_PDEATHSIG = 1

# What must not reach a child: a real key or endpoint, a proxy that loopback traffic would go through, and settings of
# the caller's own shell that would change the experiment.
STRIPPED = ("ANTHROPIC_", "GATEWAY_", "MOCKCLAUDE_", "LOCUST_", "LOADTESTS_", "VALID_API_KEYS")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class Program:
    """One child process. `name` is what people call it; `url` is where it listens, if it does. `send_buffer`: bytes the
    kernel keeps of what it sends, on each connection it accepts; None: as many as the kernel likes."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.url = ""
        self.send_buffer: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], *, listens: bool = True) -> None:
        """Start `python -m` with `arguments`. A program that listens inherits its socket, already bound to a free port
        (`--fd`): no port can be lost between choosing and binding it."""
        python = [sys.executable, "-P", "-m"]  # -P: what lies in the caller's folder is no module of ours
        if not listens:
            self._spawn([*python, *arguments], environment)
            return
        with socket.create_server(("127.0.0.1", 0)) as listener:
            if self.send_buffer is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer)
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            number = listener.fileno()
            self._spawn([*python, *arguments, "--fd", str(number)], environment, (number,))

    def start_other(self, command: Callable[[int], Sequence[str]]) -> None:
        """Start what is no program of ours and cannot inherit a socket: `command` gets a free port, which nobody else
        can take until it listens there (or has ended)."""
        with contextlib.ExitStack() as held:
            port = held.enter_context(reserved())
            self.url = f"http://127.0.0.1:{port}"
            self._spawn(command(port), {})
            self._wait(self._is_open, f"did not open port {port}")

    def _spawn(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        passed: Sequence[int] = (),
        folder: Path | None = None,
    ) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder or self.log.parent,  # where no locust.conf of the caller is
                env={**clean_environment(os.environ), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=passed,
                start_new_session=True,  # Ctrl-C is for the runner, which then stops its programs in order
                preexec_fn=die_with_parent,
            )

    @property
    def address(self) -> str:
        """host:port"""
        return self.url.removeprefix("http://")

    @property
    def exit_code(self) -> int | None:
        """None while it runs (or never started)."""
        return self._process.poll() if self._process else None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def wait_until_healthy(self, path: str) -> None:
        """Raises CannotRun when it ends or does not answer in time."""
        self._wait(lambda: _answers(self.url + path), f"did not answer {path}")

    def _wait(self, ready: Callable[[], bool], or_else: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self.exit_code is not None:
                raise CannotRun(f"the {self.name} ended at start, {self.last_words()}")
            if ready():
                return
            time.sleep(0.05)
        raise CannotRun(f"the {self.name} {or_else} within {START_TIMEOUT:.0f} s, {self.last_words()}")

    def _is_open(self) -> bool:
        host, _, port = self.address.partition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=CONTROL_TIMEOUT):
            return True
        return False

    def last_words(self, lines: int = 3) -> str:
        """How it ended and the end of its log, for a message."""
        code = self.exit_code
        how = "still running" if code is None else f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        tail = [line for line in text.splitlines() if line.strip()][-lines:]
        return f"{how}; {self.log} says:\n  " + "\n  ".join(tail or ["(nothing)"])

    def ask_to_stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def wait_until_stopped(self, deadline: float) -> None:
        """Until `deadline` (monotonic) it may end by itself; then it is killed, with all it started."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def stop(*programs: Program) -> None:
    """All at once, politely, then not. An interrupt that led here need not be raised again."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for program in programs:
        program.ask_to_stop()
    deadline = time.monotonic() + STOP_TIMEOUT
    for program in programs:
        program.wait_until_stopped(deadline)


def web_port(wanted: int | None, usual: int = 8089) -> int:
    """A port for a program that cannot inherit its socket. Raises CannotRun when the wanted one is busy."""
    for port in (wanted,) if wanted is not None else (usual, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as listener:
            return int(listener.getsockname()[1])
    raise CannotRun(f"--port {wanted}: this port is in use; give another, or none for a free one")


class Mock:
    """The mock's control plane: the independent witness of a run. Raises requests.RequestException when it is gone."""

    def __init__(self, url: str, page: int = JOURNAL_PAGE) -> None:
        self.url = url
        self._page = page
        self._http = _session()
        self._cursor = 0
        self.lost = 0

    def stats(self) -> Row:
        return self._get("/_mock/stats")

    def reset(self) -> None:
        """Let its timeline begin now; what it has seen so far is forgotten."""
        self._http.post(f"{self.url}/_mock/reset", timeout=CONTROL_TIMEOUT).raise_for_status()

    def close(self) -> None:
        """End what still runs there: its callers are gone."""
        self._http.post(f"{self.url}/_mock/close", timeout=CONTROL_TIMEOUT).raise_for_status()

    def configure(self, config: Row) -> None:
        """Put these sections in force. Raises CannotRun when the mock does not accept them."""
        answer = self._http.put(f"{self.url}/_mock/config", json=config, timeout=CONTROL_TIMEOUT)
        if answer.status_code != 200:
            raise CannotRun(f"the mock at {self.url} refused its configuration: {answer.text[:500]}")

    def begin_fault(self, fault: Row) -> None:
        """Beside what is configured, until that is put in force again."""
        self._http.post(f"{self.url}/_mock/faults", json=fault, timeout=CONTROL_TIMEOUT).raise_for_status()

    def drain(self) -> Iterator[list[Row]]:
        """The journal records closed since the last drain, page by page: what was given is not asked for again."""
        while True:
            page = self._get(f"/_mock/journal?after={self._cursor}&limit={self._page}")
            self._cursor, self.lost = page["cursor"], page["lost"]
            yield page["records"]
            if len(page["records"]) < self._page:
                return

    def _get(self, path: str) -> Row:
        answer = self._http.get(self.url + path, timeout=CONTROL_TIMEOUT)
        answer.raise_for_status()
        found: Row = answer.json()
        return found


class Answer(NamedTuple):
    """What came back, as a whole and not compressed any more."""

    status: int
    content_type: str
    body: bytes


def ask_gateway(url: str, asked: Call) -> Answer:
    """One request to the gateway. Raises requests.RequestException."""
    found = _session().request(
        asked.method, f"{url}{asked.path}", data=asked.body, headers=asked.headers, timeout=20, allow_redirects=False
    )
    return Answer(found.status_code, found.headers.get("content-type", ""), found.content)


def environment_of(settings: Mapping[str, Any], prefix: str = "GATEWAY_") -> dict[str, str]:
    """Nested settings as environment variables: `{"retry_budget": {"ratio": 0.1}}` is `GATEWAY_RETRY_BUDGET__RATIO`."""
    variables: dict[str, str] = {}
    for key, value in settings.items():
        name = f"{prefix}{key.upper()}"
        if isinstance(value, Mapping) and value:
            variables |= environment_of(value, f"{name}__")
        else:
            variables[name] = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return variables


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The spend guard's first half: no child sees a key, an endpoint or a proxy of the person who runs us."""
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(STRIPPED) and name.upper() not in PROXIES
    }
    return {**kept, "NO_PROXY": "127.0.0.1,localhost", "PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def reserved() -> Iterator[int]:
    """A free port, bound and not listening. Linux lets another program bind and listen there meanwhile that allows the
    reuse of addresses (which servers do), but gives the port to nobody who asks for any."""
    with socket.socket() as holder:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            holder.setsockopt(socket.SOL_SOCKET, option, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return _session().get(url, timeout=CONTROL_TIMEOUT).status_code == 200
    except requests.RequestException:
        return False


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


def die_with_parent() -> None:
    """Linux: a child does not outlive a runner that was killed. Elsewhere the runner's own handlers have to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
