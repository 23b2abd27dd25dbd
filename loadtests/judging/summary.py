"""From a run's folder to its verdict: summary.json, whose shape later tools rely on."""

import dataclasses
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from loadtests.experiment import gates
from loadtests.experiment.scenario import Expectation, Scenario, Span
from loadtests.judging import anonymous, contradictions, cost, evidence, fitness, hopeless, metrics
from loadtests.judging.evidence import Evidence
from loadtests.judging.metrics import Observed, Series
from loadtests.protocol import rotation
from loadtests.record import byhand
from loadtests.record.byhand import Note
from loadtests.record.rundir import RunDir
from loadtests.sample import Row, Sample
from loadtests.schedule.crowd import Crowd
from loadtests.schedule.rate import Stretch

SCHEMA = 1
LAG_LIMIT = 1.0
NOT_RUN = "this variant was not run"
INTERNAL = (f"{gates.LAG}.max", *(f"{name}.gateway" for name in gates.USAGE))
"""Metrics of which a target that runs already tells nothing."""

Texts = tuple[str, ...]


@dataclasses.dataclass
class Variant:
    """One variant's run: its figures by phase and over all judged phases, and why it cannot be trusted, if so."""

    name: str
    ran: bool
    observed: Observed
    phases: dict[str, Row]
    judged: Row
    recovery: float | None
    reasons: list[str]
    findings: list[str]
    cut: Row | None
    whole: set[str]
    unfit: set[str]
    notes: list[Note]

    @property
    def cut_told(self) -> str:
        return f"the run was called off at {self.cut['at']:.1f} s" if self.cut else ""

    def reaches(self, phase: str | None, metric: str) -> bool:
        """Whether what a check looks at was over before the run was called off, if it was."""
        if self.cut is None:
            return True
        return phase in self.whole and metric not in gates.OF_A_VARIANT

    def measured(self, phase: str | None, metric: str) -> float | None:
        if not self.ran:
            return None
        if metric in gates.OF_A_VARIANT:
            return self.recovery
        return gates.value(self.phases[phase] if phase else self.judged, metric)


class Judged(NamedTuple):
    """summary.json, and what a report shows besides it of each variant."""

    summary: Row
    series: dict[str, Series]
    evidence: dict[str, Evidence]


def build(run: RunDir) -> Judged:
    """A run judged from its raw files alone."""
    about, scenario = run.read_about()
    variants = [read_variant(run, name, scenario, about.seed) for name in about.variants]
    expectations = [_judge_expectation(expectation, variants) for expectation in scenario.expect]
    gate_rows = _judge_gates(scenario, variants)
    if about.target is not None:
        expectations, gate_rows = ([_at_a_target(row) for row in rows] for rows in (expectations, gate_rows))
    reasons = [reason for variant in variants for reason in variant.reasons]
    failures = [failure(row) for row in (*expectations, *gate_rows) if row["status"] == "fail"]
    summary = {
        "schema": SCHEMA,
        "scenario": about.name,
        "verdict": _verdict(reasons, failures),
        "reasons": reasons + failures,
        "seed": about.seed,
        "slo": scenario.slo.model_dump(exclude_none=True),
        "phases": [phase.model_dump(include={"name", "seconds", "judge"}) for phase in scenario.phases],
        "variants": {variant.name: _variant_row(variant, [*expectations, *gate_rows]) for variant in variants},
        "expectations": expectations,
        "gates": gate_rows,
        "steered": [f"{each.name}: {told}" for each in variants for told in byhand.steered(each.notes)],
        "findings": [finding for variant in variants for finding in variant.findings],
        "machine": about.machine,
        "versions": about.versions,
    }
    own = [(variant, scenario.of(variant.name)) for variant in variants]
    return Judged(
        summary,
        {variant.name: _series(variant, met) for variant, met in own},
        {
            variant.name: evidence.gather(run, variant.name, variant.observed, met, variant.unfit)
            for variant, met in own
        },
    )


def _series(variant: Variant, scenario: Scenario) -> Series:
    """With what was done by hand, beside what the scenario does."""
    unfit = [span for span in scenario.spans() if span.name in variant.unfit]
    found = metrics.silenced(metrics.series(variant.observed, scenario), unfit)
    ended = max((sample.ended for sample in variant.observed.samples), default=0.0)
    own = byhand.windows(variant.notes, min(ended, scenario.seconds))
    return {**found, "faults": [*found["faults"], *own], "marks": byhand.marks(variant.notes)}


def write(run: RunDir, summary: Row) -> None:
    run.summary.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_variant(run: RunDir, name: str, scenario: Scenario, seed: int) -> Variant:
    scenario = scenario.of(name)
    events = run.events_of(name)
    notes = byhand.notes(events)
    paces = byhand.paces(notes)
    asked = _asked(scenario.crowd(seed, name, paces=paces), run.samples_of(name))
    rates = () if scenario.load.rate is None else scenario.stretches(paces)
    observed = _observed(run, name, [at for at, _ in asked.values()], rates)
    spans = scenario.spans()
    phases = {span.name: metrics.phase_figures(observed, [span], scenario.slo) for span in spans}
    judged = [span for span in spans if span.judge]
    unfit = fitness.reasons(events, phases, judged, late=not scenario.load.shared)
    reasons = [
        *_distrust(run, name, judged, len(observed.samples)),
        *unfit.values(),
        *_never_given(observed, asked, scenario.load.mix),
    ]
    ran = bool(events)
    cut = hopeless.cut(events)
    whole = hopeless.whole(spans, observed.samples, cut)
    told = whole.difference(unfit)
    of_all = metrics.phase_figures(observed, judged, scenario.slo)
    return Variant(
        name=name,
        ran=ran,
        observed=observed,
        phases={phase: row if phase in told else fitness.untold(row) for phase, row in phases.items()},
        judged=of_all if told.issuperset(phases) else fitness.untold(of_all),
        recovery=metrics.recovery(observed, scenario) if told.issuperset(phases) else None,
        reasons=[f"{name}: {reason}" for reason in reasons],
        findings=[f"{name}: {finding}" for finding in _findings(run, name, observed, scenario, phases)] if ran else [],
        cut=cut,
        whole=whole,
        unfit=set(unfit),
        notes=notes,
    )


def failure(row: Row) -> str:
    """Why an expectation or a gate failed, in a sentence that names it."""
    number = gates.number(row["measured"])
    measured = "nothing" if number is None else f"{number:.6g}"
    if "gate" in row:
        return f'{row["variant"]}: gate "{row["gate"]}" failed, measured {measured}'
    where = f"{row['variant']}.{row['phase']}" if row["phase"] else row["variant"]
    return f"{where}: {row['metric']} measured {measured}, expected {bound(row)} (predicted {row['predicted']:g})"


def bound(expectation: Row) -> str:
    """`at most 0.5`: what the measured figure must keep."""
    kept = (name for name in ("at_most", "at_least", "tolerance") if name in expectation)
    return next(f"{name.replace('_', ' ')} {expectation[name]:g}" for name in kept)


def _distrust(run: RunDir, name: str, judged: Sequence[Span], samples: int) -> list[str]:
    """Why the run cannot be trusted: what failed first stands first."""
    events = run.events_of(name)
    if not events:
        return ["it was not run"]
    by_itself = ("died",) if hopeless.cut(events) else ("died", "interrupted")
    cut_short = [event["message"] for event in events if event["event"] in by_itself]
    incomplete = cut_short or _incomplete(events, samples, run.journal_rows(name))
    return [*incomplete, *_stood_still(events, judged)]


def _incomplete(events: Sequence[Row], samples: int, journal: int) -> list[str]:
    """What is missing from the records of a run that nobody cut short."""
    ended = [event for event in events if event["event"] in ("ended", hopeless.EVENT)]
    read = [event for event in events if event["event"] == "journal_read"]
    if not ended:
        return ["the load was not sent to its end"]
    if not read:
        return ["the mock's journal was not read to its end"]
    reasons = []
    sent, lost = sum(event.get("sent", 0) for event in ended), sum(event["lost"] for event in read)
    recorded = sum(event["records"] for event in read)
    if sent > samples:
        reasons.append(f"{sent - samples} of {sent} requests sent left no sample")
    if recorded > journal:
        reasons.append(f"{recorded - journal} of {recorded} journal records are missing from journal.jsonl")
    if lost:
        reasons.append(f"{lost} journal records were lost: the mock keeps the newest 100,000 until they are read")
    return reasons


def _stood_still(events: Sequence[Row], judged: Sequence[Span]) -> Iterator[str]:
    for event in events:
        span = _span_of(event, judged) if event["event"] == "lag" else None
        if span and event["seconds"] > LAG_LIMIT:
            yield f"the {event['program']} stood still for {event['seconds']:.1f} s in {span.name}"


def _observed(run: RunDir, name: str, offered: Sequence[float], rates: Sequence[Stretch]) -> Observed:
    samples, journal = run.samples_of(name), run.journal_of(name)
    if run.is_anonymous(name):
        journal = anonymous.attributed(samples, journal)
    pulses = [event for event in run.events_of(name) if event["event"] == "pulse"]
    return Observed(offered, samples, journal, run.gateway_lags(name), run.usage_of(name), pulses, rates)


def _asked(crowd: Crowd, samples: Sequence[Sample]) -> dict[str, tuple[float, Texts]]:
    """Each request's intended start and its texts: as scheduled, and for what followed from an answer as it came."""
    asked = {arrival.request_id: (arrival.at, arrival.ask.texts) for arrival in crowd.arrivals()}
    for sample in samples:
        name = sample.request_id.partition(".")[0]
        texts = None if name in asked else crowd.texts(name)
        if texts is not None:
            asked[name] = sample.intended, texts
    return asked


def _never_given(observed: Observed, starts: dict[str, tuple[float, Texts]], mix: Collection[str]) -> Iterator[str]:
    """An answer without an attempt came from another Claude: then the journal is no witness. Unless the gateway keeps
    answers, and another request asked the same; or tells of its health, which it may know from before."""
    attempts = observed.attempts_of()
    names = {sample.request_id: sample.request_id.partition(".")[0] for sample in observed.samples}
    asked = {request_id: starts[name][1] if name in starts else None for request_id, name in names.items()}
    given = {asked[request_id] for request_id in attempts.keys() & asked.keys()}
    complete = [sample.request_id for sample in observed.samples if sample.outcome == "complete"]
    unseen = [request_id for request_id in complete if request_id not in attempts and asked[request_id] not in given]
    if unseen and "health" not in mix:
        yield f"{len(unseen)} complete answers that the mock never gave, {unseen[0]} among them"


def _span_of(lag: Row, judged: Sequence[Span]) -> Span | None:
    """The judged phase a hold-up reached into."""
    start, end = lag["at"], lag["at"] + lag["seconds"]
    return next((span for span in judged if start < span.end and end > span.start), None)


def _findings(run: RunDir, name: str, observed: Observed, scenario: Scenario, phases: Row) -> list[str]:
    """What the independent records say that somebody should look at."""
    cut = hopeless.cut(run.events_of(name))
    judged = [span for span in scenario.spans() if span.judge and (cut is None or span.end <= cut["at"])]
    clocks = fitness.doubtful_clocks(run.events_of(name))
    found = [*_not_as_meant(cut, phases, judged), *_of_the_gateway(observed), *clocks]
    holding = metrics.holding(observed, judged)
    if holding is not None and holding.cause != "none":
        found.append(str(holding))
    if not cut:  # the gateway was stopped with requests open that left no sample
        found += _journal_against_gateway(run, name, observed)
    if run.is_anonymous(name):
        return [*found, anonymous.FINDING]
    many = any(user in contradictions.MANY for user in scenario.load.mix)
    found += map(str, contradictions.find(observed.samples, observed.attempts_of(), many=many))
    return found


def _not_as_meant(cut: Row | None, phases: Row, judged: Sequence[Span]) -> Iterator[str]:
    if cut:
        yield f'the run was called off at {cut["at"]:.1f} s: "{cut["gate"]}" could not hold any more'
    not_sent = sum(phases[span.name]["not_sent"] for span in judged)
    if not_sent:
        yield f"{not_sent} intended requests of judged phases were not sent"


def _of_the_gateway(observed: Observed) -> Iterator[str]:
    lags = [lag.seconds for lag in observed.lags or () if lag.seconds > LAG_LIMIT]
    if lags:
        yield f"the gateway's event loop stood still {len(lags)} times, for up to {max(lags):.1f} s"
    unpriced = cost.without_price(observed.journal)
    if unpriced:
        yield f"no price is known of {', '.join(unpriced)}: the cost is not told"


def _journal_against_gateway(run: RunDir, name: str, observed: Observed) -> list[str]:
    """Retry amplification is what the mock received; a gateway that logs something else is a finding."""
    if not run.log(name, "gateway").is_file():
        return []
    ours = {sample.request_id for sample in observed.samples}
    sent = run.gateway_attempts(name).items()
    logged = Counter({key: n for key, n in sent if key in ours or key.startswith(rotation.PREFIX)})
    seen = Counter(str(attempt["request_id"]) for attempt in observed.journal)
    different = sorted(key for key in logged.keys() | seen.keys() if logged[key] != seen[key])
    if not different:
        return []
    first = different[0]
    return [
        f"{len(different)} requests whose attempts differ between the mock's journal and the gateway's log: "
        f"{first} {seen[first]} against {logged[first]}"
    ]


def _judge_expectation(expectation: Expectation, variants: Sequence[Variant]) -> Row:
    row = {**expectation.model_dump(exclude_none=True), "phase": expectation.phase}
    variant = next((variant for variant in variants if variant.name == expectation.variant), None)
    if variant is None:
        return {**row, "measured": None, "status": "skipped", "reason": NOT_RUN}
    if not variant.reaches(expectation.phase, expectation.metric):
        return {**row, "measured": None, "status": "skipped", "reason": variant.cut_told}
    measured = variant.measured(expectation.phase, expectation.metric)
    if measured is None and variant.reasons:
        return {**row, "measured": None, "status": "skipped", "reason": "the run did not get that far"}
    met = gates.met(expectation.model_dump(), measured)
    return {**row, "measured": gates.figure(measured), "status": "pass" if met else "fail", "reason": None}


def _at_a_target(row: Row) -> Row:
    """What was predicted of our gateway's switches, or is told by our gateway alone, is not asked of another."""
    if row["status"] == "skipped" and row.get("reason") in (None, NOT_RUN):
        return {**row, "reason": f"of the gateway's settings in variant {row['variant']}, which a target does not have"}
    if row["measured"] is None and row["metric"] in INTERNAL:
        return {**row, "status": "skipped", "reason": "told by our own gateway alone"}
    return row


def _judge_gates(scenario: Scenario, variants: Sequence[Variant]) -> list[Row]:
    found = []
    ran = {variant.name: variant for variant in variants}
    for gate in scenario.parsed_gates():
        for name in [gate.variant] if gate.variant else list(ran):
            row: Row = {"gate": gate.text, "variant": name, "phase": gate.phase, "metric": gate.metric}
            if name not in ran:
                found.append({**row, "measured": None, "status": "skipped"})
                continue
            cut = ran[name].cut
            if cut and cut["gate"] == gate.text:
                found.append({**row, "measured": cut["measured"], "status": "fail"})
                continue
            if not ran[name].reaches(gate.phase, gate.metric):
                found.append({**row, "measured": None, "status": "skipped"})
                continue
            measured = ran[name].measured(gate.phase, gate.metric)
            if measured is None and ran[name].reasons:
                found.append({**row, "measured": None, "status": "skipped"})
                continue
            status = "pass" if gate.holds(measured) else "fail"
            found.append({**row, "measured": gates.figure(measured), "status": status})
    return found


def _variant_row(variant: Variant, judged: Sequence[Row]) -> Row:
    failures = [failure(row) for row in judged if row["variant"] == variant.name and row["status"] == "fail"]
    verdict = _verdict(variant.reasons, failures)
    return {
        "verdict": verdict,
        "invalid_because": [reason.removeprefix(f"{variant.name}: ") for reason in variant.reasons],
        "recovery_s": variant.recovery,
        "phases": variant.phases,
        "judged": variant.judged,
    }


def _verdict(reasons: Sequence[str], failures: Sequence[str]) -> str:
    return "invalid" if reasons else "fail" if failures else "pass"
