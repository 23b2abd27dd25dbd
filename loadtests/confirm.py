"""Cells of a map once more, on real sockets: whether what virtual time says of a plane holds where everything costs.

Chosen are cells far from the predicted boundary, where the outcome does not hang on the seed, on both of its sides.
"""

import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path

from loadtests import maps, runner, scenario, summary
from loadtests.errors import CannotRun, InvalidRun
from loadtests.maps import Plane
from loadtests.rundir import About, RunDir
from loadtests.sample import Row

FAR = 2  # cells: there is one at least between it and the nearest that is predicted otherwise
SEED = 1


def choose(plane: Plane, count: int) -> list[int]:
    """`count` cells of a map by their number in its row of cells: at least two cells off the line, from where collapse
    is predicted and from where it is not, well apart. Raises CannotRun when the map has no such cells."""
    predicted = [plane.predicts(x, y) for y, x in itertools.product(plane.y.values, plane.x.values)]
    away = distances(predicted, len(plane.x.values))
    found: list[int] = []
    for side, share in ((True, (count + 1) // 2), (False, count // 2)):
        far_off = [cell for cell, far in enumerate(away) if far >= FAR and predicted[cell] is side]
        if len(far_off) < share:
            where = "collapse is predicted" if side else "none is predicted"
            have = f"{len(far_off)} cells where {where} are two cells off the line"
            raise CannotRun(f"--confirm {count}: {have}, {share} are needed; give the map more steps")
        found += [far_off[(2 * index + 1) * len(far_off) // (2 * share)] for index in range(share)]
    return found


def distances(predicted: Sequence[bool | None], columns: int) -> list[int]:
    """For each cell, how many steps it is from the nearest that is predicted otherwise (a diagonal is one step).
    Raises CannotRun when there is no line."""
    if len(set(predicted)) != 2:
        raise CannotRun("this map predicts no boundary, or one outside of it: there are no two sides to confirm")
    places = [(*divmod(index, columns), said) for index, said in enumerate(predicted)]
    return [
        min(max(abs(down - y), abs(right - x)) for y, x, other in places if other is not said)
        for down, right, said in places
    ]


def rehearse(folder: Path, name: str, assignments: Sequence[str], plane: Plane, cell: Row) -> Row:
    """One cell for real, its run kept in `folder`: its goodput ratio, and whether that is what was predicted. Raises
    CannotRun, InvalidRun."""
    settings = maps.settings(plane, cell["x"], cell["y"])
    experiment, _ = scenario.load(name, [*assignments, *settings])
    experiment.choose_clock("real")
    run = RunDir(folder)
    title = Path(name).stem
    command = ["loadtests", "run", name, *(f"--set={item}" for item in (*assignments, *settings))]
    run.create(
        experiment, About(title, SEED, [plane.variant], shlex.join(command), runner.machine(), runner.versions())
    )
    runner.rehearse(run, experiment, plane.variant, SEED, lambda variant, stats: None)
    variant = summary.read_variant(run, plane.variant, experiment, SEED)
    if variant.reasons:
        raise InvalidRun("; ".join(variant.reasons))
    goodput = maps.last_goodput(variant, experiment)
    collapsed = goodput < maps.COLLAPSED
    return {
        "x": cell["x"],
        "y": cell["y"],
        "predicted": cell["predicted"],
        "virtual": cell["collapsed"],
        "goodput": goodput,
        "agrees": collapsed is cell["predicted"],
    }
