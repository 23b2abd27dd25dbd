"""A scenario's load as Locust runs it: one locust user in each process that sends, and none of them by hand."""

from collections.abc import Callable
from typing import Any

import gevent
from locust import LoadTestShape, User, constant, task
from locust.env import Environment
from locust.event import Events
from locust.runners import MasterRunner, WorkerRunner

from loadtests import caller
from loadtests.alone import Alone
from loadtests.master import Master
from loadtests.plan import Plan
from loadtests.worker import Worker


class OpenLoopUser(User):
    """The one locust user of a process: it sends all that is this process' to send, each request by a greenlet."""

    wait_time = constant(0)
    send: Callable[[], None]

    @task
    def rehearse(self) -> None:
        type(self).send()
        gevent.sleep(caller.FOREVER)


class OneEach(LoadTestShape):
    """One user in each process, whatever Locust's user fields say: the scenario sets the rate."""

    def tick(self) -> tuple[int, float]:
        workers = len(self.runner.clients) if isinstance(self.runner, MasterRunner) else 1
        return max(1, workers), max(1.0, workers)


def register(events: Events, plan: Plan | None, worker: str | None) -> None:
    """This process sends all of `plan`, divides it, or is the `worker` that waits for its share."""

    def assign(environment: Environment, runner: Any, **_: Any) -> None:
        environment.process_exit_code = 0  # the verdict is the runner's
        if isinstance(runner, WorkerRunner):
            OpenLoopUser.send = Worker(environment, runner, worker or runner.client_id).send
            return
        assert plan is not None
        if isinstance(runner, MasterRunner):
            Master(environment, runner, plan)
        else:
            OpenLoopUser.send = Alone(environment, plan).send

    events.init.add_listener(assign)
