"""What lies between the programs of a scenario: nginx, Toxiproxy on any way between two, Redis.

    caller -> [toxiproxy "caller"] -> [nginx ...] -> [toxiproxy "gateway"] -> gateway
    gateway -> [egress: nginx ...] -> [toxiproxy "claude"] -> mock

A hop of Toxiproxy is there when a toxic names it: nothing else says so.

    nginx: {proxy_buffering: false}     # or a list of such, nearest the caller first
    egress: {proxy_http_version: "1.1"} # the same on the gateway's way to Claude
    toxics: [{hop: claude, type: latency, latency: 50}]                        # from T0 to the end
    timeline: [{phase: dip, toxics: [{hop: claude, type: timeout}]}]           # or {at, for}, seconds since T0
    redis: true                         # the gateway gets its URL
    send_buffer: 65536                  # what the kernel keeps for who does not read yet, of nginx, gateway and mock
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge
from pydantic import ConfigDict, Strict

from loadtests.documents import document, section
from loadtests.documents.section import Loc, Problem, Unit
from loadtests.experiment import nginx, toxics
from loadtests.experiment.nginx import Nginx
from loadtests.experiment.toxics import Entry

TIMES = {"at": "at least 0", "for": "more than 0"}


@dataclass(frozen=True)
class Network:
    """`nginx` and `egress`: nearest the caller first. `entries`: which toxics are in force when; some have no end.
    `more`: hops without toxics, for those who lay some on by hand. `send_buffer` in bytes; None is the kernel's choice,
    which may be megabytes on each hop."""

    nginx: tuple[Nginx, ...] = ()
    egress: tuple[Nginx, ...] = ()
    redis: bool = False
    send_buffer: int | None = None
    entries: tuple[Entry, ...] = ()
    more: frozenset[str] = frozenset()

    @property
    def hops(self) -> frozenset[str]:
        return self.more.union(harm.hop for entry in self.entries for harm in entry.harms)

    def with_all_hops(self) -> "Network":
        """Toxiproxy wherever it can be."""
        return dataclasses.replace(self, more=frozenset(_places(self.nginx, self.redis)))

    @property
    def programs(self) -> list[str]:
        """What must be installed for it."""
        wanted = {"nginx": self.nginx or self.egress, "toxiproxy": self.hops, "redis": self.redis}
        return [name for name, here in wanted.items() if here]

    def windows(self) -> Iterator[dict[str, Any]]:
        """The entries that have an end, as a timeline tells them: `at`, `for` and what is wrong meanwhile."""
        for entry in self.entries:
            if math.isfinite(entry.end):
                told = [toxics.told(harm) for harm in entry.harms]
                yield {"at": entry.start, "for": entry.end - entry.start, "network": told}


@dataclass(frozen=True)
class _Given:
    __pydantic_config__: ClassVar[ConfigDict] = section.STRICT

    nginx: Any = None
    egress: Any = None
    redis: Annotated[bool, Strict()] = False
    send_buffer: Annotated[int, Strict(), Ge(4096), Unit("bytes")] | None = None
    toxics: Any = None
    timeline: Any = None


def parse(data: object, loc: Loc = ("network",)) -> Network:
    """Read the section, each `phase` of whose timeline is `at` and `for` already. Raises section.Problem."""
    given = section.read(_Given, data, loc)
    proxies = _proxies(given.nginx, (*loc, "nginx"))
    egress = _proxies(given.egress, (*loc, "egress"))
    hops = _places(proxies, given.redis)
    entries = []
    if given.toxics is not None:
        entries.append(Entry(0.0, math.inf, toxics.parse(given.toxics, hops, (*loc, "toxics"))))
    if given.timeline is not None:
        where = (*loc, "timeline")
        if not isinstance(given.timeline, list):
            raise Problem(where, f"got {document.shown(given.timeline)}, expected a list of {{phase, toxics}}")
        entries += [_entry(item, hops, (*where, index)) for index, item in enumerate(given.timeline)]
    return Network(proxies, egress, given.redis, given.send_buffer, tuple(entries))


def _places(proxies: Sequence[Nginx], redis: bool) -> list[str]:
    """Where a hop of Toxiproxy can be."""
    return ["caller", *(["gateway"] if proxies else []), "claude", *(["redis"] if redis else [])]


def _proxies(given: object, loc: Loc) -> tuple[Nginx, ...]:
    if isinstance(given, list):
        return tuple(nginx.parse(item, (*loc, index)) for index, item in enumerate(given))
    return () if given is None else (nginx.parse(given, loc),)


def _entry(item: object, hops: list[str], loc: Loc) -> Entry:
    if not isinstance(item, Mapping):
        raise Problem(loc, f"got {document.shown(item)}, expected a mapping with phase (or at and for) and toxics")
    known = [*TIMES, "phase", "toxics"]
    for key in item:
        if key not in known:
            raise Problem((*loc, key), f"unknown key; {document.did_you_mean(str(key), known)}")
    start, length = (_time(item, name, loc) for name in TIMES)
    return Entry(start, start + length, toxics.parse(item.get("toxics"), hops, (*loc, "toxics")))


def _time(item: Mapping[str, Any], name: str, loc: Loc) -> float:
    if name not in item:
        raise Problem(loc, f'"{name}" is missing; every entry needs a phase, or at and for')
    found = item[name]
    number = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
    if not number or found < 0 or (name == "for" and not found):
        raise Problem((*loc, name), f"got {document.shown(found)}, expected a number of seconds, {TIMES[name]}")
    return float(found)
