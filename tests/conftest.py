"""What every test stands on."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Else Python 3.11 makes a loop when looptime asks for it in a sync test, nobody closes it, and some later test fails.
asyncio.set_event_loop(None)

# A slow machine fails no property, and a property that fails does so again.
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")


@dataclass
class Gateway:
    """A gateway process that runs."""

    url: str
    log: Path

    def lines(self, **fields: object) -> list[dict[str, Any]]:
        """Its log so far, or the lines with these `fields`."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if fields.items() <= line.items()]

    def line(self, **fields: object) -> dict[str, Any]:
        """The first line with these `fields`, as soon as it is there."""
        wait_for(lambda: self.lines(**fields))
        return self.lines(**fields)[0]


def wait_for(condition: Callable[[], object], seconds: float = 5) -> None:
    """Until `condition` holds; fails if it never does."""
    patience = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.02)


@contextlib.contextmanager
def gateway_before(claude: str, log: Path, *, caller: str = "sk-theirs", **switches: object) -> Iterator[Gateway]:
    """A gateway in front of the Claude at the URL `claude`, for a `caller` with this key; it logs to the file `log`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "ANTHROPIC_"))}
    named = {f"GATEWAY_{name.upper()}": str(value) for name, value in switches.items()}
    keys = {"ANTHROPIC_BASE_URL": claude, "ANTHROPIC_API_KEY": "sk-ours", "VALID_API_KEYS": caller}
    command = [sys.executable, "-m", "gateway_under_test", "--port", "0"]
    with log.open("w") as output:
        process = subprocess.Popen(command, env={**clean, **keys, **named}, stdout=output)
    try:
        running = Gateway("", log)
        wait_for(lambda: running.lines(event="listening"), seconds=30)
        running.url = running.line(event="listening")["url"]
        yield running
    finally:
        process.terminate()
        process.wait(15)


@pytest.fixture(scope="session")
def run_gateway(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., contextlib.AbstractContextManager[Gateway]]:
    """`with run_gateway(mock.url, preset="naive", attempts=1) as gateway: ... gateway.url`."""
    return lambda claude, **switches: gateway_before(claude, tmp_path_factory.mktemp("gateway") / "log", **switches)


@pytest.fixture(scope="session", name="wait_for")
def _wait_for() -> Callable[..., None]:
    """`wait_for(lambda: ...)`: until that holds; fails if it never does."""
    return wait_for
