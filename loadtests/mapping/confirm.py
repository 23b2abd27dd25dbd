"""Cells of a map once more, on real sockets: whether what virtual time says of a plane holds where everything costs.

Chosen are cells far from the predicted boundary, where the outcome does not hang on the seed, on both of its sides.
"""

import itertools
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadtests import runner
from loadtests.errors import CannotRun, InvalidRun
from loadtests.experiment import scenario
from loadtests.judging import summary
from loadtests.mapping import maps
from loadtests.mapping.maps import Plane
from loadtests.record.rundir import About, RunDir
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


def rehearse(
    folder: Path, name: str, assignments: Sequence[str], plane: Plane, row: Row, chosen: Sequence[int]
) -> Iterator[Row]:
    """These cells for real, their runs kept in `folder`-1 and so on: the goodput ratio of each, and whether it did as
    predicted. Raises CannotRun, InvalidRun."""
    for number, cell in enumerate((row["cells"][index] for index in chosen), start=1):
        run = RunDir(folder.with_name(f"{folder.name}-{number}"))
        goodput = _goodput(run, name, [*assignments, *maps.settings(plane, cell["x"], cell["y"])], plane.variant)
        agrees = (goodput < maps.COLLAPSED) is cell["predicted"]
        yield {**cell, "virtual": cell["collapsed"], "goodput": goodput, "agrees": agrees}


def disagrees(row: Row) -> bool:
    """Whether a cell of this map that was tried for real did not do as predicted."""
    return not all(cell["agrees"] for cell in row["confirmed"])


def _goodput(run: RunDir, name: str, assignments: Sequence[str], variant: str) -> float:
    experiment, _ = scenario.load(name, assignments)
    command = ["loadtests", "run", name, "--variant", variant, *(f"--set={item}" for item in assignments)]
    about = About(Path(name).stem, SEED, [variant], shlex.join(command), runner.machine(), runner.versions())
    run.create(experiment, about)
    runner.rehearse(run, experiment, variant, SEED, lambda variant, stats: None)
    found = summary.read_variant(run, variant, experiment, SEED)
    if found.reasons:
        raise InvalidRun("; ".join(found.reasons))
    return maps.last_goodput(found, experiment)
