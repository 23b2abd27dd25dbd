"""When Python looks for reference cycles in a process that is a mock, and nothing else."""

from __future__ import annotations

import gc

YOUNG, MIDDLE, OLD = 10_000, 5, 1000
"""A look at the youngest takes a millisecond then, one at those who survived it some five."""


def settle() -> None:
    """Once all is imported: nobody looks at that again, and at what lives long next to never.

    A full collection looks at everything each open stream holds, and nothing is sent meanwhile: with ten thousand
    streams a tenth of a second, several times a second. What attempts leave behind forms no cycles, so nothing is lost.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
