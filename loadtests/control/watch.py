"""Watches a run while it goes on, for the control room.

It looks at what everybody may see: the run's files as they grow, the mock's control plane, the gateway's metrics. So it
is the same for one load process and for a master with workers.
"""

import json
import time
from pathlib import Path
from typing import Literal

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPParseError

from loadtests.control import live
from loadtests.control.live import AtClaude, Live
from loadtests.experiment.plan import Plan
from loadtests.record import byhand
from loadtests.record.byhand import Note
from loadtests.record.rundir import RunDir
from loadtests.sample import Row, Sample
from loadtests.schedule.rate import Paces
from loadtests.sending import caller
from loadtests.telling.display import Tail

LOOK_EVERY = 0.5
PATIENCE = 2.0
"""Seconds that a program may take to answer."""
LINGERS = 2.0
"""Seconds after the end of the load for which there may be something to see."""

SILENT = (OSError, HTTPParseError, gevent.Timeout)
"""What a program that does not answer comes to."""

State = Literal["ready", "starting", "running", "ended", "stopped"]


class Watch:
    """What is known of the last start of the load, whichever button began it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.run = RunDir(Path(plan.events).parent)
        self.scenario = plan.load_scenario().of(plan.variant)
        self.mock = caller.connect(plan.mock)
        self._gateway = caller.connect(plan.inside or plan.gateway)
        self._levels: dict[str, float] = {}
        self.state: State = "ready"
        self.start = 0
        self.trouble: str | None = None
        self._new_run()

    def begin(self) -> None:
        """The load is started: what is known of an earlier start is of another run."""
        for path in (self.run.samples, self.run.events):
            path.write_text("", encoding="utf-8")
        self.start += 1
        self.state = "starting"
        try:
            before = self._at_claude().attempts
        except SILENT as error:
            self.trouble, before = f"the mock does not answer: {error}", 0
        self._new_run(before)

    def stop(self) -> None:
        """The load has stopped; of its own accord, if that is in the events."""
        self._read()
        if self.state in ("starting", "running"):
            self._rest("stopped")
            if self._died is None:
                told = f"the load was stopped by hand at {self.t:.1f} s, before its end"
                self.run.note(self.plan.variant, "interrupted", message=told)

    def forever(self) -> None:
        """Look again and again; a greenlet of its own."""
        gevent.spawn(self._watch_the_gateway)
        while True:
            self._look()
            gevent.sleep(LOOK_EVERY - self.t % LOOK_EVERY)

    @property
    def t(self) -> float:
        """Seconds since T0; of a run that is over, when it ended."""
        if self.state == "running":
            return self.live.t + time.monotonic() - self._looked
        return self._over or 0.0

    def note(self, note: Note) -> None:
        """Write down what was done by hand."""
        self.notes.append(note)
        self.run.note(self.plan.variant, byhand.EVENT, **note.to_row())

    def revise(self, paces: Paces) -> None:
        """The load comes at another pace."""
        self.live.revise(gevent.get_hub().threadpool.apply(self._offered, (paces,)))

    def seen(self, since: int) -> Row:
        """All that the page shows and that changes; the lines of its charts from second `since` on."""
        return {
            "start": self.start,
            "state": self.state,
            "t": round(self.t, 2),
            "trouble": self._died or self.trouble,
            "faults": dict(self.live.now.faults) if self.live.now else {},
            "windows": byhand.windows(self.notes, self.t),
            "marks": byhand.marks(self.notes),
            "laid": [{"window": note.opens, "told": note.told} for note in byhand.in_force(self.notes, byhand.TOXIC)],
            "done": [{"at": note.t, "told": note.told} for note in self.notes],
            "lines": self.live.columns(since),
        }

    def _offered(self, paces: Paces) -> dict[str, float]:
        arrivals = self.scenario.crowd(self.plan.seed, self.plan.variant, max(1, self.start), paces).arrivals()
        return {arrival.request_id: arrival.at for arrival in arrivals}

    def _new_run(self, before: int = 0) -> None:
        self.live = Live(self._offered(()), self.scenario.slo, before)
        self.notes: list[Note] = []
        self._samples, self._events = Tail(self.run.samples), Tail(self.run.events)
        self._looked = 0.0
        self._died: str | None = None
        self._suffix = ""
        self._over: float | None = None

    def _look(self) -> None:
        self._read()
        if (self._over is not None and self.live.t > self._over + LINGERS) or self.state in ("ready", "starting"):
            return
        try:
            self.live.look(self._at_claude(), self._levels)
            self._looked, self.trouble = time.monotonic(), None
        except SILENT as error:
            self.trouble = f"the mock does not answer: {error}"

    def _at_claude(self) -> AtClaude:
        stats = json.loads(_get(self.mock, "/_mock/stats"))
        return live.at_claude(stats, _get(self.mock, "/metrics"))

    def _read(self) -> None:
        for row in self._events.new_rows():
            if row["event"] == "started":
                self.state, self._looked = "running", time.monotonic()
                self._suffix = str(row["suffix"]).removeprefix(".")
            elif row["event"] == "ended":
                self._rest("ended")
            elif row["event"] == "died":
                self._died = str(row["message"])
        for row in self._samples.new_rows():
            sample = Sample.from_row(row)
            if sample.request_id.partition(".")[2] == self._suffix:  # a worker may send the last of an earlier start
                self.live.take(sample)

    def _rest(self, state: State) -> None:
        self._over = self.t
        self.state = state

    def _watch_the_gateway(self) -> None:
        """Apart from all else: a gateway whose event loop is blocked must not hide what the mock sees."""
        while True:
            try:
                self._levels = live.levels_of(_get(self._gateway, "/metrics"))
            except (*SILENT, ValueError):
                self._levels = {}  # not every gateway has figures, and this one may be too busy to tell
            gevent.sleep(LOOK_EVERY)


def _get(http: HTTPClient, path: str) -> str:
    """Raises OSError when the answer is no success, gevent.Timeout when there is none in time."""
    with gevent.Timeout(PATIENCE):
        response = http.request("GET", path)
        answer = response.read()
    if response.status_code != 200:
        raise OSError(f"GET {path}: got status {response.status_code}")
    return bytes(answer).decode()
