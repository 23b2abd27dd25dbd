"""The open loop: requests start when the schedule says, whatever the server does.

Latency counts from the intended start, so that a server that stalls cannot hide it by slowing its callers down
(coordinated omission; Locust's own wait times are a closed loop). One locust user in each process walks the whole of
its job; each request is a greenlet of its own.
"""

import contextlib
import itertools
import math
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import gevent
import psutil
from gevent.event import Event
from gevent.lock import Semaphore
from gevent.pool import Group

from loadtests.experiment.plan import Job
from loadtests.protocol import client, rotation
from loadtests.protocol.errand import Errand
from loadtests.protocol.rotation import Rotation
from loadtests.record.ledger import Ledger
from loadtests.sample import Sample
from loadtests.schedule.load import Arrival
from loadtests.sending import caller
from loadtests.sending.alarm import Alarm

LAG_INTERVAL = 0.05
LAG_WORTH_RECORDING = 0.25
PULSE_INTERVAL = 1.0


class Dispatcher:
    """One run of a job. Times are seconds since T0: the moment the mock answered the reset."""

    def __init__(self, job: Job, ledger: Ledger, report: Callable[[str, Sample], None]) -> None:
        self.job = job
        self.sent = 0
        probe = job.scenario.load.probe
        self.rotation = Rotation(probe) if probe else None
        self._kinds = job.plan.kinds()
        self._ledger, self._report = ledger, report
        self._reads = job.scenario.load.reads or math.inf
        self._http = (caller.connect_slowly if job.scenario.load.reads else caller.connect)(job.plan.gateway)
        self._crowd = job.crowd()
        self._callers = Semaphore(job.callers) if job.callers else contextlib.nullcontext()
        self._arrivals = list(job.arrivals)
        self._stirred = Event()
        self._visits = Group()
        self._asking: dict[gevent.Greenlet[..., None], Arrival] = {}
        self._t0 = 0.0

    def run(self, t0: float) -> None:
        """From `t0`, which is a moment of this process' monotonic clock, to the end. What is open when it is stopped
        before that ends in a sample too: aborted."""
        self._t0 = t0
        watch = gevent.spawn(self._watch_the_loop)
        try:
            self._walk()
        finally:
            self._visits.kill()
            watch.kill()

    def now(self) -> float:
        return time.monotonic() - self._t0

    def revise(self, arrivals: Iterable[Arrival]) -> None:
        """The schedule is another from some moment on. Number by number its requests are the same: what has been sent
        has been sent of this one too."""
        self._arrivals = list(arrivals)
        self._stirred.set()

    def _walk(self) -> None:
        scenario = self.job.scenario
        for arrival in self._due():
            self._visits.spawn(self._visit, arrival)
        judged = [span for span in scenario.spans() if span.judge]
        waited_for = [visit for visit, last in self._asking.items() if any(span.holds(last.at) for span in judged)]
        gevent.joinall(waited_for, timeout=scenario.load.patience)

    def _due(self) -> Iterator[Arrival]:
        """Each arrival at its moment, until the last phase is over."""
        number = 0
        with contextlib.closing(Alarm(self._stirred.set)) as alarm:
            while True:
                coming = self._arrivals[number] if number < len(self._arrivals) else None
                at = coming.at if coming else self.job.scenario.seconds
                self._stirred.clear()
                if at > self.now():
                    alarm.set(self._t0 + at)
                    self._stirred.wait()
                    continue  # its moment has come, or the schedule is another
                if coming is None:
                    return
                yield coming
                gevent.sleep(0)
                number += 1

    def _visit(self, first: Arrival) -> None:
        coming: Arrival | None = first
        this = cast("gevent.Greenlet[..., None]", gevent.getcurrent())
        try:
            while coming is not None:
                self._asking[this] = coming
                with self._callers:
                    self._ask(coming)
                coming = self._crowd.after(coming, self.now())
                if coming is not None:
                    gevent.sleep(max(0.0, coming.at - self.now()))
        finally:
            del self._asking[this]

    def _ask(self, arrival: Arrival) -> None:
        self.sent += 1
        load, key = self.job.scenario.load, self.job.plan.key
        errand = Errand(arrival, load, key, self.now(), self.rotation, self._kinds)
        try:
            caller.pursue(self._http, errand, self.now, self._reads)
        except gevent.GreenletExit:
            errand.stop("aborted", self.now())
            self._take(errand)
            raise
        except caller.Starved as starved:
            errand.stop("aborted", self.now())
            self._ledger.note("starved", t=self.now(), message=str(starved))
        self._take(errand)

    def _take(self, errand: Errand) -> None:
        sample = errand.sample()
        self._ledger.sample(sample)
        self._report(errand.kind.path, sample)

    def _watch_the_loop(self) -> None:
        """A generator that was held up measured itself, not the server: each hold-up is written down, and once a second
        how busy and how late this process was."""
        worst, looked, busy = 0.0, self.now(), time.process_time()
        while True:
            before = self.now()
            gevent.sleep(LAG_INTERVAL)
            now = self.now()
            lag = now - before - LAG_INTERVAL
            worst = max(worst, lag)
            if lag > LAG_WORTH_RECORDING:
                self._ledger.note("lag", t=now, at=before, seconds=lag)
            if now - looked >= PULSE_INTERVAL:
                took = time.process_time()
                self._pulse(now, cpu=(took - busy) / (now - looked), lag=worst)
                worst, looked, busy = 0.0, now, took

    def _pulse(self, now: float, cpu: float, lag: float) -> None:
        own = {"cpu": round(cpu, 4), "lag": round(lag, 6)}
        self._ledger.note("pulse", t=now, **own, sockets=_open_files(), inflight=len(self._asking))


def _open_files() -> int:
    try:
        return psutil.Process().num_fds()
    except OSError:  # none is left to look with
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Balancer:
    """The load balancer of a run, where it has one: `watched`, by probes on a clock of their own. `changed` is told of
    each change of state: seconds since T0, and the state."""

    def __init__(self, job: Job, watched: Rotation | None, changed: Callable[[float, str], None]) -> None:
        self._job, self._watched, self._changed = job, watched, changed

    def keep_probing(self, t0: float) -> None:
        plan, watched = self._job.plan, self._watched
        if watched is None:
            return
        http = caller.connect(plan.gateway)
        for number in itertools.count(1):
            started = time.monotonic()
            name = rotation.name_of(plan.variant, plan.seed, number) + self._job.suffix
            call = client.probe(watched.probe.path, name, plan.key)
            if watched.seen(caller.probe(http, call, watched.probe.timeout)):
                self._changed(time.monotonic() - t0, watched.state)
            gevent.sleep(max(0.0, started + watched.probe.every - time.monotonic()))
