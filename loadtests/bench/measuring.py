"""Makes one measurement: a mock on one core, a generator on another, and the kernel's word for what both used."""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests

from loadtests.bench import heard
from loadtests.bench.heard import Heard, Window
from loadtests.bench.verdict import ARRIVALS, GENERATOR, ITER_LINES
from loadtests.experiment import plan
from loadtests.experiment.plan import Plan
from loadtests.programs import stack
from loadtests.programs.crew import LOCUST
from loadtests.protocol.client import KEY
from loadtests.sample import Row, Sample
from mockclaude.bench import child, contender, process
from mockclaude.bench.contender import BASELINES, Contender, CouldNotRun
from mockclaude.bench.load import Load

TTFT, SPEED, TOKENS = 0.3, 90, 150
SHORT = 20
"""Tokens of an answer in JSON."""
RAMP, WARM = 2.0, 1.0
STARTS_WITHIN = ENDS_WITHIN = 30.0
PATIENCE = 10.0
GLANCE = 0.02
VARIANT, SEED = "default", 1

OURS = ("-P", "-m", *LOCUST, "--headless", "--only-summary")


def _locust(file: str, *options: str) -> tuple[str, ...]:
    quiet = ("--loglevel", "WARNING", "--headless", "--only-summary")
    return ("-P", "-m", "locust", "-f", str(BASELINES / file), *quiet, *options)


def without(name: str, part: str) -> Contender:
    """The generator without one of the things that make it fast or true."""
    words = _locust("generator_without.py")
    return Contender(f"{name} without {part}", words, environment=(("BENCH_WITHOUT", part),))


READER = Contender(GENERATOR, OURS)
PLAIN = Contender(ITER_LINES, _locust("iter_lines.py", "-H", "{url}", "-u", "{n}", "-r", "{spawn}", "-t", "{seconds}s"))
SENDER = Contender(ARRIVALS, OURS)
READING, SENDING = ("loop", "stamp", "orjson", "gc"), ("timer", "gc")
"""What is worth something to who reads streams, and to who sends short requests."""


def streams(n: int, seconds: float) -> Load:
    """So many at a time."""
    return Load(n, "", "", "", TTFT, 1 / SPEED, TOKENS, RAMP, WARM, seconds)


def short_requests(rate: int, seconds: float) -> Load:
    """So many a second, answered in JSON and at once."""
    return Load(rate, "", "", ramp=0.0, warm=WARM, window=seconds)


def once(one: Contender, load: Load) -> Heard:
    """Raises `CouldNotRun`."""
    mock_core, own_core = contender.cores()
    with tempfile.TemporaryDirectory() as folder, contender.running(contender.OURS, load, mock_core) as mock:
        assert mock.pid is not None
        url = f"http://127.0.0.1:{mock.port}"
        with _running(one, load, url, Path(folder), own_core) as sender:
            t0 = _started(Path(folder), sender)
            window = Window(load.ramp + load.warm, load.ramp + load.warm + load.window)
            _sleep_until(t0 + window.begins)
            before = process.usage(sender.pid), process.usage(mock.pid)
            _sleep_until(t0 + window.ends)
            own, its = process.usage(sender.pid).since(before[0]), process.usage(mock.pid).since(before[1])
            _end(one, sender, Path(folder))
        samples = [Sample.from_row(row) for row in _rows(Path(folder, "samples.jsonl"))]
        records = list(_journal(url)) if load.tokens else []
    return heard.priced(heard.told(samples, records, window, load.tokens), own, its)


def scenario(load: Load) -> Row:
    """The load as a scenario says it."""
    streams = {"user": "messages_stream", "arrivals": "constant", "max_tokens": load.tokens}
    short = {"user": "messages", "arrivals": "poisson", "max_tokens": SHORT}
    lasts = load.ttft + max(0, load.tokens - 1) * load.gap
    asked = {**streams, "rate": load.n / lasts} if load.tokens else {**short, "rate": load.n}
    seconds = load.ramp + load.warm + load.window
    return {"load": {**asked, "patience": PATIENCE}, "phases": [{"name": "all", "seconds": seconds}]}


@contextlib.contextmanager
def _running(one: Contender, load: Load, url: str, folder: Path, core: int) -> Iterator[subprocess.Popen[bytes]]:
    """The generator, pinned, with its plan in `folder`; it has ended when the block has."""
    files = {name: str(folder / name) for name in ("scenario.yaml", "samples.jsonl", "events.jsonl")}
    (folder / "scenario.yaml").write_text(json.dumps({"about": "A benchmark.", **scenario(load)}))
    written = Plan(files["scenario.yaml"], VARIANT, SEED, url, url, KEY, files["samples.jsonl"], files["events.jsonl"])
    written.write(folder / "plan.json")
    seconds, last = load.ramp + load.warm + load.window, load.ttft + load.tokens * load.gap
    said = {"url": url, "n": load.n, "spawn": load.n / (load.ramp or 1), "seconds": math.ceil(seconds + last)}
    words = [word.format(**said) for word in one.words]
    own = {"HOME": str(folder), plan.VARIABLE: str(folder / "plan.json")}
    with (folder / "log").open("wb") as log:
        sender = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env=child.environment(os.environ, own, dict(one.environment)),
            preexec_fn=child.pinned(core),
            stdout=log,
            stderr=log,
        )
        try:
            yield sender
        finally:
            sender.kill()
            sender.wait()


def _started(folder: Path, sender: subprocess.Popen[bytes]) -> float:
    """T0, by our own clock."""
    patience = time.monotonic() + STARTS_WITHIN
    while sender.poll() is None and time.monotonic() < patience:
        for row in _rows(folder / "events.jsonl"):
            if row["event"] == "started":
                return time.monotonic() - (time.time() - float(row["wall"]))
        time.sleep(GLANCE)
    raise CouldNotRun(f"the generator did not start: {_last_words(folder)}")


def _end(one: Contender, sender: subprocess.Popen[bytes], folder: Path) -> None:
    try:
        sender.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        raise CouldNotRun(f"{one.name} had not ended {ENDS_WITHIN:g} s after its time") from None
    if sender.returncode:
        raise CouldNotRun(f"{one.name} ended with {sender.returncode}: {_last_words(folder)}")


def _last_words(folder: Path) -> str:
    said = (folder / "log").read_text(errors="replace").strip().splitlines()
    notes = [row["message"] for row in _rows(folder / "events.jsonl") if row["event"] == "died"]
    return (notes or said or ["it said nothing"])[-1]


def _rows(path: Path) -> Iterator[Row]:
    """The whole lines that are there by now."""
    if path.exists():
        with path.open(encoding="utf-8") as file:
            yield from (json.loads(line) for line in file if line.endswith("\n"))


def _journal(url: str) -> Iterator[Row]:
    try:
        for page in stack.Mock(url).drain():
            yield from page
    except requests.RequestException as error:
        raise CouldNotRun(f"the mock's journal could not be read: {error}") from None


def _sleep_until(moment: float, clock: Callable[[], float] = time.monotonic) -> None:
    time.sleep(max(0.0, moment - clock()))
