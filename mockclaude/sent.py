"""When the text of a reply went out, and how much of it: small enough to be kept of every stream."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

GRAIN = 4
"""Decimal places of a second in which it is told: a socket is no finer, and it is a third of the bytes."""


class Sent:
    """The writes that had text in them: how many seconds after the attempt arrived, and how many bytes (UTF-8).

    Eight bytes of memory for each, where a list of pairs takes over a hundred.
    """

    __slots__ = ("_written",)

    def __init__(self) -> None:
        self._written = array("f")
        """Both in turn. Sizes are whole numbers, and exact to sixteen million."""

    def note(self, at: float, size: int) -> None:
        """So many bytes of text go out now."""
        written = self._written
        written.append(at)
        written.append(size)

    def forget(self) -> None:
        """Give the memory back."""
        del self._written[:]

    def __len__(self) -> int:
        return len(self._written) // 2

    def __iter__(self) -> Iterator[tuple[float, int]]:
        pairs = iter(self._written)
        return ((round(at, GRAIN), int(size)) for at, size in zip(pairs, pairs, strict=True))
