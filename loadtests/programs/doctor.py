"""What of the network between is installed here: which version, what is missing, and the command that installs it."""

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from loadtests.errors import CannotRun

PROJECT = Path(__file__).parents[2]
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian puts servers, and where the PATH of a person who is not root does not look."""
PATIENCE = 10.0
WANTED_FILES = 8192
"""Open files a process should be allowed: each request has one socket in the caller and two in every hop."""
APT, BREW = "sudo apt-get install", "brew install"
BUILD = (
    "go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0 && "
    'export TOXIPROXY_BIN="$(go env GOPATH)/bin/server"'
)


@dataclass(frozen=True)
class Tool:
    """A program that scenarios may need. `variable` of the environment names it outright; `tells` finds the version in
    what it prints; `least` is the oldest that will do. `package` is Debian's, `make` what makes it in a checkout."""

    name: str
    programs: tuple[str, ...]
    package: str = ""
    make: str = ""
    variable: str | None = None
    asks: str = "--version"
    tells: str = r"(\d+(?:\.\d+)+)"
    least: tuple[int, ...] = ()
    what_for: str = ""


NGINX = Tool("nginx", ("nginx",), package="nginx", asks="-v", least=(1, 18), what_for="scenarios that need nginx")
TOXIPROXY = Tool(
    "toxiproxy",
    ("toxiproxy-server",),
    make="setup-toxiproxy",
    variable="TOXIPROXY_BIN",
    asks="-version",
    tells=r"version (\S+)",
    least=(2, 12),
    what_for="scenarios that need toxiproxy",
)
REDIS = Tool("redis", ("redis-server",), package="redis-server", least=(6,), what_for="scenarios that need redis")
PROMETHEUS = Tool(
    "prometheus", ("prometheus",), package="prometheus", least=(2, 33), what_for="the tests of the dashboard"
)
BROWSER = Tool(
    "browser",
    ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    package="chromium",
    what_for="the tests of the report page",
)
FOR_SCENARIOS = (NGINX, TOXIPROXY, REDIS)
TOOLS = {tool.name: tool for tool in (*FOR_SCENARIOS, PROMETHEUS, BROWSER)}


@dataclass(frozen=True)
class Here:
    """Where to look: an environment, the project's folder, and folders beyond the PATH."""

    environment: Mapping[str, str]
    project: Path = PROJECT
    beyond: tuple[str, ...] = SBIN

    @property
    def path(self) -> str:
        return os.pathsep.join([str(self.project / ".tools"), self.environment.get("PATH", ""), *self.beyond])

    def named(self, tool: Tool) -> str | None:
        """What the tool's variable says, if that is set."""
        return (self.environment.get(tool.variable) or None) if tool.variable else None


@dataclass(frozen=True)
class Found:
    """What there is of a tool: no `path` where it is missing (then `install` gets it), no `version` where it does not
    say. `named`: what its variable says, if that is set."""

    tool: Tool
    path: str | None = None
    version: str | None = None
    install: str = ""
    named: str | None = None

    @property
    def state(self) -> str:
        """ok, old or missing."""
        if self.path is None:
            return "missing"
        numbers = tuple(map(int, re.findall(r"\d+", self.version or "")))
        return "old" if numbers and numbers < self.tool.least else "ok"


@dataclass(frozen=True)
class Machine:
    """`files`: how many a process may have open, now and when it asks for more."""

    cores: int
    files: tuple[int, int]


class Line(NamedTuple):
    """A row of what `loadtests doctor` prints; `advice` is what to type, if anything."""

    name: str
    state: str
    detail: str
    advice: str = ""


def find(tool: Tool, here: Here) -> str | None:
    """The path of a tool: what its variable says, or it is in the project's own `.tools`, or on the PATH."""
    if named := here.named(tool):
        return shutil.which(named)
    return next((found for program in tool.programs if (found := shutil.which(program, path=here.path))), None)


def look(tool: Tool, here: Here) -> Found:
    """Find it and ask it which version it is."""
    path = find(tool, here)
    return Found(tool, path, _version(tool, path) if path else None, install(tool, here), here.named(tool))


def install(tool: Tool, here: Here) -> str:
    """What to type to get it."""
    if tool.make:
        return f"make {tool.make}" if (here.project / "Makefile").exists() else BUILD
    brew = shutil.which("brew", path=here.path) and not shutil.which("apt-get", path=here.path)
    return f"{BREW} {tool.package.removesuffix('-server')}" if brew else f"{APT} {tool.package}"


def machine() -> Machine:
    return Machine(os.cpu_count() or 1, resource.getrlimit(resource.RLIMIT_NOFILE))


def lines(found: Iterable[Found], machine: Machine) -> list[Line]:
    """All of it, a row each."""
    return [*map(_of_tool, found), _of_files(machine), _of_cores(machine)]


def ready(found: Iterable[Found]) -> bool:
    """Whether every scenario could run. What only tests want may be missing."""
    return all(each.state == "ok" for each in found if each.tool in FOR_SCENARIOS)


def demand(scenario: str, needs: Sequence[str], here: Here) -> None:
    """Raises CannotRun, in one line, when a scenario needs what is not here: who needs what, and how to get it."""
    missing = [TOOLS[name] for name in needs if name in TOOLS and find(TOOLS[name], here) is None]
    if missing:
        names = " and ".join(_said(tool.name, here.named(tool), tool) for tool in missing)
        commands = " && ".join(install(tool, here) for tool in missing)
        raise CannotRun(f"{scenario} needs {names}, not found here; type: {commands}")


def _said(what: str, named: str | None, tool: Tool) -> str:
    return f"{what} ({tool.variable} says {named})" if named else what


def _version(tool: Tool, path: str) -> str | None:
    try:
        said = subprocess.run(
            [path, tool.asks], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(tool.tells, said.stdout + said.stderr)
    return match[1] if match else None


def _of_tool(found: Found) -> Line:
    tool = found.tool
    if found.path is None:
        return Line(tool.name, "missing", _said(f"wanted by {tool.what_for}", found.named, tool), found.install)
    detail = f"{found.version or 'of no known version'} at {found.path}"
    if found.state == "old":
        least = ".".join(map(str, tool.least))
        return Line(tool.name, "old", f"{detail}; {least} or newer is wanted by {tool.what_for}", found.install)
    return Line(tool.name, "ok", detail)


def _of_files(machine: Machine) -> Line:
    soft, hard = machine.files
    if _enough(soft):
        return Line("open files", "ok", f"{_amount(soft)} a process")
    advice = f"ulimit -n {WANTED_FILES}" if _enough(hard) else f"sudo prlimit --pid $$ --nofile={WANTED_FILES}"
    return Line("open files", "few", f"{soft} a process, {WANTED_FILES} wanted for heavy load", advice)


def _of_cores(machine: Machine) -> Line:
    if machine.cores >= 2:
        return Line("cores", "ok", str(machine.cores))
    return Line("cores", "few", f"{machine.cores}; with less than 2 the load and what it loads hinder each other")


def _enough(limit: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= WANTED_FILES


def _amount(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else str(limit)
