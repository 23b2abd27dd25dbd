"""How a network misbehaves on demand: each toxic is a value, and a timeline says which hop has which, when.

To add one that a later Toxiproxy knows: a frozen dataclass, and its name in `TOXICS`. Its fields are its YAML and what
Toxiproxy is given, in Toxiproxy's own units: **milliseconds**, where the rest of a scenario has seconds.

    {phase: dip, toxics: [{hop: claude, type: latency, latency: 200, jitter: 50}]}

`stream: downstream` (the default) harms what the server says, `upstream` what the caller says. `toxicity` is the share
of **connections** that are harmed, not of requests: Toxiproxy draws once for each connection, and again when the toxic
is updated, so with keep-alive a caller has only good luck or only bad. A share of requests is the mock's `faults`.
What is said here of Toxiproxy was read in its source, 2.12.0, and is held against the real one in
`tests/system/test_toxiproxy.py`.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

from annotated_types import Ge, Gt, Le
from pydantic import ConfigDict, Strict

from loadtests.documents import document, section
from loadtests.documents.section import Loc, Problem, Unit

Stream = Literal["upstream", "downstream"]
Share = Annotated[float, Strict(), Gt(0), Le(1), Unit("a share of connections")]
Milliseconds = Annotated[int, Strict(), Ge(0), Unit("milliseconds")]
Microseconds = Annotated[int, Strict(), Ge(0), Unit("microseconds")]
Bytes = Annotated[int, Strict(), Ge(1), Unit("bytes")]
Kilobytes = Annotated[int, Strict(), Ge(1), Unit("kilobytes of 1000 bytes a second")]


@dataclass(frozen=True)
class Toxic:
    """One way to harm a hop."""

    __pydantic_config__: ClassVar[ConfigDict] = section.STRICT

    @property
    def name(self) -> str:
        """What it is called on its hop: of two with one name, the later takes the place of the earlier."""
        return NAMES[type(self)]


@dataclass(frozen=True, kw_only=True)
class Directed(Toxic):
    """What all but `down` have: a direction, and the share of connections that are harmed."""

    stream: Stream = "downstream"
    toxicity: Share = 1.0

    @property
    def name(self) -> str:
        return f"{NAMES[type(self)]}_{self.stream}"

    def attributes(self) -> dict[str, int]:
        """What Toxiproxy calls so: all that is particular to this toxic."""
        return {name: value for name, value in vars(self).items() if name not in ("stream", "toxicity")}


@dataclass(frozen=True)
class Latency(Directed):
    """All comes `latency` later, give or take `jitter`. The shift is not cumulative and the order is kept."""

    latency: Milliseconds
    jitter: Milliseconds = 0


@dataclass(frozen=True)
class Bandwidth(Directed):
    """At most `rate` kB/s; below the rate of the stream, its bytes come in slices of 100 ms."""

    rate: Kilobytes


@dataclass(frozen=True)
class SlowClose(Directed):
    """The connection's end comes `delay` late; nothing else does."""

    delay: Milliseconds


@dataclass(frozen=True)
class Timeout(Directed):
    """A black hole: bytes are lost. After `timeout` without any (0: never) the connection is closed.

    Every chunk that falls into the hole begins the wait anew. Once the toxic goes, its connections are closed.
    """

    timeout: Milliseconds = 0


@dataclass(frozen=True)
class ResetPeer(Directed):
    """`timeout` after the first bytes the connection is reset. One that was open before the toxic came only ends."""

    timeout: Milliseconds = 0


@dataclass(frozen=True)
class Slicer(Directed):
    """Bytes come in slices of `average_size`, give or take `size_variation`, with `delay` after each."""

    average_size: Bytes
    size_variation: Annotated[int, Strict(), Ge(0), Unit("bytes")] = 0
    delay: Microseconds = 0

    def __post_init__(self) -> None:
        if self.size_variation >= self.average_size:
            got = f"size_variation {self.size_variation}, average_size {self.average_size}"
            raise ValueError(f"got {got}, expected size_variation < average_size")


@dataclass(frozen=True)
class LimitData(Directed):
    """The connection is closed cleanly after `bytes`, however many requests it carried."""

    bytes: Annotated[int, Strict(), Ge(0), Unit("bytes")]


@dataclass(frozen=True)
class Down(Toxic):
    """Nobody listens, and all connections are dropped."""


TOXICS: Mapping[str, type[Toxic]] = {
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "limit_data": LimitData,
    "down": Down,
}
NAMES = {kind: name for name, kind in TOXICS.items()}


class Harm(NamedTuple):
    """A toxic and the hop it sits on."""

    hop: str
    toxic: Toxic


class Entry(NamedTuple):
    """Harms in force from `start` to `end`, seconds since T0, the end left out."""

    start: float
    end: float
    harms: tuple[Harm, ...]


class Step(NamedTuple):
    """From `at` on, `hop` has these toxics and no others."""

    at: float
    hop: str
    toxics: tuple[Toxic, ...]


def parse(data: object, hops: Collection[str], loc: Loc = ("toxics",)) -> tuple[Harm, ...]:
    """Read the `toxics` of one entry of a timeline. Raises Problem with a place below `loc`."""
    if not isinstance(data, Sequence) or isinstance(data, str) or not data:
        raise Problem(loc, f"got {document.shown(data)}, expected a list of toxics such as {{hop: claude, type: down}}")
    found: list[Harm] = []
    for index, item in enumerate(data):
        harm = _one(item, hops, (*loc, index))
        if any(other.hop == harm.hop and other.toxic.name == harm.toxic.name for other in found):
            text = f'a second "{harm.toxic.name}" on "{harm.hop}"; a hop has one toxic of a type in each direction'
            raise Problem((*loc, index), text)
        found.append(harm)
    return tuple(found)


def steps(entries: Iterable[Entry]) -> list[Step]:
    """What has to be done when, in order: each hop's toxics whenever they change."""
    entries = list(entries)
    hops = sorted({harm.hop for entry in entries for harm in entry.harms})
    found: list[Step] = []
    before: dict[str, tuple[Toxic, ...]] = dict.fromkeys(hops, ())
    for at in sorted({bound for entry in entries for bound in (entry.start, entry.end)}):
        for hop in hops:
            wanted = _in_force(entries, hop, at)
            if wanted != before[hop]:
                found.append(Step(at, hop, wanted))
                before[hop] = wanted
    return found


def told(harm: Harm) -> str:
    """`latency 200, jitter 50 at claude`: what is not as usual of it, and where."""
    usual = {each.name: each.default for each in dataclasses.fields(harm.toxic)}
    fields = [f"{name} {value}" for name, value in vars(harm.toxic).items() if value != usual[name]]
    kind = NAMES[type(harm.toxic)]
    named = fields if any(field.startswith(f"{kind} ") for field in fields) else [kind, *fields]
    return f"{', '.join(named)} at {harm.hop}"


def as_config(harm: Harm) -> dict[str, object]:
    """The words of a scenario that give this harm."""
    return {"hop": harm.hop, "type": NAMES[type(harm.toxic)], **dataclasses.asdict(harm.toxic)}


def _one(item: object, hops: Collection[str], loc: Loc) -> Harm:
    if not isinstance(item, Mapping):
        raise Problem(loc, f"got {document.shown(item)}, expected a mapping with hop, type and the type's own fields")
    hop = _named(item, "hop", hops, "hop", loc)
    kind = _named(item, "type", TOXICS, "toxic", loc)
    fields = {name: value for name, value in item.items() if name not in ("hop", "type")}
    return Harm(hop, section.read(TOXICS[kind], fields, loc))


def _named(item: Mapping[object, object], field: str, known: Collection[str], what: str, loc: Loc) -> str:
    if field not in item:
        raise Problem((*loc, field), f"is missing; expected one of: {', '.join(known)}")
    if (name := item[field]) not in list(known):
        text = f"no {what} is called {document.shown(name)}; {document.did_you_mean(str(name), known)}"
        raise Problem((*loc, field), text)
    return str(name)


def _in_force(entries: Sequence[Entry], hop: str, at: float) -> tuple[Toxic, ...]:
    found: dict[str, Toxic] = {}
    for entry in entries:
        if entry.start <= at < entry.end:
            found.update({harm.toxic.name: harm.toxic for harm in entry.harms if harm.hop == hop})
    return tuple(found.values())
