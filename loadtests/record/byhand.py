"""What a person does to a run by hand: read from the control room, told in words, and the windows it leaves on a chart.

Each deed is a `Note` in the run's events. Whatever harms opens a window by a name, and what ends it closes that name:
so the page, the report and the verdict all read the same rows.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

from annotated_types import Ge, Gt, Le, Len
from pydantic import ConfigDict, Strict

from loadtests.documents import section
from loadtests.documents.section import Unit
from loadtests.experiment import toxics
from loadtests.experiment.toxics import Harm
from loadtests.sample import Row
from loadtests.schedule.rate import Paces

EVENT = "by_hand"
PROGRAM = "control room"
FAULT, CAPACITY, TOXIC = "fault ", "capacity", "toxic "
"""What the names of windows begin with."""

Seconds = Annotated[float, Strict(), Gt(0), Le(86_400), Unit("seconds")]
Percent = Annotated[float, Strict(), Gt(0), Le(100), Unit("percent")]


@dataclass(frozen=True)
class Note:
    """One deed, `t` seconds since T0. `opens` names the window it opens, `closes` those it ends; a `harmless` one
    leaves the run as it was, a `silent` one is not worth a mark. From it on, the load comes `factor` times as fast as
    planned."""

    t: float
    told: str
    opens: str | None = None
    closes: tuple[str, ...] = ()
    harmless: bool = False
    factor: float | None = None
    silent: bool = False

    def to_row(self) -> Row:
        return {"program": PROGRAM, **dataclasses.asdict(self), "t": round(self.t, 3)}


def notes(events: Iterable[Row]) -> list[Note]:
    """Those among a run's events, in order."""
    names = {field.name for field in dataclasses.fields(Note)}
    found = ({name: row[name] for name in names & row.keys()} for row in events if row["event"] == EVENT)
    return [Note(**{**row, "closes": tuple(row["closes"])}) for row in found]


def in_force(done: Iterable[Note], kind: str = "") -> list[Note]:
    """Those whose windows nothing has closed yet, the oldest first; only of names that begin with `kind`."""
    opened: dict[str, Note] = {}
    for note in done:
        for name in (*note.closes, note.opens):
            opened.pop(str(name), None)
        if note.opens is not None:
            opened[note.opens] = note
    return [note for name, note in opened.items() if name.startswith(kind)]


def still_open(done: Iterable[Note], kind: str = "") -> tuple[str, ...]:
    """The names of their windows."""
    return tuple(str(note.opens) for note in in_force(done, kind))


def windows(done: Iterable[Note], end: float) -> list[Row]:
    """`{start, end, label}` of each harm that was done by hand; what nobody ended lasts until `end`."""
    found: list[Row] = []
    current: dict[str, Row] = {}
    for note in done:
        for name in (*note.closes, note.opens):
            if name is not None and name in current:
                current.pop(name)["end"] = note.t
        if note.opens is not None:
            current[note.opens] = {"start": note.t, "end": max(end, note.t), "label": note.told}
            found.append(current[note.opens])
    return found


def paces(done: Iterable[Note]) -> Paces:
    """How the rate was changed."""
    return [(note.t, note.factor) for note in done if note.factor is not None]


def marks(done: Iterable[Note]) -> list[Row]:
    """`{at, label}` of what is a moment and no window."""
    return [
        {"at": note.t, "label": note.told}
        for note in done
        if note.opens is None and not note.closes and not note.silent
    ]


def steered(done: Iterable[Note]) -> list[str]:
    """What was done to the run, in words; nothing when it was only looked at."""
    return [f"at {note.t:.1f} s: {note.told}" for note in done if not note.harmless]


class Choice(NamedTuple):
    """A fault in people's words. `fields` is what the mock is told; `knob` a field of it that can be set, with its
    label and the value it has until somebody does."""

    title: str
    fields: Row
    knob: tuple[str, str, float] | None = None

    def set_to(self, value: float | None) -> Row:
        """Its fields with the knob at `value`, or where it usually is."""
        return {**self.fields, **self._knob(value)}

    def told(self, value: float | None) -> str:
        if self.knob is None:
            return self.title
        words, _, unit = self.knob[1].removesuffix(")").partition(" (")
        return f"{self.title}, {words} {self._knob(value)[self.knob[0]]:g} {unit}".rstrip()

    def _knob(self, value: float | None) -> Row:
        if self.knob is None:
            return {}
        field, _, usual = self.knob
        found = usual if value is None else value
        return {field: round(found) if isinstance(usual, int) else found}


CHOICES: Mapping[str, Choice] = {
    "overloaded": Choice("529 overloaded", {"name": "status", "code": 529}),
    "throttled": Choice("429 rate limited", {"name": "status", "code": 429}, ("retry_after", "retry after (s)", 2.0)),
    "failed": Choice("500 internal error", {"name": "status", "code": 500}),
    "proxy_page": Choice("502 with a proxy's page", {"name": "status", "code": 502, "body": "html"}),
    "slow_first_byte": Choice("slow first byte", {"name": "slow_first_byte"}, ("seconds", "later by (s)", 3.0)),
    "hang": Choice("no answer at all", {"name": "hang"}, ("seconds", "closed after (s)", 3600.0)),
    "stall": Choice("stream stalls", {"name": "stall", "after": 3}, ("seconds", "for (s)", 5.0)),
    "drip": Choice("slow tokens", {"name": "drip"}, ("factor", "factor", 4.0)),
    "error_event": Choice("error event in the stream", {"name": "error_event"}, ("after", "after deltas", 3)),
    "truncate": Choice("stream ends too early", {"name": "truncate"}, ("after", "after deltas", 3)),
    "cut": Choice("connection reset", {"name": "cut", "how": "rst"}, ("after", "after deltas", 3)),
    "malformed_event": Choice("event that is no JSON", {"name": "malformed_event"}, ("after", "delta number", 3)),
    "truncated_json": Choice("half an event", {"name": "truncated_json"}, ("after", "delta number", 3)),
    "duplicate_event": Choice("event sent twice", {"name": "duplicate_event"}, ("after", "delta number", 3)),
    "missing_event": Choice("event left out", {"name": "missing_event"}, ("after", "delta number", 3)),
    "split_packets": Choice("events in two packets", {"name": "split_packets"}, ("seconds", "apart (s)", 0.01)),
    "comments": Choice("comments between events", {"name": "comments"}),
    "giant_event": Choice("giant event", {"name": "giant_event", "after": 3}, ("size", "bytes", 1_048_576)),
    "content_type": Choice("wrong content type", {"name": "content_type"}),
}


WIRES: Mapping[str, Choice] = {
    "latency": Choice("slow network", {"type": "latency"}, ("latency", "later by (ms)", 500)),
    "bandwidth": Choice("narrow pipe", {"type": "bandwidth"}, ("rate", "kB per second", 2)),
    "timeout": Choice("black hole", {"type": "timeout"}),
    "reset_peer": Choice("connections reset", {"type": "reset_peer"}, ("timeout", "after (ms)", 0)),
    "slow_close": Choice("connections end late", {"type": "slow_close"}, ("delay", "later by (ms)", 2000)),
    "slicer": Choice("small slices", {"type": "slicer", "delay": 10_000}, ("average_size", "bytes", 64)),
    "limit_data": Choice("connections end early", {"type": "limit_data"}, ("bytes", "after bytes", 2000)),
    "down": Choice("nobody listens", {"type": "down"}),
}
"""Toxics in people's words."""
WAYS = {"caller": "to the gateway", "gateway": "from nginx to the gateway", "claude": "to Claude", "redis": "to Redis"}


@dataclass(frozen=True, kw_only=True)
class Deed:
    """What the page sends: a JSON object of the fields of one of these."""

    __pydantic_config__: ClassVar[ConfigDict] = section.STRICT


@dataclass(frozen=True, kw_only=True)
class Fault(Deed):
    """Begin one of `CHOICES`: with its knob at `value`, on so many `percent` of attempts, for so many `seconds`."""

    choice: str
    value: Annotated[float, Strict(), Ge(0)] | None = None
    percent: Percent = 100.0
    seconds: Seconds | None = None

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise ValueError(f'got "{self.choice}", expected one of: {", ".join(CHOICES)}')

    @property
    def name(self) -> str:
        """What the mock calls it."""
        return str(CHOICES[self.choice].fields["name"])

    def entry(self) -> Row:
        """What the mock is told."""
        return {**CHOICES[self.choice].set_to(self.value), "share": self.percent / 100}

    def told(self) -> str:
        share = "" if self.percent == 100 else f", {self.percent:g} % of attempts"
        return f"{CHOICES[self.choice].told(self.value)}{share}"


@dataclass(frozen=True, kw_only=True)
class Clear(Deed):
    """End the faults of one `name`, or all of them."""

    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Capacity(Deed):
    """Give Claude so many `slots`, for so many `seconds` or until it is given back; None gives it back."""

    slots: Annotated[int, Strict(), Ge(1), Le(1_000_000)] | None
    seconds: Seconds | None = None


@dataclass(frozen=True, kw_only=True)
class Wire(Deed):
    """Lay one of `WIRES` on a hop: with its knob at `value`, for so many `seconds`."""

    hop: str
    choice: str
    value: Annotated[float, Strict(), Ge(0), Le(10**9)] | None = None
    seconds: Seconds | None = None

    def __post_init__(self) -> None:
        if self.choice not in WIRES:
            raise ValueError(f'got "{self.choice}", expected one of: {", ".join(WIRES)}')

    def harm(self, hops: Collection[str]) -> Harm:
        """Raises section.Problem when there is no such hop, or the toxic has no such value."""
        (found,) = toxics.parse([{"hop": self.hop, **WIRES[self.choice].set_to(self.value)}], hops, ())
        return found

    def told(self) -> str:
        return f"{WIRES[self.choice].told(self.value)}, {WAYS.get(self.hop, self.hop)}"


@dataclass(frozen=True, kw_only=True)
class Heal(Deed):
    """Remove the toxic of one window, or all that were laid by hand."""

    window: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rate(Deed):
    """Let the rest of the schedule come `factor` times as fast as the scenario has it."""

    factor: Annotated[float, Strict(), Ge(0.01), Le(100)]


@dataclass(frozen=True, kw_only=True)
class Mark(Deed):
    """Remember this moment."""

    note: Annotated[str, Strict(), Len(1, 200)]


@dataclass(frozen=True, kw_only=True)
class Plain(Deed):
    """What needs no words: start, stop, panic, save."""
