"""Does to a run what a person asks for in the control room, and writes it down.

Claude's side is changed through the mock's control plane, the load's through Locust's runner. What was changed by hand
ends with the run: the next start of the load meets the scenario as it is written.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gevent
from geventhttpclient.response import HTTPParseError

from loadtests.control.watch import PATIENCE, Watch
from loadtests.control.wires import Wires
from loadtests.documents import section
from loadtests.experiment.scenario import MOST_REQUESTS
from loadtests.programs.chaos import ToxiproxyError
from loadtests.programs.stack import MOCK_SECTIONS
from loadtests.record import byhand
from loadtests.record.byhand import (
    CAPACITY,
    FAULT,
    TOXIC,
    Capacity,
    Clear,
    Deed,
    Fault,
    Heal,
    Mark,
    Note,
    Plain,
    Rate,
    Wire,
)
from loadtests.record.rundir import RunDir
from loadtests.runner import TICK
from loadtests.sample import Row
from loadtests.schedule import rate
from loadtests.schedule.rate import Paces

JSON = {"content-type": "application/json"}
NOTICE = 0.3
"""Seconds from the word until the rate changes: by then every process that sends has heard of it."""
SCHEDULED = 20_000
"""Requests of a schedule that are worked out in a second."""
JUDGED_WITHIN = 60.0
SAVED = "saved"


class Refused(Exception):
    """What was asked for cannot be done; the message says why."""


class Load(NamedTuple):
    """What can be done with the load. A start need not have begun when it returns."""

    start: Callable[[], object]
    stop: Callable[[], object]
    revise: Callable[[Paces], object]


class Hand:
    """Everything a person can do; `do` is the only way in."""

    def __init__(self, watch: Watch, load: Load) -> None:
        self._watch, self._load = watch, load
        self._touched = False
        self.wires = Wires(watch.plan.toxiproxy) if watch.plan.toxiproxy else None
        self.saved: list[Row] = []
        self._deeds: Mapping[str, tuple[type[Deed], Callable[[Any], str]]] = {
            "start": (Plain, self._start),
            "stop": (Plain, self._stop),
            "panic": (Plain, self._panic),
            "rate": (Rate, self._rate),
            "fault": (Fault, self._fault),
            "clear": (Clear, self._clear),
            "capacity": (Capacity, self._capacity),
            "wire": (Wire, self._wire),
            "heal": (Heal, self._heal),
            "mark": (Mark, self._mark),
            "save": (Plain, self._save),
        }

    def __contains__(self, name: str) -> bool:
        return name in self._deeds

    def do(self, name: str, data: object) -> str:
        """What was done, in words. Raises section.Problem for a deed that makes no sense, Refused for one that cannot
        be done now."""
        kind, act = self._deeds[name]
        return act(section.read(kind, data))

    def restore(self) -> None:
        """Claude as the scenario has it, for a new run."""
        if self.wires is not None:
            self._on_the_wires(lambda wires: wires.heal(byhand.still_open(self._watch.notes, TOXIC)))
        if self._touched:
            self._tell("DELETE", "/_mock/faults")
            self._tell("PUT", "/_mock/config", {**dict.fromkeys(MOCK_SECTIONS), **self._config()})
            self._touched = False

    def _start(self, asked: Plain) -> str:
        if self._watch.state in ("starting", "running"):
            raise Refused("the load runs already")
        self._load.start()
        return "started"

    def _stop(self, asked: Plain) -> str:
        self._demand_load()
        self._note("stopped by hand")
        self._load.stop()
        return "stopped"

    def _panic(self, asked: Plain) -> str:
        """First the load, then all that was done to it; each is tried, whatever becomes of the others."""
        running = self._watch.state in ("starting", "running")
        if running:
            self._note("panic stop", closes=byhand.still_open(self._watch.notes))
        self._load.stop()
        self._touched = True
        self._tell("DELETE", "/_mock/faults")
        untroubled = {name: value for name, value in self._config().items() if name not in ("faults", "timeline")}
        self._tell("PUT", "/_mock/config", {**dict.fromkeys(MOCK_SECTIONS), **untroubled})
        if self.wires is not None:
            self._on_the_wires(Wires.clear)
        return f"{'the load is stopped; ' if running else ''}no fault is in force"

    def _rate(self, asked: Rate) -> str:
        self._demand_load()
        scenario, notes = self._watch.scenario, self._watch.notes
        if scenario.load.waits:
            raise Refused(f"{scenario.load.users} users who wait for their answers have no rate")
        before = rate.total(scenario.stretches(byhand.paces(notes)))
        at = round(self._watch.t + NOTICE + before / SCHEDULED, 3)
        if at >= scenario.seconds:
            raise Refused(f"the schedule ends at {scenario.seconds:g} s, before the rate could change")
        paces = [*byhand.paces(notes), (at, asked.factor)]
        if (requests := rate.total(scenario.stretches(paces))) > MOST_REQUESTS:
            raise Refused(f"that makes {requests:,.0f} requests, expected at most {MOST_REQUESTS:,}")
        self._load.revise(paces)
        self._watch.revise(paces)
        told = "rate as in the scenario" if asked.factor == 1 else f"rate × {asked.factor:g}"
        self._watch.note(Note(at, told, factor=asked.factor))
        return told

    def _fault(self, asked: Fault) -> str:
        self._demand_load()
        self._touched = True
        self._tell("POST", "/_mock/faults", asked.entry())
        window = f"{FAULT}{asked.name}"
        self._note(asked.told(), opens=window)
        self._later(asked.seconds, window, lambda: self._end_faults(asked.name))
        return f"begun: {asked.told()}"

    def _clear(self, asked: Clear) -> str:
        told = "all faults cleared" if asked.name is None else f"{asked.name} cleared"
        self._end_faults(asked.name)
        closed = byhand.still_open(self._watch.notes, f"{FAULT}{asked.name or ''}")
        if self._watch.state == "running":
            self._note(told, closes=closed)
        return told

    def _capacity(self, asked: Capacity) -> str:
        self._demand_load()
        if asked.slots is None:
            self._give_back()
            self._note("capacity as in the scenario", closes=(CAPACITY,))
            return "capacity as in the scenario"
        self._touched = True
        self._tell("PATCH", "/_mock/config", {"capacity": {"slots": asked.slots}})
        told = f"{asked.slots} slot{'' if asked.slots == 1 else 's'} at Claude"
        self._note(told, opens=CAPACITY)
        self._later(asked.seconds, CAPACITY, self._give_back)
        return told

    def _wire(self, asked: Wire) -> str:
        self._demand_load()
        harm = asked.harm(self.wires.hops if self.wires else ())
        window = f"{TOXIC}{harm.hop} {harm.toxic.name}"
        self._on_the_wires(lambda wires: wires.harm(window, harm))
        self._note(asked.told(), opens=window)
        self._later(asked.seconds, window, lambda: self._on_the_wires(lambda wires: wires.heal([window])))
        return f"begun: {asked.told()}"

    def _heal(self, asked: Heal) -> str:
        laid = byhand.still_open(self._watch.notes, TOXIC)
        healed = [window for window in laid if asked.window in (None, window)]
        self._on_the_wires(lambda wires: wires.heal(healed))
        told = "no toxic was laid" if not healed else "all toxics removed" if healed == [*laid] else "toxic removed"
        if healed and self._watch.state == "running":
            self._note(told, closes=tuple(healed))
        return told

    def _mark(self, asked: Mark) -> str:
        self._demand_load()
        self._note(asked.note, harmless=True)
        return f"marked: {asked.note}"

    def _save(self, asked: Plain) -> str:
        """A copy of the run so far, judged by a process of its own: this one has requests to send."""
        if self._watch.state in ("ready", "starting"):
            raise Refused("there is nothing to save yet: the load has not been started")
        at, whole = self._watch.t, self._watch.state == "ended"
        gevent.sleep(2 * TICK)  # what the journal has by now is in the run's files after the runner's next look
        copy = self._watch.run.copy_to(self._watch.run.path / SAVED / str(len(self.saved) + 1))
        if not whole:
            copy.note(self._watch.plan.variant, "interrupted", message=f"saved by hand at {at:.1f} s, before its end")
        elif self._nothing_is_open():
            records = copy.journal_rows(self._watch.plan.variant)
            copy.note(self._watch.plan.variant, "journal_read", program="mock", lost=0, records=records)
        verdict = _judge(copy)
        self.saved.append({"at": at, "verdict": verdict, "path": f"{SAVED}/{copy.path.name}/{copy.report.name}"})
        told = f"saved as {copy.path.parent.name}/{copy.path.name}"
        self._watch.note(Note(self._watch.t, told, harmless=True, silent=True))
        return f"saved: {verdict}"

    def _on_the_wires(self, act: Callable[[Wires], None]) -> None:
        if self.wires is None:
            raise Refused("there is no Toxiproxy between the programs of this run")
        try:
            act(self.wires)
        except ToxiproxyError as error:
            raise Refused(str(error)) from None

    def _demand_load(self) -> None:
        if self._watch.state != "running":
            raise Refused("the load is not running; start it first")

    def _later(self, seconds: float | None, window: str, undo: Callable[[], object]) -> None:
        """Undo a deed after its time, unless somebody did before, or did it again, or the run is another by then."""
        if seconds is None:
            return
        start, own = self._watch.start, self._watch.notes[-1]

        def end() -> None:
            latest = [note for note in self._watch.notes if window in (note.opens, *note.closes)][-1:]
            if self._watch.start == start and latest == [own] and self._watch.state == "running":
                undo()
                self._note(f"over after {seconds:g} s: {own.told}", closes=(window,))

        gevent.spawn_later(seconds, end)

    def _end_faults(self, name: str | None) -> None:
        self._touched = True
        self._tell("DELETE", "/_mock/faults" + (f"?name={name}" if name else ""))

    def _give_back(self) -> None:
        self._tell("PUT", "/_mock/config", {"capacity": self._config().get("capacity")})

    def _config(self) -> Row:
        return self._watch.scenario.mock_config()

    def _note(
        self, told: str, *, opens: str | None = None, closes: tuple[str, ...] = (), harmless: bool = False
    ) -> None:
        self._watch.note(Note(self._watch.t, told, opens, closes, harmless))

    def _nothing_is_open(self) -> bool:
        return bool(self._tell("GET", "/_mock/stats")["open"] == 0)

    def _tell(self, method: str, path: str, body: Row | None = None) -> Any:
        """Raises Refused with what the mock said when it did not do it."""
        try:
            with gevent.Timeout(PATIENCE):
                response = self._watch.mock.request(method, path, json.dumps(body).encode() if body else b"", JSON)
                answer = bytes(response.read())
        except (OSError, HTTPParseError, gevent.Timeout) as error:
            raise Refused(f"the mock did not answer {method} {path}: {error}") from None
        if response.status_code != 200:
            raise Refused(f"the mock refused {method} {path}: {answer.decode(errors='replace')[:300]}")
        return json.loads(answer)


def _judge(run: RunDir) -> str:
    """The verdict of a run's folder. Raises Refused when it cannot be judged."""
    command = [sys.executable, "-P", "-m", "loadtests", "report", str(run.path.resolve()), "--json"]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=JUDGED_WITHIN)
    except subprocess.TimeoutExpired:
        raise Refused(f"the run is saved in {run.path}, but was not judged within {JUDGED_WITHIN:g} s") from None
    try:
        return str(json.loads(finished.stdout)["verdict"])
    except ValueError:
        raise Refused(f"the run cannot be judged: {finished.stderr.strip()[-300:]}") from None
