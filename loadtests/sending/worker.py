"""A load worker: gets its share of the schedule from a master, sends it, and tells the master what came of it."""

import functools
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import gevent
from gevent.queue import Queue
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests import hooks
from loadtests.errors import LoadtestsError
from loadtests.experiment.plan import Job
from loadtests.protocol.rotation import Rotation
from loadtests.record.ledger import Batch, Ledger
from loadtests.sending import calibration, caller, garbage, known, share
from loadtests.sending.dispatcher import Dispatcher

# From a worker to its master, in this order; ROWS in between, and FAILED instead of what could not be done.
READY, LOADED, ROWS, ENDED, FAILED = (f"loadtests.{kind}" for kind in ("ready", "loaded", "rows", "ended", "failed"))
# From a master to its workers.
SHARE, GO, IN_ROTATION = (f"loadtests.{kind}" for kind in ("share", "go", "in_rotation"))

SEND_EVERY = 0.5


class Worker:
    """`name` is what the run calls it."""

    def __init__(self, environment: Environment, runner: WorkerRunner, name: str) -> None:
        self._environment, self._runner, self._name = environment, runner, name
        self._heard: Queue[tuple[str, dict[str, Any]]] = Queue()
        self._rotation: Rotation | None = None
        self._batch = Batch()
        self._allow = hooks.permission(environment)
        for kind in (SHARE, GO):
            runner.register_message(kind, self._hear)
        runner.register_message(IN_ROTATION, self._turn)

    def send(self) -> None:
        """One start of the load, as far as it is this worker's. Then the master decides what is next."""
        self._heard = Queue()
        self._tell(READY, name=self._name, version=version("mockclaude"))
        try:
            self._send(self._share())
        except (LoadtestsError, OSError) as error:
            self._tell(FAILED, message=f"the {self._name} could not go on: {error}")
        gevent.sleep(caller.FOREVER)

    def _send(self, job: Job) -> None:
        self._allow(job.plan.gateway)
        ledger = Ledger(job.plan.variant, job.program, self._batch.write)
        ledger.note("calibrated", t=0.0, **known.prove(calibration.measure)._asdict())
        dispatcher = Dispatcher(job, ledger, functools.partial(hooks.show, self._environment))
        self._rotation = dispatcher.rotation
        offset = caller.wall_offset(caller.connect(job.plan.mock))
        ledger.note("aligned", t=0.0, error=offset.error)
        garbage.settle()
        self._tell(LOADED, arrivals=len(job.arrivals))
        t0 = self._next(GO)["wall"] - offset.seconds
        beside: list[gevent.Greenlet[..., None]] = [
            gevent.spawn(self._keep_telling),
            gevent.spawn(self._keep_revising, dispatcher),
        ]
        try:
            dispatcher.run(t0)
        finally:
            gevent.killall(beside)
            self._tell_rows()
        self._tell(ENDED, sent=dispatcher.sent)

    def _keep_telling(self) -> None:
        while True:
            gevent.sleep(SEND_EVERY)
            self._tell_rows()

    def _keep_revising(self, dispatcher: Dispatcher) -> None:
        """A share that comes while the load is on takes the place of the one before."""
        while True:
            dispatcher.revise(self._share().arrivals)

    def _tell_rows(self) -> None:
        if rows := self._batch.take():
            self._tell(ROWS, **rows)

    def _tell(self, kind: str, **data: Any) -> None:
        self._runner.send_message(kind, data)

    def _hear(self, environment: Environment, msg: Any) -> None:
        self._heard.put((msg.type, msg.data))

    def _turn(self, environment: Environment, msg: Any) -> None:
        if self._rotation is not None:
            self._rotation.healthy = msg.data["healthy"]

    def _next(self, kind: str) -> dict[str, Any]:
        while True:
            told, data = self._heard.get()
            if told == kind:
                return data

    def _share(self) -> Job:
        return share.joined(self._next(SHARE), self._pages(), self._name)

    def _pages(self) -> Iterator[dict[str, Any]]:
        while True:
            yield self._next(SHARE)
