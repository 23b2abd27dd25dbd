"""A scenario's load as Locust runs it: one locust user in each process that sends, and none of them by hand."""

from collections.abc import Callable
from typing import Any

import gevent
from flask import Response, request
from locust import LoadTestShape, User, constant, task
from locust.env import Environment
from locust.event import Events
from locust.runners import MasterRunner, WorkerRunner

from loadtests.control import web
from loadtests.experiment.plan import Plan
from loadtests.sending import caller
from loadtests.sending.alone import Alone
from loadtests.sending.master import Master
from loadtests.sending.worker import Worker

EXPLAINED = """
<p role="note" style="position: fixed; left: 16px; bottom: 8px; max-width: 60ch; margin: 0; z-index: 2000;
font: 14px system-ui, sans-serif; color: #fff; background: #37474f; padding: 8px 12px; border-radius: 4px">
Open loop: the scenario sets when requests start. Locust's users are the processes that send them, so user numbers and
a spawn rate would change nothing.</p></body>"""


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
        if environment.web_ui is not None and environment.web_ui.app is not None:
            environment.web_ui.app.after_request(explain)
        if isinstance(runner, WorkerRunner):
            OpenLoopUser.send = Worker(environment, runner, worker or runner.client_id).send
            return
        assert plan is not None
        leader: Master | Alone
        # First of all, so that a start finds its page empty.
        web.open_room(environment, plan, lambda paces: leader.revise(paces))
        if isinstance(runner, MasterRunner):
            leader = Master(environment, runner, plan)
        else:
            leader = Alone(environment, plan)
            OpenLoopUser.send = leader.send

    events.init.add_listener(assign)


def explain(response: Response) -> Response:
    """Locust's page says what its user fields mean here."""
    if request.path == "/" and response.mimetype == "text/html" and not response.is_streamed:
        response.set_data(response.get_data(as_text=True).replace("</body>", EXPLAINED))
    return response
