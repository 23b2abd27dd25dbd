"""Real programs as child processes, and what they leave behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from loadtests.rundir import RunDir
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
