"""`mockclaude bench profile`: where the mock spends its time, as a flame graph."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import typer

from mockclaude.bench import asked, contender, rounds
from mockclaude.bench.contender import CouldNotRun
from mockclaude.bench.load import Load
from mockclaude.commands import console

NAME = "mockclaude bench"
TIMES_A_SECOND = 400


def draw(load: Load, seconds: int, picture: Path) -> None:
    """Look at the mock under `load` for so long, and draw what it was doing; `NAME` gives up where that cannot be."""
    words = [_spy(), "record", "--rate", str(TIMES_A_SECOND), "--duration", str(seconds), "--output", str(picture)]
    load = load._replace(window=seconds + 2.0)
    with console.or_give_up(NAME, CouldNotRun):
        asked.place("--out", picture)
        contender.ready([contender.OURS], [load])
        server_core, reader_core = contender.cores()
        with (
            contender.running(contender.OURS, load, server_core) as server,
            ThreadPoolExecutor(1) as pool,
        ):
            reading = pool.submit(rounds.read, load, server, reader_core)
            time.sleep(load.ramp + load.warm)
            spied = subprocess.run([*words, "--pid", str(server.pid)], capture_output=True, text=True)
            found = reading.result()
    if spied.returncode:
        console.give_up(NAME, _why(spied.stderr))
    typer.echo(f"{picture}: {found.busy or 0:.0%} of a core under {load.n} streams; open it in a browser")


def _spy() -> str:
    """py-spy, of this environment or on the PATH."""
    beside = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    return beside or console.give_up(NAME, "py-spy is not installed: pip install py-spy")


def _why(said: str) -> str:
    """In words that help, where nobody may look into another process."""
    last = (said.strip().splitlines() or ["py-spy failed"])[-1]
    if "ermission" in said or "not permitted" in said:
        how = "run it as root, or type: sudo sysctl kernel.yama.ptrace_scope=0 (in a container: --cap-add SYS_PTRACE)"
        return f"py-spy may not look into another process ({last}); {how}"
    return f"py-spy: {last}"
