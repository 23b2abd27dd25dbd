"""The stack of a variant: every program from Claude's end to the caller's, each hop in front of what is behind it."""

import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from loadtests.documents.document import Tree
from loadtests.errors import CannotRun
from loadtests.experiment import nginx
from loadtests.experiment.network import Network
from loadtests.experiment.nginx import Nginx
from loadtests.experiment.target import Aim
from loadtests.experiment.toxics import steps
from loadtests.programs import chaos, doctor, stack
from loadtests.programs.chaos import Change, Driver, Toxiproxy, ToxiproxyError
from loadtests.programs.doctor import Here, Tool
from loadtests.programs.service import Service
from loadtests.programs.stack import Program
from loadtests.protocol.client import KEY
from loadtests.record.rundir import RunDir
from loadtests.sample import Row

LOOK = 0.05
"""Seconds from one look for T0 to the next."""


class Stack:
    """`entrance` is where callers go, once it has been started: the gateway, or what stands before it."""

    def __init__(self, run: RunDir, variant: str, between: Network, aim: Aim | None = None) -> None:
        """With an `aim` its target stands where else our gateway does."""
        self._run, self._variant, self._between, self._aim = run, variant, between, aim
        self.mock = Program("mock", self._log("mock"))
        self.gateway = Service(aim, self._log("target")) if aim else Program("gateway", self._log("gateway"))
        self.mock.send_buffer = self.gateway.send_buffer = between.send_buffer
        self.nginx = [self._an_nginx(name) for name in _names("nginx", between.nginx)]
        self.egress = [self._an_nginx(name) for name in _names("nginx-egress", between.egress)]
        self._theirs = aim.toxiproxy if aim and between.hops else None
        self.toxiproxy = Program("toxiproxy", self._log("toxiproxy")) if between.hops and not self._theirs else None
        self.redis = Program("redis", self._log("redis")) if between.redis else None
        self.driver: Driver | None = None
        self._began: float | None = None
        self.entrance = ""

    @property
    def programs(self) -> list[Program]:
        """All of it, from the caller to Claude."""
        beside = [program for program in (self.toxiproxy, self.redis) if program is not None]
        return [*self.nginx, self.gateway, *self.egress, *beside, self.mock]

    def addresses(self) -> list[tuple[str, str]]:
        """Where everything listens, from the caller to Claude."""
        opened = self.driver.server.hops() if self.driver else {}
        hops = [(f'toxiproxy "{name}"', hop.url) for name, hop in opened.items()]
        control = [("toxiproxy, control", self.toxiproxy.url)] if self.toxiproxy else []
        own = [(program.name, program.url) for program in self.programs if program is not self.toxiproxy]
        return [("entrance", self.entrance), *own, *control, *hops]

    def start(self, mock: Row, gateway: Tree) -> None:
        """With the mock's configuration and the gateway's settings. Raises CannotRun when a program does not start."""
        self._demand_a_way()
        self._start_mock(mock)
        if self._theirs is not None:
            self.driver = Driver(_adopted(self._theirs, self._between.hops), steps(self._between.entries))
        if self.toxiproxy is not None:
            program = _installed(doctor.TOXIPROXY)
            self.toxiproxy.start_other(lambda port: chaos.command(program, port))
            self.driver = Driver(Toxiproxy(self.toxiproxy.url), steps(self._between.entries))
        if self.redis is not None:
            self.redis.start_other(lambda port: _redis(_installed(doctor.REDIS), port))
        redis = None if self.redis is None else f"redis://{self._through('redis', self.redis.address)}/0"
        claude = self._start_row(self.egress, self._between.egress, self._through("claude", self.mock.address))
        if isinstance(self.gateway, Service):
            if self.mock.runs:
                self.mock.wait_until_healthy("/_mock/health")
            self.gateway.bring_up(f"http://{claude}", redis)
        else:
            self.gateway.start(["gateway_under_test"], environment(gateway, f"http://{claude}", redis))
            self.mock.wait_until_healthy("/_mock/health")
            self.gateway.wait_until_healthy("/readyz")
        behind = self._through("gateway", self.gateway.address)
        behind = self._through("caller", self._start_row(self.nginx, self._between.nginx, behind))
        self.entrance = self.gateway.url if behind == self.gateway.address else f"http://{behind}"

    def steer(self, began: float | None, wall: float) -> tuple[list[Change], float]:
        """Change toxics as they fall due, where T0 was at `began` (those from T0 on are there before it); what was
        changed, and in how many seconds to come back. A second T0 begins the timeline again. Raises ToxiproxyError."""
        if self.driver is None:
            return [], math.inf
        if self._began is not None and began != self._began:
            self.driver.restart()
        self._began = began
        now = 0.0 if began is None else wall - began
        changes = self.driver.advance(now)
        due = math.inf if self.driver.next is None else self.driver.next - now
        return changes, LOOK if began is None else due

    def stop_callers(self) -> None:
        """Nothing reaches the mock any more; Toxiproxy stays, through which the gateway says its last."""
        stack.stop(*self.nginx, self.gateway)

    def stop(self) -> None:
        stack.stop(*self.programs)

    def let_go(self) -> None:
        """A Toxiproxy that goes on without us has nothing of ours. Raises ToxiproxyError."""
        if self._theirs is not None and self.driver is not None:
            self.driver.undo()

    def _demand_a_way(self) -> None:
        """What runs already cannot be told to go through hops of ours. Raises CannotRun."""
        hops = self._between.hops - {"caller", "gateway"} if self._theirs is None else ()
        behind = [*sorted(hops), *(["egress"] if self._between.egress else [])]
        if self._aim is not None and not self._aim.starts and behind:
            text = "give its file a start command, which is told where, or --toxiproxy URL where the hop is"
            raise CannotRun(f"--target: {behind[0]} lies behind what runs already; {text}")

    def _an_nginx(self, name: str) -> Program:
        """What it says goes where it writes its own log."""
        return Program(name, self._log(name).with_suffix("") / "error.log")

    def _start_mock(self, config: Row) -> None:
        if self._aim is not None and self._aim.mock is not None:
            self.mock.url = self._aim.mock
            return
        path = self._log("mock").with_suffix(".json")
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        self.mock.start(["mockclaude", "serve", "--config", str(path.resolve())], {})

    def _start_row(self, programs: Sequence[Program], row: Sequence[Nginx], behind: str) -> str:
        """One nginx before the other, the last before `behind`; the address of the first."""
        for program, knobs in zip(reversed(programs), reversed(row), strict=True):
            behind = _start_nginx(program, knobs, behind, self._between.send_buffer)
        return behind

    def _log(self, program: str) -> Path:
        return self._run.log(self._variant, program)

    def _through(self, hop: str, behind: str) -> str:
        """The address (host:port) by which the one before reaches the one `behind`: of a hop, if there is one."""
        if self.driver is None or self._theirs is not None or hop not in self._between.hops:
            return behind
        return self.driver.server.open(hop, behind).listen


def environment(settings: Tree, claude: str, redis: str | None = None) -> dict[str, str]:
    """What the gateway is given. The spend guard's second half: the only Claude it knows is the mock."""
    return {
        **stack.environment_of({"drain": stack.DRAIN, **settings}),
        **({"REDIS_URL": redis} if redis else {}),
        "ANTHROPIC_BASE_URL": claude,
        "ANTHROPIC_API_KEY": "sk-mock",
        "VALID_API_KEYS": KEY,
    }


def _adopted(url: str, hops: Iterable[str]) -> Toxiproxy:
    try:
        server = Toxiproxy(url)
        server.adopt(hops)
    except ToxiproxyError as error:
        raise CannotRun(f"--toxiproxy: {error}") from None
    return server


def _names(name: str, proxies: Sequence[Nginx]) -> list[str]:
    """nginx, nginx-2 and so on, nearest the caller first."""
    return [f"{name}-{number}" if number > 1 else name for number in range(1, len(proxies) + 1)]


def _start_nginx(program: Program, knobs: Nginx, behind: str, send_buffer: int | None) -> str:
    """Before what listens on `behind`; the address of its own."""
    folder = program.log.parent.resolve()
    folder.mkdir()
    path = _installed(doctor.NGINX)

    def command(port: int) -> list[str]:
        configuration = folder / "nginx.conf"
        listen = f"127.0.0.1:{port}"
        rendered = nginx.render(knobs, listen=listen, upstreams=[behind], folder=folder, send_buffer=send_buffer)
        configuration.write_text(rendered, encoding="utf-8")
        return nginx.command(path, configuration)

    program.start_other(command)
    return program.address


def _redis(program: str, port: int) -> list[str]:
    """In memory only."""
    return [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]


def _installed(tool: Tool) -> str:
    """Its path; that it is there was demanded before anything was started."""
    path = doctor.find(tool, Here(os.environ))
    assert path is not None, tool.name
    return str(Path(path).absolute())
