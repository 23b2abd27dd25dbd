"""The open loop: requests start when the schedule says, whatever the server does.

Latency counts from the intended start, so that a server that stalls cannot hide it by slowing its callers down
(coordinated omission; Locust's own wait times are a closed loop). One locust user walks the whole schedule; each
request is a greenlet of its own.
"""

import functools
import itertools
import json
import time
from collections.abc import Callable
from typing import Any, Literal, TextIO

import gevent
from gevent.pool import Group
from locust import User, constant, task
from locust.env import Environment

from loadtests import caller, client, hooks, rotation
from loadtests.errand import Errand
from loadtests.load import Arrival
from loadtests.plan import Plan
from loadtests.rotation import Rotation
from loadtests.sample import Sample

LAG_INTERVAL = 0.05
LAG_WORTH_RECORDING = 0.25


class Dispatcher:
    """One run of a plan. Times are seconds since T0: the moment the mock answered our reset."""

    def __init__(self, plan: Plan, start: int, report: Callable[[str, Sample], None]) -> None:
        """`start` counts from 1: the web UI may start a plan again, and its requests are others then."""
        self.plan = plan
        self._suffix = "" if start == 1 else f".{start}"
        self.scenario = plan.load_scenario().of(plan.variant)
        self.arrivals = [arrival.again(start) for arrival in plan.arrivals(self.scenario)]
        probe = self.scenario.load.probe
        self._rotation = Rotation(probe) if probe else None
        self._report = report
        self._http = caller.connect(plan.gateway)
        self._requests = Group()
        self._judged: list[gevent.Greenlet[..., None]] = []
        self._sent = 0
        self._t0 = 0.0

    def run(self) -> None:
        mode: Literal["w", "a"] = "w" if self.plan.alone else "a"
        with (
            open(self.plan.samples, mode, buffering=1) as samples,
            open(self.plan.events, mode, buffering=1) as events,
        ):
            self._samples, self._events = samples, events
            mock = caller.connect(self.plan.mock)
            caller.post(mock, "/_mock/close")  # what an earlier start left there would be load of this one
            reset = caller.post(mock, "/_mock/reset")
            self._t0 = time.monotonic()
            self._note("started", wall=reset["wall"], suffix=self._suffix)
            beside: list[gevent.Greenlet[..., None]] = [gevent.spawn(self._watch_the_loop)]
            if self._rotation is not None:
                beside.append(gevent.spawn(self._keep_probing, self._rotation))
            try:
                self._walk()
            finally:
                self._requests.kill()  # each of them still ends in a sample: aborted
                gevent.killall(beside)
            self._note("ended", sent=self._sent)

    def now(self) -> float:
        return time.monotonic() - self._t0

    def _walk(self) -> None:
        judged = [span for span in self.scenario.spans() if span.judge]
        for arrival in self.arrivals:
            gevent.sleep(max(0.0, arrival.at - self.now()))
            request = self._requests.spawn(self._ask, arrival)
            if any(span.holds(arrival.at) for span in judged):
                self._judged.append(request)
        gevent.sleep(max(0.0, self.scenario.seconds - self.now()))
        gevent.joinall(self._judged, timeout=self.scenario.load.patience)

    def _ask(self, arrival: Arrival) -> None:
        self._sent += 1
        errand = Errand(arrival, self.scenario.load, self.plan.key, self.now(), self._rotation)
        try:
            caller.pursue(self._http, errand, self.now)
        except gevent.GreenletExit:
            errand.stop("aborted", self.now())
        sample = errand.sample()
        self._samples.write(sample.to_json(self.plan.variant) + "\n")
        self._report(errand.kind.path, sample)

    def _keep_probing(self, watched: Rotation) -> None:
        for number in itertools.count(1):
            started = self.now()
            name = rotation.name_of(self.plan.variant, self.plan.seed, number) + self._suffix
            call = client.probe(watched.probe.path, name, self.plan.key)
            if watched.seen(caller.probe(self._http, call, watched.probe.timeout)):
                self._note("probe", state=watched.state)
            gevent.sleep(max(0.0, started + watched.probe.every - self.now()))

    def _watch_the_loop(self) -> None:
        """A generator that was held up measured itself, not the server: each hold-up is written down."""
        while True:
            before = self.now()
            gevent.sleep(LAG_INTERVAL)
            lag = self.now() - before - LAG_INTERVAL
            if lag > LAG_WORTH_RECORDING:
                self._note("lag", at=before, seconds=lag)

    def _note(self, event: str, **fields: Any) -> None:
        row = {
            "variant": self.plan.variant,
            "program": "generator",
            "event": event,
            "t": self.now(),
            **fields,
        }
        _write(self._events, row)


class OpenLoopUser(User):
    """The one locust user of a scenario. Locust's user fields mean nothing here: the scenario sets the rate."""

    fixed_count = 1
    wait_time = constant(0)
    plan: Plan
    starts = 0

    @task
    def rehearse(self) -> None:
        OpenLoopUser.starts += 1
        Dispatcher(self.plan, self.starts, functools.partial(hooks.show, self.environment)).run()
        _finish(self.environment)


def _finish(environment: Environment) -> None:
    """The schedule is done: a headless locust exits 0 (the verdict is the runner's), the web UI goes back to ready."""
    environment.process_exit_code = 0
    runner = environment.runner
    assert runner is not None
    gevent.spawn(runner.stop if environment.web_ui else runner.quit)
    gevent.sleep(caller.FOREVER)


def _write(file: TextIO, row: dict[str, Any]) -> None:
    file.write(json.dumps(row) + "\n")
