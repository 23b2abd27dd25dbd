"""The processes that send a run's load: one, or a master and its workers, here or on other machines."""

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtests.errors import CannotRun, InvalidRun
from loadtests.experiment import plan
from loadtests.programs import stack
from loadtests.schedule.load import Load

LOCUST = ("locust", "-f", str(Path(__file__).parents[1] / "locustfile.py"), "--loglevel", "WARNING")
USUAL_PORT = 5557
"""Of Locust's masters."""


@dataclasses.dataclass(frozen=True)
class Crew:
    """`workers`: how many processes send, or None for one that does all. They come from elsewhere when the master
    listens at a `port` that was told; else the runner starts them, and the `port` is any."""

    workers: int | None = None
    elsewhere: bool = False
    host: str = "127.0.0.1"
    port: int = 0

    @classmethod
    def of(cls, workers: int | None, *, master: bool, remote: bool) -> "Crew":
        """Workers of other machines can come only to a master that does not keep to itself: `remote`."""
        if workers is None and not master:
            return ALONE
        host = "0.0.0.0" if remote and master else "127.0.0.1"
        return cls(workers or 1, master, host, stack.web_port(None, USUAL_PORT))

    def demand(self, loads: Iterable[Load]) -> None:
        """Raises CannotRun when a load has fewer callers than there are to send it."""
        for load in loads:
            if load.shared and (load.users or 0) < (self.workers or 0):
                raise CannotRun(f"--workers {self.workers}: load.users is {load.users}, expected one for each at least")

    def names_here(self) -> list[str]:
        """Of the workers that the runner starts."""
        return [] if self.elsewhere else [f"load worker {number}" for number in range(1, (self.workers or 0) + 1)]

    def invitation(self) -> str:
        """What to type where workers are to come from."""
        if not self.elsewhere:
            return f"load from {self.workers} workers"
        here = "HOST" if self.host == "0.0.0.0" else self.host
        return f"waiting for {self.workers} workers: loadtests run --worker {here}:{self.port}"

    def leading(self) -> Sequence[str]:
        """Locust's options for the process that sends all or divides it."""
        if self.workers is None:
            return ()
        bound = ("--master-bind-host", self.host, "--master-bind-port", str(self.port))
        return ("--master", *bound, "--expect-workers", str(self.workers))

    def following(self) -> Sequence[str]:
        """Locust's options for a worker that the runner starts."""
        return _following("127.0.0.1", self.port)


ALONE = Crew()


def address(text: str) -> tuple[str, int]:
    """HOST or HOST:PORT of a master. Raises CannotRun."""
    host, colon, port = text.partition(":")
    if not host or (colon and not port.isdecimal()):
        raise CannotRun(f"--worker {text}: expected the master's HOST or HOST:PORT")
    return host, int(port) if colon else USUAL_PORT


def worker_command(host: str, port: int, *permissions: str) -> list[str]:
    return [sys.executable, "-P", "-m", *LOCUST, *_following(host, port), *permissions]


def worker_environment(name: str, home: str) -> dict[str, str]:
    return {plan.WORKER: name, "HOME": home}  # locust would read the settings it finds at home


def _following(host: str, port: int) -> Sequence[str]:
    return ("--worker", "--master-host", host, "--master-port", str(port))


def demand_the_same(workers: Iterable[Mapping[str, Any]], ours: str) -> None:
    """Who has joined sends and measures as this process does. Raises InvalidRun."""
    others = [f"the {one['name']} is {one.get('version', 'older')}" for one in workers if one.get("version") != ours]
    if others:
        raise InvalidRun(f"{', '.join(others)}; expected mockclaude {ours} as here: install it there")
