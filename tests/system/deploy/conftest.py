"""docker-compose.yml without an engine: each service's own command line, environment and files, on free ports."""

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from loadtests.programs import doctor

ROOT = Path(__file__).parents[3]
PATIENCE = 40.0
PROGRAMS = {"toxiproxy": "toxiproxy-server", "prometheus": "prometheus"}
"""What others' images start by themselves, where the file names no program."""
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
GRACE = 10
"""Seconds that Docker gives a service that says nothing of its own."""

Definition = dict[str, Any]


@pytest.fixture(scope="session")
def compose() -> Definition:
    """The file as Compose reads it in an empty environment."""
    found: Definition = yaml.safe_load(VARIABLE.sub(r"\2", (ROOT / "docker-compose.yml").read_text()))
    return found


@pytest.fixture(scope="session")
def tool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run one of the checkers, in the project's folder."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program(name), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)

    return run


def program(name: str) -> str:
    """Where a program is: beside this Python, named by its variable, in `.tools`, or on the PATH."""
    if name == "python":
        return sys.executable
    here = doctor.Here(os.environ)
    wanted = next((tool for tool in doctor.TOOLS.values() if name in tool.programs), None)
    beside = shutil.which(name, path=str(Path(sys.executable).parent))
    found = doctor.find(wanted, here) if wanted else beside or shutil.which(name, path=here.path)
    if found is None:
        pytest.fail(f"{name} is not here; type: make setup-dev setup-network setup-toxiproxy", pytrace=False)
    return found


class Service:
    """One service of the file as a process of this machine."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], folder: Path, log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return f"{self.name}: exit code {self.process.poll()}\n{self._log.read_text(errors='replace')[-3000:]}"

    def stop(self, grace: float) -> bool:
        """Whether SIGTERM was enough."""
        self.process.terminate()
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        return True


class Stack:
    """Services by hand: what a container would find under a name, a port or a path is found elsewhere."""

    def __init__(self, compose: Definition, folder: Path) -> None:
        self.services: dict[str, Definition] = compose["services"]
        self.running: list[Service] = []
        self._folder = folder
        self._app = folder / "app"
        self._copy_into_image()
        self._ports = _free({port for one in self.services.values() for port in ports_of(one)})

    def url(self, name: str, port: int | None = None) -> str:
        """Where a service listens; on the first of its ports, if none is given."""
        return f"http://127.0.0.1:{self._ports[port or ports_of(self.services[name])[0]]}"

    def get(self, name: str, path: str, port: int | None = None, **query: str) -> Any:
        """What it answers, as JSON where it is JSON."""
        answer = self.ask("GET", name, path, port, params=query)
        assert answer.ok, answer.text
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text

    def ask(self, method: str, name: str, path: str, port: int | None = None, **given: Any) -> requests.Response:
        """One request, past any proxy of this shell."""
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url(name, port) + path, timeout=20, **given)

    def start(self, names: list[str]) -> None:
        """Start services as Compose does: each when what it depends on is healthy."""
        waiting, healthy = list(names), set[str]()
        while waiting:
            ready = [name for name in waiting if {*self.services[name].get("depends_on", ())} <= healthy]
            assert ready, f"{waiting} wait for what never comes"
            begun = [self._start(name, n) for name in ready for n in range(replicas(self.services[name]))]
            for service in begun:
                self.until(lambda one=service: self._healthy(one))
            healthy.update(ready)
            waiting = [name for name in waiting if name not in ready]

    def until(self, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Until it holds; fails with what the programs said, when one ends or none of it comes in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            dead = [one for one in self.running if one.process.poll() is not None]
            assert not dead, "\n".join(one.said() for one in dead)
            assert time.monotonic() < deadline, "\n".join(one.said() for one in self.running)
            time.sleep(0.1)

    def stop(self) -> list[str]:
        """End them in Compose's order, the last begun first; those that had to be killed."""
        ends = [(one, one.stop(grace(self.services[one.name]))) for one in reversed(self.running)]
        return [one.said() for one, by_itself in ends if not by_itself]

    def checked(self, name: str) -> list[str]:
        """The health check of a service, as it can be run here."""
        kind, *test = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        match [self._here(word, name) for word in test]:
            case ["wget", "-q", "-O", "/dev/null", url]:  # Debian may be without it
                return _asking(url)
            case ["/toxiproxy-cli", "list"]:  # it asks this of its server, and there is no such program here
                return _asking(f"{self.url('toxiproxy')}/proxies")
            case [first, *rest]:
                return [program(first), *rest]
        raise AssertionError(test)

    def _healthy(self, service: Service) -> bool:
        if "healthcheck" not in self.services[service.name]:
            return service.process.poll() is None
        command = self.checked(service.name)
        return (
            subprocess.run(command, capture_output=True, env={"PATH": os.environ["PATH"]}, timeout=20).returncode == 0
        )

    def _start(self, name: str, n: int) -> Service:
        definition = self.services[name]
        first = [PROGRAMS[name]] if name in PROGRAMS else definition.get("entrypoint", [])
        for mount in definition.get("volumes", []):
            self._mount(name, *mount.split(":")[:2])
        for path in definition.get("tmpfs", []):
            self._place(name, path).mkdir(parents=True, exist_ok=True)
        command = [*first, *(self._here(word, name) for word in definition["command"])]
        environment = {key: self._here(value, name) for key, value in definition.get("environment", {}).items()}
        log = self._folder / f"{name}-{n}.log"
        service = Service(name, [program(command[0]), *command[1:]], environment, self._app, log)
        self.running.append(service)
        return service

    def _mount(self, name: str, source: str, target: str) -> None:
        """What is mounted, with the addresses of this machine in it."""
        place = self._place(name, target)
        if not source.startswith("./"):
            place.mkdir(parents=True, exist_ok=True)
            return
        files = [path for path in (ROOT / source, *(ROOT / source).rglob("*")) if path.is_file()]
        assert files, f"{source} is not there"
        for path in files:
            copy = place / path.relative_to(ROOT / source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(self._here(path.read_text(), name).replace("_interval: 5s", "_interval: 1s"))

    def _place(self, name: str, path: str) -> Path:
        """Where a path of a container is here."""
        return self._folder / name / path.lstrip("/")

    def _here(self, text: str, name: str) -> str:
        """A text of a container of `name`: other services, ports and paths become those of this machine."""
        definition = self.services[name]
        paths = [mount.split(":")[1] for mount in definition.get("volumes", [])] + definition.get("tmpfs", [])
        places = [rf"(?<![\w/.-])(?P<path>{'|'.join(map(re.escape, paths))})(?![\w-])"] if paths else []
        names = (
            rf"(?P<name>\b(?:{'|'.join(self.services)})(?=:\d)|(?<=-host=)(?:{'|'.join(self.services)})$|0\.0\.0\.0)"
        )
        numbers = rf"(?<![\d.])(?P<port>{'|'.join(map(str, self._ports))})(?![\d.])"

        def here(found: re.Match[str]) -> str:
            if found.lastgroup == "path":
                return str(self._place(name, found[0]))
            return "127.0.0.1" if found.lastgroup == "name" else str(self._ports[int(found[0])])

        return re.sub("|".join([*places, names, numbers]), here, text)

    def _copy_into_image(self) -> None:
        """What the Dockerfile copies beside the programs: its own folder is where they start."""
        self._app.mkdir()
        last = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
        for line in last.splitlines():
            match shlex.split(line, comments=True):
                case ["COPY", source, target] if not source.startswith("--"):
                    (self._app / target).mkdir(parents=True)
                    shutil.copy(ROOT / source, self._app / target)


def ports_of(definition: Definition) -> list[int]:
    """The ports of a service, inside its container."""
    return [int(str(port).rsplit(":")[-1]) for port in [*definition.get("ports", []), *definition.get("expose", [])]]


def replicas(definition: Definition) -> int:
    return int(definition.get("deploy", {}).get("replicas", 1))


def grace(definition: Definition) -> float:
    """Seconds between SIGTERM and SIGKILL."""
    return float(definition.get("stop_grace_period", f"{GRACE}s").removesuffix("s"))


def _asking(url: str) -> list[str]:
    return [sys.executable, "-c", f"import urllib.request as web; web.urlopen({url!r}, timeout=5)"]


def _free(wanted: set[int]) -> dict[int, int]:
    """A free port for each."""
    with contextlib.ExitStack() as held:
        return {
            port: held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for port in sorted(wanted)
        }


@pytest.fixture(scope="module")
def stack(compose: Definition, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services but Grafana, healthy; each must end by itself within its grace period."""
    stack = Stack(compose, tmp_path_factory.mktemp("stack"))
    try:
        stack.start([name for name in stack.services if name != "grafana"])
        # a worker listens nowhere, so that its master has to say whether it is there
        stack.until(
            lambda: len(stack.get("locust", "/stats/requests")["workers"]) == replicas(stack.services["worker"])
        )
        yield stack
    finally:
        killed = stack.stop()
    assert not killed, "\n".join(killed)
