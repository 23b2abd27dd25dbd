"""What was typed after `bench`, checked before anything is measured: sizes, names, files to be written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mockclaude.bench.contender import CouldNotRun


def sizes(option: str, said: str, besides: Sequence[str] = ()) -> list[int]:
    """`300,1000`, without the words of `besides`, which may stand among them; raises `CouldNotRun`."""
    words = [word.strip() for word in said.split(",")]
    for word in words:
        if word not in besides and not (word.isascii() and word.isdigit() and int(word)):
            expected = " or ".join(("numbers from 1 on", *besides))
            raise CouldNotRun(f"{option} {said}: got {word!r}, expected {expected}, separated by commas")
    return list(dict.fromkeys(int(word) for word in words if word not in besides))


def names(known: Iterable[str], only: str) -> list[str]:
    """Of what there is what `--only` names, or all; raises `CouldNotRun` where it names what is not there."""
    there = list(dict.fromkeys(known))
    named = only.split(",") if only else there
    unknown = [one for one in named if one not in there]
    if unknown:
        raise CouldNotRun(f"--only {only}: got {', '.join(unknown)}, expected some of {', '.join(there)}")
    return [one for one in there if one in named]


def place(option: str, file: Path | None) -> None:
    """Raises `CouldNotRun` where no such file can be written."""
    if file is None:
        return
    if not file.parent.is_dir():
        raise CouldNotRun(f"{option} {file}: expected a folder {file.parent}, there is none")
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise CouldNotRun(f"{option} {file}: expected a file that may be written")
