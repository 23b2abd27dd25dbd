"""The process that divides a plan among the load workers, sets T0 for all, and writes what they send."""

import time
from collections.abc import Collection
from importlib.metadata import version
from typing import Any

import gevent
from gevent.queue import Empty, Queue
from locust.env import Environment
from locust.runners import STATE_MISSING, MasterRunner

from loadtests import hooks
from loadtests.errors import InvalidRun, LoadtestsError
from loadtests.experiment.plan import Job, Plan
from loadtests.programs import crew
from loadtests.protocol.rotation import Rotation
from loadtests.record.ledger import Files, Ledger
from loadtests.schedule.rate import Paces
from loadtests.sending import caller, share, worker
from loadtests.sending.dispatcher import Balancer

LOOK_EVERY = 1.0
LAST_LINES = 3

Said = dict[str, dict[str, Any]]
"""What each worker said, by its name among Locust's."""


class Master:
    """Leads each start of the load in a greenlet of its own, from the first worker's word to the last one's."""

    def __init__(self, environment: Environment, runner: MasterRunner, plan: Plan) -> None:
        self._environment, self._runner, self._plan = environment, runner, plan
        self._starts = 0
        self._heard: Queue[tuple[str, str, dict[str, Any]]] = Queue()
        self._names: dict[str, str] = {}
        self._files = Files(plan)
        self._leading: gevent.Greenlet[..., None] | None = None
        for kind in (worker.READY, worker.LOADED, worker.ENDED, worker.FAILED):
            runner.register_message(kind, self._hear)
        runner.register_message(worker.ROWS, self._write)
        environment.events.test_start.add_listener(self._start)
        environment.events.test_stop.add_listener(self._stop)

    def _start(self, environment: Environment) -> None:
        self._starts += 1
        self._heard = Queue()
        self._leading = gevent.spawn(self._lead, self._plan.job(self._starts))

    def revise(self, paces: Paces) -> None:
        """What is still to come of this start comes at another pace."""
        job = gevent.get_hub().threadpool.apply(self._plan.job, (self._starts, paces))
        self._share_out(job)

    def _stop(self, environment: Environment) -> None:
        if self._leading is not None:
            self._leading.kill(block=False)

    def _lead(self, job: Job) -> None:
        ledger = Ledger(self._plan.variant, job.program, self._files.write)
        try:
            self._lead_to_the_end(job, ledger)
        except (LoadtestsError, OSError) as error:
            hooks.give_up(self._environment, ledger, error)
        hooks.finish(self._environment)

    def _lead_to_the_end(self, job: Job, ledger: Ledger) -> None:
        workers = self._divide(job)
        watched = Rotation(job.scenario.load.probe) if job.scenario.load.probe else None

        def turned(t: float, state: str) -> None:
            self._runner.send_message(worker.IN_ROTATION, {"healthy": state == "healthy"})
            ledger.note("probe", t=t, state=state)

        wall, t0 = caller.begin(caller.connect(self._plan.mock))
        self._runner.send_message(worker.GO, {"wall": wall})
        ledger.note("started", t=0.0, wall=wall, suffix=job.suffix, workers=sorted(self._names.values()))
        probing = gevent.spawn(Balancer(job, watched, turned).keep_probing, t0)
        try:
            ended = self._hear_from(workers, worker.ENDED)
        finally:
            probing.kill()
        ledger.note("ended", t=time.monotonic() - t0, sent=sum(data["sent"] for data in ended.values()))

    def _divide(self, job: Job) -> Collection[str]:
        """Each worker has its share, and has compared its clock with the mock's."""
        ready = self._hear_from([client.id for client in self._runner.clients.all], worker.READY)
        crew.demand_the_same(ready.values(), version("mockclaude"))
        self._names = {node: data["name"] for node, data in ready.items()}
        workers = self._share_out(job)
        self._hear_from(workers, worker.LOADED)
        return workers

    def _share_out(self, job: Job) -> Collection[str]:
        workers = sorted(self._names, key=self._names.__getitem__)
        for index, node in enumerate(workers):
            for page in share.pages(share.of(job, index, len(workers))):
                self._runner.send_message(worker.SHARE, page, node)
                gevent.sleep(0)
        return workers

    def _hear_from(self, workers: Collection[str], kind: str) -> Said:
        """What each of the workers says of this kind. Raises InvalidRun when one of them is gone, or cannot go on."""
        said: Said = {}
        while len(said) < len(workers):
            try:
                told, node, data = self._heard.get(timeout=LOOK_EVERY)
            except Empty:
                self._demand_life(workers)
                continue
            if told == worker.FAILED:
                raise InvalidRun(data["message"])
            if told == kind:
                said[node] = data
        return said

    def _demand_life(self, workers: Collection[str]) -> None:
        for node in workers:
            client = self._runner.clients.get(node)
            if client is None or client.state == STATE_MISSING:
                logged = self._environment.worker_logs.get(node, [])[-LAST_LINES:]
                words = "\n  ".join(["its log says:", *logged]) if logged else "it sent no log"
                raise InvalidRun(f"the {self._names.get(node, node)} died in the middle of the run; {words}")

    def _hear(self, environment: Environment, msg: Any) -> None:
        self._heard.put((msg.type, msg.node_id, msg.data))

    def _write(self, environment: Environment, msg: Any) -> None:
        for kind, lines in msg.data.items():
            self._files.write(kind, lines)
