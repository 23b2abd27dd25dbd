"""A scenario: the experiment as a file, checked before anything starts.

The sections `mock`, `gateway` and the variants' settings belong to the programs they configure; `sections` asks
those programs about them.
"""

import copy
import dataclasses
import functools
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field

from loadtests.documents import document, problems, section
from loadtests.documents.document import Document, Tree
from loadtests.documents.field import Name, NotNegative, Number, Positive, Section, Switch
from loadtests.errors import CannotRun, ScenarioError
from loadtests.experiment import gates, network
from loadtests.experiment.gates import Gate
from loadtests.experiment.network import Network
from loadtests.schedule import arrivals, rate
from loadtests.schedule.arrivals import Trace
from loadtests.schedule.crowd import Crowd
from loadtests.schedule.load import Arrival, Load
from loadtests.schedule.rate import Paces, Rate, Stretch

MOST_REQUESTS = 1_000_000
OF_ALL = ("load", "mock", "network")
"""Sections of the scenario that a variant may change; the rest of it is the gateway's."""
ClockName = Literal["real", "virtual"]


class Slo(Section):
    """What makes a complete answer good. Seconds, from the intended start."""

    e2e: Positive | None = None
    ttft: Positive | None = None


class Phase(Section):
    """`rate`: the load's rate in this phase, where it is not the load's own."""

    name: Name
    seconds: Positive
    rate: Rate | None = None
    judge: Switch = True


class Expectation(Section):
    """`predicted` and one bound: `at_most`, `at_least`, or `tolerance` (relative; absolute when 0 is predicted)."""

    variant: str
    phase: str | None = None
    metric: str
    predicted: Number
    at_most: Number | None = None
    at_least: Number | None = None
    tolerance: NotNegative | None = None
    because: str

    @pydantic.model_validator(mode="after")
    def _one_bound(self) -> "Expectation":
        bounds = [bound for bound in (self.at_most, self.at_least, self.tolerance) if bound is not None]
        if len(bounds) != 1:
            raise ValueError('expected exactly one of "at_most", "at_least", "tolerance"')
        if not gates.met(self.model_dump(), self.predicted):
            raise ValueError(f"what is predicted, {self.predicted:g}, is not within its own bound, {bounds[0]:g}")
        return self


class Map(Section):
    """A plane worth mapping: `x` and `y` as KEY=FROM:TO:STEPS, and the closed form of its boundary, in x and y."""

    x: str
    y: str
    variant: str
    collapse_when: str | None = None
    because: str = ""


class Scenario(Section):
    """`clock`: which clock it may run on. `needs`: what exists only outside this process, so that it must be real; what
    the network is made of is known without it."""

    about: str
    clock: Literal["either", "real", "virtual"] = "either"
    needs: list[Literal["threads", "processes"]] = Field(default_factory=list)
    slo: Slo = Slo()
    load: Load
    phases: Annotated[list[Phase], Field(min_length=1)]
    mock: Tree = Field(default_factory=dict)
    network: Tree = Field(default_factory=dict)
    gateway: Tree = Field(default_factory=dict)
    variants: dict[Name, Tree] = Field(default_factory=lambda: dict[str, Tree](default={}))
    expect: list[Expectation] = Field(default_factory=list)
    gates: list[str] = Field(default_factory=list)
    maps: list[Map] = Field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)

    def spans(self) -> list["Span"]:
        """The phases on the clock, in order."""
        spans, start = [], 0.0
        for phase in self.phases:
            spans.append(Span(phase.name, start, start + phase.seconds, phase.judge))
            start += phase.seconds
        return spans

    def gateway_settings(self, variant: str) -> Tree:
        own = {key: value for key, value in self.variants[variant].items() if key not in OF_ALL}
        return document.merge(self.gateway, own)

    def of(self, variant: str) -> "Scenario":
        """The scenario as this variant meets it: its own `load`, `mock` and `network` laid on those of all."""
        own = {name: self.variants[variant].get(name) or {} for name in OF_ALL}
        laid: Tree = {name: document.merge(getattr(self, name), own[name]) for name in ("mock", "network")}
        load = document.merge(self.load.model_dump(), own["load"])
        return self.model_copy(update={"load": Load.model_validate(load), **laid})

    def arrivals(self, seed: int, variant: str, paces: Paces = ()) -> list[Arrival]:
        """When the requests of this variant are meant to start, and what each asks, but for those that follow from an
        answer."""
        return self.crowd(seed, variant, paces=paces).arrivals()

    def crowd(self, seed: int, variant: str, start: int = 1, paces: Paces = ()) -> Crowd:
        """Those who come to this variant."""
        own = self.of(variant)
        return Crowd(own.load, own.stretches(paces), seed, variant, start)

    def stretches(self, paces: Paces = ()) -> list[Stretch]:
        """The rates in force, phase by phase; `paces`: what a person made of them."""
        phases = zip(self.spans(), self.phases, strict=True)
        planned = rate.stretches(self.load.pace, [(span.start, span.end, phase.rate) for span, phase in phases])
        return list(rate.paced(planned, paces)) if paces else planned

    def mock_config(self) -> Tree:
        """The mock's configuration: each `phase` of the timeline turned into `at` and `for`."""
        return self._timed(self.mock)

    def parsed_network(self) -> Network:
        """What lies between the programs. Raises section.Problem."""
        return network.parse(self._timed(self.network))

    def triggers(self) -> list[Tree]:
        """What goes wrong for a while, in the mock or between the programs: `at`, `for`, and what it is."""
        return [*self.mock_config().get("timeline", []), *self.parsed_network().windows()]

    def programs(self, variants: Iterable[str] | None = None) -> list[str]:
        """What must be installed for these variants, or for all."""
        wanted = [self.of(name).parsed_network().programs for name in variants or self.variants]
        return sorted({program for programs in wanted for program in programs})

    def outside(self) -> list[str]:
        """What it needs that is not to be had in one process, on virtual time."""
        return [*self.needs, *self.programs()]

    def choose_clock(self, asked: ClockName | None) -> ClockName:
        """Raises CannotRun with the reason when the scenario cannot run on the one asked for."""
        needs = self.outside()
        if needs and "virtual" in (asked, self.clock):
            raise CannotRun(f"this scenario cannot run on virtual time: it needs {' and '.join(needs)}")
        if asked and self.clock not in ("either", asked):
            raise CannotRun(f"--clock {asked}: this scenario says clock: {self.clock}")
        return asked or ("virtual" if self.clock == "virtual" else "real")

    def _timed(self, given: Tree) -> Tree:
        """A section without what is null, and the phases of its timeline on the clock."""
        kept = {key: value for key, value in given.items() if value is not None}
        if not isinstance(entries := kept.get("timeline"), list):
            return kept
        spans = {span.name: span for span in self.spans()}
        return {**kept, "timeline": [_on_the_clock(entry, spans) for entry in entries]}

    def parsed_gates(self) -> list[Gate]:
        return [gates.parse(text, self.variants, [phase.name for phase in self.phases]) for text in self.gates]


@dataclasses.dataclass(frozen=True)
class Span:
    """A phase on the clock: from `start` to `end`, seconds since T0, the end left out."""

    name: str
    start: float
    end: float
    judge: bool

    def holds(self, at: float) -> bool:
        return self.start <= at < self.end


def names() -> list[str]:
    """The scenarios that come with the product."""
    folder = resources.files("loadtests") / "scenarios"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def find(name_or_file: str) -> Path:
    """The file of a scenario, by its name or its own path. Raises CannotRun."""
    if name_or_file.endswith((".yaml", ".yml")) or "/" in name_or_file:
        path = Path(name_or_file)
        if not path.is_file():
            raise CannotRun(f"{name_or_file}: no such file")
        return path
    if name_or_file not in names():
        hint = document.did_you_mean(name_or_file, names())
        raise CannotRun(f'no scenario is called "{name_or_file}"; {hint}')
    return Path(str(resources.files("loadtests") / "scenarios" / f"{name_or_file}.yaml"))


def load(
    name_or_file: str, assignments: Iterable[str] = (), more_gates: Iterable[str] = ()
) -> tuple[Scenario, Document]:
    """The scenario and the document it came from. Raises CannotRun; ScenarioError names file, line and what was
    expected."""
    source = document.read(find(name_or_file))
    variants = source.data.get("variants")
    for assignment in assignments:
        _check_variant(assignment, variants if isinstance(variants, dict) else {"default": {}})
        source.set(assignment)
    for gate in more_gates:
        source.append("gates", gate, "--gate")
    return parse(source), source


def parse(source: Document) -> Scenario:
    try:
        scenario = Scenario.model_validate(_with_traces(source))
    except pydantic.ValidationError as error:
        raise problems.first(error, Scenario, source) from None
    _check_references(scenario, source)
    return scenario


def to_yaml(scenario: Scenario) -> str:
    return yaml.safe_dump(scenario.model_dump(exclude_none=True), sort_keys=False, allow_unicode=True, width=120)


def _check_variant(assignment: str, known: Iterable[str]) -> None:
    """A `--set` may change a variant; one that would make another is a typo."""
    step, _, name = assignment.partition("=")[0].partition(".")
    if step == "variants" and name and name.partition(".")[0] not in known:
        hint = document.did_you_mean(name.partition(".")[0], known)
        raise CannotRun(f'--set {assignment}: no variant "{name.partition(".")[0]}"; {hint}')


def _with_traces(source: Document) -> Tree:
    """The file's data, each trace's file replaced by its moments: a run's own copy of its scenario needs no other."""
    tree = copy.deepcopy(source.data)
    roots: list[tuple[str, ...]] = [(), *(("variants", name) for name in _inside(tree, "variants"))]
    for path in [(*root, "load", "arrivals") for root in roots]:
        given = functools.reduce(_inside, path, tree)
        if isinstance(given.get("trace"), str):
            where = source.place((*path, "trace"))
            beside = Path() if where.startswith("--set") else Path(source.name).parent
            try:
                given["trace"] = arrivals.read_trace(beside / given["trace"])
            except OSError as error:
                text = f"{'.'.join(path)}.trace: {beside / given['trace']}: {error.strerror}"
                raise ScenarioError(where, text) from None
    return tree


def _inside(tree: Tree, key: str) -> Tree:
    found = tree.get(key)
    return found if isinstance(found, dict) else {}


def _on_the_clock(entry: Any, spans: dict[str, Span]) -> Any:
    if not isinstance(entry, dict) or entry.get("phase") not in spans:
        return entry
    span = spans[entry["phase"]]
    rest = {key: value for key, value in entry.items() if key != "phase"}
    return {"at": span.start, "for": span.end - span.start, **rest}


def _check_references(scenario: Scenario, source: Document) -> None:
    """What is right by itself may still not fit the rest of the file."""
    _check_names(scenario, source)
    for name in scenario.variants:
        _check_own_sections(name, scenario, source)
    for index, text in enumerate(scenario.gates):
        try:
            gates.parse(text, scenario.variants, [phase.name for phase in scenario.phases])
        except ValueError as error:
            raise ScenarioError(source.place(("gates", index)), f"gates.{index}: {error}") from None
    for index, expectation in enumerate(scenario.expect):
        _check_expectation(expectation, ("expect", index), scenario, source)
    for index, own in enumerate(scenario.maps):
        _check_name(own.variant, scenario.variants, ("maps", index, "variant"), source)
    for name in ("mock", "network"):
        _check_timeline(getattr(scenario, name), (name, "timeline"), scenario, source)
    _check_network(scenario, (), source)
    for name in scenario.variants:
        _check_network(scenario.of(name), ("variants", name), source)


def _check_network(scenario: Scenario, root: tuple[str, ...], source: Document) -> None:
    try:
        scenario.parsed_network()
    except section.Problem as problem:
        own = (*root, *problem.loc)
        where = own if own in source.places else problem.loc
        raise ScenarioError(source.place(where), f"{problems.dotted(where, source)}: {problem.message}") from None


def _check_own_sections(variant: str, scenario: Scenario, source: Document) -> None:
    """A variant's own load, mock and network, and that what it meets as a whole can be sent."""
    root = ("variants", variant)
    for name in OF_ALL:
        given = scenario.variants[variant].get(name)
        if given is not None and not isinstance(given, dict):
            where = (*root, name)
            text = f"got {document.shown(given)}, expected a mapping of keys to values"
            raise ScenarioError(source.place(where), f"{problems.dotted(where, source)}: {text}")
    try:
        own = scenario.of(variant)
    except pydantic.ValidationError as error:
        raise problems.first(error, Load, source, (*root, "load")) from None
    for name in ("mock", "network"):
        given = scenario.variants[variant].get(name) or {}
        _check_timeline(given, (*root, name, "timeline"), scenario, source)
    _check_amount(own, source)


def _check_amount(scenario: Scenario, source: Document) -> None:
    """Of the requests of one variant."""
    given = scenario.load.arrivals
    own_rates = [index for index, phase in enumerate(scenario.phases) if phase.rate is not None]
    if own_rates and scenario.load.rate is None:
        path, who = ("phases", own_rates[0], "rate"), "a trace" if isinstance(given, Trace) else "a closed loop"
        raise ScenarioError(source.place(path), f"{problems.dotted(path, source)}: {who} has its own pace")
    if isinstance(given, Trace) and given.trace[0] >= scenario.seconds:
        text = f"got {given.trace[0]:g} s as its first moment, expected one in the {scenario.seconds:g} s of the run"
        raise ScenarioError(source.place(("load", "arrivals", "trace")), f"load.arrivals.trace: {text}")
    requests = len(given.trace) if isinstance(given, Trace) else rate.total(scenario.stretches())
    if requests > MOST_REQUESTS:
        text = f"{requests:,.0f} requests in {scenario.seconds:g} s, expected at most {MOST_REQUESTS:,}"
        raise ScenarioError(source.place(("load", "rate")), f"load.rate: got {text}")


def _check_names(scenario: Scenario, source: Document) -> None:
    phases = [phase.name for phase in scenario.phases]
    for index, name in enumerate(phases):
        if name in phases[:index]:
            raise ScenarioError(source.place(("phases", index)), f'two phases are called "{name}"')
    if not any(phase.judge for phase in scenario.phases):
        text = "no phase is judged; leave `judge: false` off at least one"
        raise ScenarioError(source.place(("phases",)), text)
    for name in scenario.variants:
        if name in phases:
            raise ScenarioError(source.place(("variants", name)), f'a variant and a phase are both called "{name}"')


def _check_timeline(given: Tree, root: tuple[str, ...], scenario: Scenario, source: Document) -> None:
    """The names of phases; the rest is for those to judge whose section it is."""
    entries = given.get("timeline")
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict) and "phase" in entry:
            path: tuple[str | int, ...] = (*root, index, "phase")
            _check_name(entry["phase"], [phase.name for phase in scenario.phases], path, source)
            if "at" in entry or "for" in entry:
                text = 'has a "phase" and its own "at" or "for"; expected one or the other'
                raise ScenarioError(source.place(path), f"{problems.dotted((*root, index), source)}: {text}")


def _check_expectation(
    expectation: Expectation, path: tuple[str | int, ...], scenario: Scenario, source: Document
) -> None:
    _check_name(expectation.variant, scenario.variants, (*path, "variant"), source)
    if expectation.phase is not None:
        _check_name(expectation.phase, [phase.name for phase in scenario.phases], (*path, "phase"), source)
    if expectation.metric in gates.OF_A_VARIANT and expectation.phase is not None:
        where = source.place((*path, "phase"))
        raise ScenarioError(
            where, f"{problems.dotted(path, source)}: {expectation.metric} is of a whole variant, not of a phase"
        )
    if expectation.metric not in gates.METRICS:
        where = source.place((*path, "metric"))
        raise ScenarioError(
            where, f"{problems.dotted(path, source)}.metric: {gates.unknown_metric(expectation.metric)}"
        )


def _check_name(name: Any, known: Iterable[str], path: tuple[str | int, ...], source: Document) -> None:
    if name not in known:
        hint = document.did_you_mean(str(name), known)
        raise ScenarioError(source.place(path), f'{problems.dotted(path, source)}: got "{name}"; {hint}')
