"""What we add to Locust: our options, the spend guard, our metrics as rows of its statistics."""

import functools
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent
from locust import stats
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.event import Events
from locust.stats import RequestStats, StatsEntry

from loadtests import guard as spend_guard
from loadtests.errors import CannotRun, InvalidRun
from loadtests.record import rows
from loadtests.record.ledger import Ledger
from loadtests.sample import Sample

# What a team's own users fire as measures of a part of a request, beside our own kinds.
METRIC_ROWS = rows.KINDS | {"METRIC"}


def register(events: Events) -> None:
    events.init_command_line_parser.add_listener(add_options)
    events.init.add_listener(guard)
    events.init.add_listener(keep_aggregated_clean)


def add_options(parser: LocustArgumentParser, **_: Any) -> None:
    parser.add_argument("--api-key", default="loadtest", is_secret=True, help="The gateway key sent as X-API-Key.")
    parser.add_argument("--model", default="claude-haiku-4-5", help="The model asked for.")
    parser.add_argument("--max-tokens", type=int, default=120, help="The length asked for.")
    parser.add_argument("--allow-remote", action="store_true", help="Allow a host that is not this machine.")
    parser.add_argument("--i-will-pay", action="store_true", help="Allow api.anthropic.com, which costs money.")


def guard(environment: Environment, **_: Any) -> None:
    """Refuse at once, exit 2: load must not leave this machine by accident."""
    hosts = [environment.host, *(user.host for user in environment.user_classes)]
    for host in filter(None, hosts):
        try:
            allow(environment, host)
        except CannotRun as refusal:
            print(f"loadtests: {refusal}", flush=True)
            raise SystemExit(refusal.exit_code) from None


def keep_aggregated_clean(environment: Environment, **_: Any) -> None:
    """Metric rows go to their own entry only: in "Aggregated" they would double the rate and mix the latencies."""
    stats = environment.stats
    log_request = stats.log_request

    def log(method: str, name: str, response_time: int, content_length: int) -> None:
        if method in METRIC_ROWS:
            stats.get(name, method).log(response_time, content_length)
        else:
            log_request(method, name, response_time, content_length)

    stats.log_request = log  # type: ignore[method-assign]


def allow(environment: Environment, url: str) -> str:
    """`url` when this process may load it. Raises CannotRun."""
    return permission(environment)(url)


def permission(environment: Environment) -> Callable[[str], str]:
    """What this process may load, by the options that it has at this moment: a master's are laid on its workers'."""
    options = environment.parsed_options
    allow_remote, i_will_pay = bool(options and options.allow_remote), bool(options and options.i_will_pay)
    return functools.partial(spend_guard.check, allow_remote=allow_remote, i_will_pay=i_will_pay)


def show(environment: Environment, name: str, sample: Sample) -> None:
    """A sample in Locust's own statistics. Only complete requests have a latency there; a failure is called by its
    outcome; what its caller left on purpose is a request without a latency, and what we aborted is none."""
    for entry in rows.of(name, sample):
        row: Any = environment.stats.get(entry.name, entry.kind)
        if len(entry.values) == 1:
            row.log(entry.values[0], 0)
        else:
            row.extend(_together(entry, environment.stats))
    if sample.outcome == "aborted":
        return
    complete = sample.outcome == "complete"
    fire: Callable[..., None] = environment.events.request.fire
    fire(
        request_type="POST",
        name=name,
        response_time=sample.e2e * 1000 if complete else None,
        response_length=0,
        exception=None if sample.outcome in rows.NO_FAILURE else sample.outcome,
        context={},
    )


def _together(entry: rows.Entry, of: RequestStats) -> Any:
    """Many values as one entry of Locust's: to log each gap by itself costs as much as to read it."""
    together: Any = StatsEntry(of, entry.name, entry.kind)
    together.num_requests = len(entry.values)
    together.total_response_time = sum(entry.values)
    together.min_response_time, together.max_response_time = min(entry.values), max(entry.values)
    together.response_times = Counter(map(stats.bucket_response_time, entry.values))
    together.last_request_timestamp = time.time()
    together.num_reqs_per_sec = {int(together.last_request_timestamp): len(entry.values)}
    return together


def give_up(environment: Environment, ledger: Ledger, error: Exception) -> None:
    """The run is invalid, and its reason is among its events."""
    ledger.note("died", message=str(error))
    environment.process_exit_code = InvalidRun.exit_code


def finish(environment: Environment) -> None:
    """The schedule is done: a headless locust ends (the verdict is the runner's), the web UI goes back to ready."""
    runner = environment.runner
    assert runner is not None
    gevent.spawn(runner.stop if environment.web_ui else runner.quit)
