"""When Python looks for reference cycles in a process that sends load."""

import gc

YOUNG, MIDDLE, OLD = 10_000, 10, 100


def settle() -> None:
    """Once the schedule is there, and before T0: nobody looks at it again, nor at what has been imported.

    A look at everything takes some 50 ms with a schedule of a few thousand requests, and more with more; what is sent
    or read meanwhile is late. Requests leave no cycles behind, so little is ever found. Of an earlier start in the same
    process what was left is found now.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
