"""One process that sends the whole load of a plan."""

import functools

import gevent
from locust.env import Environment

from loadtests import hooks
from loadtests.errors import InvalidRun
from loadtests.experiment.plan import Job, Plan
from loadtests.record.ledger import Files, Ledger
from loadtests.schedule.rate import Paces
from loadtests.sending import calibration, caller, garbage, known
from loadtests.sending.dispatcher import Balancer, Dispatcher


class Alone:
    """Each start of the load is another job: the web UI may start it again."""

    def __init__(self, environment: Environment, plan: Plan) -> None:
        self._environment, self._plan = environment, plan
        self._files = Files(plan)
        self._starts = 0
        self._dispatcher: Dispatcher | None = None

    def send(self) -> None:
        """From T0 to the end of the schedule; then a headless locust ends, and the web UI is ready again."""
        self._starts += 1
        job = self._plan.job(self._starts)
        ledger = Ledger(self._plan.variant, job.program, self._files.write)
        try:
            self._send(job, ledger)
        except (InvalidRun, OSError) as error:
            hooks.give_up(self._environment, ledger, error)
        hooks.finish(self._environment)

    def revise(self, paces: Paces) -> None:
        """What is still to come of this start comes at another pace."""
        job = gevent.get_hub().threadpool.apply(self._plan.job, (self._starts, paces))
        if self._dispatcher is not None:
            self._dispatcher.revise(job.arrivals)

    def _send(self, job: Job, ledger: Ledger) -> None:
        ledger.note("calibrated", t=0.0, **known.prove(calibration.measure)._asdict())
        self._dispatcher = dispatcher = Dispatcher(job, ledger, functools.partial(hooks.show, self._environment))
        balancer = Balancer(job, dispatcher.rotation, lambda t, state: ledger.note("probe", t=t, state=state))
        garbage.settle()
        wall, t0 = caller.begin(caller.connect(self._plan.mock))
        ledger.note("started", t=0.0, wall=wall, suffix=job.suffix)
        probing = gevent.spawn(balancer.keep_probing, t0)
        try:
            dispatcher.run(t0)
        finally:
            probing.kill()
        ledger.note("ended", t=dispatcher.now(), sent=dispatcher.sent)
