"""Who is measured: a command that serves on a socket it inherits, or a peer that runs already."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mockclaude.bench import child, cpus
from mockclaude.bench.load import Load

BASELINES = Path(__file__).parents[2] / "benchmarks"
STARTS_WITHIN = 30.0
GLANCE = 0.05
LAST_LINES = 3
STREAMING = ("naive", "sse", "streaming", "raw_send", "heap")
"""Those of benchmarks/ that say what the mock says, as a stream."""
SPARE = 200
"""Files that a server has open beside its callers, at most."""
PARTS = ("transport", "pacer", "alarm", "batches", "rendering", "short_way", "memory", "uvloop", "gc")
"""What benchmarks/without.py can leave out."""


class CouldNotRun(Exception):
    """Nothing can be measured here, and why."""


class Contender(NamedTuple):
    """`words` follow `python`; {fd} in them is the socket, {config} a mock's. A peer has a `url` and no words.

    A gateway `asks` a mock that runs beside the reader, on its core.
    """

    name: str
    words: tuple[str, ...] = ()
    url: str = ""
    asks: bool = False
    environment: tuple[tuple[str, str], ...] = ()


class Running(NamedTuple):
    """A contender that listens on loopback; `pid` is None for a peer's, `beside` is of a mock on the reader's core."""

    port: int
    pid: int | None
    beside: int | None = None


OURS = Contender("mockclaude", ("-m", "mockclaude", "serve", "--fd", "{fd}", "--config", "{config}"))
"""The mock itself, as anybody would start it."""
UNHEARD = OURS._replace(name="mockclaude (new prompts)")
"""The mock, which is never asked the same twice."""


def baseline(name: str, tuned: bool = False) -> Contender:
    """One of benchmarks/*.py; `tuned` has its garbage collected as ours is."""
    words = (str(BASELINES / "serve.py"), name, "{fd}", *(["gc"] if tuned else []))
    return Contender(f"{name}+gc" if tuned else name, words)


def without(what: str) -> Contender:
    """The mock without one of the things that make it fast."""
    return Contender(f"without {what}", (str(BASELINES / "without.py"), what, "{fd}", "{config}"))


def peer(said: str) -> Contender:
    """`NAME=URL`: raises `CouldNotRun` unless the URL has a port on this machine."""
    name, _, url = said.partition("=")
    parts = urllib.parse.urlsplit(url)
    if not name or parts.hostname not in ("127.0.0.1", "localhost") or not parts.port:
        raise CouldNotRun(f"--peer {said}: expected NAME=http://127.0.0.1:PORT, a server that runs on this machine")
    return Contender(name, url=url)


def cores() -> tuple[int, int]:
    """The core for the server and the one for the reader; raises `CouldNotRun` when there are not two."""
    pair = cpus.here()
    if pair is None:
        raise CouldNotRun("a benchmark pins server and reader to cores of their own: it needs Linux and two of them")
    return pair.server, pair.reader


def ready(contenders: Sequence[Contender], loads: Sequence[Load]) -> None:
    """Raises `CouldNotRun` unless each can be started here, or answers already, and has room for as many callers."""
    cores()
    for one in contenders:
        for word in one.words:
            if word.startswith(str(BASELINES)) and not Path(word).exists():
                raise CouldNotRun(f"{one.name}: there is no {word}: it comes with a clone, not with a wheel")
        if one.url and not _answers(urllib.parse.urlsplit(one.url).port or 0):
            raise CouldNotRun(f"--peer {one.name}={one.url}: expected a server, nobody answers")
    most, allowed = max((load.n for load in loads), default=0), child.files()
    needed = most * (2 if any(one.asks for one in contenders) else 1) + SPARE
    if needed > allowed:
        raise CouldNotRun(
            f"{most} callers need {needed} open files, allowed are {allowed} (ulimit -Hn): raise that, or take fewer"
        )


@contextlib.contextmanager
def on(core: int) -> Iterator[None]:
    """This process keeps to one core meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(contender: Contender, load: Load, core: int) -> Iterator[Running]:
    """Start it, pinned, on a free port and at the speed that `load` counts on; it has ended when the block has."""
    if contender.url:
        yield Running(urllib.parse.urlsplit(contender.url).port or 0, None)
        return
    with tempfile.TemporaryDirectory() as folder, _listener() as listener, _asked(contender, load) as mock:
        listener.set_inheritable(True)
        config, said = Path(folder, "mock.yaml"), Path(folder, "stderr")
        config.write_text(json.dumps(load.config))
        port, fd = listener.getsockname()[1], listener.fileno()
        words = [word.replace("{fd}", str(fd)).replace("{config}", str(config)) for word in contender.words]
        asked = {} if mock is None else {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{mock.port}"}
        with said.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, *words],
                pass_fds=[fd],
                preexec_fn=child.pinned(core),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=child.environment(os.environ, load.environment, dict(contender.environment), asked),
            )
        try:
            _wait(contender, process, port, said)
            yield Running(port, process.pid, mock and mock.pid)
            if process.poll() is not None:
                raise CouldNotRun(f"{contender.name} {_ended(process, said)} while it was measured")
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def _asked(contender: Contender, load: Load) -> Iterator[Running | None]:
    """The mock that is Claude to a gateway."""
    if not contender.asks:
        yield None
        return
    with running(OURS, load, cores()[1]) as mock:
        yield mock


def _listener() -> socket.socket:
    """By its descriptor once more: asyncio turns Nagle off only for a socket that knows it is TCP."""
    return socket.socket(fileno=socket.create_server(("127.0.0.1", 0), backlog=2048).detach())


def _wait(contender: Contender, process: subprocess.Popen[bytes], port: int, said: Path) -> None:
    """Until it answers anything at all."""
    patience = time.monotonic() + STARTS_WITHIN
    while process.poll() is None and time.monotonic() < patience:
        if _answers(port):
            return
        time.sleep(GLANCE)
    if process.poll() is None:
        raise CouldNotRun(f"{contender.name} did not answer within {STARTS_WITHIN:.0f} s")
    raise CouldNotRun(f"{contender.name} {_ended(process, said)} before it answered")


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as asked:
        asked.sendall(b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")
        return bool(asked.recv(1))
    return False


def _ended(process: subprocess.Popen[bytes], said: Path) -> str:
    """How, with its last words."""
    lines = [line.strip() for line in said.read_text(errors="replace").splitlines() if line.strip()]
    return f"ended with {process.returncode} ({' | '.join(lines[-LAST_LINES:]) or 'it said nothing'})"
