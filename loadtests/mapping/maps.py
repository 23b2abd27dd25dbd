"""A vulnerability map (Huang et al., OSDI'22): where in a plane of two settings a system falls over and stays down.

Each cell is a pair of settings; each seed of it is one rehearsal of the real code on virtual time. A rehearsal has
collapsed when, in the last judged phase, less than half of the offered load was answered within the SLO. Where the
scenario gives a closed form for the boundary it is drawn over the cells, so that theory and code can be compared.
"""

import dataclasses
import itertools
import json
import multiprocessing
import os
import re
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import simpleeval
from markupsafe import Markup

from loadtests import virtual
from loadtests.documents import document
from loadtests.errors import CannotRun
from loadtests.experiment import scenario
from loadtests.experiment.scenario import Map, Scenario
from loadtests.judging import summary
from loadtests.judging.summary import Variant
from loadtests.programs import sections, stack
from loadtests.record.rundir import About, RunDir
from loadtests.sample import Row
from loadtests.telling import report

COLLAPSED = 0.5
FINE = 400  # steps a side on which a predicted line is drawn


@dataclasses.dataclass(frozen=True)
class Axis:
    """`KEY=FROM:TO:STEPS`: a setting of the scenario and the values it takes, both ends included."""

    key: str
    values: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> "Axis":
        """Raises CannotRun with what was expected."""
        number = r"-?\d+(?:\.\d+)?"
        match = re.fullmatch(rf"([\w.-]+)=({number}):({number}):(\d+)", text)
        if not match or int(match[4]) < 2:
            raise CannotRun(f'axis: got "{text}", expected KEY=FROM:TO:STEPS with 2 steps or more: load.rate=2:14:8')
        start, end, steps = float(match[2]), float(match[3]), int(match[4])
        step = (end - start) / (steps - 1)
        return cls(match[1], tuple(round(start + step * index, 6) for index in range(steps)))


@dataclasses.dataclass(frozen=True)
class Plane:
    """What a map is of: two axes, a variant, and the scenario's own word on where the boundary lies."""

    x: Axis
    y: Axis
    variant: str
    collapse_when: str | None = None
    because: str = ""

    def predicts(self, x: float, y: float) -> bool | None:
        """Whether the scenario's formula says that this point collapses; None without a formula."""
        if self.collapse_when is None:
            return None
        names = {"x": x, "y": y}
        return bool(simpleeval.simple_eval(self.collapse_when, names=names, functions={"min": min, "max": max}))


@dataclasses.dataclass(frozen=True)
class Job:
    """One seed of one cell, for a process of its own."""

    name: str
    assignments: tuple[str, ...]
    variant: str
    seed: int


def planes(experiment: Scenario, x: str | None, y: str | None, variant: str | None) -> list[Plane]:
    """The maps to draw: the one asked for, or all the scenario lists. Raises CannotRun."""
    if (x is None) != (y is None):
        raise CannotRun("a map has two axes: give both --x and --y, or none for the scenario's own maps")
    if x is not None and y is not None:
        axes = Axis.parse(x), Axis.parse(y)
        known = next((own for own in experiment.maps if _keys(own) == (axes[0].key, axes[1].key)), None)
        chosen = variant or (known.variant if known else next(iter(experiment.variants)))
        return [_plane(*axes, chosen, known if known and known.variant == chosen else None)]
    if not experiment.maps:
        raise CannotRun("this scenario lists no map; give --x and --y")
    return [_plane(Axis.parse(own.x), Axis.parse(own.y), variant or own.variant, own) for own in experiment.maps]


def check(name: str, assignments: Sequence[str], plane: Plane) -> None:
    """Let scenario and programs judge every cell before hours go into them, the corners with file and line. Raises
    CannotRun."""
    for x, y in itertools.product((plane.x.values[0], plane.x.values[-1]), (plane.y.values[0], plane.y.values[-1])):
        experiment, source = scenario.load(name, [*assignments, *settings(plane, x, y)])
        if plane.variant not in experiment.variants:
            hint = document.did_you_mean(plane.variant, experiment.variants)
            raise CannotRun(f"--variant {plane.variant}: {hint}")
        experiment.choose_clock("virtual")
        sections.check(experiment, source, [plane.variant])
    for x, y in itertools.product(plane.x.values, plane.y.values):
        cell = settings(plane, x, y)
        try:
            virtual.check(scenario.load(name, [*assignments, *cell])[0], plane.variant)
        except CannotRun as error:
            raise CannotRun(f"cell {', '.join(cell)}: {error}") from None


def jobs(name: str, assignments: Sequence[str], plane: Plane, seeds: int) -> list[Job]:
    """Every seed of every cell, row by row."""
    return [
        Job(name, (*assignments, *settings(plane, x, y)), plane.variant, seed)
        for y, x, seed in itertools.product(plane.y.values, plane.x.values, range(1, seeds + 1))
    ]


def run_all(found: Sequence[Job], workers: int | None = None) -> Iterator[float]:
    """The goodput ratio of each job in its order, as many at once as there are cores."""
    with multiprocessing.get_context("spawn").Pool(workers or os.cpu_count(), _start_worker) as pool:
        yield from pool.imap(run_one, found)


def run_one(job: Job) -> float:
    """Rehearse one seed of one cell: the goodput ratio of its last judged phase. Raises CannotRun and nothing else: it
    has to reach the parent process."""
    try:
        return _rehearse(job)
    except Exception as error:
        where = f"{', '.join(job.assignments)}, seed {job.seed}"
        raise CannotRun(f"{where}: {type(error).__name__}: {error}") from None


def _rehearse(job: Job) -> float:
    experiment, _ = scenario.load(job.name, job.assignments)
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder) / "run")
        run.create(experiment, About(job.name, job.seed, [job.variant], "", {}, {}))
        virtual.rehearse(run, experiment, job.variant, job.seed)
        variant = summary.read_variant(run, job.variant, experiment, job.seed)
    if variant.reasons:
        raise CannotRun("; ".join(variant.reasons))
    return last_goodput(variant, experiment)


def last_goodput(variant: Variant, experiment: Scenario) -> float:
    """The goodput ratio of the last judged phase. Raises CannotRun when nothing was offered in it."""
    last = [phase.name for phase in experiment.phases if phase.judge][-1]
    ratio = variant.phases[last]["goodput_ratio"]
    if ratio is None:
        raise CannotRun(f"nothing is offered in {last}: a longer phase or a higher rate can be judged")
    return float(ratio)


def result(name: str, plane: Plane, seeds: int, goodput: Sequence[float]) -> Row:
    """map.json: the goodput ratios of each cell's seeds, the share that collapsed, and what was predicted."""
    cells = []
    for index, (y, x) in enumerate(itertools.product(plane.y.values, plane.x.values)):
        ratios = list(goodput[index * seeds : (index + 1) * seeds])
        share = sum(ratio < COLLAPSED for ratio in ratios) / seeds
        cells.append({"x": x, "y": y, "collapsed": share, "goodput": ratios, "predicted": plane.predicts(x, y)})
    return {
        "schema": 1,
        "scenario": name,
        "variant": plane.variant,
        "x": {"key": plane.x.key, "values": list(plane.x.values)},
        "y": {"key": plane.y.key, "values": list(plane.y.values)},
        "seeds": seeds,
        "collapse_when": plane.collapse_when,
        "because": plane.because,
        "cells": cells,
        "agreement": _agreement(cells, len(plane.x.values)),
        "confirmed": [],
    }


def write(folder: Path, about: str, command: str, found: Sequence[tuple[Plane, Row]], again: bool = False) -> Path:
    """map-N.json and map-N.png of each map, and the page that shows them all; the page's path."""
    folder.mkdir(parents=True, exist_ok=again)
    for number, (plane, row) in enumerate(found, start=1):
        (folder / f"map-{number}.json").write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
        draw(plane, row, folder / f"map-{number}.png")
    page = folder / "map.html"
    page.write_text(render([row for _, row in found], about=about, command=command), encoding="utf-8")
    return page


def render(found: Sequence[Row], *, about: str, command: str) -> str:
    """The page of some maps: a self-contained HTML file in the report's style."""
    css = Markup((report.HERE / "report.css").read_text("utf-8"))
    grids = [{**row, "rows": _rows(row)} for row in found]
    return report.template(Path(__file__).with_name("maps.html.j2")).render(
        css=css, maps=grids, about=about, command=command
    )


def draw(plane: Plane, row: Row, path: Path) -> None:
    """The map as a picture: share of collapsed seeds by colour, the predicted boundary as a dashed line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = len(plane.x.values)
    shares = [cell["collapsed"] for cell in row["cells"]]
    grid = [shares[start : start + columns] for start in range(0, len(shares), columns)]
    figure, axes = pyplot.subplots(figsize=(8, 5.5), layout="constrained")
    colours = axes.pcolormesh(plane.x.values, plane.y.values, grid, cmap="YlOrRd", vmin=0, vmax=1, shading="nearest")
    figure.colorbar(colours, label="share of seeds that collapsed")
    if plane.collapse_when is not None:
        xs, ys = _fine(plane.x), _fine(plane.y)
        predicted = [[float(bool(plane.predicts(x, y))) for x in xs] for y in ys]
        axes.contour(xs, ys, predicted, levels=[0.5], colors="#1a1f26", linestyles="dashed", linewidths=1.8)
        axes.plot([], [], color="#1a1f26", linestyle="dashed", label="predicted boundary")
        axes.legend(loc="upper right")
    axes.set(xlabel=plane.x.key, ylabel=plane.y.key, title=f"{row['scenario']}, {plane.variant}")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _plane(x: Axis, y: Axis, variant: str, own: Map | None) -> Plane:
    plane = Plane(x, y, variant, own.collapse_when if own else None, own.because if own else "")
    try:
        plane.predicts(x.values[0], y.values[0])
    except Exception as error:  # simpleeval raises a dozen kinds
        raise CannotRun(f'maps: collapse_when "{plane.collapse_when}": {error}; it may use x, y, min, max') from None
    return plane


def _keys(own: Map) -> tuple[str, str]:
    return Axis.parse(own.x).key, Axis.parse(own.y).key


def settings(plane: Plane, x: float, y: float) -> tuple[str, str]:
    """The assignments that make a cell of a scenario."""
    return f"{plane.x.key}={_written(x)}", f"{plane.y.key}={_written(y)}"


def _written(value: float) -> str:
    """Without an exponent: YAML takes `5e-05` for text."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _agreement(cells: Sequence[Row], columns: int) -> Row | None:
    """How many cells do as predicted: all seeds collapsed where collapse is predicted, none where it is not. Of the
    others, `astray` are more than one cell off the line: none of their neighbours is predicted otherwise."""
    if any(cell["predicted"] is None for cell in cells):
        return None
    wrong = [index for index, cell in enumerate(cells) if cell["collapsed"] != float(cell["predicted"])]
    astray = sum(not _beside_the_line(cells, columns, index) for index in wrong)
    return {"cells": len(cells), "as_predicted": len(cells) - len(wrong), "astray": astray}


def _beside_the_line(cells: Sequence[Row], columns: int, index: int) -> bool:
    """Whether a neighbour of this cell (diagonals are neighbours) is predicted otherwise."""
    row, column = divmod(index, columns)
    return any(
        max(abs(other // columns - row), abs(other % columns - column)) == 1
        and cell["predicted"] is not cells[index]["predicted"]
        for other, cell in enumerate(cells)
    )


def _rows(row: Row) -> list[Row]:
    """The cells of a map as rows of a table, the largest y on top."""
    columns = len(row["x"]["values"])
    lines = [row["cells"][start : start + columns] for start in range(0, len(row["cells"]), columns)]
    return [{"y": cells[0]["y"], "cells": cells} for cells in reversed(lines)]


def _fine(axis: Axis) -> list[float]:
    low, high = axis.values[0], axis.values[-1]
    return [low + (high - low) * index / FINE for index in range(FINE + 1)]


def _start_worker() -> None:
    """Ctrl-C is for the parent, which ends its workers; a parent that was killed takes them along."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stack.die_with_parent()
