"""What a run shows in the terminal: live figures while it runs, a table and the verdict when it is over."""

import bisect
import dataclasses
import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from rich import progress
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from loadtests.experiment import gates
from loadtests.experiment.scenario import Scenario
from loadtests.judging import metrics
from loadtests.judging.agreement import Figure
from loadtests.record.rundir import RunDir
from loadtests.sample import Row, Sample

WINDOW = 5.0
PLAIN_INTERVAL = 5.0
REDRAW_INTERVAL = 0.05
T = TypeVar("T")
WIDE = 90  # columns: from here on every figure of the table has its place
LEGEND = (
    "goodput: offered load answered within the SLO; attempts: at Claude, per request; "
    "$/1,000: what a thousand such answers cost at Claude's prices"
)
COLOURS = {"pass": "green", "fail": "red", "invalid": "yellow", "skipped": "dim"}


@dataclasses.dataclass(frozen=True)
class Moment:
    """A variant right now: `t` seconds since T0, rates per second over the last five seconds."""

    variant: str
    phase: str
    t: float
    total: float
    offered: float
    goodput: float
    inflight: int
    amplification: float | None

    @property
    def figures(self) -> str:
        return (
            f"offered {self.offered:4.1f}/s  goodput {self.goodput:4.1f}/s  in flight {self.inflight:3d}  "
            f"amplification {_number(self.amplification)}"
        )

    def __str__(self) -> str:
        return f"{self.variant:<8} {self.phase:<9} {self.t:5.1f} / {self.total:g} s  {self.figures}"

    def __rich__(self) -> Table:
        """Two lines: where it is, and what is going on there."""
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=self.total, completed=min(self.t, self.total), width=30)
        grid.add_row(f"[bold]{self.variant:<8}[/]", f"{self.phase:<9}", bar, f"{self.t:.0f} / {self.total:g} s")
        whole = Table.grid()
        whole.add_row(grid)
        whole.add_row(Text(self.figures))
        return whole


class Follower:
    """Reads a variant's files as they grow, and says what is going on."""

    def __init__(self, run: RunDir, scenario: Scenario, variant: str, seed: int) -> None:
        self._scenario, self._variant = scenario, variant
        self._samples, self._events = Tail(run.samples), Tail(run.events)
        arrivals = scenario.arrivals(seed, variant)
        self._names = {arrival.request_id for arrival in arrivals}
        self._offered = [arrival.at for arrival in arrivals]
        self._follow = scenario.load.waits or scenario.load.turns > 1
        self._started = False
        self._ended = 0
        self._good: deque[float] = deque()
        self._arrived: deque[tuple[float, int]] = deque()

    def look(self, stats: Row) -> Moment | None:
        """The present moment; None before T0. `stats` is the mock's."""
        self._read()
        if not self._started:
            return None
        t = float(stats["t"])
        self._arrived.append((t, int(stats["arrived"])))
        while self._arrived[0][0] < t - WINDOW:
            self._arrived.popleft()
        while self._good and self._good[0] < t - WINDOW:
            self._good.popleft()
        since, before = self._arrived[0]
        offered = self._between(t - WINDOW, t)
        came = self._between(since, t)
        return Moment(
            variant=self._variant,
            phase=next((span.name for span in self._scenario.spans() if span.holds(t)), "ending"),
            t=t,
            total=self._scenario.seconds,
            offered=offered / min(WINDOW, max(t, 0.1)),
            goodput=len(self._good) / min(WINDOW, max(t, 0.1)),
            inflight=self._inflight(stats, t),
            amplification=(int(stats["arrived"]) - before) / came if came else None,
        )

    def _inflight(self, stats: Row, t: float) -> int:
        """What follows from an answer is known here only when it has ended; Claude knows it when it comes."""
        if self._follow:
            return int(stats["running"] + stats["queued"])
        return max(0, bisect.bisect_right(self._offered, t) - self._ended)

    def _between(self, start: float, end: float) -> int:
        return bisect.bisect_right(self._offered, end) - bisect.bisect_right(self._offered, start)

    def _read(self) -> None:
        for row in self._events.new_rows():
            self._started |= row["variant"] == self._variant and row["event"] == "started"
        for row in self._samples.new_rows():
            if row["variant"] == self._variant:
                sample = Sample.from_row(row)
                self._ended += 1
                if sample.request_id not in self._names:
                    bisect.insort(self._offered, sample.intended)
                if metrics.is_good(sample, self._scenario.slo):
                    self._good.append(sample.ended)


class Tail:
    """The whole lines added to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0

    def new_rows(self) -> list[Row]:
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


class Progress:
    """One live line on a terminal; elsewhere (a pipe, CI) a line every few seconds and at each new phase."""

    def __init__(self, console: Console, run: RunDir, scenario: Scenario, seed: int) -> None:
        self._console, self._run, self._scenario, self._seed = console, run, scenario, seed
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        self._follower: tuple[str, Follower] | None = None
        self._phase = ""
        self._printed = 0.0

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, variant: str, stats: Row) -> None:
        if self._live and time.monotonic() - self._printed < REDRAW_INTERVAL:
            return
        if self._follower is None or self._follower[0] != variant:
            self._follower = (variant, Follower(self._run, self._scenario, variant, self._seed))
        moment = self._follower[1].look(stats)
        if moment is None:
            return
        if self._live:
            self._printed = time.monotonic()
            self._live.update(moment, refresh=True)
        elif moment.phase != self._phase or time.monotonic() - self._printed >= PLAIN_INTERVAL:
            self._phase, self._printed = moment.phase, time.monotonic()
            self._console.print(str(moment), soft_wrap=True)


def show_summary(console: Console, summary: Row, run: RunDir, scenario: Scenario) -> None:
    """The before/after table, predictions beside measurements, the verdict and why."""
    console.print()
    judged = [phase.name for phase in scenario.phases if phase.judge]
    console.print(before_after(summary, judged, wide=console.width >= WIDE))
    console.print(LEGEND, style="dim")
    if summary["expectations"]:
        console.print()
        console.print(expectations(summary["expectations"]))
    console.print()
    for gate in summary["gates"]:
        measured = _exact(gates.number(gate["measured"]))
        line = f"gate {gate['variant']}: {gate['gate']}   measured {measured}   {gate['status']}"
        console.print(line, style=COLOURS[gate["status"]], soft_wrap=True)
    for finding in summary["findings"]:
        console.print(f"finding: {finding}", soft_wrap=True)
    for reason in summary["reasons"]:
        console.print(f"reason: {reason}", soft_wrap=True, markup=False)
    for told in summary["steered"]:
        console.print(f"by hand: {told}", soft_wrap=True, markup=False)
    verdict, steered = summary["verdict"], ", steered by hand" if summary["steered"] else ""
    told = f"[bold {COLOURS[verdict]}]{verdict}[/]{steered}"
    console.print(f"\n{summary['scenario']}: {told}   report: {run.report}", soft_wrap=True)


def before_after(summary: Row, judged: Sequence[str], *, wide: bool = True) -> Table:
    """A row for each judged phase of each variant; a narrow one leaves the wasted tokens to their price."""
    heads = ["variant", "phase", "goodput", "attempts", "errors", "e2e p50", "p99", "wasted", "$/1,000", "recovery"]
    table = columns(*(head for head in heads if wide or head != "wasted"))
    for column in table.columns[2:]:
        column.justify = "right"
    for name, variant in summary["variants"].items():
        for phase in judged:
            figures = variant["phases"][phase]
            last = phase == judged[-1]
            table.add_row(
                name if phase == judged[0] else "",
                phase,
                _percent(figures["goodput_ratio"]),
                f"{_number(figures['amplification'])} x",
                _percent(figures["error_ratio"]),
                _seconds(figures["e2e"]["p50"]),
                _seconds(figures["e2e"]["p99"]),
                *([f"{figures['wasted_output_tokens']:,}"] if wide else []),
                _dollars(figures["cost"]["usd_per_good"]),
                _seconds(variant["recovery_s"]) if last else "",
            )
    return table


def expectations(rows: Sequence[Row]) -> Table:
    table = columns("expected of", "metric", "predicted", "measured", "", "because")
    table.columns[2].justify = table.columns[3].justify = "right"
    table.columns[5].no_wrap = False
    for row in rows:
        where = f"{row['variant']}.{row['phase']}" if row["phase"] else row["variant"]
        status = Text(row["status"], style=COLOURS[row["status"]])
        predicted, measured = _number(row["predicted"]), _exact(gates.number(row["measured"]))
        table.add_row(where, row["metric"], predicted, measured, status, Text(row["reason"] or row["because"]))
    return table


def agreement(figures: Sequence[Figure]) -> Table:
    table = columns("of", "figure", "virtual", "real", "may differ by", "")
    for column in table.columns[2:5]:
        column.justify = "right"
    for figure in figures:
        status = "pass" if figure.agrees else "fail"
        row = (figure.where, figure.metric, _number(figure.virtual), _number(figure.real), _number(figure.allowed))
        table.add_row(*row, Text("agrees" if figure.agrees else "differs", style=COLOURS[status]))
    return table


def track(console: Console, results: Iterable[T], title: str, total: int) -> Iterator[T]:
    """A progress bar around work that takes minutes; in a pipe, a line every tenth of it."""
    if console.is_terminal:
        yield from progress.track(results, title, total, console=console)
        return
    console.print(f"{title}: {total} rehearsals", soft_wrap=True)
    for done, result in enumerate(results, start=1):
        if done * 10 // total > (done - 1) * 10 // total:
            console.print(f"{title}: {done} of {total}", soft_wrap=True)
        yield result


def map_of(row: Row) -> Table:
    """The share of collapsed seeds in percent, the largest y on top; a star where collapse was predicted."""
    table = columns(f"{row['y']['key']} / {row['x']['key']}", *(f"{x:.3g}" for x in row["x"]["values"]))
    wide = len(row["x"]["values"])
    cells = [row["cells"][start : start + wide] for start in range(0, len(row["cells"]), wide)]
    for line in reversed(cells):
        shares = (f"{100 * cell['collapsed']:.0f}{'*' if cell['predicted'] else ' '}" for cell in line)
        table.add_row(f"{line[0]['y']:.3g}", *shares)
    table.caption = "percent of seeds that collapsed" + ("; * predicted to" if row["collapse_when"] else "")
    table.caption_justify = "left"
    return table


def confirmed(row: Row) -> Table:
    """What real runs of some cells say beside the map and the prediction."""
    table = columns(row["x"]["key"], row["y"]["key"], "predicted", "virtual", "real goodput", "")
    for each in row["confirmed"]:
        predicted = "collapse" if each["predicted"] else "none"
        virtual, says = f"{100 * each['virtual']:.0f} % collapsed", "agrees" if each["agrees"] else "differs"
        table.add_row(f"{each['x']:.4g}", f"{each['y']:.4g}", predicted, virtual, _percent(each["goodput"]), says)
    return table


def columns(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def console(*, stderr: bool = False) -> Console:
    """Where we print. A pipe has no width of its own; what is piped should not be folded for one."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=160)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _exact(value: float | None) -> str:
    """Near a bound the digits matter: 0.9998 is not 1."""
    return "-" if value is None else f"{value:.6g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _dollars(usd_per_good: float | None) -> str:
    """For a thousand useful answers: a single one costs fractions of a cent."""
    return "-" if usd_per_good is None else f"{1000 * usd_per_good:,.2f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
