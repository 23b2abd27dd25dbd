"""A target as a program of the stack: one that runs already, or that is started and stopped by its own commands."""

import contextlib
import os
import shlex
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.errors import CannotRun
from loadtests.experiment.target import PORT, Aim
from loadtests.programs import stack
from loadtests.programs.stack import Program

PORTS = {"http": 80, "https": 443}


class Service(Program):
    """A command that ends well has started something that goes on, if there is another to stop that."""

    def __init__(self, aim: Aim, log: Path) -> None:
        super().__init__("gateway", log)
        self._aim = aim
        self.url = aim.target.url

    @property
    def address(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or PORTS[parts.scheme]}"

    @property
    def exit_code(self) -> int | None:
        code = super().exit_code
        return None if code == 0 and self._aim.target.stop else code

    def bring_up(self, claude: str, redis: str | None) -> None:
        """Start it, if there is a command for that, with these as its Claude and its Redis; then wait until it is
        ready. Raises CannotRun."""
        target = self._aim.target
        if target.start is not None:
            with contextlib.ExitStack() as held:
                port = held.enter_context(stack.reserved()) if PORT in target.url else urlsplit(target.url).port
                self.url = target.url.replace(PORT, str(port))
                environment = {"ANTHROPIC_BASE_URL": claude, "ANTHROPIC_API_KEY": "sk-mock", "PORT": str(port)}
                environment |= {"REDIS_URL": redis} if redis else {}
                self._launch(target.start.replace(PORT, str(port)), environment)
                self._wait(self._is_open, f"did not open {self.url}")
        if target.ready is not None:
            self.wait_until_healthy(target.ready)

    def ask_to_stop(self) -> None:
        stop = self._aim.target.stop
        if stop is not None and self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired, OSError):
                subprocess.run(
                    shlex.split(stop),
                    cwd=self._aim.folder,
                    env=stack.clean_environment(os.environ),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=stack.START_TIMEOUT,
                )
        super().ask_to_stop()

    def _launch(self, command: str, environment: dict[str, str]) -> None:
        try:
            self._spawn(shlex.split(command), environment, folder=self._aim.folder)
        except (OSError, ValueError) as error:
            raise CannotRun(f'target: "start: {command}" cannot be run: {error}') from None
