"""Real programs as child processes, and what they leave behind; a real browser, and what it complains of."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.sync.client import ClientConnection, connect

from loadtests.record.rundir import RunDir
from loadtests.sample import Row


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("virtual") is None:
            item.add_marker(pytest.mark.system)


class Command:
    """`python -m loadtests ...` in a folder of its own, with its output and every process it ever started."""

    def __init__(self, folder: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.run = folder / "run"
        self._output = (folder / "output.txt").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "loadtests", *arguments],
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        self._seen: dict[int, psutil.Process] = {}

    def output(self) -> str:
        return Path(self._output.name).read_text()

    def children(self) -> dict[str, psutil.Process]:
        """Its living child processes by the module they run."""
        found = {}
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self._seen[child.pid] = child
                with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                    line = child.cmdline()
                    found[line[line.index("-m") + 1] if "-m" in line else line[0]] = child
        return found

    def wait_for(self, condition: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            self.children()
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.1)

    def wait_for_load(self) -> None:
        """Until samples are being written: the run is in full swing."""
        self.wait_for(lambda: (self.run / "samples.jsonl").exists() and (self.run / "samples.jsonl").stat().st_size)

    def end(self, seconds: float) -> int:
        """Its exit code; it must come within `seconds`."""
        return self.process.wait(seconds)

    def leftovers(self) -> list[str]:
        """Its children that still run (given a moment to be gone; one that waits to be reaped does not run)."""
        _, alive = psutil.wait_procs(list(self._seen.values()), timeout=0.5)
        return [str(process) for process in alive if _runs(process)]

    def summary(self) -> Row:
        found: Row = json.loads((self.run / "summary.json").read_text())
        return found

    def check_the_books(self) -> None:
        """Outcomes sum to the requests started; the journal and the gateway's log agree on every request's attempts."""
        run = RunDir(self.run)
        for name, variant in self.summary()["variants"].items():
            samples = run.samples_of(name)
            (ended,) = [event for event in run.events_of(name) if event["event"] == "ended"]
            asked = {sample.request_id for sample in samples}
            assert ended["sent"] == len(samples) == len(asked)
            logged = {key: count for key, count in run.gateway_attempts(name).items() if key in asked}
            received = (str(attempt["request_id"]) for attempt in run.journal_of(name))
            assert Counter(request_id for request_id in received if request_id in asked) == logged
            for figures in variant["phases"].values():
                assert sum(figures["outcomes"].values()) == figures["started"]
                assert figures["started"] + figures["not_sent"] == figures["offered"]

    def close(self) -> None:
        self.children()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._output.close()


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def loadtests(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Start the `loadtests` command; it is ended with the test, however that ends."""
    started: list[Command] = []

    def start(*arguments: str, env: dict[str, str] | None = None) -> Command:
        folder = tmp_path / str(len(started))
        folder.mkdir(exist_ok=True)
        started.append(Command(folder, *arguments, env=env))
        return started[-1]

    yield start
    for command in started:
        command.close()


@pytest.fixture(scope="module")
def start_loadtests() -> Iterator[Callable[..., Command]]:
    """The same in a folder that is given, for all tests of a file; told to stop as by Ctrl-C."""
    started: list[Command] = []

    def start(folder: Path, *arguments: str) -> Command:
        started.append(Command(folder, *arguments))
        return started[-1]

    yield start
    for command in started:
        command.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.end(30)
        command.close()


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)


class Tab:
    """A tab of a browser, over the DevTools protocol. `complaints` are console errors, exceptions and failed loads."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._ids, self._session = socket, itertools.count(1), None
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._loaded = False
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        session = {"sessionId": self._session} if self._session else {}
        self._socket.send(json.dumps({"id": number, "method": method, "params": params, **session}))
        while (message := self._receive()).get("id") != number:
            pass
        assert "error" not in message, message
        return message["result"]

    def open(self, url: str, *, width: int, dark: bool = False) -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        self.prefer(dark=dark)
        self._loaded = False
        self.ask("Page.navigate", url=url)
        while not self._loaded:
            self._receive()
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def prefer(self, *, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def evaluate(self, script: str) -> Any:
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=20))
        method, params = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif (
            method in ("Runtime.exceptionThrown", "Network.loadingFailed")
            or (method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"))
            or (method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"))
        ):
            self.complaints.append(json.dumps(params))
        return message


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientConnection]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium on PATH: apt install chromium")
    home = tmp_path_factory.mktemp("browser")
    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={home}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with connect(
            address_of(process, home / "DevToolsActivePort"), max_size=None, proxy=None, ping_interval=None
        ) as socket:
            yield socket
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


def address_of(process: subprocess.Popen[bytes], written: Path) -> str:
    """Chromium writes the port it picked, and the path, into its profile."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            port, path = written.read_text().split()
            return f"ws://127.0.0.1:{port}{path}"
        time.sleep(0.05)
    raise AssertionError(f"the browser did not start (exit code {process.poll()})")


@pytest.fixture
def tab(browser: ClientConnection) -> Tab:
    return Tab(browser)
